"""Trained parts that ship: what is written, when it is used, and that the files are what their cards say."""

from dataclasses import replace

import numpy as np
import pytest
from test_pipeline_students import profile  # noqa: F401  the same small run

from wsris_lib.config import profiles
from wsris_lib.infra import artefacts
from wsris_lib.pipeline import confidence, es3net, predict, shipped, shipping, stage2, students
from wsris_lib.pipeline.run import Run

pytestmark = pytest.mark.filterwarnings("ignore:pydensecrf isn't installed")
MODELS = ("esem", "ehin", "stage 2", "cadd greedy")
CARDS = sorted(path for path in shipped.FOLDER.glob("*.json") if path.stem != "confidence")


@pytest.fixture(scope="module")
def written(profile, tmp_path_factory):  # noqa: F811
    """Each model of a small run, trained for a few steps and shipped to a folder."""
    folder = tmp_path_factory.mktemp("trained")
    for model in MODELS:
        shipping.ship(Run(profile), model, 0, f"ship {model!r}", folder)
    shipping.ship_confidence(Run(profile), "ship confidence", folder)
    return folder


@pytest.mark.parametrize("model", MODELS)
def test_what_ships_answers_as_what_was_trained(profile, written, model, monkeypatch):  # noqa: F811
    run = Run(profile)
    sample = next(iter(run.corpus.evaluation_view("val")))
    image = run.corpus.evaluation_view("val").image(sample.image_id)
    own = predict.load(model, run).soft(image, sample.sentence)
    network = shipped.load(run, model, 0, written)
    answer = predict.predictor_of(run, model, network).soft(image, sample.sentence)
    np.testing.assert_allclose(answer, own, atol=0.05)  # half precision
    card = artefacts.read_json(shipped.path_of(run, model, 0, written).with_suffix(".json"))
    assert card["model"] == model and card["steps"] > 0 and card["seed"] == 0
    assert card["sha256"] == artefacts.file_digest(shipped.path_of(run, model, 0, written))
    assert card["first of val"]["sentences"] <= shipping.FEW and 0 <= card["val"]["mIoU"] <= 1


@pytest.mark.parametrize("model", MODELS)
def test_it_is_used_without_a_training_and_only_with_its_own_settings(profile, written, model, monkeypatch):  # noqa: F811
    monkeypatch.setattr(shipped, "fits", lambda run, model, seed, fits=shipped.fits: fits(run, model, seed, written))
    monkeypatch.setattr(shipped, "load", lambda run, model, seed, load=shipped.load: load(run, model, seed, written))
    run = Run(profile)
    with monkeypatch.context() as patch:
        for module, name in ((es3net, "align"), (stage2, "train"), (students, "train"), (predict.ehin, "train")):
            patch.setattr(module, name, lambda *_: pytest.fail("trained"))
        predict.load(model, run)
        assert not shipped.fits(run, model, 1)  # another seed
        with pytest.raises(pytest.fail.Exception, match="trained"):
            predict.load(model, run, train=True)
    others = {
        "esem": {"es3net": replace(profile.es3net, temperature=2.0)},
        "ehin": {"ehin": replace(profile.ehin, foreground=0.0)},
        "stage 2": {"stage2": replace(profile.stage2, epochs=9)},
        "cadd greedy": {"cadd": replace(profile.cadd, masks=0.1)},
    }
    assert not shipped.fits(Run(replace(profile, **others[model])), model, 0)
    assert not shipped.fits(Run(replace(profile, data=str(written))), model, 0)  # somebody's own pictures


def test_a_damaged_file_is_named(profile, written, tmp_path):  # noqa: F811
    path = shipped.path_of(Run(profile), "esem", 0, tmp_path)
    path.write_bytes(shipped.path_of(Run(profile), "esem", 0, written).read_bytes()[:-9])
    with pytest.raises(artefacts.CorruptArtefact, match="esem"):
        shipped.load(Run(profile), "esem", 0, tmp_path)


def test_the_confidence_ships_too(profile, written, monkeypatch):  # noqa: F811
    own = confidence.calibration(Run(profile))
    assert own
    ready = shipped.calibration(Run(profile), written)
    assert confidence.Calibration(**ready) == own
    assert shipped.calibration(Run(replace(profile, crop="full")), written) is None


@pytest.mark.parametrize("card", CARDS, ids=lambda path: path.stem)
def test_a_shipped_file_is_what_its_card_says(card, tmp_path, monkeypatch):
    """Of this very file, with the settings of today's profile, and as good on the first sentences of val."""
    monkeypatch.setenv("WSRIS_HOME", str(tmp_path))
    content = artefacts.read_json(card)
    run = Run(profiles.load(content["profile"], synref=profiles.SynRefSize(train=0, test_a=0, test_b=0, val=16)))
    whole = Run(profiles.load(content["profile"]))
    assert shipped.fits(whole, content["model"], content["seed"])
    assert content["sha256"] == artefacts.file_digest(card.with_suffix(".safetensors"))
    few = list(run.corpus.evaluation_view("val"))[: content["first of val"]["sentences"]]
    scores = shipping.summarise(shipping.judge(run, content["model"], content["seed"], few))
    assert scores["mIoU"] == pytest.approx(content["first of val"]["mIoU"], abs=0.02)


def test_all_that_ships_is_small_and_has_a_card():
    weights = sorted(shipped.FOLDER.glob("*.safetensors"))
    assert [path.with_suffix(".json") for path in weights] == CARDS
    assert sum(path.stat().st_size for path in weights) <= 15_000_000
