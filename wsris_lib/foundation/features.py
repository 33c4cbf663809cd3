"""Everything the frozen models say about a data set, computed once and kept: ES3Net trains on nothing else.

Each image has a file of its own, named after all it was made from (its bytes, the checkpoints, the settings). So
whatever is there is valid and whatever is missing is made; a run that was killed goes on where it was and ends in the
same bytes; and corpora that share their images, as RefCOCO, RefCOCO+ and RefCOCOg do, share their features.
"""

import time
import warnings
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import torch
from PIL import Image
from tqdm import tqdm

from wsris_lib.artefacts import file_digest, home, key, save_tensors, stored_tensors
from wsris_lib.foundation.clip import ClipEncoder
from wsris_lib.foundation.extractor import Extractor
from wsris_lib.foundation.text import SentenceEncoder
from wsris_lib.foundation.zoo import fingerprint
from wsris_lib.profiles import Profile
from wsris_lib.refer.errors import DataError, DataWarning
from wsris_lib.refer.masks import encode_rle
from wsris_lib.refer.views import View

BATCH = 8  # images through SAM2, DINO and depth at once; more gains nothing on a CPU and fills a GPU at 1024 px
VERSION = 2  # part of every name: raise it when this package computes something else from the same input

Stored = tuple[dict[str, torch.Tensor], dict]  # an image's tables, and {"masks": RLEs}, as artefacts gives them


@dataclass(frozen=True)
class ImageFeatures:
    """Flat tables over the P proposals of all images; rows `start:stop` of `offsets[image_id]` are one image's.

    Attributes:
        class_tokens: float [P, W], CLIP's raw class token of the masked crop.
        embeddings: float [P, E], its projected L2-normalised embedding (eq. 1).
        pooled_max, pooled_mean: float [P, C], DINO patches pooled under the mask (eq. 2).
        geometry: float [P, 3], x right, y down, z near, each in [0, 1] (eq. 2).
        scores: float [P], SAM2's predicted IoU.
        masks: P masks in COCO's compressed RLE, {"size": [H, W], "counts": str}.
        offsets: image_id -> (start, stop).
    """

    class_tokens: torch.Tensor
    embeddings: torch.Tensor
    pooled_max: torch.Tensor
    pooled_mean: torch.Tensor
    geometry: torch.Tensor
    scores: torch.Tensor
    masks: list[dict]
    offsets: dict[int, tuple[int, int]]


def extract(view: View, profile: Profile, out: Path | None = None) -> ImageFeatures:
    """The features of a view's images: read from the folder `out` where they are there, made where they are not.

    Says how long the rest will take before it starts. Images that can't be opened are left out, with one warning that
    counts them; a damaged file is named, removed and made again. Raises DataError if no image can be opened.
    """
    out = out or home() / "cache" / "features"
    settings = key(
        VERSION,
        [fingerprint(name) for name in (profile.sam2, profile.clip, profile.dino, profile.depth)],
        [fingerprint(profile.detector)] if profile.proposing.mode == "boxes" else [],
        [profile.crop, profile.dino_pixels, profile.depth_pixels, vars(profile.proposing)],
    )
    ids = sorted(view.image_ids)
    paths = {i: out / f"image-{key(settings, _digest(view, i))}.safetensors" for i in ids}
    stored = {i: stored_tensors(path) for i, path in paths.items()}
    # Batches are cut from all ids, not from those that are missing: a run that goes on computes in the same company,
    # on which the last bits of a sum may depend.
    batches, unreadable = [ids[i : i + BATCH] for i in range(0, len(ids), BATCH)], []
    batches = [batch for batch in batches if any(stored[i] is None for i in batch)]
    if batches:
        extractor, left = Extractor(profile), sum(map(len, batches))
        _announce(extractor, view, batches[0], left)
        with tqdm(total=left, unit="image", desc="features") as bar:
            for batch in batches:
                images, closed = _open(view, batch)
                unreadable += closed
                for image_id, made in zip(images, _make(extractor, list(images.values())) if images else []):
                    if stored[image_id] is None:
                        save_tensors(paths[image_id], made[0], **made[1])
                        stored[image_id] = made
                bar.update(len(batch))
    return _collect({i: made for i, made in stored.items() if made is not None}, unreadable, view)


def sentence_features(
    sentences: list[str], profile: Profile, out: Path | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """CLIP's embedding [S, E] (eq. 1) and SimCSE's pooled output [S, D] (eq. 3) of each sentence.

    Each different sentence is encoded once and kept in `out`.
    """
    unique = sorted(set(sentences), key=lambda s: (len(s), s))  # like lengths together: little padding
    name = key(VERSION, fingerprint(profile.clip), fingerprint(profile.text), unique)
    path = (out or home() / "cache" / "features") / f"sentences-{name}.safetensors"
    stored = stored_tensors(path)
    if stored is None:
        clip = ClipEncoder(profile.clip, profile.device).sentences(unique)
        text = SentenceEncoder(profile.text, profile.device).sentences(unique)
        stored = {"clip": clip, "text": text}, {}
        save_tensors(path, stored[0])
    row = {sentence: n for n, sentence in enumerate(unique)}
    rows = torch.tensor([row[sentence] for sentence in sentences])
    return stored[0]["clip"][rows], stored[0]["text"][rows]


def _make(extractor: Extractor, images: list[Image.Image]) -> list[Stored]:
    """What each image's file shall hold."""
    table, proposals = extractor(images)
    counts = [len(found.scores) for found in proposals]
    of_image = zip(*(column.split(counts) for column in table.values()))
    return [
        (dict(zip(table, columns)), {"masks": [encode_rle(mask) for mask in found.masks.numpy()]})
        for columns, found in zip(of_image, proposals)
    ]


def _collect(stored: dict[int, Stored], unreadable: list[int], view: View) -> ImageFeatures:
    if not stored:
        raise DataError(f"none of the {len(unreadable)} images can be opened, e.g. {view.image_path(unreadable[0])}")
    if unreadable:
        warnings.warn(
            f"{len(unreadable)} of {len(unreadable) + len(stored)} images can't be opened and are left out, "
            f"e.g. {view.image_path(unreadable[0])}",
            DataWarning,
            stacklevel=3,
        )
    tables, notes = zip(*stored.values())
    stops = list(accumulate(len(table["scores"]) for table in tables))
    return ImageFeatures(
        **{name: torch.cat([table[name] for table in tables]) for name in tables[0]},
        masks=[mask for note in notes for mask in note["masks"]],
        offsets=dict(zip(stored, zip([0, *stops], stops))),
    )


def _announce(extractor: Extractor, view: View, sample: list[int], left: int) -> None:
    images = list(_open(view, sample)[0].values())
    if left > 2 * len(sample) and images:
        start = time.perf_counter()
        extractor(images)
        minutes = (time.perf_counter() - start) / len(images) * left / 60
        print(f"features of {left} images: about {minutes:.1f} min")


def _open(view: View, group: list[int]) -> tuple[dict[int, Image.Image], list[int]]:
    images, unreadable = {}, []
    for image_id in group:
        try:
            images[image_id] = view.image(image_id)
        except DataError:
            unreadable.append(image_id)
    return images, unreadable


def _digest(view: View, image_id: int) -> str:
    path = view.image_path(image_id)
    return file_digest(path) if path.is_file() else "missing"
