"""What training and evaluation see of a split. Only the second kind of view has anything to do with masks."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TypeVar, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wsris_lib.refer.errors import DataError
from wsris_lib.refer.images import decoded, measured, measured_by_header, read_bytes
from wsris_lib.refer.masks import Segmentation, annotation_mask
from wsris_lib.refer.photos import Photo

TURNED = 5  # the first of EXIF's orientations that exchange height and width


@dataclass(frozen=True, slots=True)
class Sample:
    """One sentence about one image. `sentence` is REFER's `sent`: lower case, short forms spelt out."""

    image_id: int
    ref_id: int
    sent_id: int
    sentence: str


@dataclass(frozen=True, slots=True)
class AnnotatedSample(Sample):
    """A sample with its answer: the annotation, its category and box (x, y, w, h in pixels).

    `position_dependent` says whether only the sentence's words of place single out the object, `part` which part of
    the object is meant ("" for all of it); None where that isn't known.
    """

    ann_id: int
    category: str
    box: tuple[float, float, float, float]
    position_dependent: bool | None
    part: str | None


@dataclass(frozen=True, slots=True)
class ImageFile:
    """Where an image is and the size that instances.json gives it, in pixels; whether its EXIF turns it."""

    path: Photo
    height: int
    width: int
    upright: bool = False  # as viewers show it: COCO's annotations are drawn on the pixels as stored


S = TypeVar("S", bound=Sample, covariant=True)  # what a view is made of


class View(Sequence[S]):
    """The samples of a split in the file's order, and their images."""

    def __init__(self, samples: Sequence[S], files: dict[int, ImageFile]):
        self._samples = samples
        self.image_ids: list[int] = sorted({sample.image_id for sample in samples})  # unique
        self._files = {image_id: files[image_id] for image_id in self.image_ids}

    def __len__(self) -> int:
        return len(self._samples)

    @overload
    def __getitem__(self, index: int) -> S: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[S]: ...

    def __getitem__(self, index: int | slice) -> S | Sequence[S]:
        return self._samples[index]

    def image_path(self, image_id: int) -> Photo:
        """Where the photograph is: a path, or a place in a zip, which says so as text."""
        return self._files[image_id].path

    def image_digest(self, image_id: int) -> str | None:
        """SHA-256 of the photograph's bytes, so that a folder and a zip share caches; None if they can't be read."""
        try:
            return hashlib.sha256(read_bytes(self.image_path(image_id))).hexdigest()
        except DataError:
            return None

    def image_size(self, image_id: int) -> tuple[int, int]:
        """(height, width) in pixels, without opening the file."""
        return self._files[image_id].height, self._files[image_id].width

    def image(self, image_id: int) -> Image.Image:
        """The photograph as RGB. Raises DataError when it is missing, damaged, cut short or of another size.

        An EXIF rotation is applied to pairs alone: COCO's annotations are drawn on the pixels as stored.
        """
        path = self.image_path(image_id)
        data = read_bytes(path)
        image = decoded(data, str(path), upright=self._files[image_id].upright)
        if (image.height, image.width) != self.image_size(image_id):
            self._check_size(image_id, *measured(data, str(path)))
        return image

    def orientation(self, image_id: int) -> int:
        """How EXIF wants the photograph turned that is taken as stored, 1 (not) to 8.

        Raises as `image`, as far as the first bytes tell.
        """
        measures = measured_by_header(self.image_path(image_id))
        self._check_size(image_id, *measures)
        return 1 if self._files[image_id].upright else measures[2]

    def _check_size(self, image_id: int, height: int, width: int, orientation: int) -> None:
        """Raises DataError for a photograph, as it is stored, of another size than its annotations."""
        listed = self.image_size(image_id)
        if self._files[image_id].upright and orientation >= TURNED:
            height, width = width, height
        if (height, width) == listed:
            return
        sizes = f"{height} x {width} pixels (height x width), but instances.json says {listed[0]} x {listed[1]}"
        way_out = "; fetch the original image"
        if orientation >= TURNED and (width, height) == listed:
            way_out = (
                f": its EXIF (orientation {orientation}) turns it into that, and annotations belong to pixels as "
                "stored; store it turned, without that tag"
            )
        raise DataError(f"{self.image_path(image_id)}: {sizes}{way_out}")


class TrainingView(View[Sample]):
    """Images, sentences and their ids: what a weakly supervised method may learn from."""


class EvaluationView(View[AnnotatedSample]):
    """The same with AnnotatedSamples, and the masks they are judged by."""

    def __init__(
        self,
        samples: list[AnnotatedSample],
        files: dict[int, ImageFile],
        segmentations: dict[int, tuple[int, Segmentation | None]],
        source: Path,
    ):
        super().__init__(samples, files)
        self._segmentations = segmentations  # ann_id -> (image_id, REFER's segmentation)
        self._source = source

    def mask(self, ann_id: int, legacy_eq1: bool = False) -> NDArray[np.bool_]:
        """bool[H, W] at the image's own resolution: the union of the object's parts, see `masks.annotation_mask`.

        Raises DataError when the segmentation is missing, malformed, or covers fewer than two pixels.
        """
        image_id, segmentation = self._segmentations[ann_id]
        where = f"{self._source}: annotation {ann_id} of image {image_id}"
        try:
            height, width = self.image_size(image_id)
            mask = annotation_mask(segmentation, height, width)
        except ValueError as why:
            raise DataError(f"{where}: {why}; fetch the file again or remove its ref") from None
        if mask.sum() < 2:
            raise DataError(f"{where}: the mask has {mask.sum()} pixel(s), expected 2 or more; remove its ref")
        return annotation_mask(segmentation, height, width, legacy_eq1=True) if legacy_eq1 else mask

    def truths(self, samples: Iterable[AnnotatedSample]) -> Iterator[NDArray[np.bool_]]:
        """What each sample means, as `mask`, one at a time: a corpus of masks would fill the memory.

        The sentences of an object follow each other, so each object is drawn about once.
        """
        for ann_id, group in groupby(samples, key=lambda sample: sample.ann_id):
            mask = self.mask(ann_id)
            for _ in group:
                yield mask
