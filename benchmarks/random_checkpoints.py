"""Checkpoints of the architectures that the profile `paper` names, at full size and in the public formats, with random
weights: to try loading, memory and speed where no hub can be reached. What they answer means nothing.

    python benchmarks/random_checkpoints.py DIR [--only NAME ...]
    python -m wsris_lib reproduce --profile paper --checkpoints DIR

2.9 GB, about a minute on one core. What is there already stays, so an interrupted run goes on. A name's weights
are the same each time, from a seed of its own.
"""

import argparse
import json
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import open_clip
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

from wsris_lib.frozen.checkpoints import ZOO
from wsris_lib.frozen.loading import quiet
from wsris_lib.infra.artefacts import write_json

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
VIT = {"image_size": 518, "patch_size": 14}  # all of DINOv2's
VOCABULARY = 30_522  # entries of the uncased BERT
CLIP_STATISTICS = {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}


def clip(folder: Path) -> int:
    """One of open_clip's, in its local-dir format, in half precision."""
    architecture = folder.name.removesuffix(".part").removesuffix("-openai")
    with quiet():  # it warns of random weights
        model = open_clip.create_model(architecture)
    config = {"model_cfg": open_clip.get_model_config(architecture), "preprocess_cfg": CLIP_STATISTICS}
    write_json(folder / "open_clip_config.json", config)
    half = {n: t.half() if t.is_floating_point() else t for n, t in model.state_dict().items()}
    save_file({name: tensor.contiguous() for name, tensor in half.items()}, folder / "open_clip_model.safetensors")
    return weights(model)


def dinov2(folder: Path) -> int:
    """DINOv2-B of patch 14, trained at 518 pixels."""
    model = hf.Dinov2Model(hf.Dinov2Config(hidden_size=768, num_hidden_layers=12, num_attention_heads=12, **VIT))
    model.save_pretrained(folder)
    crop = {"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}, "resample": 3}
    hf.BitImageProcessor(**crop, **IMAGENET).save_pretrained(folder)
    return weights(model)


def depth(folder: Path) -> int:
    """Depth Anything V2 on a DINOv2-S."""
    stages = {"out_indices": [3, 6, 9, 12], "apply_layernorm": True, "reshape_hidden_states": False}
    backbone = hf.Dinov2Config(hidden_size=384, num_hidden_layers=12, num_attention_heads=6, **VIT, **stages)
    config = hf.DepthAnythingConfig(
        backbone_config=backbone,
        patch_size=14,
        reassemble_hidden_size=384,
        neck_hidden_sizes=[48, 96, 192, 384],
        fusion_hidden_size=64,
        head_hidden_size=32,
    )
    model = hf.DepthAnythingForDepthEstimation(config)
    model.save_pretrained(folder)
    size = {"size": {"height": 518, "width": 518}, "ensure_multiple_of": 14, "keep_aspect_ratio": True, "resample": 3}
    hf.DPTImageProcessor(**size, **IMAGENET).save_pretrained(folder)
    return weights(model)


def sam2(folder: Path) -> int:
    """SAM 2.1 small: the public file holds the video model, memory and all, and says so in its config."""
    trunk = hf.Sam2HieraDetConfig(
        blocks_per_stage=[1, 2, 11, 2], global_attention_blocks=[7, 10, 13], window_size_per_stage=[8, 4, 14, 7]
    )
    config = hf.Sam2VideoConfig(
        vision_config=hf.Sam2VisionConfig(backbone_config=trunk),
        enable_temporal_pos_encoding_for_object_pointers=True,
        enable_occlusion_spatial_embedding=True,
    )
    model = hf.Sam2VideoModel(config)
    codes = model.prompt_encoder.shared_embedding.positional_embedding
    model.shared_image_embedding.positional_embedding.data.copy_(codes)  # one code, twice in the file
    model.save_pretrained(folder)
    square = {"size": {"height": 1024, "width": 1024}, "mask_size": {"height": 256, "width": 256}}
    hf.Sam2ImageProcessor(**square, **IMAGENET).save_pretrained(folder)
    processor = {"point_pad_value": -10, "processor_class": "Sam2VideoProcessor", "target_size": 1024}
    write_json(folder / "processor_config.json", processor)
    return weights(model)


def dfine(folder: Path) -> int:
    """D-FINE-L for the 366 classes of Objects365; transformers' defaults are its HGNetV2-B4 and its encoder."""
    model = hf.DFineForObjectDetection(hf.DFineConfig(decoder_n_points=[3, 6, 3], num_labels=366))
    model.save_pretrained(folder)
    hf.RTDetrImageProcessor(size={"height": 640, "width": 640}).save_pretrained(folder)
    return weights(model)


def simcse(folder: Path) -> int:
    """A BERT as the public SimCSE: pickled tensors with the buffer of older releases, a vocabulary as plain text."""
    model = hf.BertModel(hf.BertConfig())
    model.config.save_pretrained(folder)
    positions = torch.arange(model.config.max_position_embeddings)[None]
    torch.save({"embeddings.position_ids": positions, **model.state_dict()}, folder / "pytorch_model.bin")
    (folder / "vocab.txt").write_text("\n".join(vocabulary()) + "\n", encoding="utf-8")
    write_json(folder / "tokenizer_config.json", {"do_lower_case": True, "model_max_length": 512})
    return weights(model)


def bert(folder: Path) -> int:
    """The uncased BERT with the heads of its training, its layer norms named as in TensorFlow."""
    model = hf.BertForPreTraining(hf.BertConfig(architectures=["BertForMaskedLM"]))
    model.config.save_pretrained(folder)
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    state = {}
    for name, tensor in model.state_dict().items():
        if not name.startswith("cls.predictions.decoder."):  # the word vectors and predictions.bias once more
            for new, former in old.items():
                name = name.replace(new, former)
            state[name] = tensor.contiguous()
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    hf.BertTokenizer(vocab={word: n for n, word in enumerate(vocabulary())}).save_pretrained(folder)
    return weights(model.bert)


def swin(folder: Path) -> int:
    """Swin-B of windows of 12 at 384 pixels with ImageNet-22k's classifier, and the index that older files hold."""
    sizes = {"embed_dim": 128, "depths": [2, 2, 18, 2], "num_heads": [4, 8, 16, 32], "window_size": 12}
    model = hf.SwinForImageClassification(hf.SwinConfig(image_size=384, **sizes, num_labels=21_841))
    model.save_pretrained(folder)
    path = folder / "model.safetensors"
    state = load_file(path)
    index = torch.zeros(144, 144, dtype=torch.long)
    for name in [name for name in state if name.endswith("relative_position_bias_table")]:
        state[name.replace("bias_table", "index")] = index.clone()
    save_file(state, path, metadata={"format": "pt"})
    return weights(model.swin)


def vocabulary() -> list[str]:
    """As many entries as the uncased BERT's, the special ones where it has them; the words are our miniature's."""
    known = json.loads((ZOO / "text" / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    characters = [chr(c) for c in range(33, 127) if not chr(c).isupper()]
    special = ["[PAD]", *(f"[unused{n}]" for n in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    entries = dict.fromkeys([*special, *characters, *(f"##{c}" for c in characters), *known])
    fillers = (f"filler{n}" for n in range(VOCABULARY))
    return [*entries, *fillers][:VOCABULARY]


def weights(model: torch.nn.Module) -> int:
    """How many numbers a model learns."""
    return sum(parameter.numel() for parameter in model.parameters())


# Folder, as `profiles.with_checkpoints` looks for it -> how it is made, and the millions of weights that are published.
CHECKPOINTS: dict[str, tuple[Callable[[Path], int], float]] = {
    "ViT-B-16-quickgelu-openai": (clip, 149.6),
    "ViT-B-32-quickgelu-openai": (clip, 151.3),
    "RN50-quickgelu-openai": (clip, 102.0),
    "dinov2-base": (dinov2, 86.6),
    "Depth-Anything-V2-Small-hf": (depth, 24.8),
    "sam2.1-hiera-small": (sam2, 46.0),
    "dfine-large-obj365": (dfine, 31.0),
    "sup-simcse-bert-base-uncased": (simcse, 109.5),
    "swin-base-patch4-window12-384-in22k": (swin, 87.0),  # without its classifier
    "bert-base-uncased": (bert, 109.5),  # without its heads
}


def make(name: str, out: Path) -> float:
    """Write one checkpoint into its folder in `out`; returns the millions of its weights."""
    torch.manual_seed(zlib.crc32(name.encode()))
    unfinished = out / f"{name}.part"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    millions = CHECKPOINTS[name][0](unfinished) / 1e6
    unfinished.rename(out / name)
    return millions


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="DIR")
    parser.add_argument("--only", nargs="+", choices=CHECKPOINTS, default=list(CHECKPOINTS), metavar="NAME")
    given = parser.parse_args()
    print(f"{'checkpoint':36} {'weights':>8} {'published':>9} {'MB':>6}")
    for name in given.only:
        seconds = "there" if (given.out / name).is_dir() else f"{make(name, given.out):.1f}"
        size = sum(path.stat().st_size for path in (given.out / name).rglob("*")) / 1e6
        print(f"{name:36} {seconds:>8} {CHECKPOINTS[name][1]:9.1f} {size:6.0f}", flush=True)
