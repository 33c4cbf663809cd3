"""The probability that what is meant is there: a logistic regression, an area, and whose sentences are swapped."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_pipeline_students import profile  # noqa: F401  the same small run

from wsris_lib.frozen.working_size import shrunk
from wsris_lib.pipeline import confidence, predict
from wsris_lib.pipeline.run import Run
from wsris_lib.refer.reader import Refer
from wsris_lib.refer.views import Sample


def test_the_area_counts_pairs():
    rng = np.random.default_rng(0)
    higher = rng.integers(0, 9, 40)
    lower = rng.integers(0, 7, 30)
    pairs = [(a > b) + (a == b) / 2 for a in higher for b in lower]
    assert confidence.auroc(higher, lower) == pytest.approx(np.mean(pairs))
    assert confidence.auroc([1, 2], [0]) == 1 and confidence.auroc([1], [1]) == 0.5


def test_a_probability_is_as_often_right_as_it_says():
    rng = np.random.default_rng(0)
    own = rng.normal(0.3, 0.05, 4000)
    others = rng.normal(0.2, 0.05, 4000)
    fit = confidence.fitted(own, others)
    # Two normal distributions of one width: the logit is a line, zero half way between them.
    assert fit.slope == pytest.approx(0.1 / 0.05**2, rel=0.1) and fit(0.25) == pytest.approx(0.5, abs=0.03)
    assert fit.auroc == pytest.approx(0.921, abs=0.01) and fit.sentences == 4000
    sure = np.array([fit(x) for x in (*own, *others)])
    about = np.repeat([True, False], 4000)
    for low in np.arange(0, 1, 0.2):
        some = (sure >= low) & (sure < low + 0.2)
        assert about[some].mean() == pytest.approx(sure[some].mean(), abs=0.06)


def test_cosines_that_tell_all_apart_and_none_leave_numbers():
    apart = confidence.fitted(np.array([0.9, 0.8]), np.array([0.1, 0.2]))
    assert apart(0.9) > 0.99 and apart(0.1) < 0.01 and np.isfinite([apart.offset, apart.slope]).all()
    alike = confidence.fitted(np.full(5, 0.3), np.full(5, 0.3))
    assert alike(0.3) == pytest.approx(0.5) and alike.auroc == 0.5


def test_a_sentence_is_swapped_with_one_of_another_picture():
    samples = [Sample(image_id, 0, n, "") for n, image_id in enumerate([3, 1, 1, 2, 3, 1, 2, 2])]
    pairs = confidence.swapped(samples)
    assert len(pairs) == 8 and {a for a, _ in pairs} == {b for _, b in pairs} == set(range(8))
    assert all(samples[a].image_id != samples[b].image_id for a, b in pairs)
    assert confidence.swapped(samples[1:3]) == []


def test_a_picture_is_asked_as_the_split_was(profile):  # noqa: F811
    run = Run(profile)
    calibration = confidence.calibration(run)
    assert calibration.sentences > 1 and 0 <= calibration.auroc <= 1
    view = run.corpus.training_view("val")
    features = run.features("val")
    likely = confidence.Likely(run)
    shared = confidence.Likely(run, predict.load("esem", run))
    for sample in list(view)[:3]:
        text = run.sentences([sample]).clip_text
        expected = calibration(confidence.nearest(features, [sample.image_id], text)[0])
        image = view.image(sample.image_id)
        assert likely(image, sample.sentence) == pytest.approx(expected, abs=1e-3)
        assert shared(image, sample.sentence) == pytest.approx(expected, abs=1e-3)


def test_no_annotation_takes_part(profile, monkeypatch):  # noqa: F811
    monkeypatch.setattr(Refer, "evaluation_view", lambda *_: pytest.fail("looked at the truth"))
    Run.forget()
    confidence.measured.path(Run(profile)).unlink(missing_ok=True)
    assert confidence.calibration(Run(profile))


def test_without_val_there_is_none(profile):  # noqa: F811
    assert confidence.calibration(Run(replace(profile, val_split="nothing"))) is None


def test_a_picture_is_looked_at_once(profile):  # noqa: F811
    run = Run(profile)
    image = run.corpus.training_view("val").image(run.corpus.training_view("val").image_ids[0])
    looker = confidence.Looker(run)
    first = looker.embeddings(image)
    assert looker.embeddings(image) is first
    again = looker.embeddings(image.copy())
    assert again is not first and torch.equal(again, first) and shrunk(image) is image
