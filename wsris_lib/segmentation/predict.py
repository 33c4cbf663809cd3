"""Soft masks of sentences, at the size of their images."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from wsris_lib.refer.views import Sample, View


class Segmenter(Protocol):
    """What a network has to offer to be asked here; `ehin.stage2.Stage2` and `cadd.lavt.Lavt` do."""

    training: bool

    def prepare(self, image: Image.Image) -> Tensor:
        """The network's input, uint8 [3, P, P]."""

    def answer(self, images: Tensor, rows: list[int], sentences: list[str]) -> Tensor:
        """Images [I, 3, P, P], the image of each sentence, B sentences -> logits [B, P, P]."""


@torch.no_grad()
def predict(model: Segmenter, view: View[Sample], samples: Sequence[Sample], batch: int = 48) -> Iterator[Tensor]:
    """One soft mask for each sample, in their order: float [H, W] in [0, 1] on the CPU, the mask is where it is > 0.5.

    The finest logit is resized to the image and then squashed, so that 0.5 is where the logit is 0. TRIS divides by the
    logit's maximum instead: where all of an image's logits are negative, which means no object, that turns them
    positive and their order round.

    Each image is opened once, and sentences of one image that are in one batch share its maps. Sort the samples by
    image to hold few images at a time. Raises ValueError if the model is in training mode; DataError for an image that
    can't be read.
    """
    if model.training:
        raise ValueError("the model is in training mode: its batch norms would mix the sentences; call model.eval()")
    left = Counter(sample.image_id for sample in samples)
    prepared: dict[int, Tensor] = {}
    for start in range(0, len(samples), batch):
        some = samples[start : start + batch]
        ids = sorted({sample.image_id for sample in some})
        prepared |= {i: model.prepare(view.image(i)) for i in ids if i not in prepared}
        rows = [ids.index(sample.image_id) for sample in some]
        images = torch.stack([prepared[i] for i in ids])
        logits = model.answer(images, rows, [sample.sentence for sample in some]).float().cpu()  # [B, P, P]
        left -= Counter(sample.image_id for sample in some)
        prepared = {i: pixels for i, pixels in prepared.items() if left[i]}
        for sample, logit in zip(some, logits):
            yield soft_mask(logit, *view.image_size(sample.image_id))


def soft_mask(logit: Tensor, height: int, width: int) -> Tensor:
    """logit [h, w] -> probabilities [height, width]: bilinear, then the sigmoid, which is 0.5 where the logit is 0."""
    return F.interpolate(logit[None, None], (height, width), mode="bilinear", align_corners=False)[0, 0].sigmoid()
