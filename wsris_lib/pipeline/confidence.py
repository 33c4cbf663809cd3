"""How likely it is that what a sentence means is in a picture at all.

A segmenter's own maximum says little of it, as it learnt from sentences that all mean something. What says most is
CLIP: how near the sentence is to the nearest of the picture's proposals (benchmarks/confidence.md compares signals).
Val's sentences on their own pictures, and on others, turn that into a probability; no annotation takes part.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import rankdata
from torch import Tensor

from wsris_lib.frozen.clip import ClipEncoder
from wsris_lib.frozen.extractor import Proposer
from wsris_lib.frozen.features import CODE, ImageFeatures
from wsris_lib.frozen.working_size import shrunk
from wsris_lib.pipeline import shipped
from wsris_lib.pipeline.cache import Inputs, cached_step
from wsris_lib.pipeline.predict import Predictor, ProposalPredictor, ZeroShotPredictor
from wsris_lib.pipeline.run import Run
from wsris_lib.refer.errors import DataError
from wsris_lib.refer.views import Sample


@dataclass(frozen=True)
class Calibration:
    """A probability from a cosine.

    Attributes:
        offset, slope: of the logit.
        auroc: how well the cosine tells a sentence's own picture from another: 0.5 is chance, 1 perfect.
        sentences: that it was measured on.
    """

    offset: float
    slope: float
    auroc: float
    sentences: int

    def __call__(self, cosine: float) -> float:
        """The probability that a sentence is about this picture, had both been as likely before."""
        return float(expit(self.offset + self.slope * cosine))


def fitted(own: NDArray[np.float64], others: NDArray[np.float64]) -> Calibration:
    """A logistic regression on the cosines [S] of sentences with their own pictures and with others."""
    cosines = np.concatenate([own, others])
    about = np.repeat([1.0, 0.0], [len(own), len(others)])
    middle = cosines.mean()
    spread = cosines.std() + 1e-9

    def loss(w: NDArray[np.float64]) -> float:
        logit = w[0] + w[1] * (cosines - middle) / spread
        return float(np.mean(np.logaddexp(0, logit) - about * logit) + 1e-4 * w[1] ** 2)  # where all are told apart

    offset, slope = minimize(loss, np.zeros(2)).x
    return Calibration(offset - slope * middle / spread, slope / spread, auroc(own, others), len(own))


def auroc(higher: ArrayLike, lower: ArrayLike) -> float:
    """The probability that one of `higher` is above one of `lower`, equals counted half."""
    n = np.size(higher)
    ranks = rankdata(np.concatenate([higher, lower]))
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * np.size(lower)))


def swapped(samples: Sequence[Sample]) -> list[tuple[int, int]]:
    """Positions of each sample and of one about another picture, whose sentence it gets too.

    By the half of the samples further on, in the order of their pictures; a pair on one picture is left out.
    """
    order = sorted(range(len(samples)), key=lambda n: samples[n].image_id)
    half = len(order) // 2
    pairs = zip(order, order[half:] + order[:half])
    return [(a, b) for a, b in pairs if samples[a].image_id != samples[b].image_id]


def nearest(features: ImageFeatures, image_ids: Sequence[int], texts: Tensor) -> NDArray[np.float64]:
    """The largest cosine of each text [S, E] with a proposal of its image, [S]."""
    rows = [slice(*features.offsets[image_id]) for image_id in image_ids]
    return np.array([float((features.embeddings[some] @ text).amax()) for some, text in zip(rows, texts)])


def _inputs(run: Run) -> Inputs:
    return {"features": run.features_key(run.profile.val_split)}


@cached_step("confidence", uses=CODE, inputs=_inputs, title="confidence")
def measured(run: Run, *, out: Path) -> dict[str, float]:
    """The fields of the run's own `Calibration`."""
    split = run.profile.val_split
    features = run.features(split)
    samples = [sample for sample in run.corpus.training_view(split) if sample.image_id in features.offsets]
    pairs = swapped(samples)
    if not pairs:
        raise DataError(f"split {split!r}: its sentences are all about one picture, nothing to compare it with")
    texts = run.sentences(samples).clip_text
    images = [samples[a].image_id for a, _ in pairs]
    own, others = (nearest(features, images, texts[torch.tensor(rows)]) for rows in zip(*pairs))
    return asdict(fitted(own, others))


def calibration(run: Run) -> Calibration | None:
    """The one that ships with the run's settings, else its own, made of val's features once and kept.

    None where val is missing or has one picture.
    """
    if ready := shipped.calibration(run):
        return Calibration(**ready)  # type: ignore[arg-type]
    try:
        return Calibration(**measured(run))
    except DataError:
        return None


class Likelihood(Protocol):
    """How likely what a sentence means is in a picture; below `warn_below` it is said."""

    warn_below: float

    def __call__(self, image: Image.Image, text: str) -> float | None:
        """Of an RGB picture; None where it isn't known."""


class OwnScore:
    """A zero-shot model's own score of its answer. Nobody calibrated it, so that nothing is said of a low one."""

    warn_below = 0.0

    def __init__(self, predictor: ZeroShotPredictor):
        self._predictor = predictor

    def __call__(self, image: Image.Image, text: str) -> float:
        """Of an RGB picture."""
        return self._predictor.confidence(image, text)


def of(run: Run, predictor: Predictor) -> Likelihood | None:
    """What answers beside a predictor; None where the profile wants no second opinion."""
    if isinstance(predictor, ZeroShotPredictor):
        return OwnScore(predictor)
    return Likely(run, predictor) if run.profile.predict.warn_below else None


class Likely:
    """The probability that what a sentence means is in a picture; None where it can't be calibrated.

    Args:
        predictor: where it has looked at the picture's proposals anyway, they are its own.
    """

    def __init__(self, run: Run, predictor: Predictor | None = None):
        self.warn_below = run.profile.predict.warn_below
        self._calibration = calibration(run)
        self._looks = predictor if isinstance(predictor, ProposalPredictor) else Looker(run)

    def __call__(self, image: Image.Image, text: str) -> float | None:
        """Of an RGB picture of any size."""
        if self._calibration is None:
            return None
        (vector,) = self._looks.clip.sentences([text])
        return self._calibration(float((self._looks.embeddings(image) @ vector).amax()))


class Looker:
    """CLIP's embedding of each proposal of a picture, [N, E]; the last picture's are remembered."""

    def __init__(self, run: Run):
        self._propose = Proposer(run.profile)
        self.clip = ClipEncoder(run.profile.clip, run.profile.device, crop=run.profile.crop)
        self._last: tuple[Image.Image, Tensor] | None = None

    def embeddings(self, image: Image.Image) -> Tensor:
        """Of an RGB picture of any size."""
        if self._last is None or self._last[0] is not image:
            small = shrunk(image)
            self._last = image, self.clip.crops(small, self._propose([small])[0].masks)[1]
        return self._last[1]
