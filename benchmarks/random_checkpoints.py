"""Checkpoints that are the hub's but for the numbers: the files of the profiles `paper` and `colab`, with the public
configs, keys, shapes, types and formats, and random weights. To try loading, memory and speed where no hub can be
reached; what they answer means nothing.

    python benchmarks/random_checkpoints.py DIR [--profile paper|colab] [--only NAME ...]
    python -m wsris_lib reproduce --profile paper --checkpoints DIR

3.8 GB for `paper`, about a minute on one core. What is there already stays, so an interrupted run goes on. A name's
weights are the same each time, from a seed of its own. The configs are those of public_configs.json, whose bytes and
digests are compared with the published ones (tests/frozen/test_frozen_hub_copies.py); vocabularies are our own.
"""

import argparse
import json
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import open_clip
import timm
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

from wsris_lib.config.profiles import PROFILES, checkpoints_of
from wsris_lib.frozen.checkpoints import ZOO
from wsris_lib.frozen.loading import quiet

VOCABULARY = 30_522  # entries of the uncased BERT
CLIP_STATISTICS = {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}
CONFIGS = json.loads(Path(__file__).with_name("public_configs.json").read_text(encoding="utf-8"))


def public_configs(name: str) -> dict[str, dict]:
    """The small files of a public checkpoint: file -> what is in it.

    In public_configs.json one may be "like" another but for the fields named, "a.b" for b of a; "labels" is a number of
    classes, called LABEL_0 and so on where the hub has names.
    """
    lines = dict(CONFIGS[name])
    files = public_configs(lines.pop("like")) if "like" in lines else {}
    for file, fields in lines.items():
        content = files.setdefault(file, {})
        for field, value in fields.items():
            *path, last = field.split(".")
            inner = content
            for part in path:
                inner = inner[part]
            inner[last] = value
        labels = content.pop("labels", 0)
        if labels:
            content["id2label"] = {str(n): f"LABEL_{n}" for n in range(labels)}
            content["label2id"] = {label: int(n) for n, label in content["id2label"].items()}
    return json.loads(json.dumps(files))


def write_configs(folder: Path) -> None:
    """As transformers has written them: sorted, two spaces, one line a value."""
    for file, content in public_configs(called(folder)).items():
        (folder / file).write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def called(folder: Path) -> str:
    """The name of a checkpoint by its folder, finished or not."""
    return folder.name.removesuffix(".part")


def clip(folder: Path) -> int:
    """One of open_clip's, in its local-dir format and float32.

    RN50's folder holds a trap, as the hub's do: beside the whole model the image side alone, for timm, under the name
    that others give to the whole.
    """
    architecture = called(folder).removesuffix("-openai")
    with quiet():  # it warns of random weights
        model = open_clip.create_model(architecture)
    preprocessing = {**CLIP_STATISTICS, "interpolation": "bicubic", "resize_mode": "shortest"}
    config = {"model_cfg": open_clip.get_model_config(architecture), "preprocess_cfg": preprocessing}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=4), encoding="utf-8")
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    if architecture.startswith("RN50"):
        save_file(timm.create_model("resnet50_clip").state_dict(), folder / "model.safetensors")
    return weights(model)


def transformers_model(cls: type, folder: Path) -> torch.nn.Module:
    """A model of the config in the folder, its weights in model.safetensors under the names of the public file."""
    with quiet():
        model = cls(hf.AutoConfig.from_pretrained(folder))
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    write_configs(folder)  # it wrote its own
    return model


def plain(cls: type) -> Callable[[Path], int]:
    """A maker of a checkpoint that transformers' class saves as it lies on the hub."""
    return lambda folder: weights(transformers_model(cls, folder))


def sam2(folder: Path) -> int:
    """SAM 2.1: the public file holds the video model, memory and all, and says so in its config."""
    model = transformers_model(hf.Sam2VideoModel, folder)
    path = folder / "model.safetensors"
    state = load_file(path)  # one position code, twice in the file
    codes = state["prompt_encoder.shared_embedding.positional_embedding"]
    save_file(state | {"shared_image_embedding.positional_embedding": codes.clone()}, path, metadata={"format": "pt"})
    return weights(model)


def simcse(folder: Path) -> int:
    """A BERT as the public SimCSE: pickled tensors with the buffer of older releases, a vocabulary as plain text."""
    model = hf.BertModel(hf.AutoConfig.from_pretrained(folder))
    positions = torch.arange(model.config.max_position_embeddings)[None]
    torch.save({"embeddings.position_ids": positions, **model.state_dict()}, folder / "pytorch_model.bin")
    (folder / "vocab.txt").write_text("\n".join(vocabulary()) + "\n", encoding="utf-8")
    return weights(model)


def bert(folder: Path) -> int:
    """The uncased BERT with the heads of its training, its layer norms named as in TensorFlow."""
    model = hf.BertForPreTraining(hf.AutoConfig.from_pretrained(folder))
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    state = {}
    for name, tensor in model.state_dict().items():
        if not name.startswith("cls.predictions.decoder."):  # the word vectors and predictions.bias once more
            for new, former in old.items():
                name = name.replace(new, former)
            state[name] = tensor.contiguous()
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    hf.BertTokenizer(vocab={word: n for n, word in enumerate(vocabulary())}).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(vocabulary()) + "\n", encoding="utf-8")
    write_configs(folder)
    return weights(model.bert)


def swin(folder: Path) -> int:
    """A Swin with its classifier and the indices that older files hold: the large one a pickle, as on its hub."""
    model = transformers_model(hf.SwinForImageClassification, folder)
    path = folder / "model.safetensors"
    state = load_file(path)
    index = window_index(model.config.window_size)
    for name in [name for name in state if name.endswith("relative_position_bias_table")]:
        state[name.replace("bias_table", "index")] = index.clone()
    if "in22k" in folder.name:
        path.unlink()
        torch.save(state, folder / "pytorch_model.bin")
    else:
        save_file(state, path, metadata={"format": "pt"})
    return weights(model.swin)


def window_index(side: int) -> torch.Tensor:
    """Which entry of the bias table each pair of a window's cells takes: long [side^2, side^2]."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    dy, dx = (axis.flatten()[:, None] - axis.flatten() + side - 1 for axis in (y, x))
    return dy * (2 * side - 1) + dx


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
    "dinov2-base": (plain(hf.Dinov2Model), 86.6),
    "dinov2-small": (plain(hf.Dinov2Model), 22.1),
    "Depth-Anything-V2-Small-hf": (plain(hf.DepthAnythingForDepthEstimation), 24.8),
    "sam2.1-hiera-small": (sam2, 46.0),
    "sam2.1-hiera-tiny": (sam2, 38.9),
    "dfine-large-obj365": (plain(hf.DFineForObjectDetection), 31.8),
    "dfine-small-obj365": (plain(hf.DFineForObjectDetection), 10.6),
    "sup-simcse-bert-base-uncased": (simcse, 109.5),
    "swin-base-patch4-window12-384-in22k": (swin, 87.0),  # without its classifier
    "swin-tiny-patch4-window7-224": (swin, 27.5),  # likewise
    "bert-base-uncased": (bert, 109.5),  # without its heads
}


def needed(profile: str) -> list[str]:
    """The folders that a profile asks for, each once."""
    names = checkpoints_of(PROFILES[profile]).values()
    return list(dict.fromkeys(name.split("/")[-1].replace(":", "-") for name in names))


def make(name: str, out: Path) -> float:
    """Write one checkpoint into its folder in `out`; returns the millions of its weights."""
    torch.manual_seed(zlib.crc32(name.encode()))
    unfinished = out / f"{name}.part"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    if name in CONFIGS:
        write_configs(unfinished)
    millions = CHECKPOINTS[name][0](unfinished) / 1e6
    unfinished.rename(out / name)
    return millions


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="DIR")
    parser.add_argument("--profile", choices=("paper", "colab"), default="paper")
    parser.add_argument("--only", nargs="+", choices=CHECKPOINTS, metavar="NAME")
    given = parser.parse_args()
    print(f"{'checkpoint':36} {'weights':>8} {'published':>9} {'MB':>6}")
    for name in given.only or needed(given.profile):
        seconds = "there" if (given.out / name).is_dir() else f"{make(name, given.out):.1f}"
        size = sum(path.stat().st_size for path in (given.out / name).rglob("*")) / 1e6
        print(f"{name:36} {seconds:>8} {CHECKPOINTS[name][1]:9.1f} {size:6.0f}", flush=True)
