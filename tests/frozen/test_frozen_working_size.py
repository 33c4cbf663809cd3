"""Large photographs are worked on as smaller copies; what comes back has the photograph's size."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from wsris_lib.frozen.working_size import PIXELS, SIDE, at_once, at_size, overlaps, shrunk


@pytest.mark.parametrize("size", [(1, 1), (1, 80), (3, 2000), (640, 480), (2048, 2048)])
def test_what_every_corpus_holds_stays_as_it_is(size):
    image = Image.new("RGB", size)
    assert shrunk(image) is image


@pytest.mark.parametrize("size", [(4032, 3024), (3024, 4032), (20000, 300), (70000, 20), (1, 65000)])
def test_a_large_photograph_keeps_its_shape(size):
    small = shrunk(Image.new("L", size))
    assert small.width * small.height <= 1.01 * PIXELS and max(small.size) <= SIDE and min(small.size) >= 1
    assert small.width / small.height == pytest.approx(size[0] / size[1], rel=0.01) or min(small.size) == 1


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 9), st.integers(0, 9))
def test_a_mask_that_is_enlarged_stays_and_a_mask_of_its_size_is_itself(h, w, more, wider):
    mask = torch.zeros(h, w, dtype=torch.bool)
    mask[h // 2, w // 2] = True
    assert at_size(mask, h, w) is mask
    large = at_size(mask, h + more, w + wider)
    assert large.shape == (h + more, w + wider) and large.any() and large.dtype == torch.bool


def test_overlaps_are_counted_exactly_whatever_is_done_at_once(monkeypatch):
    masks = torch.from_numpy(np.random.default_rng(0).random((5, 40, 30)) > 0.4)
    flat = masks.flatten(1).long()
    assert (overlaps(masks) == flat @ flat.T).all()
    monkeypatch.setattr("wsris_lib.frozen.working_size.FLOATS", 100)
    assert at_once(7) == 14 and at_once(0) == 100 and at_once(1000) == 1
    assert (overlaps(masks) == flat @ flat.T).all()
