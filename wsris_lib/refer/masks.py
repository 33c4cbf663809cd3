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
    `legacy_eq1=True` does that. Polygons of fewer than three points beside good ones count for nothing.

    Raises ValueError that says what is wrong with `segmentation`. The mask may be empty; the caller judges that.
    """
    parts: Any = [segmentation] if isinstance(segmentation, dict) else segmentation
    if not isinstance(parts, list) or not parts:
        raise ValueError(f"segmentation is {segmentation!r:.40}, expected polygons or RLE")
    if all(isinstance(part, int | float) for part in parts):
        raise ValueError(f"segmentation is {segmentation!r:.40}, expected a list of polygons, each a list of numbers")
    if all(isinstance(part, dict) for part in parts):
        for size in (part.get("size") for part in parts):
            if not isinstance(size, list | tuple) or list(size) != [height, width]:  # before memory is taken for it
                here = " x ".join(map(str, size)) if isinstance(size, list | tuple) else f"of size {size!r}"
                raise ValueError(f"RLE is {here:.40}, the image {height} x {width}")
        planes = np.stack([decode_rle(part) for part in parts], axis=-1)  # [H, W, P]
    else:
        good = parts[:1] if len(parts) == degenerate(parts) else [part for part in parts if not _is_degenerate(part)]
        planes = coco.decode(coco.frPyObjects([_polygon(part, height, width) for part in good], height, width))
    covered = planes[..., 0].astype(np.int32)  # [H, W], how many parts cover a pixel
    for part in range(1, planes.shape[-1]):  # one by one: a sum along so short an axis is slow
        covered += planes[..., part]
    inside: NDArray[np.bool_] = covered == 1 if legacy_eq1 else covered > 0
    return inside


def degenerate(segmentation: Any) -> int:
    """How many polygons of a segmentation have fewer than three points; a good one beside them is drawn alone."""
    return sum(map(_is_degenerate, segmentation)) if isinstance(segmentation, list) else 0


def _is_degenerate(part: object) -> bool:
    return isinstance(part, list) and len(part) < 6 and len(part) % 2 == 0


def encode_rle(mask: NDArray[Any]) -> Rle:
    """bool[H, W] -> {"size": [H, W], "counts": str}, COCO's compressed run lengths; ready for JSON."""
    rle = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(n) for n in rle["size"]], "counts": rle["counts"].decode("ascii")}


def decode_rle(rle: Rle) -> NDArray[np.bool_]:
    """COCO run lengths (compressed, or a list of counts) -> bool[H, W]. Raises ValueError if they don't fill H x W."""
    try:
        height, width = map(int, rle["size"])
        counts = rle["counts"]
        runs = np.asarray(counts or [0]) if isinstance(counts, list) else _runs(counts)
    except (KeyError, TypeError, ValueError, UnicodeEncodeError) as why:
        raise ValueError(f"not an RLE ({type(why).__name__}: {why})") from None
    if runs.dtype.kind not in "iu" or runs.ndim != 1 or (runs < 0).any():
        raise ValueError(f"RLE has a run of {_first_bad(runs)}, expected whole numbers of pixels, 0 or more")
    # pycocotools leaves what the counts don't reach as uninitialised memory, so a cut string would decode to noise.
    if (total := int(runs.sum())) != height * width:
        raise ValueError(f"RLE describes {total} pixels, its size is {height} x {width}")
    compressed = coco.frPyObjects(rle, height, width) if isinstance(counts, list) else rle
    mask: NDArray[np.uint8] = coco.decode(compressed)
    return mask.astype(bool)


def _first_bad(runs: NDArray[Any]) -> object:
    """The first run that is no number of pixels, as plain Python."""
    return next((run for run in runs.tolist() if not isinstance(run, int) or run < 0), runs.tolist())


def _polygon(points: object, height: int, width: int) -> list[float]:
    # pycocotools would read four numbers as a box and drop an odd last one, both silently.
    if not isinstance(points, list) or len(points) < 6 or len(points) % 2:
        raise ValueError(f"polygon is {points!r:.40}, expected a list of 3 or more x, y pairs")
    if not all(isinstance(number, int | float) for number in points):
        raise ValueError(f"polygon is {points!r:.40}, expected numbers in one flat list, [x0, y0, x1, y1, ...]")
    try:
        corners = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    except OverflowError:  # a whole number of more than 300 digits
        corners = np.full((1, 2), np.inf)
    if not np.isfinite(corners).all():
        raise ValueError("polygon has a coordinate that is not a finite number")
    # It draws every pixel of an outline, those outside, too.
    if (np.abs(corners - [width / 2, height / 2]) > 1.5 * np.array([width, height])).any():
        raise ValueError(f"polygon goes further beyond the image, {height} x {width}, than the image is large")
    return points


def _runs(counts: str | bytes) -> NDArray[np.int64]:
    """The runs of a compressed RLE: 5-bit groups, low first; from the 4th run on, differences to the last but one."""
    text = counts.encode("ascii") if isinstance(counts, str) else counts
    groups = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero((groups & 32) == 0)  # bit 6 says that the number goes on
    if not len(ends) or ends[-1] != len(groups) - 1:
        raise ValueError("counts are empty or cut short")
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > 7:
        raise ValueError("counts have a run of more than 32 bits")
    shifts = 5 * (np.arange(len(groups)) - np.repeat(starts, lengths))
    runs = np.add.reduceat((groups & 31) << shifts, starts)
    runs -= np.where(groups[ends] & 16, 1 << (5 * lengths), 0)  # bit 5 of the last group is the sign
    runs[1::2] = runs[1::2].cumsum()
    runs[2::2] = runs[2::2].cumsum()
    return runs
