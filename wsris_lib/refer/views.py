"""What training and evaluation see of a split. Only the second kind of view has anything to do with masks."""

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import IO, TypeVar, overload

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from wsris_lib.refer.errors import DataError
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

    `decisive` says whether only the sentence's words of place single out the object, `part` which part of the object
    is meant ("" for all of it); None where that isn't known.
    """

    ann_id: int
    category: str
    box: tuple[float, float, float, float]
    decisive: bool | None
    part: str | None


@dataclass(frozen=True, slots=True)
class ImageFile:
    """Where an image is and the size that instances.json gives it, in pixels."""

    path: Photo
    height: int
    width: int


S = TypeVar("S", bound=Sample, covariant=True)  # what a view is made of
T = TypeVar("T")


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
            return hashlib.sha256(self._bytes(image_id)).hexdigest()
        except DataError:
            return None

    def image_size(self, image_id: int) -> tuple[int, int]:
        """(height, width) in pixels, without opening the file."""
        return self._files[image_id].height, self._files[image_id].width

    def image(self, image_id: int) -> Image.Image:
        """The photograph as RGB. Raises DataError when it is missing, damaged, cut short or of another size.

        An EXIF rotation is not applied: COCO's annotations are drawn on the pixels as stored.
        """
        return self._read(image_id, io.BytesIO(self._bytes(image_id)), lambda file: file.convert("RGB"))

    def orientation(self, image_id: int) -> int:
        """How EXIF wants the photograph turned, 1 (not) to 8. Raises as `image`, as far as the first bytes tell."""
        path = self.image_path(image_id)
        try:
            with path.open("rb") if isinstance(path, Path) else path.open() as data:
                return self._read(image_id, data, _orientation)
        except OSError as why:
            raise DataError(f"{path}: can't be read ({why.strerror}); fetch it again") from None

    def _read(self, image_id: int, data: IO[bytes], use: Callable[[Image.Image], T]) -> T:
        """What `use` makes of the opened image. Raises DataError for one that can't be read or is of another size."""
        path = self.image_path(image_id)
        height, width = self.image_size(image_id)
        try:
            with Image.open(data) as file:
                if (size := file.size) == (width, height):
                    return use(file)
                orientation = _orientation(file)
        except Exception as why:  # OSError, SyntaxError, struct.error, ...: whatever a decoder raises
            raise DataError(f"{path}: can't be read as an image ({why}); fetch it again") from None
        here = f"{path}: {size[1]} x {size[0]} pixels (height x width), but instances.json says {height} x {width}"
        if orientation >= TURNED and size == (height, width):
            how = f"its EXIF (orientation {orientation}) turns it into that, and annotations belong to pixels as stored"
            raise DataError(f"{here}: {how}; store it turned, without that tag")
        raise DataError(f"{here}; fetch the original image")

    def _bytes(self, image_id: int) -> bytes:
        path = self.image_path(image_id)
        try:
            return path.read_bytes()
        except OSError as why:
            raise DataError(f"{path}: can't be read ({why.strerror}); fetch it again") from None


def _orientation(file: Image.Image) -> int:
    """How EXIF wants a picture turned, 1 (as it is) to 8; 1 as well where that can't be read."""
    try:
        return int(file.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # TypeError, struct.error, ...: EXIF is written by anybody
        return 1


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
