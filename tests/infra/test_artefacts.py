"""Files that outlive a run: whole or absent, and never read when damaged."""

import json

import pytest
import torch
from safetensors import safe_open

from wsris_lib.infra import artefacts


def test_tensors_and_notes_come_back(tmp_path):
    tensors = {"a": torch.randn(3, 4)[:, ::2], "b": torch.arange(5)}
    artefacts.save_tensors(tmp_path / "x.safetensors", tensors, ids=[1, 2], name="ref")
    back, notes = artefacts.load_tensors(tmp_path / "x.safetensors")
    assert notes == {"ids": [1, 2], "name": "ref"} and back.keys() == tensors.keys()
    assert all(torch.equal(back[n], tensors[n]) for n in tensors)


def test_parts_are_stored_as_the_whole_is(tmp_path):
    """Types of three widths, where the order on disk isn't that of the names; an empty part; a transposed one."""
    g = torch.Generator().manual_seed(0)
    parts = [
        {
            "a": torch.randint(9, (3 * n,), generator=g, dtype=torch.uint8),
            "b": torch.randn(4, n, generator=g).T,
            "c": torch.randint(9, (n, 2), generator=g),
        }
        for n in (2, 0, 5)
    ]
    artefacts.save_parts(tmp_path / "parts", lambda: iter(parts), ids=[1, 2])
    artefacts.save_tensors(
        tmp_path / "whole", {name: torch.cat([p[name] for p in parts]) for name in "abc"}, ids=[1, 2]
    )
    (joined, notes), (whole, same) = (artefacts.load_tensors(tmp_path / name) for name in ("parts", "whole"))
    assert notes == same == {"ids": [1, 2]} and joined.keys() == whole.keys()
    assert all(torch.equal(joined[n], whole[n]) and joined[n].dtype == whole[n].dtype for n in whole)
    checksums = [json.loads(safe_open(tmp_path / name, "pt").metadata()["wsris"])[0] for name in ("parts", "whole")]
    assert checksums[0] == checksums[1]


def test_parts_that_cannot_be_had_leave_nothing(tmp_path):
    def parts():
        calls.append(len(calls))
        yield {"a": torch.zeros(3)}
        if calls == [0, 1]:  # while it is written
            raise OSError("the disk is gone")

    calls = []
    with pytest.raises(OSError, match="the disk is gone"):
        artefacts.save_parts(tmp_path / "x", parts)
    assert calls == [0, 1] and not list(tmp_path.iterdir())


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
    assert artefacts.content_hash("x", {"b": 1, "a": 2}) == artefacts.content_hash("x", {"a": 2, "b": 1})
    assert artefacts.content_hash("x", 1) != artefacts.content_hash("x1") != artefacts.content_hash("x", "1")
    before = artefacts.content_hash(tmp_path)
    (tmp_path / "a").write_text("2")
    assert artefacts.content_hash(tmp_path) != before
    with pytest.raises(FileNotFoundError, match="nowhere"):
        artefacts.content_hash(tmp_path / "nowhere")
