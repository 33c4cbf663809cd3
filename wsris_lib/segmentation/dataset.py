"""What stage 2 and CADD's students learn from: images, sentences, and the masks that some method believes they mean."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wsris_lib.frozen.image_cache import Prepares, prepared_images
from wsris_lib.infra import artefacts
from wsris_lib.refer.errors import DataError
from wsris_lib.refer.labels import PseudoLabel
from wsris_lib.refer.masks import Rle, decode_rle, encode_rle
from wsris_lib.refer.views import Sample, TrainingView


class Tokenizes(Prepares, Protocol):
    """A network with a way to prepare an image and to cut a sentence into tokens: `Backbone` and `Lavt`."""

    max_tokens: int

    def tokenizer(self, sentences: list[str], context_length: int) -> Tensor:
        """Long [S, context_length]."""


class PseudoLabelDataset:
    """Pseudo labels with their sentences and images; rows are labels.

    Images are squashed to the backbone's square, each once, and kept as `image_cache` keeps things. Labels are squashed
    too, each pixel of the square taking the nearest of the image, so that they stay hard (TRIS's way), and kept as run
    lengths: the 120,000 of RefCOCO would take 12 GB as bytes at 320 pixels. Images that can't be opened are left out,
    with one warning that counts them.

    Args:
        view: where the sentences and the images come from; no mask can be reached through it.
        labels: of its sentences, not necessarily of all.
        backbone: says how an image is prepared and a sentence is cut into tokens; any untrained one of the same
            checkpoint, image_size and max_tokens will do.

    Raises DataError for a label of a sentence that the view doesn't have, of another image or ref than the view says,
    or of another size than its image; if there is no label, or no image that can be opened.
    """

    def __init__(self, view: TrainingView, labels: Sequence[PseudoLabel], backbone: Tokenizes):
        self.image_size = backbone.image_size
        samples = {sample.sent_id: sample for sample in view}
        for label in labels:
            _check(label, samples.get(label.sent_id), view)
        self._images = prepared_images(view, sorted({label.image_id for label in labels}), backbone)
        self.labels = [label for label in labels if label.image_id in self._images]
        if not self.labels:
            raise DataError("there is no label to learn from; make the labels of this split first")
        self._masks = [self._squashed(label) for label in self.labels]
        sentences = [samples[label.sent_id].sentence for label in self.labels]
        self._tokens = backbone.tokenizer(sentences, context_length=backbone.max_tokens)  # long [S, L]
        self._confidence = torch.tensor([float(label.confidence) for label in self.labels])
        refs: dict[int, list[int]] = defaultdict(list)
        for row, label in enumerate(self.labels):
            refs[label.ref_id].append(row)
        self.groups = list(refs.values())  # rows of each ref; an epoch takes one of each

    def drawn(self, step: int, batch: int, seed: int, rng: np.random.Generator) -> list[int]:
        """The rows of a step: an epoch takes every ref once, in an order of its own, with one label drawn by `rng`."""
        epoch, place = divmod(step, self.steps(batch))
        shuffle = torch.Generator().manual_seed(seed * 10_007 + epoch)
        order = torch.randperm(len(self.groups), generator=shuffle).tolist()
        taken = min(batch, len(self.groups))
        refs = [self.groups[g] for g in order[place * taken : (place + 1) * taken]]
        return [ref[int(rng.integers(len(ref)))] for ref in refs]

    def steps(self, batch: int) -> int:
        """Steps of an epoch at `batch` refs a step; those that don't fill one wait for another epoch."""
        return max(1, len(self.groups) // min(batch, len(self.groups)))

    def batch(self, rows: Sequence[int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Rows to pixels uint8 [B, 3, P, P], tokens long [B, L], masks uint8 [B, P, P] and confidence float [B].

        Pixels are not normalised; masks are 0 or 1.
        """
        pixels = torch.stack([self._images[self.labels[row].image_id][0]["pixels"] for row in rows])
        masks = torch.stack([torch.from_numpy(decode_rle(self._masks[row])) for row in rows])
        return pixels, self._tokens[rows], masks.byte(), self._confidence[rows]

    def digest(self) -> str:
        """Sixteen hex digits that change when a label, a sentence's tokens or an image does."""
        label_fields = [
            (label.sent_id, label.ref_id, label.confidence, mask) for label, mask in zip(self.labels, self._masks)
        ]
        pixels = {image_id: tensors["pixels"].numpy() for image_id, (tensors, _) in self._images.items()}
        images = [(image_id, hashlib.sha256(array.data).hexdigest()) for image_id, array in pixels.items()]
        return artefacts.content_hash(label_fields, self._tokens.tolist(), images)

    def _squashed(self, label: PseudoLabel) -> Rle:
        try:
            mask = torch.from_numpy(decode_rle(label.mask)).byte()[None, None]
        except ValueError as why:
            raise DataError(f"{_describe(label)}: {why}; make the labels anew") from None
        return encode_rle(F.interpolate(mask, (self.image_size, self.image_size), mode="nearest-exact")[0, 0].numpy())


def _describe(label: PseudoLabel) -> str:
    return f"the label of sentence {label.sent_id} (ref {label.ref_id}, image {label.image_id})"


def _check(label: PseudoLabel, sample: Sample | None, view: TrainingView) -> None:
    anew = "make the labels anew from this corpus and split"
    if sample is None:
        raise DataError(f"{_describe(label)}: the split has no such sentence; {anew}")
    if (sample.ref_id, sample.image_id) != (label.ref_id, label.image_id):
        theirs = f"ref {sample.ref_id}, image {sample.image_id}"
        raise DataError(f"{_describe(label)}: the split has this sentence for {theirs}; {anew}")
    size = view.image_size(label.image_id)
    mask_size = tuple(label.mask.get("size", ()))
    if mask_size != size:
        raise DataError(f"{_describe(label)}: its mask is of size {mask_size}, its image of {size}; {anew}")
