"""What is computed once for each image and kept: a file an image, named after all it was made from.

So whatever is there is valid and whatever is missing is made; a run that was killed goes on where it was and ends in
the same bytes; and corpora that share their images, as RefCOCO, RefCOCO+ and RefCOCOg do, share the files.
"""

import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image
from tqdm import tqdm

from wsris_lib import ranks
from wsris_lib.artefacts import key, save_tensors, stored_tensors
from wsris_lib.refer.errors import DataError, DataWarning
from wsris_lib.refer.views import View

BATCH = 8  # images at once; more gains nothing on a CPU and fills a GPU at 1024 px

Stored = tuple[dict[str, torch.Tensor], dict]  # an image's tensors and its notes, as artefacts gives them
Make = Callable[[dict[int, Image.Image]], list[Stored]]  # images by id -> what each one's file shall hold


def each_image(view: View, out: Path, what: str, settings: object, load: Callable[[], Make]) -> dict[int, Stored]:
    """image_id -> what is kept of it, in the order of the ids; whatever is missing in the folder `out` is made.

    Says how long the rest will take before it starts. Images that can't be opened are left out, with one warning that
    counts them; a damaged file is named, removed and made again. Under torchrun each process makes its share and waits
    for the files of the others. Raises DataError if no image can be opened.

    Args:
        what: the word that begins the files' names.
        settings: all that the result depends on besides the image's own bytes.
        load: gives the maker; called only if something is missing, so that reading loads no model.
    """
    ids, common = sorted(view.image_ids), key(settings)
    paths = {i: out / f"{what}-{key(common, _digest(view, i))}.safetensors" for i in ids}
    stored = {i: stored_tensors(path) for i, path in paths.items()}
    # Batches are cut from all ids, not from those that are missing: a run that goes on computes in the same company,
    # on which the last bits of a sum may depend.
    batches, unreadable = [ids[i : i + BATCH] for i in range(0, len(ids), BATCH)], []
    batches = [batch for batch in ranks.dealt(batches) if any(stored[i] is None for i in batch)]
    if batches:
        make, left = load(), sum(map(len, batches))
        _announce(make, what, view, batches[0], left)
        with tqdm(total=left, unit="image", desc=what, disable=not ranks.leads()) as bar:
            for batch in batches:
                images, closed = _open(view, batch)
                unreadable += closed
                for image_id, made in zip(images, make(images) if images else []):
                    if stored[image_id] is None:
                        save_tensors(paths[image_id], made[0], **made[1])
                        stored[image_id] = made
                bar.update(len(batch))
    unreadable += _await([i for i in ids if stored[i] is None and i not in unreadable], view, paths, stored)
    found = {i: made for i, made in stored.items() if made is not None}
    if not found:
        raise DataError(f"none of the {len(unreadable)} images can be opened, e.g. {view.image_path(unreadable[0])}")
    if unreadable:
        warnings.warn(
            f"{len(unreadable)} of {len(ids)} images can't be opened and are left out, "
            f"e.g. {view.image_path(unreadable[0])}",
            DataWarning,
            stacklevel=3,
        )
    return found


def _await(others: list[int], view: View, paths: dict[int, Path], stored: dict[int, Stored | None]) -> list[int]:
    """Fill `stored` with what other processes make; returns the images that can't be opened, for which none will."""
    unreadable = []
    for image_id in others:
        while (made := stored_tensors(paths[image_id])) is None:
            if _open(view, [image_id])[1]:
                unreadable.append(image_id)
                break
            time.sleep(0.5)
        stored[image_id] = made
    return unreadable


def _announce(make: Make, what: str, view: View, sample: list[int], left: int) -> None:
    images = _open(view, sample)[0]
    if left > 2 * len(sample) and images:
        start = time.perf_counter()
        make(images)
        minutes = (time.perf_counter() - start) / len(images) * left / 60
        print(f"{what} of {left} images: about {minutes:.1f} min")


def _open(view: View, group: list[int]) -> tuple[dict[int, Image.Image], list[int]]:
    images, unreadable = {}, []
    for image_id in group:
        try:
            images[image_id] = view.image(image_id)
        except DataError:
            unreadable.append(image_id)
    return images, unreadable


def _digest(view: View, image_id: int) -> str:
    return view.image_digest(image_id) or "missing"
