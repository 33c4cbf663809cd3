"""What is computed once for each image and kept: a file an image, named after all it was made from.

So whatever is there is valid and whatever is missing is made; a run that was killed resumes where it was and ends in
the same bytes; and corpora that share their images, as RefCOCO, RefCOCO+ and RefCOCOg do, share the files.
"""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch
from PIL import Image
from tqdm import tqdm

from wsris_lib.infra import distributed
from wsris_lib.infra.artefacts import content_hash, load_tensors, runs_dir, save_tensors, try_load_tensors
from wsris_lib.infra.code_digest import LIBRARY, code_digest
from wsris_lib.refer.errors import DataError, DataWarning
from wsris_lib.refer.views import View

BATCH = 8  # images at once; more gains nothing on a CPU and fills a GPU at 1024 px
MEMORY = 2 << 30  # bytes

CacheEntry = tuple[dict[str, torch.Tensor], dict]  # an image's tensors and its notes, as artefacts gives them
Make = Callable[[dict[int, Image.Image]], list[CacheEntry]]  # images by id -> what each one's file shall hold


class ImageCache(Mapping[int, CacheEntry]):
    """image_id -> what its file holds, in the order of the ids; a corpus needn't fit into memory.

    Tensors are held as far as they fit into MEMORY; what goes beyond is read again whenever it's asked for.

    Attributes:
        size: bytes of all tensors, held or not.
    """

    def __init__(self, paths: dict[int, Path]):
        self._paths = paths
        self._stored: dict[int, CacheEntry | None] = {}  # None: to be read again
        self._room = MEMORY
        self.size = 0

    def read(self, image_id: int) -> bool:
        """Take what an image's file holds; False where there is none, or where a damaged one was removed."""
        stored = try_load_tensors(self._paths[image_id])
        if stored is not None:
            self._take(image_id, stored)
        return stored is not None

    def write(self, image_id: int, stored: CacheEntry) -> None:
        """Store what was made of an image."""
        save_tensors(self._paths[image_id], stored[0], **stored[1])
        self._take(image_id, stored)

    def _take(self, image_id: int, stored: CacheEntry) -> None:
        size = sum(tensor.nbytes for tensor in stored[0].values())
        self.size += size
        held = size <= self._room
        self._stored[image_id] = stored if held else None
        self._room -= size if held else 0

    def key(self) -> str:
        """Changes when another image, or the same made otherwise, is among them; whatever ids they have."""
        return content_hash([self._paths[image_id].name for image_id in self])

    def __getitem__(self, image_id: int) -> CacheEntry:
        return self._stored[image_id] or load_tensors(self._paths[image_id])

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._stored

    def __iter__(self) -> Iterator[int]:
        return (image_id for image_id in self._paths if image_id in self._stored)

    def __len__(self) -> int:
        return len(self._stored)


def cached_per_image(
    view: View,
    out: Path,
    what: str,
    settings: object,
    load: Callable[[], Make],
    image_ids: Sequence[int] | None = None,
) -> ImageCache:
    """image_id -> what is kept of it, in the order of the ids; whatever is missing in the folder `out` is made.

    Says how long the rest will take before it starts. Images that can't be opened are left out, with one warning that
    counts them; a damaged file is named, removed and made again. Under torchrun each process makes its share and waits
    for the files of the others. Raises DataError if no image can be opened.

    Args:
        what: the word that begins the files' names.
        settings: all that the result depends on besides the image's own bytes.
        load: gives the maker; called only if something is missing, so that reading loads no model.
        image_ids: of the view; None: all.
    """
    ids = sorted(view.image_ids if image_ids is None else image_ids)
    common = content_hash(settings)
    kept = ImageCache({i: out / f"{what}-{content_hash(common, _digest(view, i))}.safetensors" for i in ids})
    for i in ids:
        kept.read(i)
    # Batches are cut from all ids, not from those that are missing: a run that resumes computes in the same company,
    # on which the last bits of a sum may depend.
    batches = [ids[i : i + BATCH] for i in range(0, len(ids), BATCH)]
    missing = [batch for batch in distributed.shard(batches) if any(i not in kept for i in batch)]
    unreadable = _fill(kept, missing, load(), what, view) if missing else []
    unreadable += _await([i for i in ids if i not in kept and i not in unreadable], view, kept)
    if unreadable:
        counted = f"{len(unreadable)} of {len(ids)} images can't be opened"
        example = f"e.g. {view.image_path(unreadable[0])}"
        if not kept:
            raise DataError(f"{counted}, {example}")
        warnings.warn(f"{counted} and are left out, {example}", DataWarning, stacklevel=3)
    return kept


class Prepares(Protocol):
    """A backbone: it makes uint8 [3, P, P] of an image."""

    image_size: int  # P

    def prepare(self, image: Image.Image) -> torch.Tensor: ...


def prepared_images(view: View, image_ids: Sequence[int], backbone: Prepares) -> ImageCache:
    """Each image as the backbone wants it, under the name "pixels", kept for the next training that reads it."""

    def make(images: dict[int, Image.Image]) -> list[CacheEntry]:
        return [({"pixels": backbone.prepare(image).contiguous()}, {}) for image in images.values()]

    module = type(backbone).__module__.removeprefix(f"{LIBRARY.name}.")
    how = [code_digest(module), type(backbone).__name__, backbone.image_size]
    return cached_per_image(view, runs_dir() / "cache" / "pixels", "pixels", how, lambda: make, image_ids)


def _fill(kept: ImageCache, batches: list[list[int]], make: Make, what: str, view: View) -> list[int]:
    """Make and write what is missing of these batches; returns the images that can't be opened."""
    unreadable = []
    left = sum(map(len, batches))
    with tqdm(total=left, unit="image", desc=what, disable=not distributed.is_main_process()) as bar:
        for batch in batches:
            start = time.perf_counter()
            images, closed = _open(view, batch)
            unreadable += closed
            entries = make(images) if images else []
            if batch is batches[0] and images and left > 2 * len(batch):
                minutes = (time.perf_counter() - start) / len(images) * left / 60
                bar.write(f"{what} of {left} images: about {minutes:.1f} min")
            for image_id, stored in zip(images, entries):
                if image_id not in kept:
                    kept.write(image_id, stored)
            bar.update(len(batch))
    return unreadable


def _await(others: list[int], view: View, kept: ImageCache) -> list[int]:
    """Read what other processes make; returns the images that can't be opened, for which none will."""
    unreadable = []
    for image_id in others:
        while not kept.read(image_id):
            if _open(view, [image_id])[1]:
                unreadable.append(image_id)
                break
            time.sleep(0.5)
    return unreadable


def _open(view: View, group: list[int]) -> tuple[dict[int, Image.Image], list[int]]:
    images = {}
    unreadable = []
    for image_id in group:
        try:
            images[image_id] = view.image(image_id)
        except DataError:
            unreadable.append(image_id)
    return images, unreadable


def _digest(view: View, image_id: int) -> str:
    return view.image_digest(image_id) or "missing"
