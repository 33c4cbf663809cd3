"""The metrics against slow loops, pycocotools and what they must obey."""

from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask

from wsris_lib.baselines import oracle
from wsris_lib.metrics import THRESHOLDS, SampleMetrics, component_boxes, evaluate, measure, peak, subsets, summarise
from wsris_lib.refer.views import AnnotatedSample

masks_9_by_12 = arrays(bool, (9, 12))


def slow_components(mask: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Boxes by flood fill over the eight neighbours."""
    visited = np.zeros_like(mask)
    boxes = []
    for start in zip(*mask.nonzero()):
        if visited[start]:
            continue
        queue = deque([start])
        pixels = []
        visited[start] = True
        while queue:
            y, x = queue.popleft()
            pixels.append((int(y), int(x)))
            for b in range(max(y - 1, 0), min(y + 2, mask.shape[0])):
                for a in range(max(x - 1, 0), min(x + 2, mask.shape[1])):
                    if mask[b, a] and not visited[b, a]:
                        visited[b, a] = True
                        queue.append((b, a))
        ys, xs = zip(*pixels)
        boxes.append((min(xs), min(ys), max(xs), max(ys)))
    return boxes


def slow_measure(soft: np.ndarray, gt: np.ndarray) -> SampleMetrics:
    pixels = [(y, x) for y in range(gt.shape[0]) for x in range(gt.shape[1])]
    mask = {p for p in pixels if soft[p] > 0.5}
    truth = {p for p in pixels if gt[p]}

    def area(box):
        return max(0, box[2] - box[0] + 1) * max(0, box[3] - box[1] + 1)

    def overlap(a, b):
        common = area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))
        return common / (area(a) + area(b) - common)

    ys, xs = zip(*truth)
    box = (min(xs), min(ys), max(xs), max(ys))
    point = None
    if soft.max() > 0:
        ties = {p for p in pixels if soft[p] == soft.max()}

        def reach(p):  # half the side of the largest square around p among the ties
            r = 0
            while all((p[0] + dy, p[1] + dx) in ties for dy in range(-r, r + 1) for dx in range(-r, r + 1)):
                r += 1
            return r

        point = max(sorted(ties), key=reach)
    boxes = slow_components(soft > 0.5)
    return SampleMetrics(
        len(mask & truth),
        len(mask | truth),
        len(mask & truth) / len(mask | truth),
        point in truth,
        point is not None and box[0] <= point[1] <= box[2] and box[1] <= point[0] <= box[3],
        any(overlap(b, box) > 0.5 for b in boxes),
    )


@given(levels=arrays(np.uint8, (9, 12), elements=st.integers(0, 4)), gt=masks_9_by_12.filter(np.any))
@settings(max_examples=150, deadline=None)
def test_measure_is_what_the_definitions_say(levels, gt):
    soft = levels / 4  # few levels, so that maxima tie
    assert measure(soft, gt) == slow_measure(soft, gt)
    assert measure(levels > 2, gt) == slow_measure((levels > 2).astype(float), gt)


@given(a=masks_9_by_12.filter(np.any), b=masks_9_by_12.filter(np.any))
@settings(max_examples=100, deadline=None)
def test_iou_is_pycocotools_and_symmetric(a, b):
    def rle(mask):
        return coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))

    iou = measure(a, b).iou
    assert iou == pytest.approx(coco_mask.iou([rle(a)], [rle(b)], [0]).item())
    assert iou == measure(b, a).iou and 0 <= iou <= 1
    assert (iou == 1) == np.array_equal(a, b)


@given(mask=masks_9_by_12)
@settings(max_examples=60, deadline=None)
def test_component_boxes(mask):
    assert sorted(component_boxes(mask)) == sorted(slow_components(mask))


def test_a_hard_mask_points_at_its_inside():
    mask = np.zeros((40, 60), bool)
    mask[10:31, 20:41] = True
    mask[10, 5:20] = True  # a thin tail, which holds the first pixel
    assert peak(mask) == (20, 30)
    assert peak(np.ones((9, 9), bool)) == (4, 4)  # the image's border is an edge too
    soft = np.zeros((40, 60))
    soft[3, 7] = 0.2  # below the mask's threshold, still the place it points at
    assert peak(soft) == (3, 7)


@pytest.mark.parametrize("dtype", [bool, np.float32])
def test_an_empty_prediction_is_a_miss_even_where_the_object_covers_the_corner(dtype):
    gt = np.zeros((8, 8), bool)
    gt[:4, :4] = True
    assert measure(np.zeros((8, 8), dtype), gt) == SampleMetrics(0, 16, 0.0, False, False, False)


def test_the_box_is_inclusive_and_any_component_may_match_it():
    gt = np.zeros((20, 20), bool)
    gt[4, 4:12] = gt[11, 4:12] = True  # two bars: the corner of the box is on, the middle off
    corner = np.zeros((20, 20))
    corner[11, 11] = 1
    middle = np.zeros((20, 20))
    middle[8, 8] = 1
    outside = np.zeros((20, 20))
    outside[12, 12] = 1
    judged = [measure(soft, gt) for soft in (corner, middle, outside)]
    assert [(m.point_m, m.point_it) for m in judged] == [(True, True), (False, True), (False, False)]

    two = np.zeros((20, 20), bool)
    two[4:12, 4:12] = True
    two[14:20, 0:20] = True  # larger, and wrong
    assert measure(two, gt).box_acc
    two[12:14, 8] = True  # joined: one box around both
    assert not measure(two, gt).box_acc


def test_what_can_not_be_judged_is_refused():
    gt = np.ones((4, 4), bool)
    for soft, message in (
        (np.zeros((4, 5)), r"\(4, 5\).*\(4, 4\)"),
        (np.full((4, 4), -3.0), "sigmoid"),  # logits: dividing by a negative maximum would turn all of it foreground
        (np.full((4, 4), np.nan), "sigmoid"),
    ):
        with pytest.raises(ValueError, match=message):
            measure(soft, gt)
    with pytest.raises(ValueError, match="empty"):
        measure(gt, ~gt)
    with pytest.raises(ValueError, match="no sentence"):
        summarise([])


def judged(intersection: int, union: int) -> SampleMetrics:
    return SampleMetrics(intersection, union, intersection / union, True, True, False)


def test_mean_and_overall_iou_differ():
    row = summarise([judged(10, 10), judged(0, 90)])
    assert (row["mIoU"], row["oIoU"], row["Pr@0.5"], row["sentences"]) == (0.5, 0.1, 0.5, 2)
    assert (row["PointM"], row["PointIt"], row["BoxAcc"]) == (1, 1, 0)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50)), min_size=1, max_size=20))
@settings(max_examples=60, deadline=None)
def test_summaries_stay_in_bounds_and_precision_falls_with_its_threshold(areas):
    row = summarise([judged(min(a, b), max(a, b)) for a, b in areas])
    precision = [row[f"Pr@{t}"] for t in THRESHOLDS]
    assert precision == sorted(precision, reverse=True)
    assert all(0 <= value <= 1 for name, value in row.items() if name != "sentences")
    assert row["Pr@0.5"] == sum(2 * min(a, b) >= max(a, b) for a, b in areas) / len(areas)


def sample(sentence: str, position_dependent: bool | None = None) -> AnnotatedSample:
    return AnnotatedSample(
        1, 2, 3, sentence, ann_id=4, category="mug", box=(0, 0, 1, 1), position_dependent=position_dependent, part=None
    )


def test_every_subset_gets_its_row():
    samples = [sample("red mug on the left", True), sample("the red mug", False), sample("left mug", False)]
    gt = np.zeros((3, 10, 10), bool)
    gt[:, 2:6, 2:6] = True
    soft = gt.astype(np.float32)
    soft[2] = 0
    rows = {row["subset"]: row for row in evaluate(samples, iter(soft), iter(gt))}
    assert {name: row["sentences"] for name, row in rows.items()} == {
        "all": 3,
        "position_dependent": 1,
        "spatial": 2,
        "other": 1,
    }
    assert {name: row["mIoU"] for name, row in rows.items()} == {
        "all": pytest.approx(2 / 3),
        "position_dependent": 1,
        "spatial": 0.5,
        "other": 1,
    }
    assert all(rows["position_dependent"][metric] == 1 for metric in ("oIoU", "BoxAcc", "Pr@0.9"))
    with pytest.raises(ValueError, match="zip"):
        evaluate(samples, soft[:2], gt)


def test_real_data_have_no_position_dependent_subset():
    samples = [sample("left mug"), sample("mug")]
    assert subsets(samples) == {"all": [0, 1], "position_dependent": [], "spatial": [0], "other": [1], "part": []}
    assert [row["subset"] for row in evaluate(samples, np.ones((2, 4, 4)), np.ones((2, 4, 4)))] == [
        "all",
        "spatial",
        "other",
    ]


def test_the_oracle_takes_the_best_proposal():
    rng = np.random.default_rng(0)
    masks = {7: rng.random((5, 16, 16)) > 0.5, 8: np.zeros((0, 16, 16), bool), 9: rng.random((3, 16, 16)) > 0.5}
    image_ids = [9, 7, 8, 7]
    gts = rng.random((4, 16, 16)) > 0.5

    def rle(mask):
        coded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
        return {"size": coded["size"], "counts": coded["counts"].decode()}  # as it is stored in JSON

    chosen = oracle({i: [rle(m) for m in group] for i, group in masks.items()}, image_ids, [rle(m) for m in gts])
    for index, image_id, gt in zip(chosen.tolist(), image_ids, gts):
        ious = [measure(mask, gt).iou for mask in masks[image_id]]
        assert index == (ious.index(max(ious)) if ious else -1)
