"""One image and one sentence, answered as the cached steps answer them."""

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_pipeline_students import profile  # noqa: F401  the same small run

from wsris_lib.__main__ import main
from wsris_lib.config import profiles
from wsris_lib.ehin.network import soft_masks
from wsris_lib.pipeline import ehin, es3net, predict, students
from wsris_lib.pipeline.run import Run
from wsris_lib.segmentation.predict import predict as answers_of


@pytest.fixture(name="some_samples")
def some_sentences(profile):  # noqa: F811
    view = Run(profile).corpus.evaluation_view("val")
    return view, list(view)[:4]


def test_a_student_answers_as_on_the_split(profile, some_samples):  # noqa: F811
    view, samples = some_samples
    segment = predict.load("cadd greedy", Run(profile))
    student = students.train(Run(profile), 0, "greedy").student
    for sample, soft in zip(samples, answers_of(student, view, samples)):
        answer = segment.soft(view.image(sample.image_id), sample.sentence)
        np.testing.assert_allclose(answer, soft.numpy(), atol=1e-4)


@pytest.mark.parametrize("centroid", ["frame", "cells"])
def test_the_pipeline_chooses_what_the_tables_choose(profile, some_samples, centroid):  # noqa: F811
    view, samples = some_samples
    run = Run(profile).changed(es3net={"centroid": centroid})
    segment = predict.load("esem", run)
    val = run.evaluation()
    chosen = dict(zip([s.sent_id for s in val.samples], es3net.trained_choice(run, 0)[0].tolist()))
    for sample in samples:
        mask = segment.soft(view.image(sample.image_id), sample.sentence) > 0.5
        assert (mask == val.mask(sample.image_id, chosen[sample.sent_id])).all()


def test_a_response_is_that_of_the_split(profile, some_samples):  # noqa: F811
    view, samples = some_samples
    segment = predict.load("ehin", Run(profile))
    R = ehin.maps(Run(profile), 0, "val", samples)
    for sample, response in zip(samples, R):
        image = view.image(sample.image_id)
        expected = soft_masks(response[None], image.height, image.width)[0].numpy()
        np.testing.assert_allclose(segment.soft(image, sample.sentence), expected, atol=2e-2)  # kept maps are fp16


def test_every_model_gives_a_soft_mask_of_the_images_size(profile):  # noqa: F811
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 70, 3), np.uint8))
    for model in predict.MODELS:
        soft = predict.load(model, Run(profile))(image, "the red mug on the left")
        assert soft.shape == (50, 70) and 0 <= soft.min() and soft.max() <= 1
    with pytest.raises(KeyError, match="choose one of cadd single text"):
        predict.load("magic", Run(profile))


@pytest.mark.parametrize("model", ["cadd greedy", "stage 2", "ehin", "esem"])
def test_a_sentence_that_is_empty_or_too_long_is_not_passed_over(profile, model):  # noqa: F811
    image = Image.new("RGB", (70, 50))
    segment = predict.load(model, Run(profile))
    with pytest.raises(ValueError, match="the sentence is empty"):
        segment(image, " ")
    if model != "esem":
        with pytest.warns(UserWarning, match=r"hears (16|20) tokens of it") as warned:  # a small BERT has 16
            segment(image, "mug " * 19)
        assert warned[0].filename == __file__, "it is the caller's sentence"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        segment(image, "a mug")


def test_the_commands_leave_a_mask_and_a_student(profile, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(profiles, "chosen", lambda *_, **__: profile)
    monkeypatch.setattr(profiles, "placed", lambda chosen: chosen)
    Image.new("RGB", (70, 50)).save(tmp_path / "image.png")
    arguments = ["predict", str(tmp_path / "image.png"), "the red mug", "-o", str(tmp_path / "mask.png")]
    for model in ("cadd greedy", "esem"):
        assert main([*arguments, "--model", model]) == 0
        for name in ("mask.png", "mask.overlay.jpg"):
            assert Image.open(tmp_path / name).size == (70, 50)
            (tmp_path / name).unlink()
    assert main(["export", "-o", str(tmp_path / "student.pt2"), "--labels", "greedy"]) == 0
    assert torch.export.load(tmp_path / "student.pt2") and (tmp_path / "student.json").is_file()
    assert main(["export", "--labels", "magic"]) == 2


@pytest.mark.parametrize("model", ["cadd greedy", "stage 2", "ehin", "esem"])
@pytest.mark.parametrize("size", [(1, 1), (1, 80), (3, 2000)])
def test_pictures_of_any_shape_are_answered(profile, model, size):  # noqa: F811
    segment = predict.load(model, Run(profile))
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)
    for image in (Image.fromarray(noise), Image.new("RGB", size), Image.new("L", size, 255)):
        soft = segment(image, "the red mug")
        assert soft.shape == (size[1], size[0]) and np.isfinite(soft).all() and 0 <= soft.min() <= soft.max() <= 1.0001


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the memory")
def test_memory_grows_with_a_photograph_and_not_with_its_proposals(profile):  # noqa: F811
    """12 megapixels, six proposals: a float mask of each took 300 MB, their crops twice that."""
    segment = predict.load("esem", Run(profile))
    image = Image.effect_noise((4032, 3024), 60).convert("RGB")
    segment(image.resize((64, 48)), "the red mug")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = resident("VmRSS")
    assert segment(image, "the red mug").shape == (3024, 4032)
    assert resident("VmHWM") - before < 800


def resident(what: str) -> float:
    """A line of this process's status, in MB."""
    return int(Path("/proc/self/status").read_text().split(f"{what}:")[1].split()[0]) / 1024


@pytest.mark.parametrize("model", ["cadd greedy", "esem"])
def test_words_that_cannot_be_read_are_named_and_a_sentence_of_them_refused(profile, model):  # noqa: F811
    image = Image.new("RGB", (70, 50))
    segment = predict.load(model, Run(profile))
    with pytest.warns(UserWarning, match="can't read кружка, 🙂; it answers the rest"):
        segment(image, "the red кружка 🙂")
    with pytest.raises(ValueError, match="knows no word of 'кружка'"):
        segment(image, "кружка")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (segment(image, "the “red” mug") == segment(image, 'the "red" mug')).all()


def test_the_command_names_what_is_wrong(tmp_path, capsys):
    assert main(["predict", str(tmp_path / "missing.png"), "a mug"]) == 2
    assert "missing.png: can't be read as an image" in capsys.readouterr().err
    Image.new("RGB", (8, 8)).save(tmp_path / "grey.png")
    for out in ("", "grey.png", "mask.jpg"):  # a folder, the image itself, another format
        assert main(["predict", str(tmp_path / "grey.png"), "a mug", "-o", str(tmp_path / out)]) == 2
        assert "ends in .png and isn't the image" in capsys.readouterr().err
    assert main(["export", "-o", str(tmp_path / "student.onnx")]) == 2
    assert "name it so" in capsys.readouterr().err
    assert main(["predict", str(tmp_path / "grey.png"), " "]) == 2
    assert "the sentence is empty" in capsys.readouterr().err
    assert main(["predict", str(tmp_path / "grey.png"), "a mug", "--model", "magic"]) == 2
    assert "choose one of cadd single text" in capsys.readouterr().err
