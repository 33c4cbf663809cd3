"""Differences between two methods, and the list of claims that they are taken for."""

import numpy as np
import pytest

from wsris_lib.experiments import claim_table, lessons, papers
from wsris_lib.experiments.claim_lines import correlation
from wsris_lib.experiments.claims import CLAIMS
from wsris_lib.experiments.comparing import Difference, difference


def sentences(images=40, each=5, seeds=3, gain=0.1, noise=0.05, seed=0):
    """Values of two arms [seeds, S] whose difference is `gain`, but for noise of images and of seeds; image of each."""
    rng = np.random.default_rng(seed)
    image = np.repeat(np.arange(images), each)
    lower = rng.uniform(0.2, 0.6, (seeds, images * each))
    higher = lower + gain + noise * rng.normal(size=images)[image] + 0.01 * rng.normal(size=(seeds, 1))
    return lower, higher, image


def test_a_difference_is_of_means_and_its_interval_is_of_images():
    lower, higher, image = sentences()
    result = difference(lower, higher, [f"photo {i}" for i in image])
    gains = 100 * (higher - lower)
    assert result.gain == pytest.approx(gains.mean()) and result.gain == pytest.approx(result.higher - result.lower)
    assert result.spread == pytest.approx(np.std(gains.mean(1), ddof=1))
    t = result.gain / (result.spread / 3**0.5)
    assert result.p == pytest.approx(1 - t / (2 + t * t) ** 0.5)  # Student's t with 2 degrees of freedom, closed form
    assert (result.seeds, result.sentences, result.images) == (3, 200, 40)
    of_image = gains.mean(0).reshape(40, 5).mean(1)  # images of one size: the standard error of their mean
    half = 1.96 * of_image.std() / 40**0.5
    assert result.interval == pytest.approx((result.gain - half, result.gain + half), abs=0.15 * half)
    assert result.verdict == "holds"


def test_sentences_of_one_image_are_no_new_evidence():
    """Each sentence five times over: an interval that took sentences for independent would shrink."""
    lower, higher, image = sentences(each=1)
    once = difference(lower, higher, image)
    often = difference(lower.repeat(5, 1), higher.repeat(5, 1), image.repeat(5))
    assert often.interval == pytest.approx(once.interval)


def test_an_arm_without_seeds_is_given_once_and_seeds_are_paired():
    lower, higher, image = sentences()
    assert difference(lower[:1], higher, image).seeds == 3
    with pytest.raises(ValueError, match="2 and 3 seeds can't be paired"):
        difference(lower[:2], higher, image)
    with pytest.raises(ValueError, match="no sentence"):
        difference(lower[:, :0], higher[:, :0], image[:0])


@pytest.mark.parametrize(
    ("gain", "interval", "p", "verdict"),
    [
        (2.0, (1.0, 3.0), 0.01, "holds"),
        (-2.0, (-3.0, -1.0), 0.01, "doesn't hold"),
        (2.0, (-0.1, 4.0), 0.01, "can't be told here"),  # other images could turn it round
        (2.0, (1.0, 3.0), 0.2, "can't be told here"),  # other seeds could
        (2.0, (1.0, 3.0), float("nan"), "holds"),  # nothing depends on a seed
        (0.0, (0.0, 0.0), float("nan"), "can't be told here"),
    ],
)
def test_a_verdict_needs_images_and_seeds(gain, interval, p, verdict):
    result = Difference(50.0, 50.0 + gain, gain, 1.0, interval, p, 5, 100, 20)
    assert result.verdict == verdict


def test_every_claim_names_its_lesson_and_the_papers_numbers():
    assert len({claim.text for claim in CLAIMS}) == len(CLAIMS)
    numbers = {path.name[:2] for path in lessons.paths()}
    for claim in CLAIMS:
        assert claim.lesson in numbers, claim.text
        assert claim.lower != claim.higher and set(claim.metrics) <= claim_table.METRICS.keys()
        if claim.printed:
            table, *rows = claim.printed
            values = [papers.printed(claim.paper, table, row, *claim.place) for row in rows]
            assert None not in values, claim.text
            assert f"{values[0]:.2f} → {values[1]:.2f}" in claim_table.printed(claim)


def test_the_correlation_is_of_ten_bins_of_equal_numbers():
    rng = np.random.default_rng(0)
    confidence = rng.permutation(np.linspace(0.1, 1, 200))
    correct = (rng.random(200) < confidence).astype(float)
    ordered = sorted(zip(confidence, correct))
    bins = [ordered[20 * n : 20 * n + 20] for n in range(10)]
    x, y = ([sum(pair[k] for pair in part) / 20 for part in bins] for k in (0, 1))
    mx = sum(x) / 10
    my = sum(y) / 10
    cov = sum((a - mx) * (b - my) for a, b in zip(x, y))
    expected = cov / (sum((a - mx) ** 2 for a in x) * sum((b - my) ** 2 for b in y)) ** 0.5
    assert correlation(confidence, correct) == pytest.approx(expected) and expected > 0.9
    assert correlation(confidence, 1 - correct) == pytest.approx(-expected)
