import pytest

from wsris_lib.artefacts import REPO
from wsris_lib.foundation import zoo


def test_names_that_loaders_understand(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "ZOO", tmp_path)
    (tmp_path / "clip").mkdir()
    assert zoo.resolve("zoo:clip") == str(tmp_path / "clip")
    assert zoo.resolve(str(tmp_path)) == str(tmp_path)
    for name in ("facebook/dinov2-base", "depth-anything/Depth-Anything-V2-Small-hf", "ViT-B-16-quickgelu:openai"):
        assert zoo.resolve(name) == zoo.fingerprint(name) == name


@pytest.mark.parametrize(
    "name", ["clip", "./clip", "/tmp/no/such/clip", "../a/clip", "a/b/c", "tests/no_such_folder", ""]
)
def test_a_mistyped_folder_is_not_taken_for_a_hub_id(name, monkeypatch):
    monkeypatch.chdir(REPO)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        zoo.resolve(name)


def test_a_missing_zoo_checkpoint_says_what_to_run(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "ZOO", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"python -m wsris_lib zoo train dino"):
        zoo.resolve("zoo:dino")


def test_the_fingerprint_follows_the_files(tmp_path):
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"one")
    before = zoo.fingerprint(str(tmp_path))
    weights.write_bytes(b"two")
    assert zoo.fingerprint(str(tmp_path)) != before
    changed = zoo.fingerprint(str(tmp_path))
    (tmp_path / "card.json").write_text("{}")
    assert zoo.fingerprint(str(tmp_path)) == changed  # a note beside the weights makes no other features
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text("{}")
    assert zoo.fingerprint(str(tmp_path)) != changed
