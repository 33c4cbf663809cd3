"""Files that outlive a run: whole or absent, and never read when damaged."""

import json

import pytest
import torch

from wsris_lib import artefacts


def test_tensors_and_notes_come_back(tmp_path):
    tensors = {"a": torch.randn(3, 4)[:, ::2], "b": torch.arange(5)}
    artefacts.save_tensors(tmp_path / "x.safetensors", tensors, ids=[1, 2], name="ref")
    back, notes = artefacts.load_tensors(tmp_path / "x.safetensors")
    assert notes == {"ids": [1, 2], "name": "ref"} and back.keys() == tensors.keys()
    assert all(torch.equal(back[n], tensors[n]) for n in tensors)


@pytest.mark.parametrize("damage", ["cut", "flip", "header", "empty"])
def test_a_damaged_file_is_named_removed_and_not_read(tmp_path, damage):
    path = tmp_path / "x.safetensors"
    artefacts.save_tensors(path, {"a": torch.randn(64)})
    data = bytearray(path.read_bytes())
    if damage == "cut":
        data = data[:-10]
    elif damage == "flip":
        data[-5] ^= 1
    elif damage == "header":
        data[12] ^= 255
    else:
        data = bytearray()
    path.write_bytes(data)
    with pytest.raises(artefacts.CorruptArtefact, match=r"x.safetensors can.t be read.*run the same command again"):
        artefacts.load_tensors(path)
    assert not path.exists()


def test_damaged_json_is_named_and_removed(tmp_path):
    (tmp_path / "x.json").write_text('{"a": [1, 2')
    with pytest.raises(artefacts.CorruptArtefact, match=r"x\.json"):
        artefacts.read_json(tmp_path / "x.json")
    assert not (tmp_path / "x.json").exists()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    artefacts.write_json(tmp_path / "x.json", [1])
    with pytest.raises(TypeError):
        artefacts.write_json(tmp_path / "x.json", {1, 2})
    assert json.loads((tmp_path / "x.json").read_text()) == [1]
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_keys_follow_content(tmp_path):
    (tmp_path / "a").write_text("1")
    assert artefacts.key("x", {"b": 1, "a": 2}) == artefacts.key("x", {"a": 2, "b": 1})
    assert artefacts.key("x", 1) != artefacts.key("x1") != artefacts.key("x", "1")
    before = artefacts.key(tmp_path)
    (tmp_path / "a").write_text("2")
    assert artefacts.key(tmp_path) != before
    with pytest.raises(FileNotFoundError, match="nowhere"):
        artefacts.key(tmp_path / "nowhere")
