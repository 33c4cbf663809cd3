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
from wsris_lib.refer import questions
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


def test_a_folder_holds_its_pictures_and_a_file_itself(pictures, capsys):
    (pictures / "scan.tif").mkdir()
    assert [p.name for p in questions.images_in(pictures)] == ["a.png", "b.PNG", "b.jpg"]
    assert "of 5 files and folders 2 are left out, such as " in capsys.readouterr().out
    (pictures / "saved.jfif").touch()
    assert questions.images_in(pictures)[-1].name == "saved.jfif"
    assert questions.images_in(pictures / "a.png") == [pictures / "a.png"]
    (pictures.parent / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no picture in this folder; expected files that end in \.jpg"):
        questions.images_in(pictures.parent / "empty")
    with pytest.raises(FileNotFoundError, match=r"of the folders in it, such as .*/empty/, name one"):
        questions.images_in(pictures.parent)


def test_a_list_has_a_sentence_a_line(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("\ufeffthe red mug\r\n\n  the box \n", encoding="utf-8")
    assert questions.sentences_in(path) == ["the red mug", "the box"]
    path.write_text("\n \n")
    with pytest.raises(ValueError, match=r"list\.txt: no sentence in it"):
        questions.sentences_in(path)
    path.write_bytes("the café".encode("utf-16"))
    with pytest.raises(ValueError, match="no text in UTF-8"):
        questions.sentences_in(path)
    for wrong in (tmp_path, tmp_path / "none.txt"):
        with pytest.raises(OSError, match=r"can't be read \(.+\); @FILE is a text with one sentence a line"):
            questions.sentences_in(wrong)


def test_a_picture_among_the_sentences_is_named(pictures, monkeypatch):
    """As the shell makes several of *.png."""
    (pictures / "list.txt").write_text("the box\n")
    monkeypatch.setenv("HOME", str(pictures))
    given = ["the red mug.png", "@~/list.txt", "the mug " * 2000]
    assert questions.sentences_of(given) == ["the red mug.png", "the box", "the mug " * 2000]
    with pytest.raises(
        ValueError, match=r"b\.PNG: is a picture and not a sentence; to ask several pictures name their"
    ):
        questions.sentences_of([str(pictures / "b.PNG"), "the mug"])


def test_every_mask_has_a_place_of_its_own(pictures, tmp_path):
    images = questions.images_in(pictures)
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


def test_pictures_named_like_others_with_an_ending_keep_theirs(tmp_path):
    images = [tmp_path / name for name in ("a.jpg", "a.png", "a.png.jpg")]
    places = [path.name for _, _, path in predictions.targets(images, 1, tmp_path / "out", False)]
    assert places == ["a.jpg.png", "a.png.png", "a.png.jpg.png"]


@pytest.mark.parametrize("theirs", ["desk.png", "desk.overlay.jpg", "desk.json", "folder/desk.png"])
def test_nothing_that_predict_has_not_written_is_written_over(tmp_path, theirs):
    """A mask drawn by hand, the picture itself, LabelMe's shapes."""
    place = tmp_path / theirs
    place.parent.mkdir(exist_ok=True)
    places = [(tmp_path / "desk.jpg", 0, place.parent / "desk.png")]
    single = place.parent == tmp_path
    predictions.check_targets(places, single)
    soft = np.ones((5, 7), np.float32)
    predictions.write_mask(place.with_name("desk.png"), soft)
    predictions.write_overlay(place.with_name("desk.overlay.jpg"), Image.new("RGB", (7, 5)), soft)
    place.with_name("desk.json").write_text(json.dumps([{"image": "desk.jpg", "sentence": "the mug", "seed": 0}]))
    predictions.check_targets(places, single)  # of an earlier call
    place.unlink()
    if place.suffix == ".json":
        place.write_text('{"shapes": [{"sentence": "the mug"}]}')
    else:
        Image.new("RGB", (7, 5)).save(place)
    with pytest.raises(ValueError, match=f"{theirs}: is there, and not by predict; name another"):
        predictions.check_targets(places, single)
    place.unlink()
    place.mkdir()
    with pytest.raises(ValueError, match="is there, and not by predict"):
        predictions.check_targets(places, single)


def test_where_nothing_can_be_written_is_known_before(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"file: can't be written to \(.+\); name a place elsewhere by -o"):
        predictions.check_targets([(tmp_path / "a.jpg", 0, tmp_path / "file" / "mask.png")], True)
    with pytest.raises(ValueError, match="is too long a name for a file; rename the picture"):
        predictions.check_targets([(tmp_path / "a.jpg", 0, tmp_path / f"{'图' * 80}.png")], False)


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


def test_what_cannot_be_answered_at_all_is_known_before_a_training(profile, pictures, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(predictions.predict, "load", lambda *_: pytest.fail("too late"))
    out = tmp_path / "out"
    with pytest.raises(DataError, match=r"typo\.jpg: can't be read as an image \(No such file"):
        predictions.predict_all(Run(profile), tmp_path / "typo.jpg", ["the red mug", "the box"], out, "cadd greedy")
    (pictures / "loop.png").symlink_to("loop.png")
    with pytest.raises(DataError, match=r"loop\.png: can't be read as an image \("):
        predictions.predict_all(Run(profile), pictures / "loop.png", ["the red mug"], out / "m.png", "cadd greedy")
    (pictures / "loop.png").unlink()
    with pytest.raises(ValueError, match="knows no word of 'кружка'"):
        predictions.predict_all(Run(profile), pictures, ["кружка", "чашка"], out, "cadd greedy")
    for picture in pictures.glob("*.*"):
        picture.write_text("<html>")
    with pytest.raises(DataError, match=r"of 3 pictures none can be opened; the first: .*a\.png: .* a web page"):
        predictions.predict_all(Run(profile), pictures, ["the red mug"], out, "cadd greedy")
    assert not out.exists()


def test_a_picture_that_comes_through_a_pipe_is_read_once(profile, tmp_path, monkeypatch):  # noqa: F811
    opened = []
    photograph = Image.new("RGB", (40, 30), (200, 30, 30))
    monkeypatch.setattr(predictions, "load_image", lambda place: opened.append(place) or photograph)
    pipe = tmp_path / "63"
    rows = predictions.predict_all(Run(profile), pipe, ["the red mug", "the cone"], tmp_path / "out", "cadd greedy")
    assert opened == [pipe] and len(rows) == 2


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
