"""What the command leaves: masks, overlays and rows of a picture, a folder, a list of sentences."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from test_pipeline_students import profile  # noqa: F401  the same small run

from wsris_lib.config.settings import PredictConfig
from wsris_lib.pipeline import predictions
from wsris_lib.pipeline.run import Run
from wsris_lib.refer.errors import DataError


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for n, name in enumerate(("a.png", "b.PNG", "b.jpg")):
        Image.new("RGB", (40 + n, 30), (200, 30, 30)).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_text("no picture")
    return folder


def test_a_folder_holds_its_pictures_and_a_file_itself(pictures):
    assert [p.name for p in predictions.images_in(pictures)] == ["a.png", "b.PNG", "b.jpg"]
    assert predictions.images_in(pictures / "a.png") == [pictures / "a.png"]
    (pictures.parent / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no picture in this folder; expected files that end in \.jpg"):
        predictions.images_in(pictures.parent / "empty")


def test_a_list_has_a_sentence_a_line(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("\ufeffthe red mug\r\n\n  the box \n", encoding="utf-8")
    assert predictions.sentences_in(path) == ["the red mug", "the box"]
    path.write_text("\n \n")
    with pytest.raises(ValueError, match=r"list\.txt: no sentence in it"):
        predictions.sentences_in(path)
    path.write_bytes("the café".encode("utf-16"))
    with pytest.raises(ValueError, match="no text in UTF-8"):
        predictions.sentences_in(path)


def test_every_mask_has_a_place_of_its_own(pictures, tmp_path):
    images = predictions.images_in(pictures)
    out = tmp_path / "out"
    places = [path.name for _, _, path in predictions.targets(images, 2, out, False)]
    assert places == ["a-1.png", "a-2.png", "b.PNG-1.png", "b.PNG-2.png", "b.jpg-1.png", "b.jpg-2.png"]
    assert [path.name for _, _, path in predictions.targets(images[:1], 1, out, False)] == ["a.png"]
    for wrong in (pictures, pictures / "a.png", tmp_path / "one.png"):
        with pytest.raises(ValueError, match=r"name (one|another folder) with -o"):
            predictions.targets(images, 2, wrong, False)
    for wrong in (pictures, images[0], tmp_path / "mask.jpg"):
        with pytest.raises(ValueError, match=r"ends in \.png and isn't the image"):
            predictions.targets(images[:1], 1, wrong, True)


def test_a_mask_is_written_as_a_picture(tmp_path):
    soft = np.zeros((5, 7), np.float32)
    soft[1:3, 2:4] = 0.9
    predictions.write_mask(tmp_path / "mask.png", soft)
    assert (np.asarray(Image.open(tmp_path / "mask.png")) == np.where(soft > 0.5, 255, 0)).all()
    row = predictions.described(soft)
    assert row == {"size": [5, 7], "area": 4 / 35, "box": [2, 1, 4, 3], "highest": pytest.approx(0.9)}
    assert predictions.described(soft / 2)["box"] is None


@pytest.mark.parametrize("colour", ["#00b4d8", "#f4a300", "white", "black", "red", "green", "blue", "grey"])
def test_an_overlay_shows_on_any_colour(tmp_path, colour):
    soft = np.zeros((40, 40), np.float32)
    soft[8:32, 8:32] = 1
    predictions.write_overlay(tmp_path / "overlay.jpg", Image.new("RGB", (40, 40), colour), soft)
    pixels = np.asarray(Image.open(tmp_path / "overlay.jpg")).astype(float)
    assert np.linalg.norm(pixels[20, 20] - pixels[2, 2]) > 80


def test_the_overlay_of_a_large_photograph_is_smaller(tmp_path):
    soft = np.zeros((3000, 4000), np.float32)
    soft[:, 2000:] = 1
    predictions.write_overlay(tmp_path / "overlay.jpg", Image.new("RGB", (4000, 3000)), soft)
    small = np.asarray(Image.open(tmp_path / "overlay.jpg"))
    assert small.shape[0] * small.shape[1] < 5e6 and small[9, 9].max() < 20 < small[9, -9].max()


def test_a_folder_and_a_list_are_answered_as_far_as_they_can_be(profile, pictures, tmp_path, capsys):  # noqa: F811
    (pictures / "broken.jpg").write_text("<!DOCTYPE html>")
    out = tmp_path / "out"
    sentences = ["the red mug", "кружка"]
    rows = predictions.predict_all(Run(profile), pictures, sentences, out, "cadd greedy")
    assert rows == json.loads((out / "predictions.json").read_text())
    assert len(rows) == 8 and sum("error" in row for row in rows) == 5
    for row in rows:
        if "error" not in row:
            assert (
                Image.open(out / row["mask"]).size == Image.open(out / row["overlay"]).size == tuple(row["size"][::-1])
            )
            assert 0 <= row["confidence"] <= 1 and 0 <= row["highest"] <= 1
    errors = " ".join(row.get("error", "") for row in rows)
    assert "broken.jpg: can't be read as an image" in errors and "knows no word of 'кружка'" in errors
    assert "of a photograph they know nothing" in capsys.readouterr().out
    with pytest.raises(ValueError, match="has no word"):  # before anything is answered
        predictions.predict_all(Run(profile), pictures, ["the red mug", "?!"], out, "cadd greedy")


def test_what_is_wrong_with_a_single_one_is_raised(profile, pictures, tmp_path):  # noqa: F811
    (pictures / "broken.jpg").write_text("<!DOCTYPE html>")
    with pytest.raises(DataError, match="broken"):
        predictions.predict_all(Run(profile), pictures / "broken.jpg", ["the mug"], tmp_path / "m.png", "cadd greedy")
    with pytest.raises(ValueError, match="knows no word"):
        predictions.predict_all(Run(profile), pictures / "a.png", ["кружка"], tmp_path / "m.png", "cadd greedy")
    assert not (tmp_path / "m.png").exists()


def test_an_empty_mask_and_a_low_confidence_are_said(profile, pictures, tmp_path, capsys, monkeypatch):  # noqa: F811
    nothing = np.full((30, 40), 0.25, np.float32)
    monkeypatch.setattr("wsris_lib.pipeline.predict.SegmenterPredictor.soft", lambda *_: nothing)
    for threshold, notes in ((1.01, 2), (0.0, 1)):
        run = Run(replace(profile, predict=PredictConfig(warn_below=threshold)))
        out = tmp_path / f"{notes}.png"
        (row,) = predictions.predict_all(run, pictures / "a.png", ["the red mug"], out, "cadd greedy")
        assert row["box"] is None and len(row["notes"]) == notes and (row["confidence"] is None) == (threshold == 0)
        assert not np.asarray(Image.open(out)).any() and json.loads(out.with_suffix(".json").read_text()) == [row]
    text = capsys.readouterr().out
    assert "nothing was found: the soft mask's highest value is 0.25" in text
    assert "may not be in this picture: confidence below 1.01" in text
