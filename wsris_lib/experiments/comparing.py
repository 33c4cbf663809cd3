"""One method against another on the same sentences: how large the difference is, how sure of seeds and of images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

DRAWS = 4000  # of the images, for an interval


@dataclass(frozen=True)
class Difference:
    """Higher less lower, in points of percent; means over seeds."""

    lower: float
    higher: float
    gain: float
    spread: float  # standard deviation over seeds; nan for one seed
    interval: tuple[float, float]  # 95 % by resampling the images
    p: float  # paired t test over seeds, two-sided; nan for one seed or where no seed changes anything
    seeds: int
    sentences: int
    images: int

    @property
    def verdict(self) -> str:
        """Of the claim that higher is above lower: decided where images and seeds both say so.

        "holds" or "doesn't hold": the interval over images excludes 0, and over seeds p < .05 where there are several;
        else "can't be told here".
        """
        low, high = self.interval
        if not low <= 0 <= high and not self.p >= 0.05:
            return "holds" if self.gain > 0 else "doesn't hold"
        return "can't be told here"


def difference(lower: Sequence[ArrayLike], higher: Sequence[ArrayLike], images: Sequence) -> Difference:
    """Compare two methods of the same seeds; one of them may be the same for every seed, and is then given once.

    Args:
        lower, higher: for each seed the value of every sentence [S], a fraction such as its IoU.
        images: [S], the image of each sentence; sentences of one image are drawn together.

    Raises ValueError if there is no sentence, or if both have several seeds and not the same number.
    """
    low, high = (100 * np.asarray(values, float) for values in (lower, higher))  # [seeds, S]
    if not low.size or not high.size:
        raise ValueError("there is no sentence to compare on")
    if len(low) > 1 and len(high) > 1 and len(low) != len(high):
        raise ValueError(f"{len(low)} and {len(high)} seeds can't be paired; give both the same ones")
    gains = high - low  # [seeds, S]
    of_seed = gains.mean(1)
    several = len(of_seed) > 1
    spread = float(of_seed.std(ddof=1)) if several else float("nan")
    p = float(stats.ttest_1samp(of_seed, 0).pvalue) if several and spread > 0 else float("nan")
    _, image = np.unique(np.asarray(images), return_inverse=True)
    interval = _resampled(gains.mean(0), image)
    counts = dict(seeds=len(of_seed), sentences=gains.shape[1], images=int(image.max()) + 1)
    return Difference(float(low.mean()), float(high.mean()), float(of_seed.mean()), spread, interval, p, **counts)


def _resampled(values: NDArray, image: NDArray) -> tuple[float, float]:
    """Where 95 % of the means of values [S] lie when images are drawn with replacement."""
    sums = np.bincount(image, weights=values)
    counts = np.bincount(image)
    draws = np.random.default_rng(0).multinomial(len(counts), np.full(len(counts), 1 / len(counts)), DRAWS)
    low, high = np.quantile(draws @ sums / (draws @ counts), [0.025, 0.975])
    return float(low), float(high)
