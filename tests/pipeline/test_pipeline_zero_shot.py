"""Zero-shot models from the setting to a row of the scoreboard and a mask of anybody's picture."""

import json

import numpy as np
import pytest
import zero_shot_models
from PIL import Image

from wsris_lib.__main__ import main
from wsris_lib.config import choices, profiles
from wsris_lib.experiments import scoreboard
from wsris_lib.frozen import zero_shot as frozen
from wsris_lib.metrics import measure
from wsris_lib.pipeline import zero_shot
from wsris_lib.pipeline.run import Run
from wsris_lib.setup import fetch


@pytest.fixture(scope="module")
def clipseg(tmp_path_factory):
    return zero_shot_models.clipseg(tmp_path_factory.mktemp("clipseg-rd64-refined"))


@pytest.fixture
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("WSRIS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WSRIS_SETTINGS", "")  # `main` writes it
    Run.forget()
    yield tmp_path / "home"
    Run.forget()


def desk(folder):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    path = folder / "desk.png"
    Image.fromarray(pixels).resize((90, 60)).save(path)
    return path


def test_the_names_are_those_of_the_models_and_the_settings():
    assert choices.ZERO_SHOT == tuple(frozen.SEEN) == tuple(profiles.zero_shot_of(profiles.PROFILES["paper"]))
    assert profiles.zero_shot_of(profiles.PROFILES["colab"]) == profiles.zero_shot_of(profiles.PROFILES["paper"])
    for name in ("tiny", "smoke", "long"):
        assert profiles.zero_shot_of(profiles.PROFILES[name]) == {}


def test_a_row_is_what_the_model_answers_and_says_what_it_has_seen(own_home, clipseg, capsys):
    settings = {"zero_shot.clipseg": clipseg, "zero_shot.sam3": "org/nowhere"}
    profile = profiles.load("smoke", **settings)
    board = scoreboard.make(profile, "zero_shot")
    printed = capsys.readouterr().out
    assert "no row of sam3: checkpoint org/nowhere" in printed and "fetch zero-shot" in printed
    assert {row["method"] for row in board["rows"]} == {"zero_shot_clipseg"}
    sources = frozen.SEEN["clipseg"]
    assert f"zero_shot_clipseg: zero-shot, not weakly supervised; seen: {sources}" in scoreboard.table(board)
    assert "zero_shot_sam3" not in scoreboard.table(board)
    run = Run(profile)
    model = frozen.load_zero_shot("clipseg", clipseg, "")
    view = run.corpus.evaluation_view("val")
    answers = [
        measure(model(view.image(sample.image_id), sample.sentence).soft, view.mask(sample.ann_id)).iou
        for sample in view
    ]
    (row,) = (row for row in board["rows"] if row["subset"] == "all")
    assert row["sentences"] == len(answers) and row["mIoU"] == pytest.approx(np.mean(answers), abs=1e-6)
    assert scoreboard.make(profiles.load("smoke"), "zero_shot")["rows"] == []


def test_predict_asks_it_without_data_or_training(own_home, clipseg, tmp_path, capsys):
    out = tmp_path / "mask.png"
    words = ["--model", "clipseg", "--zero_shot.clipseg", clipseg, "--data", str(tmp_path / "nowhere")]
    assert main(["predict", str(desk(tmp_path)), "The xyzzy mug", "-o", str(out), *words]) == 0
    assert "confidence 0." in capsys.readouterr().out
    (row,) = json.loads(out.with_suffix(".json").read_text())
    answer = frozen.load_zero_shot("clipseg", clipseg, "")(Image.open(tmp_path / "desk.png"), "The xyzzy mug")
    assert row["confidence"] == pytest.approx(answer.confidence) and row["model"] == "clipseg"
    assert np.array_equal(np.asarray(Image.open(out)) > 0, answer.soft > 0.5)
    assert not list(own_home.rglob("*.jpg"))


def test_a_profile_without_it_says_where_to_get_it(own_home, tmp_path, capsys):
    assert main(["predict", str(desk(tmp_path)), "a mug", "--model", "sam3", "-o", str(tmp_path / "m.png")]) == 2
    assert "the profile tiny has no sam3; take --profile paper" in capsys.readouterr().err
    run = Run(profiles.load("tiny", **{"zero_shot.sam3": "org/nowhere"}))
    with pytest.raises(FileNotFoundError, match="fetch zero-shot"):
        zero_shot.load(run, "sam3")
    with pytest.raises(KeyError, match="clipseg, grounding_dino, sam3"):
        zero_shot.load(run, "sam2")


def test_fetch_lists_them_alone(capsys):
    fetch.fetch(profiles.PROFILES["paper"], ["zero-shot"], dry_run=True)
    printed = capsys.readouterr().out
    assert all(name in printed for name in profiles.zero_shot_of(profiles.PROFILES["paper"]).values())
    assert "dinov2" not in printed
    assert not set(fetch.zero_shot_hubs(profiles.PROFILES["paper"])) & set(fetch.hubs(profiles.PROFILES["paper"]))
    with pytest.raises(ValueError, match="the profile tiny needs no zero-shot model"):
        fetch.fetch(profiles.PROFILES["tiny"], ["zero-shot"], dry_run=True)


def test_a_folder_of_checkpoints_may_have_them_or_not(clipseg, tmp_path):
    paper = profiles.PROFILES["paper"]
    for name in profiles.checkpoints_of(paper).values():
        (tmp_path / name.split("/")[-1].replace(":", "-")).mkdir(exist_ok=True)
    (tmp_path / "clipseg-rd64-refined").mkdir()
    placed = profiles.with_checkpoints(paper, tmp_path).zero_shot
    assert placed.clipseg == str(tmp_path / "clipseg-rd64-refined") and placed.sam3 == paper.zero_shot.sam3
