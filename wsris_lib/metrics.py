"""All metrics of referring segmentation, always together, at the original resolution.

Definitions after the evaluation code of TRIS (PointM, PointIt, BoxAcc) and LAVT (mIoU, oIoU, Pr@t); where ours differs,
it is said beside it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from wsris_lib.refer.views import AnnotatedSample
from wsris_lib.refer.words import is_spatial

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)  # of Pr@t
EIGHT = np.ones((3, 3), bool)  # pixels that touch at a corner are one component, as in the contours of TRIS's boxes

Box = tuple[int, int, int, int]  # x0, y0, x1, y1: the first and the last pixel, both inside


@dataclass(frozen=True)
class SampleMetrics:
    """One sentence's prediction against its ground truth. Areas in pixels."""

    intersection: int
    union: int
    iou: float  # in [0, 1]
    point_m: bool  # the point lies in the mask
    point_it: bool  # the point lies in the mask's bounding box, edges included
    box_acc: bool  # some box of the prediction has IoU > 0.5 with the mask's bounding box


def measure(soft: ArrayLike, gt: ArrayLike) -> SampleMetrics:
    """Judge a soft mask [H, W] in [0, 1] (or a bool mask) against the ground truth bool [H, W].

    The predicted mask is soft > 0.5, its boxes are those of its 8-connected components, and its point is `peak(soft)`.
    Raises ValueError when the sizes differ, `gt` is empty, or `soft` leaves [0, 1] (logits, NaN).
    """
    soft = np.asarray(soft)
    gt = np.asarray(gt, dtype=bool)
    if soft.shape != gt.shape or gt.ndim != 2:
        raise ValueError(f"prediction is {soft.shape}, ground truth {gt.shape}; bring it to the image's own [H, W]")
    if not gt.any():
        raise ValueError("the ground truth mask is empty; such a ref can't be judged and must be left out")
    if soft.dtype != bool and not (soft.min() >= 0 and soft.max() <= 1 + 1e-4):  # resizing may round 1 up a little
        raise ValueError(f"soft mask spans [{soft.min()}, {soft.max()}], expected [0, 1]; apply the sigmoid first")

    mask = soft if soft.dtype == bool else soft > 0.5
    intersection = int(np.count_nonzero(mask & gt))
    union = int(np.count_nonzero(mask)) + int(np.count_nonzero(gt)) - intersection
    x0, y0, x1, y1 = gt_box = bounding_box(gt)
    point = peak(soft)
    return SampleMetrics(
        intersection,
        union,
        intersection / union,
        point_m=point is not None and bool(gt[point]),
        point_it=point is not None and y0 <= point[0] <= y1 and x0 <= point[1] <= x1,
        box_acc=any(box_iou(box, gt_box) > 0.5 for box in component_boxes(mask)),
    )


def peak(soft: NDArray[Any]) -> tuple[int, int] | None:
    """The arg-max pixel (row, column) of soft [H, W]; None for an all-zero map, which points nowhere.

    Of equal maxima the most interior one is taken, the centre of the largest square that fits among them, so that a
    hard mask points at its own inside and not at its first pixel.
    """
    highest = soft.max()
    if not highest:
        return None
    ties = soft if soft.dtype == bool else soft == highest
    x0, y0, x1, y1 = bounding_box(ties)
    if (x0, y0) == (x1, y1):
        return y0, x0
    crop = np.pad(ties[y0 : y1 + 1, x0 : x1 + 1], 1)
    depth = ndimage.distance_transform_cdt(crop, "chessboard")  # a fifth of the Euclidean transform's time
    row, column = np.unravel_index(depth.argmax(), crop.shape)
    return y0 + int(row) - 1, x0 + int(column) - 1


def bounding_box(mask: NDArray[np.bool_]) -> Box:
    """The box of the true pixels of mask [H, W], of which there must be one."""
    rows = np.flatnonzero(mask.any(1))
    columns = np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])


def component_boxes(mask: NDArray[np.bool_]) -> list[Box]:
    """One box for each 8-connected component of mask [H, W]."""
    labels, _ = ndimage.label(mask, EIGHT)
    return [(x.start, y.start, x.stop - 1, y.stop - 1) for y, x in ndimage.find_objects(labels)]


def box_iou(a: Box, b: Box) -> float:
    """IoU of two boxes whose edges are pixels that belong to them."""
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    common = max(width, 0) * max(height, 0)
    area_a, area_b = ((x1 - x0 + 1) * (y1 - y0 + 1) for x0, y0, x1, y1 in (a, b))
    return common / (area_a + area_b - common)


def summarise(measures: Sequence[SampleMetrics]) -> dict[str, float]:
    """Every metric over some sentences, as fractions in [0, 1].

    mIoU is the mean of the sentences' IoU, oIoU (also cIoU) the sum of intersections over the sum of unions, and
    Pr@t the share of sentences with IoU >= t (LAVT's >=). Raises ValueError for no sentence at all.
    """
    if not measures:
        raise ValueError("there is no sentence to summarise")
    iou = np.array([m.iou for m in measures])
    return {
        "sentences": len(measures),
        "mIoU": float(iou.mean()),
        "oIoU": sum(m.intersection for m in measures) / sum(m.union for m in measures),
        **{f"Pr@{t}": float((iou >= t).mean()) for t in THRESHOLDS},
        "PointM": float(np.mean([m.point_m for m in measures])),
        "PointIt": float(np.mean([m.point_it for m in measures])),
        "BoxAcc": float(np.mean([m.box_acc for m in measures])),
    }


def subsets(samples: Sequence[AnnotatedSample]) -> dict[str, list[int]]:
    """Positions in `samples` of five groups; "spatial" and "other" together are "all".

    "position_dependent": only position tells the object from others; "part": what is meant is a part of an object
    (SynRef knows both, real data don't and leave them empty); "spatial": the sentence has a position word; "other": it
    has none.
    """
    spatial = [is_spatial(sample.sentence) for sample in samples]
    return {
        "all": list(range(len(samples))),
        "position_dependent": [i for i, sample in enumerate(samples) if sample.position_dependent],
        "spatial": [i for i, yes in enumerate(spatial) if yes],
        "other": [i for i, yes in enumerate(spatial) if not yes],
        "part": [i for i, sample in enumerate(samples) if sample.part],
    }


def evaluate(
    samples: Sequence[AnnotatedSample], soft_masks: Iterable[ArrayLike], gt_masks: Iterable[ArrayLike]
) -> list[dict[str, float | str]]:
    """One row {"subset", "sentences", "mIoU", ...} for each subset that isn't empty.

    The masks come in the order of `samples` and are taken one at a time, so generators will do.
    """
    measures = [measure(soft, gt) for _, soft, gt in zip(samples, soft_masks, gt_masks, strict=True)]
    return by_subset(samples, measures)


def by_subset(samples: Sequence[AnnotatedSample], measures: Sequence[SampleMetrics]) -> list[dict[str, float | str]]:
    """As `evaluate`, of sentences that are measured already."""
    return [
        {"subset": name, **summarise([measures[i] for i in positions])}
        for name, positions in subsets(samples).items()
        if positions
    ]
