"""Checkpoints from a hub on this machine, through huggingface_hub itself: only what loaders read, and that whole."""

import hashlib
import json
import shutil

import pytest
from huggingface_hub import constants
from misbehaving import Reply, be_the_hub, serving

from wsris_lib.frozen import checkpoints
from wsris_lib.frozen.dino import DinoEncoder
from wsris_lib.setup import hub as fetching
from wsris_lib.setup.download import DownloadError

ONE = "1" * 40
TWO = "2" * 40


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """hub.put(repository, files, commit): a repository on a hub that is asked in place of the public one."""
    with serving() as server:
        url = server.url("")
        be_the_hub(monkeypatch, url, tmp_path)

        def put(repository, files, commit=ONE, branch="main", lies=()):
            listed = []
            for name, body in files.items():
                digest = hashlib.sha256(b"" if name in lies else body).hexdigest()
                lfs = {"lfs": {"sha256": digest, "size": len(body), "pointerSize": 1}} if "." in name else {}
                listed.append({"rfilename": name, "size": len(body), "blobId": "0", **lfs})
                for revision in (branch, commit):
                    headers = {"X-Repo-Commit": commit, "ETag": f'"{digest}"'}
                    server.replies[f"/{repository}/resolve/{revision}/{name}"] = Reply(body, headers=headers)
            reply = Reply(json.dumps({"id": repository, "sha": commit, "siblings": listed}).encode())
            for revision in ("", f"/revision/{branch}", f"/revision/{commit}"):
                server.replies[f"/api/models/{repository}{revision}"] = reply

        server.put = put
        server.files = lambda: [a["path"].rpartition("/")[2] for a in server.requests if a["method"] == "GET"]
        yield server


def test_safetensors_are_taken_and_no_pickle_beside_them(hub):
    names = ["config.json", "vocab.txt", "spiece.model", "model.safetensors", "README.md", "onnx/config.json"]
    hub.put("org/model", {n: n.encode() for n in [*names, "pytorch_model.bin", "flax_model.msgpack", "tf_model.h5"]})
    listing = fetching.look("org/model")
    assert listing.missing == {name: len(name) for name in names[:4]} and listing.commit == ONE
    folder = fetching.get(listing)
    assert sorted(path.name for path in folder.iterdir()) == sorted(names[:4])
    assert checkpoints.resolve("org/model") == str(folder) and checkpoints.fingerprint("org/model").endswith(ONE)
    again = fetching.look("org/model")
    assert not again.missing and set(again.files) == set(names[:4])
    before = len(hub.files())
    fetching.get(again)
    assert len(hub.files()) == before, "what was in the cache was fetched again"


def test_the_best_format_that_there_is(hub):
    for name, files, expected in (
        ("org/pickles", ["pytorch_model.bin", "rust_model.ot"], ["pytorch_model.bin"]),
        (
            "org/shards",
            ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "pytorch_model.bin"],
            ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"],
        ),
        (
            "ViT-B-32-quickgelu:openai",
            ["model.safetensors", "open_clip_model.safetensors", "open_clip_pytorch_model.bin"],
            ["open_clip_model.safetensors"],
        ),
    ):
        hub.put(checkpoints.hub(name)[0], {file: b"weights" for file in files})
        assert list(fetching.look(name).files) == expected
    hub.put("org/none", {"config.json": b"{}"})
    with pytest.raises(DownloadError, match=r"no weights, one of model.safetensors, .*; it has config.json"):
        fetching.look("org/none")


def test_a_stopped_fetch_lacks_what_didnt_come(hub, tmp_path):
    hub.put("org/model", {"config.json": b"{}", "model.safetensors": b"weights"})
    url = "/org/model/resolve/main/model.safetensors"
    whole = hub.replies[url]
    hub.replies[url] = Reply(status=403)
    with pytest.raises(DownloadError, match=r"checkpoint org/model: http://127.* didn't give it"):
        fetching.get(fetching.look("org/model"))
    assert fetching.look("org/model").missing == {"model.safetensors": 7}
    hub.replies[url] = whole
    assert (fetching.get(fetching.look("org/model")) / "model.safetensors").read_bytes() == b"weights"
    assert hub.files().count("config.json") == 1


def test_weights_that_arent_what_the_hub_says_are_removed(hub):
    hub.put("org/model", {"config.json": b"{}", "model.safetensors": b"weights"}, lies=["model.safetensors"])
    with pytest.raises(DownloadError, match=r"model.safetensors came damaged and was removed"):
        fetching.get(fetching.look("org/model"))
    hub.put("org/model", {"config.json": b"{}", "model.safetensors": b"weights"})
    assert (fetching.get(fetching.look("org/model")) / "model.safetensors").read_bytes() == b"weights"


def test_a_pin_is_written_and_then_asked_for(hub):
    checkpoints.PINS.write_text(json.dumps({"z/other": {"commit": TWO}}))
    hub.put("org/model", {"model.safetensors": b"old"}, ONE)
    listing = fetching.look("org/model")
    fetching.get(listing)
    fetching.pin([listing, fetching.look(f"org/model@{ONE}")])
    assert checkpoints.records() == {"org/model": {"commit": ONE}, "z/other": {"commit": TWO}}
    hub.put("org/model", {"model.safetensors": b"new"}, TWO)
    assert fetching.look("org/model").commit == ONE and not fetching.look("org/model").missing
    checkpoints.PINS.write_text("{}")
    assert fetching.look("org/model").commit == TWO
    fetching.pin([fetching.look(f"org/model@{TWO}")])
    assert json.loads(checkpoints.PINS.read_text()) == {}, "the name says it itself"


def test_a_branch_that_moves_meanwhile(hub):
    hub.put("org/model", {"config.json": b"{}", "model.safetensors": b"old"}, ONE)
    listing = fetching.look("org/model")
    hub.put("org/model", {"config.json": b"{}", "model.safetensors": b"new"}, TWO)
    with pytest.raises(DownloadError, match="new commit since just now"):
        fetching.get(listing)


def test_no_hub(hub, monkeypatch):
    with pytest.raises(DownloadError, match=r"RepositoryNotFoundError|HfHubHTTPError"):
        fetching.look("org/nothing")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    before = len(hub.requests)
    with pytest.raises(DownloadError, match="run the command with HF_HUB_OFFLINE=0"):
        fetching.look("org/model")
    assert len(hub.requests) == before


def test_a_fetched_checkpoint_is_loaded(hub, tiny_zoo):
    hub.put("org/dino", {path.name: path.read_bytes() for path in (tiny_zoo / "dino").iterdir()})
    shutil.rmtree(constants.HF_HUB_CACHE, ignore_errors=True)
    fetching.get(fetching.look("org/dino"))
    assert DinoEncoder("org/dino", 48).grid == 6
