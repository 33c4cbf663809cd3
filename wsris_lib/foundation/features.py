"""Everything the frozen models say about a data set, computed once and kept: ES3Net trains on nothing else.

Images go in fixed shards in the order of their ids. A shard's file is named after all it was made from (the images'
bytes, the checkpoints, the settings), so whatever is there is valid and whatever is missing is made: a run that was
killed goes on at its last shard and ends in the same bytes.
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

SHARD = 32  # images a file: some ten seconds of work on a laptop, so little is lost when a run is killed
BATCH = 8  # images through SAM2, DINO and depth at once; more gains nothing on a CPU and fills a GPU at 1024 px
VERSION = 1  # part of every name: raise it when this package computes something else from the same input

Shard = tuple[dict[str, torch.Tensor], dict]  # tensors and notes, as artefacts.load_tensors gives them


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


def extract(view: View, profile: Profile, out: Path | None = None, shard: int = SHARD) -> ImageFeatures:
    """The features of a view's images: read from the folder `out` where they are there, made where they are not.

    Says how long the rest will take before it starts. Images that can't be opened are left out, with one warning that
    counts them; a damaged file is named, removed and made again. Raises DataError if no image can be opened.
    """
    out = out or home() / "cache" / "features"
    settings = key(
        VERSION,
        [fingerprint(name) for name in (profile.sam2, profile.clip, profile.dino, profile.depth)],
        [profile.crop, profile.dino_pixels, profile.depth_pixels, vars(profile.proposing)],
    )
    ids = sorted(view.image_ids)
    groups = [ids[i : i + shard] for i in range(0, len(ids), shard)]
    paths = [out / f"images-{key(settings, group, [_digest(view, i) for i in group])}.safetensors" for group in groups]
    shards = [stored_tensors(path) for path in paths]
    # An image that could not be opened is asked for again: the fault may have been the disk's, or instances.json's.
    missing = [n for n, stored in enumerate(shards) if not stored or _open(view, stored[1]["unreadable"])[0]]
    if missing:
        extractor = Extractor(profile)
        left = sum(len(groups[n]) for n in missing)
        _announce(extractor, view, groups[missing[0]][:BATCH], left)
        with tqdm(total=left, unit="image", desc="features") as bar:
            for n in missing:
                tensors, notes = shards[n] = _make(extractor, view, groups[n])
                save_tensors(paths[n], tensors, **notes)
                bar.update(len(groups[n]))
    return _collect(shards, view)


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


def _make(extractor: Extractor, view: View, group: list[int]) -> Shard:
    """A shard's tables, and in its notes [image_id, proposals] of each image, the masks, the unreadable images."""
    images, unreadable = _open(view, group)
    tables, counts, masks = [], [], []
    for i in range(0, len(images), BATCH):
        batch = list(images)[i : i + BATCH]
        table, proposals = extractor([images[image_id] for image_id in batch])
        tables.append(table)
        counts += [[image_id, len(found.scores)] for image_id, found in zip(batch, proposals)]
        masks += [encode_rle(mask) for found in proposals for mask in found.masks.numpy()]
    joined = {name: torch.cat([table[name] for table in tables]) for name in tables[0]} if tables else {}
    return joined, {"counts": counts, "masks": masks, "unreadable": unreadable}


def _collect(shards: list[Shard], view: View) -> ImageFeatures:
    unreadable = [image_id for _, notes in shards for image_id in notes["unreadable"]]
    counts = [count for _, notes in shards for count in notes["counts"]]
    if not counts:
        raise DataError(f"none of the {len(unreadable)} images can be opened, e.g. {view.image_path(unreadable[0])}")
    if unreadable:
        warnings.warn(
            f"{len(unreadable)} of {len(unreadable) + len(counts)} images can't be opened and are left out, "
            f"e.g. {view.image_path(unreadable[0])}",
            DataWarning,
            stacklevel=3,
        )
    tables = [tensors for tensors, _ in shards if tensors]
    stops = list(accumulate(n for _, n in counts))
    return ImageFeatures(
        **{name: torch.cat([table[name] for table in tables]) for name in tables[0]},
        masks=[mask for _, notes in shards for mask in notes["masks"]],
        offsets={image_id: (stop - n, stop) for (image_id, n), stop in zip(counts, stops)},
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
