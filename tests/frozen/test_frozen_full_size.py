"""Checkpoints that are wrong are refused by each loader, in words; those of full size load and answer."""

import importlib.util
import os
import pickle
import shutil
import warnings

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image
from safetensors.torch import load_file, save_file

from wsris_lib.cadd.lavt import Lavt
from wsris_lib.frozen.checkpoints import sizes
from wsris_lib.frozen.clip import ClipEncoder, load_clip
from wsris_lib.frozen.clip_backbone import Backbone
from wsris_lib.frozen.critic import Critic
from wsris_lib.frozen.depth import DepthEstimator
from wsris_lib.frozen.detector import Detector
from wsris_lib.frozen.dino import DinoEncoder
from wsris_lib.frozen.sam2 import Sam2Proposer
from wsris_lib.frozen.sentence_encoder import SentenceEncoder
from wsris_lib.infra.artefacts import REPO


def lavt(image_model, text_model, pixels=64):
    return Lavt(str(image_model), str(text_model), pixels)


# Loader -> its folder in the zoo, how it is called with the zoo and that folder, a part of one of its weights' names.
LOADERS = {
    "clip": ("clip", lambda zoo, folder: load_clip(folder), "resblocks.0.ln_1"),
    "backbone": ("clip_rn", lambda zoo, folder: Backbone(folder, 64), "layer1.0.conv1"),
    "critic": ("clip", lambda zoo, folder: Critic(folder, 32), "token_embedding"),
    "dino": ("dino", lambda zoo, folder: DinoEncoder(folder, 48), "encoder.layer.1.norm1"),
    "depth": ("depth", lambda zoo, folder: DepthEstimator(folder, 48), "neck."),
    "sam2": ("sam2", lambda zoo, folder: Sam2Proposer(folder), "vision_encoder."),
    "detector": ("detector", lambda zoo, folder: Detector(folder), "backbone."),
    "text": ("text", lambda zoo, folder: SentenceEncoder(folder), "encoder.layer.1."),
    "lavt's image": ("swin", lambda zoo, folder: lavt(folder, zoo / "text"), "layers.1.blocks.0.layernorm_before"),
    "lavt's text": ("text", lambda zoo, folder: lavt(zoo / "swin", folder), "encoder.layer.1."),
}


@pytest.fixture(params=LOADERS)
def loader(request, tiny_zoo, tmp_path):
    """load(), its folder to be spoilt, the file of weights in it, and the name of one of them."""
    source, load, part = LOADERS[request.param]
    folder = shutil.copytree(tiny_zoo / source, tmp_path / "copy")
    (path,) = folder.glob("*.safetensors")
    key = next(name for name in sorted(load_file(path)) if part in name and name.endswith("weight"))
    return lambda: load(tiny_zoo, str(folder)), folder, path, key


def change(path, **tensors):
    """Put tensors into a file of weights; None takes one out."""
    state = load_file(path) | tensors
    save_file({name: t for name, t in state.items() if t is not None}, path, metadata={"format": "pt"})


def test_a_missing_weight_is_named(loader):
    load, folder, path, key = loader
    load()
    change(path, **{key: None})
    with pytest.raises(ValueError, match=rf"{folder}.*{key.split('.')[-2]}.*is missing"):
        load()


def test_a_weight_of_another_shape_is_named_with_both(loader):
    load, folder, path, key = loader
    tensor = load_file(path)[key]
    change(path, **{key: torch.cat([tensor, tensor])})
    expected = rf"{folder}.*has the shape \({2 * len(tensor)}, ?.*expects \({len(tensor)},"
    with pytest.raises(ValueError, match=expected):
        load()


def test_a_weight_too_many_is_named(loader):
    load, folder, path, _ = loader
    change(path, **{"spare.weight": torch.zeros(3)})
    with pytest.raises(ValueError, match=rf"{folder}.*found 'spare.weight', which a"):
        load()


def test_another_models_config_is_refused(loader):
    load, folder, _, _ = loader
    if (folder / "config.json").is_file():
        hf.ViTMAEConfig(hidden_size=16, num_hidden_layers=1).save_pretrained(folder)
        reasons = "found a model of the type 'vit_mae'|'vit_mae' for AutoModelForObjectDetection can't be read"
    else:
        (folder / "open_clip_config.json").write_text('{"model_cfg": {"embed_dim": 48}}')
        reasons = "open_clip_config.json or the tokenizer can't be read"
    with pytest.raises(ValueError, match=rf"{folder}.*({reasons})"):
        load()


def test_a_file_that_was_cut_is_refused(loader):
    load, folder, path, _ = loader
    whole = path.read_bytes()
    for length in (len(whole) // 2, 100, 0):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=rf"{folder}.*can't be read .*fetch or copy it anew"):
            load()


class Payload:
    """Pickled, it makes a folder where it is unpickled."""

    def __init__(self, sign):
        self.sign = sign

    def __reduce__(self):
        return os.mkdir, (str(self.sign),)


@pytest.mark.parametrize("way", ["torch", "pickle"])
def test_code_in_a_pickle_is_not_run(loader, tmp_path, way):
    load, folder, path, key = loader
    state = load_file(path) | {key: Payload(tmp_path / "was here")}
    sign = tmp_path / "was here"
    path.unlink()
    evil = folder / "pytorch_model.bin"
    torch.save(state, evil) if way == "torch" else evil.write_bytes(pickle.dumps(state, 2))
    with pytest.raises(ValueError, match=rf"{folder}.*can't be read"):
        load()
    assert not sign.exists()
    torch.load(evil, weights_only=False) if way == "torch" else pickle.loads(evil.read_bytes())
    assert sign.exists()  # so it would have run


def test_a_torchscript_archive_is_refused(tiny_zoo, tmp_path):
    folder = shutil.copytree(tiny_zoo / "clip", tmp_path / "clip")
    (folder / "open_clip_model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"no weights in .*expected one of open_clip_model\.safetensors"):
        load_clip(str(folder))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is on its way out
        archive = torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2))
        torch.jit.save(archive, folder / "open_clip_pytorch_model.bin")
        with pytest.raises(ValueError, match=r"open_clip_pytorch_model\.bin can't be read .*TorchScript"):
            load_clip(str(folder))


def test_pickled_tensors_do_no_harm(loader):
    load, folder, path, _ = loader
    torch.save(load_file(path), folder / "pytorch_model.bin")
    path.unlink()
    load()


def test_a_bert_with_the_heads_buffers_and_names_of_older_releases(tiny_zoo, tmp_path):
    folder = shutil.copytree(tiny_zoo / "text", tmp_path / "text")
    state = load_file(folder / "model.safetensors")
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    tensors = {"bert.embeddings.position_ids": torch.arange(16)[None], "cls.seq_relationship.bias": torch.zeros(2)}
    for name, tensor in state.items():
        for new, former in old.items():
            name = name.replace(new, former)
        tensors[f"bert.{name}"] = tensor
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    assert torch.equal(
        SentenceEncoder(str(folder)).sentences(["the red mug"]),
        SentenceEncoder(str(tiny_zoo / "text")).sentences(["the red mug"]),
    )
    ours = lavt(tiny_zoo / "swin", folder).bert.state_dict()
    assert all(torch.equal(tensor, state[name].float()) for name, tensor in ours.items())


def test_counters_of_batch_norms_may_be_missing(tiny_zoo, tmp_path):
    folder = shutil.copytree(tiny_zoo / "detector", tmp_path / "detector")
    counters = [name for name in load_file(folder / "model.safetensors") if name.endswith("num_batches_tracked")]
    assert counters
    change(folder / "model.safetensors", **dict.fromkeys(counters))
    ours, whole = (Detector(str(place))([photograph()])[0] for place in (folder, tiny_zoo / "detector"))
    assert torch.equal(ours.boxes, whole.boxes)


def test_a_tokenizer_without_its_vocabulary_is_refused(tiny_zoo, tmp_path):
    folder = shutil.copytree(tiny_zoo / "text", tmp_path / "text")
    (folder / "tokenizer.json").unlink()
    for load in (lambda: SentenceEncoder(str(folder)), lambda: lavt(tiny_zoo / "swin", folder)):
        with pytest.raises(ValueError, match=r"text.*(its tokenizer has|can't be read)"):
            load()


def test_a_processor_that_is_missing_is_an_error_in_words(tiny_zoo, tmp_path):
    for name, load in (("dino", lambda f: DinoEncoder(f, 48)), ("sam2", Sam2Proposer), ("detector", Detector)):
        folder = shutil.copytree(tiny_zoo / name, tmp_path / name)
        for path in folder.glob("*processor_config.json"):
            path.unlink()
        with pytest.raises(ValueError, match=rf"checkpoint {folder}: the files of .* can't be read"):
            load(str(folder))


# -- full size --------------------------------------------------------------------------------------------------------


def maker():
    """benchmarks/random_checkpoints.py, which is no package."""
    spec = importlib.util.spec_from_file_location("random_checkpoints", REPO / "benchmarks" / "random_checkpoints.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def photograph():
    coarse = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((640, 480), Image.Resampling.BICUBIC)


def left_half():
    mask = torch.zeros(1, 480, 640, dtype=torch.bool)
    mask[:, :, :320] = True
    return mask


@torch.no_grad()
def shape_of_lavt(*places):
    model = Lavt(*map(str, places), 480)
    return model.answer(model.prepare(photograph())[None], [0], ["the red mug"]).shape


@torch.no_grad()
def shape_of_resnet(place):
    model = Backbone(str(place), 320)
    return model.maps(model.normalise(model.prepare(photograph())[None])).shape


def shape_of_crops(place):
    return ClipEncoder(str(place)).crops(photograph(), left_half())[0].shape


def shape_of_patches(place):
    return DinoEncoder(str(place), 448).patches([photograph()]).shape


def shape_of_depth(place):
    return DepthEstimator(str(place), 518).inverse_depth([photograph()])[0].shape


def shape_of_masks(place):
    box = torch.tensor([[50, 60, 300, 400]])
    return Sam2Proposer(str(place)).boxes([photograph()], [box])[0].masks.shape


def shape_of_boxes(place):
    return Detector(str(place), limit=1)([photograph()])[0].boxes.shape


def shape_of_sentences(place):
    return SentenceEncoder(str(place)).sentences(["the red mug"]).shape


FULL = [  # all that `paper` and `colab` name
    (shape_of_crops, (1, 768), ["ViT-B-32-quickgelu-openai"]),
    (shape_of_crops, (1, 768), ["ViT-B-16-quickgelu-openai"]),
    (shape_of_resnet, (1, 2048, 10, 10), ["RN50-quickgelu-openai"]),
    (shape_of_patches, (1, 768, 32, 32), ["dinov2-base"]),
    (shape_of_patches, (1, 384, 32, 32), ["dinov2-small"]),
    (shape_of_depth, (480, 640), ["Depth-Anything-V2-Small-hf"]),
    (shape_of_masks, (1, 480, 640), ["sam2.1-hiera-small"]),
    (shape_of_masks, (1, 480, 640), ["sam2.1-hiera-tiny"]),
    (shape_of_boxes, (1, 4), ["dfine-large-obj365"]),
    (shape_of_boxes, (1, 4), ["dfine-small-obj365"]),
    (shape_of_sentences, (1, 768), ["sup-simcse-bert-base-uncased"]),
    (shape_of_lavt, (1, 480, 480), ["swin-base-patch4-window12-384-in22k", "bert-base-uncased"]),
    (shape_of_lavt, (1, 480, 480), ["swin-tiny-patch4-window7-224", "bert-base-uncased"]),
]
# How the hub holds the weights: in pickles where there is nothing else.
PICKLES = {"sup-simcse-bert-base-uncased", "swin-base-patch4-window12-384-in22k"}
OURS = ("vocab.txt", "tokenizer.json")  # the words are our miniature's


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "shape", "names"), FULL, ids=[names[0] for _, _, names in FULL])
def test_a_copy_of_the_hubs_files_loads_and_answers_without_a_word(answer, shape, names, tmp_path, capfd):
    """Byte for byte as long as published: a header that names another key, shape or type has another length."""
    random_checkpoints = maker()
    places = [tmp_path / name for name in names]
    for place in places:
        millions = random_checkpoints.make(place.name, tmp_path)
        assert millions == pytest.approx(random_checkpoints.CHECKPOINTS[place.name][1], rel=0.01)
        assert not [line for line in sizes(str(place)) if not line.startswith(OURS)]
        assert (place / "pytorch_model.bin").is_file() == (place.name in PICKLES)
        assert bool([*place.glob("*.safetensors")]) == (place.name not in PICKLES)
    capfd.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert answer(*places) == shape
    assert capfd.readouterr() == ("", "")
    shutil.rmtree(tmp_path)  # else pytest keeps the gigabytes
