"""How likely it is that what a sentence means is in the picture at all: measured on sentences that change pictures.

A segmenter's own maximum says little: it has learnt from sentences that all mean something. So the model is asked about
val's sentences on their own pictures, and about the same sentences on other pictures, and a logistic regression learns
from its signals (`predict.Answer`) which is which. No annotation takes part.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import rankdata
from tqdm import tqdm

from wsris_lib.pipeline import predict
from wsris_lib.pipeline.cache import Inputs, cached_step
from wsris_lib.pipeline.run import Run
from wsris_lib.refer.errors import DataError
from wsris_lib.refer.views import Sample

PAIRS = 300  # sentences that are asked on their own pictures, and as many on others'
RIDGE = 1e-2  # of the weights of standardised signals: two signals that say the same don't run away


@dataclass(frozen=True)
class Confidence:
    """A probability from an answer's signals.

    Attributes:
        offset, weights: of the logit, the weights one a signal.
        auroc: how well the logit tells own pictures from others'; 0.5 is chance, 1 perfect.
        pairs: sentences that it was measured on.
    """

    offset: float
    weights: list[float]
    auroc: float
    pairs: int

    def __call__(self, signals: ArrayLike) -> float:
        """The probability that a sentence with these signals is about this picture, were both as likely before."""
        return float(expit(self.offset + np.dot(self.weights, signals)))


def fitted(own: NDArray[np.float64], others: NDArray[np.float64]) -> Confidence:
    """From signals [S, K] of sentences on their own pictures and on others': a logistic regression."""
    signals = np.concatenate([own, others])
    target = np.repeat([1.0, 0.0], [len(own), len(others)])
    mean = signals.mean(0)
    scale = signals.std(0) + 1e-9

    def loss(w: NDArray[np.float64]) -> float:
        logit = w[0] + (signals - mean) / scale @ w[1:]
        return float(np.mean(np.logaddexp(0, logit) - target * logit) + RIDGE / 2 * np.sum(w[1:] ** 2))

    w = minimize(loss, np.zeros(1 + signals.shape[1])).x
    weights = w[1:] / scale
    score = signals @ weights
    offset = float(w[0] - mean @ weights)
    return Confidence(offset, weights.tolist(), auroc(score[: len(own)], score[len(own) :]), len(signals))


def auroc(higher: ArrayLike, lower: ArrayLike) -> float:
    """The probability that one of `higher` is above one of `lower`, equals counted half."""
    n = np.size(higher)
    m = np.size(lower)
    ranks = rankdata(np.concatenate([higher, lower]))
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


def swapped(samples: Sequence[Sample], seed: int = 0) -> list[tuple[Sample, Sample]]:
    """At most PAIRS of the samples, each with one of another picture, whose sentence it gets too."""
    rng = np.random.default_rng(seed)
    some = [samples[i] for i in rng.permutation(len(samples))[:PAIRS]]
    some.sort(key=lambda sample: sample.image_id)
    half = len(some) // 2  # far enough for another picture
    others = some[half:] + some[:half]
    return [(a, b) for a, b in zip(some, others) if a.image_id != b.image_id]
