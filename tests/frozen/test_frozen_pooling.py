"""Eq. 2's pooling and geometry against loops over pixels in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wsris_lib.frozen.pooling import cell_geometry, geometry, patch_cells, pool_patches


def blobs(n: int, H: int, W: int, seed: int) -> torch.Tensor:
    """n rectangles with holes, from one pixel to the whole image."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((n, H, W), bool)
    for mask in masks:
        y0, y1 = np.sort(rng.integers(0, H, 2))
        x0, x1 = np.sort(rng.integers(0, W, 2))
        mask[y0 : y1 + 1, x0 : x1 + 1] = rng.random((y1 - y0 + 1, x1 - x0 + 1)) > 0.2
        mask[y0, x0] = True
    return torch.from_numpy(masks)


def slow_cells(mask: np.ndarray, h: int, w: int) -> np.ndarray:
    """Share of each cell that is covered, by counting pixels; for images that the grid divides."""
    a = mask.shape[0] // h
    b = mask.shape[1] // w
    share = np.zeros((h, w))
    for i in range(h):
        for j in range(w):
            share[i, j] = mask[i * a : (i + 1) * a, j * b : (j + 1) * b].sum() / (a * b)
    return share >= 0.5 if (share >= 0.5).any() else share == share.max()


@pytest.mark.parametrize("mode", ["max", "mean"])
@pytest.mark.parametrize("seed", range(3))
def test_pooling_takes_the_cells_of_the_mask_and_nothing_else(mode, seed):
    h = 4
    w = 6
    C = 5
    masks = blobs(8, h * 8, w * 6, seed)
    patches = torch.randn(C, h, w, generator=torch.Generator().manual_seed(seed)) - 3  # mostly negative
    expected = np.empty((len(masks), C))
    for n, mask in enumerate(masks.numpy()):
        cells = slow_cells(mask, h, w)
        for c in range(C):
            inside = [float(patches[c, i, j]) for i in range(h) for j in range(w) if cells[i, j]]
            expected[n, c] = max(inside) if mode == "max" else sum(inside) / len(inside)
    np.testing.assert_allclose(pool_patches(patches, masks, mode), expected, rtol=1e-5)


def test_max_pooling_of_negative_features_stays_negative():
    """Multiplying by the mask, as "apply the mask to the map" can be read, would give 0."""
    patches = torch.full((3, 4, 4), -2.0)
    mask = torch.zeros(1, 32, 32, dtype=torch.bool)
    mask[0, :16] = True
    assert (pool_patches(patches, mask) == -2).all()
    assert ((patches * patch_cells(mask, 4, 4)).amax((1, 2)) == 0).all()


@given(y=st.integers(0, 36), x=st.integers(0, 40))
@settings(max_examples=40, deadline=None)
def test_a_pixel_that_vanishes_at_patch_scale_gets_its_own_cell(y, x):
    h = 4
    w = 5
    H = 37  # the grid doesn't divide the image
    W = 41
    mask = torch.zeros(1, H, W, dtype=torch.bool)
    mask[0, y, x] = True
    cells = patch_cells(mask, h, w)[0]
    assert cells[int((y + 0.5) / H * h), int((x + 0.5) / W * w)]
    assert cells.sum() <= 4  # more than one only where cells share the pixel


def test_a_thin_ring_gets_cells_on_the_ring_and_not_its_hollow_middle():
    yy, xx = np.mgrid[:64, :64] - 31.5
    radius = np.hypot(yy, xx)
    ring = torch.from_numpy((radius > 20) & (radius < 22))[None]
    cells = patch_cells(ring, 8, 8)[0]
    assert cells.any() and not cells[3:5, 3:5].any()


def test_geometry_is_the_centroid_and_the_mean_inverse_depth():
    masks = blobs(6, 30, 47, seed=1)
    depth = torch.rand(30, 47, generator=torch.Generator().manual_seed(2))
    expected = []
    for mask in masks.numpy():
        pixels = [(i, j) for i in range(30) for j in range(47) if mask[i, j]]
        expected.append(
            (
                sum((j + 0.5) / 47 for _, j in pixels) / len(pixels),
                sum((i + 0.5) / 30 for i, _ in pixels) / len(pixels),
                sum(float(depth[i, j]) for i, j in pixels) / len(pixels),
            )
        )
    np.testing.assert_allclose(geometry(masks, depth), expected, rtol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_eq_2_as_printed_counts_cells_of_the_downsampled_mask(seed):
    grid = 6
    masks = blobs(7, grid * 5, grid * 8, seed)
    near = torch.rand(7, generator=torch.Generator().manual_seed(seed))
    expected = []
    for mask, z in zip(masks.numpy(), near.tolist()):
        down = slow_cells(mask, grid, grid)
        cells = [(h, w) for h in range(grid) for w in range(grid) if down[h, w]]
        x, y = (sum(cell[axis] for cell in cells) / len(cells) for axis in (1, 0))  # in indices
        expected.append((x / (grid - 1), y / (grid - 1), z))
    np.testing.assert_allclose(cell_geometry(masks, near, grid), expected, rtol=1e-5)
    whole = cell_geometry(torch.ones(1, 30, 48, dtype=torch.bool), torch.ones(1), grid)
    assert whole.tolist() == [[0.5, 0.5, 1.0]]  # the middle of 0 to 5, and the nearest there is
    assert cell_geometry(masks, near, 1)[:, :2].abs().max() == 0
    assert cell_geometry(masks[:0], near[:0], grid).shape == (0, 3)


@given(seed=st.integers(0, 2**16), H=st.integers(1, 40), W=st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_geometry_is_inside_the_image_and_mirrors_with_it(seed, H, W):
    masks = blobs(3, H, W, seed)
    depth = torch.rand(H, W, generator=torch.Generator().manual_seed(seed))
    place = geometry(masks, depth)
    assert ((place[:, :2] > 0) & (place[:, :2] < 1)).all() and ((place[:, 2] >= 0) & (place[:, 2] <= 1)).all()
    mirrored = geometry(masks.flip(2), depth.flip(1))
    torch.testing.assert_close(mirrored[:, 0], 1 - place[:, 0])
    torch.testing.assert_close(mirrored[:, 1:], place[:, 1:])


def test_no_proposals_is_no_rows_and_bad_input_says_what_is_wrong():
    none = torch.zeros(0, 16, 16, dtype=torch.bool)
    assert pool_patches(torch.randn(5, 4, 4), none).shape == (0, 5)
    assert geometry(none, torch.rand(16, 16)).shape == (0, 3)
    masks = torch.ones(2, 16, 16, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"\(16, 16\).*\(8, 8\)"):
        geometry(masks, torch.rand(8, 8))
    with pytest.raises(ValueError, match="sum"):
        pool_patches(torch.randn(5, 4, 4), masks, "sum")
    masks[1] = False
    with pytest.raises(ValueError, match=r"masks \[1\] of 2 are empty"):
        pool_patches(torch.randn(5, 4, 4), masks)
