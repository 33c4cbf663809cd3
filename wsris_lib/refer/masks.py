"""From REFER's `segmentation` to a mask, through pycocotools: polygons, run lengths (RLE), or a list of run lengths."""

from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco


class Rle(TypedDict):
    """COCO's run lengths of a mask.

    size: [H, W]. counts: of pixels in turn outside and inside, column by column; compressed to text, or a list.
    """

    size: list[int]
    counts: str | bytes | list[int]


Segmentation = Rle | list[Rle] | list[list[float]]  # REFER's: run lengths, or polygons [x0, y0, x1, y1, ...]


def annotation_mask(
    segmentation: Segmentation | None, height: int, width: int, legacy_eq1: bool = False
) -> NDArray[np.bool_]:
    """Rasterise one object. Returns bool[H, W].

    `segmentation` is a list of polygons [x0, y0, x1, y1, ...] in pixels, one RLE dict (compressed or with a list of
    counts), or a list of RLE dicts (refclef). Several parts are united. REFER's own `getMask` adds the parts up, and
    TRIS and LAVT then keep the pixels equal to 1, which turns any overlap of two parts into background:
    `legacy_eq1=True` does that.

    Raises ValueError that says what is wrong with `segmentation`. The mask may be empty; the caller judges that.
    """
    parts: Any = [segmentation] if isinstance(segmentation, dict) else segmentation
    if not isinstance(parts, list) or not parts:
        raise ValueError(f"segmentation is {segmentation!r:.40}, expected polygons or RLE")
    if all(isinstance(part, dict) for part in parts):
        planes = np.stack([decode_rle(part) for part in parts], axis=-1)  # [H, W, P]
        if planes.shape[:2] != (height, width):
            raise ValueError(f"RLE is {planes.shape[0]} x {planes.shape[1]}, the image {height} x {width}")
    else:
        planes = coco.decode(coco.frPyObjects([_polygon(part) for part in parts], height, width))  # [H, W, P]
    covered = planes.sum(axis=-1, dtype=np.int64)  # [H, W], how many parts cover a pixel
    inside: NDArray[np.bool_] = covered == 1 if legacy_eq1 else covered > 0
    return inside


def encode_rle(mask: NDArray[Any]) -> Rle:
    """bool[H, W] -> {"size": [H, W], "counts": str}, COCO's compressed run lengths; ready for JSON."""
    rle = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(n) for n in rle["size"]], "counts": rle["counts"].decode("ascii")}


def decode_rle(rle: Rle) -> NDArray[np.bool_]:
    """COCO run lengths (compressed, or a list of counts) -> bool[H, W]. Raises ValueError if they don't fill H x W."""
    try:
        height, width = rle["size"]
        counts = rle["counts"]
        total = sum(counts) if isinstance(counts, list) else _total(counts)
    except (KeyError, TypeError, ValueError, UnicodeEncodeError) as why:
        raise ValueError(f"not an RLE ({type(why).__name__}: {why})") from None
    # pycocotools leaves what the counts don't reach as uninitialised memory, so a cut string would decode to noise.
    if total != height * width:
        raise ValueError(f"RLE describes {total} pixels, its size is {height} x {width}")
    compressed = coco.frPyObjects(rle, height, width) if isinstance(counts, list) else rle
    mask: NDArray[np.uint8] = coco.decode(compressed)
    return mask.astype(bool)


def _polygon(points: object) -> list[float]:
    # pycocotools would read four numbers as a box and drop an odd last one, both silently.
    if not isinstance(points, list) or len(points) < 6 or len(points) % 2:
        raise ValueError(f"polygon is {points!r:.40}, expected a list of 3 or more x, y pairs")
    if not np.isfinite(np.asarray(points, dtype=np.float64)).all():
        raise ValueError("polygon has a coordinate that is not a finite number")
    return points


def _total(counts: str | bytes) -> int:
    """Pixels that a compressed RLE describes: 5-bit groups, low first; from the 4th run on, differences to 2 before."""
    text = counts.encode("ascii") if isinstance(counts, str) else counts
    groups = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero((groups & 32) == 0)  # bit 6 says that the number goes on
    if not len(ends) or ends[-1] != len(groups) - 1:
        raise ValueError("counts are empty or cut short")
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    shifts = 5 * (np.arange(len(groups)) - np.repeat(starts, lengths))
    runs = np.add.reduceat((groups & 31) << shifts, starts)
    runs -= np.where(groups[ends] & 16, 1 << (5 * lengths), 0)  # bit 5 of the last group is the sign
    return int(runs[0] + np.cumsum(runs[1::2]).sum() + np.cumsum(runs[2::2]).sum())
