"""Gaussian filters over millions of pairs of pixels, and the mean field of a dense CRF, without compiled code of ours.

A kernel k(i, j) = exp(-|f_i - f_j|^2 / 2) between all pairs of N points would cost N^2. On the permutohedral lattice it
costs about N: every point hands its value to the d + 1 corners of the simplex around it (splat), the corners blur
among each other along d + 1 directions, and every point collects from its corners (slice). Each step is one sparse
matrix here. Adams, Baek and Davis, "Fast High-Dimensional Filtering Using the Permutohedral Lattice" (Eurographics
2010); the CRF is Krähenbühl and Koltun's, "Efficient Inference in Fully Connected CRFs" (NIPS 2011).

The lattice belongs to the image, so all masks of an image go through it side by side, as columns.

Scales, roundings and normalisation are those of Krähenbühl's program, which pydensecrf wraps.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

Floats = NDArray[np.float32]
Integers = NDArray[Any]


class Lattice:
    """The filter of N points with d features each, a Gaussian of standard deviation 1 in every feature.

    It approximates: one pair's kernel is off by up to .17 of the peak (2 features; .31 with 5), but a point's sum and
    variance over all pairs by 1 or 2 % only. All kernels share a factor (.88 with 2 features, .71 with 5), which the
    CRF's normalisation takes out again.

    Args:
        features: float [N, d], already divided by the standard deviations. Raises ValueError where they spread over
            more lattice corners than an index can number; larger standard deviations mend that.

    Its matrices, for M corners: splat [M, N], d + 1 blurs [M, M], slice [N, M].
    """

    def __init__(self, features: Floats) -> None:
        corners, weights = simplices(np.asarray(features, np.float32))
        N, d = features.shape
        planes = corners.transpose(1, 2, 0)  # [d + 1, d, N], contiguous
        # One number per corner, so that finding a neighbour is a search in a sorted list. Blurring looks d further.
        low = planes.min(2).min(0).astype(np.int64) - d
        span = planes.max(2).max(0) - low + d + 1
        if np.prod(span.astype(float)) >= 2**63:
            raise ValueError(f"the features spread over {span.tolist()} steps: too many; raise the standard deviations")
        place = np.concatenate([np.cumprod(span[:0:-1])[::-1], [1]])  # of each coordinate's step, [d]
        numbers = np.empty((N, d + 1), np.int64)
        for corner, plane in enumerate(planes):
            numbers[:, corner] = (place[:, None] * (plane - low[:, None])).sum(0)
        unique, inverse = torch.unique(torch.from_numpy(numbers.ravel()), return_inverse=True)  # thrice numpy's speed
        keys = unique.numpy()  # [M]
        at = inverse.numpy().astype(np.int32)  # [N * (d + 1)]
        starts = np.arange(0, at.size + 1, d + 1, dtype=np.int32)
        shape = (N, len(keys))
        splat = sparse.csr_array((weights.ravel(), at, starts), shape=shape).T.tocsr()
        # A neighbour in direction j lies d up in coordinate j and 1 down in all others; the last coordinate is implied.
        steps = ((d + 1) * np.eye(d + 1, d, dtype=np.int64) - 1) @ place
        # A constant of Adams's program, part of the factor that the normalisation takes out. Here it costs nothing.
        slicing = np.float32(1 / (1 + 2.0**-d)) * weights.ravel()
        with quiet_csr():
            blurs = [_blur(keys, int(step)) for step in steps]
            first = csr(splat.indptr, splat.indices, splat.data, shape[::-1])
            self._passes = [first, *blurs, csr(starts, at, slicing, shape)]
            # Every point's kernel shall weigh alike: divided by the root of its row's sum, before and after.
            norm = (self.filter(torch.ones(N, 1)) + 1e-20).rsqrt().numpy()[:, 0]
            first = csr(splat.indptr, splat.indices, splat.data * norm[splat.indices], shape[::-1])
            self._normalised = [first, *blurs, csr(starts, at, slicing * norm.repeat(d + 1), shape)]

    def filter(self, values: Tensor) -> Tensor:
        """float32 [N, K] -> [N, K]: about sum_j k(i, j) values_j for every point i, itself included."""
        for matrix in self._passes:
            values = matrix @ values
        return values

    def add_normalised(self, base: Tensor, values: Tensor, weight: float) -> Tensor:
        """base + weight D K D values, all float32 [N, K]: K is the filter, D holds 1 / sqrt of each row's sum."""
        for matrix in self._normalised[:-1]:
            values = matrix @ values
        return torch.addmm(base, self._normalised[-1], values, alpha=weight)


def simplices(features: Floats) -> tuple[Integers, Floats]:
    """Where each point lies: features float32 [N, d] -> the corners around it, int32 [N, d + 1, d] (the first d of
    their d + 1 coordinates, which add up to 0), and its barycentric weights, float32 [N, d + 1], which add up to 1.

    In float32 and with the ties of Krähenbühl's program: pixels lie on a grid, so many points lie on a border between
    simplices, and which of them is taken decides which corners there are. The corners' memory is that of [d + 1, d, N].
    """
    N, d = features.shape
    # Adams p. 5: onto the plane in d + 1 dimensions where coordinates add up to 0. Splat, blur and slice together have
    # the variance 2 (d + 1)^2 / 3 there (p. 6), so features of deviation 1 are stretched to that.
    stretch = np.float32(np.sqrt(2 / 3) * (d + 1)) / np.sqrt(np.arange(1, d + 1) * np.arange(2, d + 2))
    scaled = np.ascontiguousarray((features * stretch.astype(np.float32)).T)  # [d, N]
    lifted = np.empty((d + 1, N), np.float32)
    total = np.zeros(N, np.float32)
    for j in range(d, 0, -1):
        lifted[j] = total - j * scaled[j - 1]
        total += scaled[j - 1]
    lifted[0] = total
    # The nearest point whose coordinates are all multiples of d + 1. Rounded one by one they may not add up to 0; then
    # those with the largest rounding errors go one multiple up or down.
    down = np.float32(1 / (d + 1))
    whole = np.rint(lifted * down)
    nearest = whole * (d + 1)
    # 0 for the coordinate that was rounded down the most. Of equals the first is first: with the ties the other way
    # round, single marginals differed by up to 1 from the program's.
    over = nearest - lifted
    rank = np.zeros((d + 1, N), np.int8)
    for i in range(d + 1):
        for j in range(i):
            first = over[j] <= over[i]
            rank[i] += first
            rank[j] += ~first
    rank += whole.sum(0).astype(np.int8)
    wrap = (d + 1) * ((rank < 0).astype(np.int8) - (rank > d))
    rank += wrap
    nearest += wrap.astype(np.float32)
    # Barycentric weights: differences of consecutive rounding errors in the order of their ranks (Adams p. 10).
    error = np.empty((d + 1, N), np.float32)
    for j in range(d + 1):
        error[rank[j], np.arange(N)] = (lifted[j] - nearest[j]) * down
    weights = np.empty((N, d + 1), np.float32)
    weights[:, 1:] = (error[d - 1 :: -1] - error[:0:-1]).T
    weights[:, 0] = error[d] + (1 - error[0])
    # Corner r is `nearest` with r added where the rank is at most d - r, and r - (d + 1) elsewhere.
    corners = np.empty((d + 1, d, N), np.int32)
    for r in range(d + 1):
        corners[r] = nearest[:d] + (r - (d + 1) * (rank[:d] > d - r))
    return corners.transpose(2, 0, 1), weights


def _blur(keys: Integers, step: int) -> Tensor:
    """[M, M]: every corner keeps its value and gets half of each neighbour's; corners that no point has don't exist."""
    M = len(keys)
    up = np.minimum(np.searchsorted(keys, keys + step), M - 1)
    here = np.flatnonzero(keys[up] == keys + step)
    there = up[here]
    low, high = (here, there) if step > 0 else (there, here)  # each pair, as the sorted keys have it
    own = np.zeros(M, np.int32)  # where in its row each corner stands itself: after the lower neighbour, if it has one
    own[high] = 1
    width = own + 1
    width[low] += 1
    starts = np.concatenate([[0], width.cumsum()]).astype(np.int32)
    own += starts[:-1]
    columns = np.empty(starts[-1], np.int32)
    columns[own] = np.arange(M)
    columns[own[low] + 1] = high
    columns[own[high] - 1] = low
    shares = np.full(len(columns), 0.5, np.float32)
    shares[own] = 1
    return csr(starts, columns, shares, (M, M))


def csr(starts: Integers, columns: Integers, values: NDArray[Any], shape: tuple[int, int]) -> Tensor:
    """A sparse matrix as torch has it, by rows: its product with a few columns takes half of scipy's time."""
    crow, col, own = (torch.from_numpy(part) for part in (starts, columns, values))
    return torch.sparse_csr_tensor(crow, col, own, size=shape, check_invariants=False)


@contextmanager
def quiet_csr() -> Iterator[None]:
    """torch calls its sparse matrices a beta, at the first of them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR")
        yield


def mean_field(bias: Floats, kernels: list[tuple[float, Lattice]], iterations: int) -> Floats:
    """The second label's marginals in S dense CRFs of two labels, which are N points that all share their kernels.

    Q <- softmax(-U + sum_k w_k D_k K_k D_k Q), begun at softmax(-U): different labels of near points cost their
    kernel's weight (Potts). D_k makes every point's kernel weigh alike: 1 / sqrt of the sum of its row of K_k. Of two
    labels only the difference counts: with x = U_0 - U_1 and q = Q_1 - Q_0 that is q <- tanh(half of
    (x + sum_k w_k D_k K_k D_k q)), one column for each CRF.

    Args:
        bias: float32 [N, S], the first label's negative log probability less the second's.
        kernels: (weight, lattice of N points) each.

    Returns float32 [N, S] in [0, 1].
    """
    half = torch.from_numpy(np.ascontiguousarray(bias)) / 2
    energy = half
    for _ in range(iterations):
        q = energy.tanh()
        energy = half
        for weight, lattice in kernels:
            energy = lattice.add_normalised(energy, q, weight / 2)
    return (2 * energy).sigmoid().numpy()
