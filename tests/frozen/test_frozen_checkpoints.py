import json
import shutil
from dataclasses import replace
from pathlib import Path

import open_clip
import pytest
from huggingface_hub import constants
from safetensors.torch import save_file

from wsris_lib.__main__ import main
from wsris_lib.config import profiles
from wsris_lib.frozen import checkpoints
from wsris_lib.frozen.clip import load_clip
from wsris_lib.frozen.dino import DinoEncoder
from wsris_lib.infra.artefacts import REPO

ONE = "1" * 40
TWO = "2" * 40


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """cache(repository, commit, main=True) -> a snapshot's folder in an empty hub cache, with or without the branch."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(checkpoints, "PINS", tmp_path / "checkpoints.json")

    def put(repository, commit, main=True):
        there = tmp_path / "hub" / f"models--{repository.replace('/', '--')}"
        snapshot = there / "snapshots" / commit
        snapshot.mkdir(parents=True)
        if main:
            (there / "refs").mkdir(exist_ok=True)
            (there / "refs" / "main").write_text(commit)
        return snapshot

    return put


def test_names_that_loaders_understand(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "ZOO", tmp_path)
    (tmp_path / "clip").mkdir()
    assert checkpoints.resolve("zoo:clip") == str(tmp_path / "clip")
    assert checkpoints.resolve(str(tmp_path)) == str(tmp_path)


@pytest.mark.parametrize(
    "name", ["clip", "./clip", "/tmp/no/such/clip", "../a/clip", "a/b/c", "tests/no_such_folder", ""]
)
def test_a_mistyped_folder_is_not_taken_for_a_hub_id(name, monkeypatch):
    monkeypatch.chdir(REPO)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        checkpoints.resolve(name)


def test_a_missing_zoo_checkpoint_says_what_to_run(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "ZOO", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"python -m wsris_lib zoo train dino"):
        checkpoints.resolve("zoo:dino")


def test_the_fingerprint_follows_the_files(tmp_path):
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"one")
    before = checkpoints.fingerprint(str(tmp_path))
    weights.write_bytes(b"two")
    assert checkpoints.fingerprint(str(tmp_path)) != before
    changed = checkpoints.fingerprint(str(tmp_path))
    (tmp_path / "card.json").write_text("{}")
    assert checkpoints.fingerprint(str(tmp_path)) == changed  # a note beside the weights makes no other features
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text("{}")
    assert checkpoints.fingerprint(str(tmp_path)) != changed


# -- the hub ----------------------------------------------------------------------------------------------------------


def test_a_hub_id_is_its_snapshot_in_the_local_cache(cache):
    here = cache("org/model", ONE)
    assert (
        checkpoints.resolve("org/model")
        == checkpoints.resolve("org/model@main")
        == checkpoints.resolve(f"org/model@{ONE}")
        == str(here)
    )
    assert checkpoints.fingerprint("org/model") == checkpoints.fingerprint(f"org/model@{ONE}")
    moved = cache("org/model", TWO)
    assert checkpoints.resolve("org/model") == str(moved)
    assert ONE in checkpoints.fingerprint(f"org/model@{ONE}") and TWO in checkpoints.fingerprint("org/model")


def test_a_pin_stands_above_the_branch_and_a_revision_of_the_name_above_the_pin(cache):
    first = cache("org/model", ONE, main=False)
    second = cache("org/model", TWO)
    checkpoints.PINS.write_text(json.dumps({"org/model": {"commit": ONE}}))
    assert checkpoints.pins() == {"org/model": ONE}
    assert checkpoints.resolve("org/model") == str(first) and checkpoints.resolve(f"org/model@{TWO}") == str(second)
    shutil.rmtree(first)
    assert checkpoints.fingerprint("org/model") == f"org/model org/model@{ONE}"  # known without its files
    with pytest.raises(FileNotFoundError, match=f"revision {ONE} of org/model isn't in the local hub cache"):
        checkpoints.resolve("org/model")


def test_what_the_cache_lacks_is_fetched_by_nobody_but_fetch(cache, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("org/model", "org/model@v1", "ViT-B-16-quickgelu:openai"):
        with pytest.raises(FileNotFoundError, match=r"python -m wsris_lib fetch checkpoints --profile"):
            checkpoints.resolve(name)
    with pytest.raises(FileNotFoundError, match=r"open_clip's tags for ViT-B-16-quickgelu are .*openai"):
        checkpoints.resolve("ViT-B-16-quickgelu:opnai")
    with pytest.raises(FileNotFoundError, match="tags for ViT-B-17 are none"):
        checkpoints.resolve("ViT-B-17:openai")


def test_the_pins_are_a_file_of_commits():
    assert (
        all(len(commit) == 40 and "/" in name for name, commit in checkpoints.pins().items())
        and checkpoints.PINS.is_file()
    )


def test_the_papers_checkpoints_are_all_a_hubs():
    names = profiles.checkpoints_of(profiles.PROFILES["paper"])
    assert len(names) == 12
    assert all("/" in checkpoints.hub(name)[0] for name in names.values())


def test_a_hub_id_is_loaded_as_a_folder_is(cache, tiny_zoo):
    shutil.copytree(tiny_zoo / "dino", cache("org/dino", ONE), dirs_exist_ok=True)
    assert DinoEncoder("org/dino", 48).grid == 6
    Path(checkpoints.resolve("org/dino"), "model.safetensors").unlink()  # a download that was cut
    with pytest.raises(ValueError, match=r"checkpoint org/dino: a model of the type 'dinov2' .* can't be read"):
        DinoEncoder("org/dino", 48)


def test_open_clips_tag_is_its_registered_model_with_the_weights_of_the_cache(cache, monkeypatch):
    small = {"embed_dim": 16, "quick_gelu": True}
    small["vision_cfg"] = {"image_size": 32, "patch_size": 16, "width": 32, "layers": 1, "head_width": 16}
    small["text_cfg"] = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 1, "layers": 1}
    for name in ("ViT-B-32-quickgelu", "ViT-B-32"):
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, name, small | {"quick_gelu": "quick" in name})
    state = open_clip.create_model("ViT-B-32-quickgelu").state_dict()
    path = cache("timm/vit_base_patch32_clip_224.openai", ONE) / "open_clip_model.safetensors"
    save_file(state, path)
    model, tokenizer = load_clip("ViT-B-32-quickgelu:openai")
    assert all((tensor == state[name]).all() for name, tensor in model.state_dict().items())
    assert tokenizer.vocab_size == 49408 and model.visual.image_mean == open_clip.OPENAI_DATASET_MEAN
    assert checkpoints.fingerprint("ViT-B-32-quickgelu:openai").endswith(f"timm/vit_base_patch32_clip_224.openai@{ONE}")
    with pytest.raises(ValueError, match=r"another activation; the tag openai goes with ViT-B-32-quickgelu"):
        load_clip("ViT-B-32:openai")
    state.pop("logit_scale")
    save_file(state, path)
    with pytest.raises(ValueError, match="ViT-B-32-quickgelu:openai: 'logit_scale' is missing"):
        load_clip("ViT-B-32-quickgelu:openai")


# -- a folder of checkpoints ------------------------------------------------------------------------------------------


def test_a_folder_takes_the_hubs_place(tmp_path, monkeypatch):
    names = profiles.checkpoints_of(profiles.PROFILES["paper"])
    for name in ("dinov2-base", "ViT-B-16-quickgelu-openai", "ViT-B-32-quickgelu-openai", "RN50-quickgelu-openai"):
        (tmp_path / name).mkdir()
    with pytest.raises(FileNotFoundError, match=r"no folder Depth-.*\(for depth\).*\(for cadd.text_model\)"):
        profiles.load("paper", checkpoints=str(tmp_path))
    for name in names.values():
        (tmp_path / name.split("/")[-1].replace(":", "-")).mkdir(exist_ok=True)
    profile = profiles.load("paper", checkpoints=str(tmp_path), device="cpu")
    folders = profiles.checkpoints_of(profile)
    assert folders.keys() == names.keys() and all(Path(place).parent == tmp_path for place in folders.values())
    assert folders["ehin.critic"] == str(tmp_path / "ViT-B-32-quickgelu-openai")
    assert profile.ehin == replace(
        profiles.PROFILES["paper"].ehin, backbone=folders["ehin.backbone"], critic=folders["ehin.critic"]
    )
    monkeypatch.setenv("WSRIS_CHECKPOINTS", str(tmp_path))  # as a lesson's kernel gets it
    assert profiles.load("paper", device="cpu") == profile
    assert profiles.load("tiny") == profiles.PROFILES["tiny"]  # whose checkpoints are the zoo's


def test_a_detector_is_asked_for_only_where_boxes_are(tmp_path):
    boxes = profiles.PROFILES["tiny"]
    points = replace(boxes, proposals=replace(boxes.proposals, mode="everything"))
    assert "detector" in profiles.checkpoints_of(boxes) and "detector" not in profiles.checkpoints_of(points)
    (tmp_path / "model").mkdir()
    taken = profiles.with_checkpoints(replace(points, dino="org/model@v2", detector="org/other"), tmp_path)
    assert (taken.dino, taken.detector, taken.clip) == (str(tmp_path / "model"), "org/other", "zoo:clip")


def test_the_command_names_what_the_folder_lacks(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WSRIS_CHECKPOINTS", "")  # restored afterwards: the command sets it for its kernels
    assert main(["scoreboard", "--profile", "paper", "--checkpoints", str(tmp_path)]) == 2
    assert "sam2.1-hiera-small (for sam2)" in capsys.readouterr().err
