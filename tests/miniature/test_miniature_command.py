"""`python -m wsris_lib zoo`: train, probe and describe, on a web split of a dozen scenes."""

import json

import pytest
from transformers import AutoModel

from wsris_lib.__main__ import main
from wsris_lib.config import choices
from wsris_lib.miniature import command


@pytest.fixture
def few_scenes(tmp_path, monkeypatch):
    monkeypatch.setenv("WSRIS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(command, "TRAINING", dict(n_scenes=12, seed=0, size=64))
    monkeypatch.setattr(command, "HELD_OUT", dict(n_scenes=8, seed=1, size=64))
    return tmp_path / "text"


def test_train_then_probe_then_card(few_scenes, capsys):
    assert main(["zoo", "train", "text", "--out", str(few_scenes), "--steps", "3"]) == 0
    assert AutoModel.from_pretrained(few_scenes).config.hidden_size == 128
    assert "3 steps into" in capsys.readouterr().out
    trained = json.loads((few_scenes / "card.json").read_text())
    assert trained["steps"] == 3 and trained["probe"]["side chance"] == 0.5

    (few_scenes / "card.json").write_text(json.dumps(trained | {"probe": {}}))
    assert main(["zoo", "probe", "text", "--out", str(few_scenes)]) == 0
    assert json.loads((few_scenes / "card.json").read_text()) == trained
    capsys.readouterr()

    assert main(["zoo", "card", "text", "--out", str(few_scenes)]) == 0
    assert json.loads(capsys.readouterr().out)["objective"] == trained["objective"]
    assert main(["zoo", "train", "text", "--out", str(few_scenes), "--steps", "6"]) == 0
    assert "The one there took" in capsys.readouterr().out


@pytest.mark.parametrize("action", ["probe", "card"])
def test_no_checkpoint_says_what_to_run(action, tmp_path, capsys):
    assert main(["zoo", action, "dino", "--out", str(tmp_path)]) == 2
    assert "run `python -m wsris_lib zoo train dino`" in capsys.readouterr().err


def test_a_training_can_go_on_from_earlier_weights(few_scenes, capsys):
    first = few_scenes.with_name("first")
    second = few_scenes.with_name("second")
    assert main(["zoo", "train", "detector", "--out", str(first), "--steps", "2"]) == 0
    assert main(["zoo", "train", "detector", "--out", str(second), "--steps", "1", "--start", str(first)]) == 0
    card = json.loads((second / "card.json").read_text())
    assert card["steps"] == 1 and card["data"]["start"]["steps"] == 2
    capsys.readouterr()
    for name, start, why in (
        ("text", first, "always starts from nothing"),
        ("sam2", few_scenes, "holds no checkpoint"),
    ):
        assert main(["zoo", "train", name, "--out", str(second), "--start", str(start)]) == 2
        assert why in capsys.readouterr().err


@pytest.mark.parametrize("name", choices.MINIATURES)
def test_every_model_can_be_trained_and_probed(name):
    module = command._module(name)
    assert callable(module.train) and callable(module.probe)
