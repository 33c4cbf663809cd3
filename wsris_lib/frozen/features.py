"""Everything the frozen models say about a data set, computed once and kept: ES3Net trains on nothing else."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from wsris_lib.config.profiles import Profile
from wsris_lib.frozen.checkpoints import fingerprint
from wsris_lib.frozen.clip import ClipEncoder
from wsris_lib.frozen.extractor import Extractor, Table3Extractor
from wsris_lib.frozen.image_cache import CacheEntry, Make, cached_per_image
from wsris_lib.frozen.sentence_encoder import SentenceEncoder
from wsris_lib.frozen.tables import Tables, joined
from wsris_lib.frozen.working_size import at_size
from wsris_lib.infra.artefacts import content_hash, runs_dir, save_tensors, try_load_tensors
from wsris_lib.infra.code_digest import code_digest
from wsris_lib.refer.masks import Rle, decode_rle, encode_rle
from wsris_lib.refer.views import View

# Whose code decides on a feature: part of every name. What finds and stores files isn't among them.
_MODULES = (
    "clip",
    "depth",
    "detector",
    "dino",
    "extractor",
    "features",
    "pooling",
    "sam2",
    "sam2_package",
    "sentence_encoder",
    "working_size",
)
CODE = tuple(f"frozen.{name}" for name in _MODULES)


@dataclass(frozen=True)
class ImageFeatures:
    """Flat tables over the P proposals of all images; rows `start:stop` of `offsets[image_id]` are one image's.

    Of a large corpus they lie on disk, mapped into memory: see `tables.joined`.

    Attributes:
        class_tokens: float [P, W], CLIP's raw class token of the masked crop.
        embeddings: float [P, E], its projected L2-normalised embedding (eq. 1).
        pooled_max, pooled_mean: float [P, C], DINO patches pooled under the mask (ES3Net 3.2).
        geometry: float [P, 3], x right, y down, z near, each in [0, 1] (eq. 2, but see `pooling.geometry`).
        cells: float [P, 3], the same as eq. 2 prints it (`pooling.cell_geometry`).
        scores: float [P], SAM2's predicted IoU.
        masks: P masks in COCO's compressed RLE, {"size": [H, W], "counts": str}.
        offsets: image_id -> (start, stop).
    """

    class_tokens: torch.Tensor
    embeddings: torch.Tensor
    pooled_max: torch.Tensor
    pooled_mean: torch.Tensor
    geometry: torch.Tensor
    cells: torch.Tensor
    scores: torch.Tensor
    masks: Sequence[Rle]
    offsets: dict[int, tuple[int, int]]


def extract(view: View, profile: Profile, out: Path | None = None) -> ImageFeatures:
    """The features of a view's images: read from the folder `out` where they are there, made where they are not.

    See `cached_per_image` for what it says and raises.
    """
    tables, masks, offsets = _joined(view, profile, out, "features", lambda: _maker(Extractor(profile)))
    return ImageFeatures(**tables, masks=masks, offsets=offsets)


def extract_swapped(
    view: View, profile: Profile, proposals: ImageFeatures, out: Path | None = None
) -> dict[str, torch.Tensor]:
    """For these proposals, what Table 3 of ES3Net swaps in: each encoder in the other's place.

    Returns class_tokens [P, C], DINO's of the masked crop, and pooled_max, pooled_mean [P, W], CLIP's patches pooled
    under the mask. Kept as the features are.
    """

    def load() -> Make:
        swapped = Table3Extractor(profile)

        def make(images: dict[int, Image.Image]) -> list[CacheEntry]:
            masks = [[decode_rle(rle) for rle in proposals.masks[slice(*proposals.offsets[i])]] for i in images]
            return [(table, {}) for table in swapped(list(images.values()), masks)]

        return make

    return _joined(view, profile, out, "swapped", load)[0]


def sentence_features(
    sentences: list[str], profile: Profile, out: Path | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """CLIP's embedding [S, E] (eq. 1) and SimCSE's pooled output [S, D] (eq. 3) of each sentence.

    Each different sentence is encoded once and kept in `out`.
    """
    unique = sorted(set(sentences), key=lambda s: (len(s), s))  # like lengths together: little padding
    name = content_hash(code_digest(*CODE), fingerprint(profile.clip), fingerprint(profile.text), unique)
    path = _folder(out) / f"sentences-{name}.safetensors"
    stored = try_load_tensors(path)
    if stored is None:
        clip = ClipEncoder(profile.clip, profile.device).sentences(unique)
        text = SentenceEncoder(profile.text, profile.device).sentences(unique)
        stored = {"clip": clip, "text": text}, {}
        save_tensors(path, stored[0])
    row = {sentence: n for n, sentence in enumerate(unique)}
    rows = torch.tensor([row[sentence] for sentence in sentences])
    return stored[0]["clip"][rows], stored[0]["text"][rows]


def _folder(out: Path | None) -> Path:
    return out or runs_dir() / "cache" / "features"


def _joined(view: View, profile: Profile, out: Path | None, what: str, load: Callable[[], Make]) -> Tables:
    stored = cached_per_image(view, _folder(out), what, made_from(profile), load)
    return joined(stored, _folder(out), what)


def made_from(profile: Profile) -> list:
    """All that an image's features depend on besides the image, the code included."""
    return [
        code_digest(*CODE),
        [fingerprint(name) for name in (profile.sam2, profile.clip, profile.dino, profile.depth)],
        [fingerprint(profile.detector)] if profile.proposals.mode == "boxes" else [],
        [profile.crop, profile.dino_image_size, profile.depth_image_size, vars(profile.proposals)],
    ]


def _maker(extractor: Extractor) -> Make:
    def make(images: dict[int, Image.Image]) -> list[CacheEntry]:
        table, proposals = extractor(list(images.values()))
        counts = [len(one.scores) for one in proposals]
        of_image = zip(*(column.split(counts) for column in table.values()))
        sizes = [(image.height, image.width) for image in images.values()]
        rles = [[encode_rle(at_size(mask, *size).numpy()) for mask in one.masks] for one, size in zip(proposals, sizes)]
        return [(dict(zip(table, columns)), {"masks": masks}) for columns, masks in zip(of_image, rles)]

    return make
