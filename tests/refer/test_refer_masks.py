import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from wsris_lib.refer.masks import annotation_mask, decode_rle, encode_rle

masks = st.tuples(st.integers(1, 40), st.integers(1, 40)).flatmap(lambda shape: arrays(bool, shape))


def rectangle(x, y, w, h):
    """A polygon, and the pixels it covers, when the corners are whole numbers."""
    pixels = np.zeros((20, 30), bool)
    pixels[y : y + h, x : x + w] = True
    return [x, y, x + w, y, x + w, y + h, x, y + h], pixels


def runs_of(mask):
    """Lengths of runs down the columns, beginning with one of zeros, the slow way."""
    runs = [0]
    value = False
    for pixel in mask.T.reshape(-1):
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    return runs


def test_a_rectangle_covers_its_pixels():
    polygon, pixels = rectangle(3, 5, 7, 4)
    assert np.array_equal(annotation_mask([polygon], 20, 30), pixels)


def test_overlapping_polygons_are_united_and_the_legacy_rule_loses_exactly_the_overlap():
    one, a = rectangle(3, 5, 10, 8)
    two, b = rectangle(8, 2, 12, 6)
    union = annotation_mask([one, two], 20, 30)
    legacy = annotation_mask([one, two], 20, 30, legacy_eq1=True)
    assert np.array_equal(union, a | b)
    assert np.array_equal(union & ~legacy, a & b) and (a & b).any()
    assert not (legacy & ~union).any()


def test_apart_polygons_are_the_same_under_both_rules():
    one, a = rectangle(0, 0, 4, 4)
    two, b = rectangle(10, 10, 5, 5)
    for legacy in (False, True):
        assert np.array_equal(annotation_mask([one, two], 20, 30, legacy_eq1=legacy), a | b)


def test_a_list_of_rles_is_united_as_in_refclef():
    _, a = rectangle(3, 5, 10, 8)
    _, b = rectangle(8, 2, 12, 6)
    parts = [encode_rle(a), encode_rle(b)]
    assert np.array_equal(annotation_mask(parts, 20, 30), a | b)
    assert np.array_equal(annotation_mask(parts, 20, 30, legacy_eq1=True), a ^ b)
    assert np.array_equal(annotation_mask(parts[0], 20, 30), a)


@settings(max_examples=60, deadline=None)
@given(mask=masks)
def test_run_lengths_go_there_and_back(mask):
    rle = json.loads(json.dumps(encode_rle(mask)))
    assert np.array_equal(decode_rle(rle), mask)
    assert np.array_equal(decode_rle({"size": list(mask.shape), "counts": runs_of(mask)}), mask)


@settings(max_examples=60, deadline=None)
@given(mask=masks, data=st.data())
def test_a_cut_rle_is_refused(mask, data):
    rle = encode_rle(mask)
    cut = data.draw(st.integers(0, len(rle["counts"]) - 1))
    with pytest.raises(ValueError, match=r"RLE|counts"):
        decode_rle({**rle, "counts": rle["counts"][:cut]})


def test_long_runs_take_several_groups():
    mask = np.zeros((480, 640), bool)
    mask[100:400, 37:600] = True
    mask[200:220, 300:310] = False
    assert np.array_equal(decode_rle(encode_rle(mask)), mask)


def test_rle_agrees_with_pycocotools_on_a_bytes_count():
    mask = rectangle(3, 5, 10, 8)[1]
    rle = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert np.array_equal(decode_rle(rle), coco.decode(rle).astype(bool))


def test_a_polygon_between_pixel_centres_gives_an_empty_mask():
    assert not annotation_mask([[1.2, 1.2, 1.3, 1.2, 1.3, 1.3]], 20, 30).any()


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        (None, "expected polygons or RLE"),
        ([], "expected polygons or RLE"),
        ("abc", "expected polygons or RLE"),
        ([[1, 1, 5, 5]], "3 or more x, y pairs"),  # pycocotools takes four numbers for a box
        ([[1, 1, 5, 1, 5, 5, 1]], "3 or more x, y pairs"),
        ([[1, 1, 5, 1, 5, float("nan")]], "finite"),
        ([[1, 1, 5, 1, 5, 10**400]], "finite"),
        ([[1, 1, 5, 1, 5, "x"]], "expected numbers in one flat list"),
        ({"size": [20, 30]}, "counts"),
        ({"size": [20, 30], "counts": [3, 4]}, "describes 7 pixels"),
        ({"size": [20, 30], "counts": "é"}, "not an RLE"),
        ({"size": [2, 3], "counts": [2, 4]}, "2 x 3, the image 20 x 30"),
        ([[1, 1, 5, 1, 5, 5], {"size": [20, 30], "counts": [600]}], "polygon is"),
    ],
)
def test_malformed_segmentations_say_what_is_wrong(segmentation, message):
    with pytest.raises(ValueError, match=message):
        annotation_mask(segmentation, 20, 30)
