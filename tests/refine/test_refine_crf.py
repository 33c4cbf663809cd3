"""The permutohedral lattice, the dense CRF on it and on pydensecrf, and the labels made with them."""

import math
import sys
import warnings
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from wsris_lib.config.profiles import PROFILES
from wsris_lib.refine import crf
from wsris_lib.refine.lattice import Lattice, mean_field, simplices

TINY = PROFILES["tiny"].refine
PAPER = PROFILES["paper"].refine
WHY = "pydensecrf isn't built here: pip install 'wsris[crf]' with a C++ compiler"


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def clouds(height: int, width: int, seed: int, softness: float = 4) -> np.ndarray:
    """float [H, W, 3] in [0, 1]."""
    field = gaussian_filter(rng(seed).normal(size=(height, width, 3)), (softness, softness, 0))
    return (field - field.min()) / (field.max() - field.min())


def picture(kind: str, height: int, width: int) -> np.ndarray:
    if kind == "noise":
        return rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    if kind == "clouds":
        return (255 * clouds(height, width, 1)).astype(np.uint8)
    blocks = rng(1).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    return blocks.repeat(8, 0).repeat(8, 1)[:height, :width]


def disc(size: int, y: float, x: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size]
    return (rows - y) ** 2 + (columns - x) ** 2 < radius**2


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return (a & b).sum() / (a | b).sum()


# -- the lattice ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [1, 2, 5])
def test_every_point_lies_in_its_simplex(d):
    """The corners are those of one cell of the lattice, and their weighted mean is the point, stretched."""
    f = rng(d).normal(scale=3, size=(200, d)).astype(np.float32)
    corners, weights = simplices(f)
    full = np.concatenate([corners, -corners.sum(2, keepdims=True)], axis=2)  # [N, corner, d + 1]
    assert (full % (d + 1) == np.arange(d + 1)[None, :, None]).all()  # corner r: r mod d + 1 everywhere
    assert (np.abs(full[:, :, None] - full[:, None]).max(-1) <= d).all()  # of one cell
    assert weights.min() > -1e-5
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)
    lifted = (weights[..., None] * full).sum(1)
    stretched = math.sqrt(2 / 3) * (d + 1) * np.linalg.norm(f[:, None] - f[None], axis=2)
    np.testing.assert_allclose(np.linalg.norm(lifted[:, None] - lifted[None], axis=2), stretched, atol=1e-3)


def filtered(f: np.ndarray, values: np.ndarray) -> np.ndarray:
    return Lattice(f).filter(torch.from_numpy(values)).numpy()


def slow_filter(f: np.ndarray, values: np.ndarray) -> list[float]:
    """Splat, blur and slice with a dictionary of corners, one value a point."""
    d = f.shape[1]
    corners, weights = simplices(f)
    full = [[(*map(int, c), -int(sum(c))) for c in point] for point in corners]
    held = defaultdict(float)
    for point, shares, value in zip(full, weights, values):
        for corner, share in zip(point, shares):
            held[corner] += float(share) * float(value)
    for j in range(d + 1):
        step = [d if i == j else -1 for i in range(d + 1)]
        up = {c: tuple(a + b for a, b in zip(c, step)) for c in held}
        down = {c: tuple(a - b for a, b in zip(c, step)) for c in held}
        held = {c: held[c] + (held.get(up[c], 0) + held.get(down[c], 0)) / 2 for c in held}
    return [
        sum(float(s) * held[c] for c, s in zip(point, shares)) / (1 + 2**-d) for point, shares in zip(full, weights)
    ]


@pytest.mark.parametrize("d", [2, 3, 5])
def test_sparse_matrices_do_what_a_dictionary_does(d):
    f = rng(d).normal(size=(60, d)).astype(np.float32)
    values = rng(9).random((60, 2)).astype(np.float32)
    fast = filtered(f, values)
    for k in range(2):
        np.testing.assert_allclose(fast[:, k], slow_filter(f, values[:, k]), rtol=1e-5)


@pytest.mark.parametrize(("d", "n", "spacing"), [(2, 41, 0.2), (3, 19, 0.45)])
def test_the_filter_is_about_a_gaussian(d, n, spacing):
    """Against the direct sum: width and sum to some per cent, single pairs loosely."""
    line = (np.arange(n) - n // 2) * spacing
    f = np.stack(np.meshgrid(*[line] * d), -1).reshape(-1, d)
    f = f + rng().uniform(-0.5, 0.5, f.shape) * spacing
    inner = np.argsort((f**2).sum(1))[:30]
    ones = np.zeros((len(f), 30), np.float32)
    ones[inner, range(30)] = 1
    kernel = filtered(f.astype(np.float32), ones)  # [N, 30], a column for each inner point
    squares = ((f[:, None] - f[None, inner]) ** 2).sum(-1)
    gauss = np.exp(-squares / 2)
    factor = 2 ** (d + 1) / (1 + 2**-d) * (3 / 2) ** (d / 2) / math.sqrt(d + 1) / (2 * math.pi) ** (d / 2)
    np.testing.assert_allclose(kernel.sum(0) / gauss.sum(0), factor, rtol=0.02)
    assert (kernel * squares).sum() / kernel.sum() == pytest.approx(d, rel=0.03)
    assert np.abs(kernel / factor - gauss).max() < 0.3


def test_features_that_spread_too_far_are_refused():
    with pytest.raises(ValueError, match="raise the standard deviations"):
        Lattice(1e5 * rng().random((10, 5)))


def test_mean_field_against_loops():
    """Of two labels each, several at once; Q is written out, as Krähenbühl's program has it."""
    f = rng().normal(size=(25, 2)).astype(np.float32)
    unaries = rng(1).random((3, 25, 2)).astype(np.float32)
    kernels = [(0.7, Lattice(f)), (1.5, Lattice(2 * f))]
    dense = [(w, lattice.filter(torch.eye(25)).double().numpy()) for w, lattice in kernels]  # [i, j]
    marginals = mean_field((unaries[..., 0] - unaries[..., 1]).T, kernels, 4)
    assert marginals.shape == (25, 3) and marginals.dtype == np.float32
    for U, ours in zip(unaries, marginals.T):
        Q = [[math.exp(-u) / sum(math.exp(-v) for v in row) for u in row] for row in U]
        for _ in range(4):
            new = []
            for i in range(25):
                energy = [-float(U[i, c]) for c in range(2)]
                for w, K in dense:
                    sums = [sum(row) for row in K]
                    for c in range(2):
                        energy[c] += w * sum(K[i, j] * Q[j][c] / math.sqrt(sums[i] * sums[j]) for j in range(25))
                new.append([math.exp(e) / sum(math.exp(o) for o in energy) for e in energy])
            Q = new
        np.testing.assert_allclose(ours, [second for _, second in Q], atol=1e-5)


# -- the CRF ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [TINY, PAPER, replace(TINY, iterations=1, near_weight=0.5, far_weight=0.7)])
@pytest.mark.parametrize(("kind", "height", "width"), [("noise", 37, 53), ("clouds", 64, 81), ("blocks", 96, 64)])
def test_the_lattice_is_pydensecrf(kind, height, width, settings):
    pytest.importorskip("pydensecrf.densecrf", reason=WHY)
    image = picture(kind, height, width)
    labels = clouds(height, width, 2, softness=6)[..., 0] > 0.5
    unary = crf.unary_from_labels(labels, settings.certainty)
    unary += rng(3).normal(scale=0.5, size=unary.shape).astype(np.float32)  # else its planes are each other's swap
    published = crf.dense_crf(image, unary, settings, "pydensecrf")
    own = crf.dense_crf(image, unary, settings, "lattice")
    assert published.shape == own.shape == (2, height, width) and own.dtype == np.float32
    assert np.abs(published - own).max() < 1e-3
    assert ((published[1] > published[0]) == (own[1] > own[0])).mean() >= 0.999
    still = crf.dense_crf(image, unary, replace(settings, iterations=0), "lattice")
    assert np.abs(own - still).mean() > 0.01  # the CRF did something


def test_the_order_of_colours_and_axes_is_pydensecrfs():
    """A wrong order would agree on noise that looks alike in all directions: red stripes down, blue ones across."""
    module = pytest.importorskip("pydensecrf.densecrf", reason=WHY)
    image = np.zeros((24, 40, 3), np.uint8)
    image[:, ::4, 0] = 200
    image[::6, :, 2] = 90
    unary = crf.unary_from_labels(disc(40, 12, 20, 8)[:24], 0.7)
    direct = module.DenseCRF2D(40, 24, 2)
    direct.setUnaryEnergy(unary.reshape(2, -1))
    direct.addPairwiseGaussian(sxy=3, compat=1)
    direct.addPairwiseBilateral(sxy=6, srgb=20, rgbim=image, compat=2)
    expected = np.array(direct.inference(3)).reshape(2, 24, 40)
    settings = replace(TINY, near_px=3, near_weight=1, far_px=6, far_colour=20, far_weight=2, iterations=3)
    image.flags.writeable = False  # as a decoder or a memory map gives it
    for backend in crf.BACKENDS:
        np.testing.assert_allclose(crf.dense_crf(image, unary, settings, backend), expected, atol=1e-4)


def test_without_a_step_the_marginals_are_the_unarys():
    image = picture("noise", 9, 7)
    U = rng(1).random((2, 9, 7)).astype(np.float32)
    marginals = crf.dense_crf(image, U, replace(TINY, iterations=0), "lattice")
    np.testing.assert_allclose(marginals, np.exp(-U) / np.exp(-U).sum(0), rtol=1e-5)


def test_the_unary_is_pydensecrfs():
    utils = pytest.importorskip("pydensecrf.utils", reason=WHY)
    labels = rng().random((6, 9)) < 0.4
    expected = utils.unary_from_labels(labels.astype(int), 2, 0.7, zero_unsure=False).reshape(2, 6, 9)
    for classes in (labels, labels.astype(np.uint8)):
        unary = crf.unary_from_labels(classes, 0.7)
        assert unary.dtype == np.float32
        np.testing.assert_allclose(unary, expected, rtol=1e-6)


# -- labels -----------------------------------------------------------------------------------------------------------


def scene(size: int = 64) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A red disc on a noisy green ground, the disc's mask, and a coarse map that is too big and off to one side."""
    thing = disc(size, 30, 34, 14)
    image = np.where(thing[..., None], [200, 40, 40], [60, 150, 70]) + rng(4).normal(scale=3, size=(size, size, 3))
    rows, columns = np.mgrid[:size, :size]
    soft = np.exp(-((rows - 34) ** 2 + (columns - 30) ** 2) / (2 * 11.0**2))
    return np.clip(image, 0, 255).astype(np.uint8), thing, soft / soft.max()


def test_a_coarse_blob_snaps_to_the_object():
    image, thing, soft = scene()
    before = soft > TINY.foreground
    after = crf.crf_mask(image, before, TINY, "lattice")
    assert after.shape == thing.shape and 0 <= after.min() and after.max() <= 1
    assert iou(before, thing) < 0.8
    assert iou(after > 0.5, thing) > 0.97
    grey = np.full_like(image, 128)
    assert iou(crf.crf_mask(grey, before, TINY, "lattice") > 0.5, thing) < 0.9  # it is the colour that tells


@pytest.mark.parametrize("backend", crf.BACKENDS)
def test_several_masks_of_an_image_are_refined_each_on_its_own(backend):
    if backend == "pydensecrf":
        pytest.importorskip("pydensecrf.densecrf", reason=WHY)
    image, thing, soft = scene(40)
    labels = np.stack([soft > 0.3, soft > 0.8, thing])
    together = crf.crf_masks(image, labels, TINY, backend)
    np.testing.assert_array_equal(together, [crf.crf_mask(image, plane, TINY, backend) for plane in labels])
    assert crf.crf_masks(image, labels[:0], TINY, backend).shape == (0, 40, 40)


def test_affinity_labels_before_any_step_are_the_two_thresholds():
    image, _, soft = scene()
    still = replace(TINY, iterations=0)
    labels = crf.affinity_labels(image, soft, still, "lattice")
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, np.where(soft > 0.3, 1, np.where(soft > 0.1, 255, 0)))
    unknown = [
        crf.affinity_labels(image, soft, replace(still, background=at), "lattice") == 255 for at in (0.2, 0.1, 0.02)
    ]
    assert (unknown[0] <= unknown[1]).all() and (unknown[1] <= unknown[2]).all()
    assert unknown[0].sum() < unknown[2].sum()


def test_affinity_labels_are_the_two_cuts_through_the_crf():
    image, thing, soft = scene()
    image[40:, 40:] = [200, 120, 40]  # a second thing that the lower cut alone takes in
    labels = crf.affinity_labels(image, soft, replace(TINY, background=0.05), "lattice")
    assert set(np.unique(labels)) == {0, 1, 255}
    high = crf.crf_mask(image, soft > 0.3, TINY, "lattice") > 0.5
    low = crf.crf_mask(image, soft > 0.05, TINY, "lattice") > 0.5
    np.testing.assert_array_equal(labels == 1, high)
    np.testing.assert_array_equal(labels == 0, ~high & ~low)
    assert iou(labels == 1, thing) > iou(soft > 0.3, thing)


def test_the_object_wins_where_only_the_higher_cut_sees_it(monkeypatch):
    """A CRF can lose a pixel when it is given more of them."""
    marginals = [np.array([[[0.1, 0.9, 0.1]], [[0.9, 0.1, 0.9]]]), np.array([[[0.9, 0.9, 0.2]], [[0.1, 0.1, 0.8]]])]
    monkeypatch.setattr(crf, "_marginals", lambda *_: marginals)
    labels = crf.affinity_labels(np.zeros((1, 3, 3), np.uint8), np.array([[1.0, 0.0, 0.5]]), TINY)
    assert labels.tolist() == [[1, 0, 1]]
    monkeypatch.setattr(crf, "_marginals", lambda *_: marginals[::-1])
    labels = crf.affinity_labels(np.zeros((1, 3, 3), np.uint8), np.array([[1.0, 0.0, 0.5]]), TINY)
    assert labels.tolist() == [[255, 0, 1]]


def test_an_empty_map_is_all_ground():
    image, _, soft = scene(32)
    assert not crf.affinity_labels(image, 0 * soft, TINY, "lattice").any()


def test_both_backends_give_the_same_affinity_labels():
    pytest.importorskip("pydensecrf.densecrf", reason=WHY)
    image, _, soft = scene()
    first, second = (crf.affinity_labels(image, soft, TINY, backend) for backend in crf.BACKENDS)
    assert (first == second).mean() > 0.999


# -- what goes wrong --------------------------------------------------------------------------------------------------


def test_errors_say_what_to_do():
    image, _, soft = scene(16)
    with pytest.raises(ValueError, match=r"lies in \[0.0046, 2\], expected \[0, 1\].*divide by its maximum"):
        crf.affinity_labels(image, 2 * soft, TINY, "lattice")
    with pytest.raises(ValueError, match="divide by its maximum"):
        crf.affinity_labels(image, np.full_like(soft, np.nan), TINY, "lattice")
    with pytest.raises(ValueError, match=r"the map is \(8, 16\).*resize"):
        crf.affinity_labels(image, soft[:8], TINY, "lattice")
    with pytest.raises(ValueError, match="expected uint8"):
        crf.crf_mask(image / 255, soft > 0.3, TINY, "lattice")
    with pytest.raises(ValueError, match=r"the unary is \(2, 8, 16\)"):
        crf.crf_mask(image, soft[:8] > 0.3, TINY, "lattice")
    with pytest.raises(ValueError, match="a plane"):
        crf.unary_from_labels(np.array([[0, 255]]), 0.7)
    with pytest.raises(ValueError, match="certainty is 1"):
        crf.unary_from_labels(np.array([[0, 1]]), 1)
    with pytest.raises(ValueError, match="backend is 'simple'; choose one of lattice, pydensecrf"):
        crf.crf_mask(image, soft > 0.3, TINY, "simple")


MISSING = "raise ModuleNotFoundError(\"No module\", name='pydensecrf')"  # as Python does
BUILT = r"; to build it anew: pip install --force-reinstall --no-deps --no-cache-dir pydensecrf2 \(it needs a C\+\+"


@pytest.mark.parametrize(
    ("source", "named"),
    [
        (
            "raise ValueError('numpy.dtype size changed\\nmore')",
            r"used \(ValueError: numpy.dtype size changed\)" + BUILT,
        ),
        ("raise ImportError('libstdc++.so.6: no version')", r"used \(ImportError: libstdc.*" + BUILT),
        (
            "import eigen_that_is_missing",
            r"used \(ModuleNotFoundError: No module named 'eigen_that_is_missing'\)" + BUILT,
        ),
        (
            "class DenseCRF2D:\n    def __init__(self, *_):\n        raise ValueError('Buffer dtype mismatch')",
            r"used \(ValueError: Buffer dtype mismatch\)" + BUILT,
        ),
        (
            "class DenseCRF2D:\n"
            "    def __init__(self, *_): pass\n"
            "    addPairwiseGaussian = addPairwiseBilateral = setUnaryEnergy = lambda *_, **__: None\n"
            "    inference = lambda *_: [[float('nan')] * 4] * 2",
            r"used \(ValueError: it answers nonsense\)" + BUILT,
        ),
        ("raise SystemExit('usage: ...')", r"used \(SystemExit: usage: ...\)" + BUILT),
        ("", r"used \(AttributeError: .* no attribute 'DenseCRF2D'\)" + BUILT),  # another package of this name
        (MISSING, r'isn\'t installed; to install it: pip install "wsris\[crf\]" \(it needs a C\+\+ compiler\)'),
    ],
)
def test_a_missing_or_broken_pydensecrf_is_refused_and_not_needed(monkeypatch, tmp_path, source, named):
    for name in ("pydensecrf", "pydensecrf.densecrf"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "pydensecrf").mkdir()
    (tmp_path / "pydensecrf" / "__init__.py").touch()
    (tmp_path / "pydensecrf" / "densecrf.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    image, _, soft = scene(16)
    with pytest.raises(ImportError, match=named):
        crf.crf_mask(image, soft > 0.3, TINY, "pydensecrf")
    with warnings.catch_warnings(action="error"):
        crf.crf_mask(image, soft > 0.3, TINY)
    for name in ("pydensecrf", "pydensecrf.densecrf"):
        sys.modules.pop(name, None)
