"""Gaussian filters over millions of pairs of pixels, and the mean field of a dense CRF, from numpy and scipy alone.

A kernel k(i, j) = exp(-|f_i - f_j|^2 / 2) between all pairs of N points would cost N^2. On the permutohedral lattice it
costs about N: every point hands its value to the d + 1 corners of the simplex around it (splat), the corners blur
among each other along d + 1 directions, and every point collects from its corners (slice). Each step is one sparse
matrix here. Adams, Baek and Davis, "Fast High-Dimensional Filtering Using the Permutohedral Lattice" (Eurographics
2010); the CRF is Krähenbühl and Koltun's, "Efficient Inference in Fully Connected CRFs" (NIPS 2011).

Scales, roundings and normalisation are those of Krähenbühl's program, which pydensecrf wraps.
"""

import numpy as np
from scipy import sparse


class Lattice:
    """The filter of N points with d features each, a Gaussian of standard deviation 1 in every feature.

    It approximates: one pair's kernel is off by up to .17 of the peak (2 features; .31 with 5), but a point's sum and
    variance over all pairs by 1 or 2 % only. All kernels share a factor (.88 with 2 features, .71 with 5), which the
    CRF's normalisation takes out again.

    Args:
        features: float [N, d], already divided by the standard deviations. Raises ValueError where they spread over
            more lattice corners than an index can number; larger standard deviations mend that.

    `splat` is [M, N] for M corners, `blurs` holds d + 1 matrices [M, M], `slice` is [N, M].
    """

    def __init__(self, features: np.ndarray) -> None:
        corners, weights = simplices(np.asarray(features, np.float32))
        N, d = features.shape
        # One number per corner, so that finding a neighbour is a search in a sorted list. Blurring looks d further.
        low = corners.min((0, 1)) - d
        span = corners.max((0, 1)) - low + d + 1
        if np.prod(span.astype(float)) >= 2**63:
            raise ValueError(f"the features spread over {span.tolist()} steps: too many; raise the standard deviations")
        place = np.concatenate([np.cumprod(span[:0:-1])[::-1], [1]])  # of each coordinate's step, [d]
        keys, at = np.unique((corners - low) @ place, return_inverse=True)  # [M], [N, d + 1]
        starts = np.arange(0, at.size + 1, d + 1)
        # A constant of Adams's program, part of the factor that the normalisation takes out. Here it costs nothing.
        alpha = np.float32(1 / (1 + 2.0**-d))
        self.slice = sparse.csr_array((alpha * weights.ravel(), at.ravel(), starts), shape=(N, len(keys)))
        self.splat = sparse.csr_array((weights.ravel(), at.ravel(), starts), shape=(N, len(keys))).T.tocsr()
        # A neighbour in direction j lies d up in coordinate j and 1 down in all others; the last coordinate is implied.
        steps = (d + 1) * np.eye(d + 1, d, dtype=np.int64) - 1
        self.blurs = [_blur(keys, step) for step in steps @ place]

    def filter(self, values: np.ndarray) -> np.ndarray:
        """float32 [N, K] -> [N, K]: about sum_j k(i, j) values_j for every point i, itself included."""
        values = self.splat @ values
        for blur in self.blurs:
            values = blur @ values
        return self.slice @ values


def simplices(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each point lies: features float32 [N, d] -> the corners around it, int64 [N, d + 1, d] (the first d of
    their d + 1 coordinates, which add up to 0), and its barycentric weights, float32 [N, d + 1], which add up to 1.

    In float32 and with the ties of Krähenbühl's program: pixels lie on a grid, so many points lie on a border between
    simplices, and which of them is taken decides which corners there are.
    """
    N, d = features.shape
    # Adams p. 5: onto the plane in d + 1 dimensions where coordinates add up to 0. Splat, blur and slice together have
    # the variance 2 (d + 1)^2 / 3 there (p. 6), so features of deviation 1 are stretched to that.
    stretch = np.float32(np.sqrt(2 / 3) * (d + 1)) / np.sqrt(np.arange(1, d + 1) * np.arange(2, d + 2))
    scaled = features * stretch.astype(np.float32)
    lifted = np.zeros((N, d + 1), np.float32)
    total = np.zeros(N, np.float32)
    for j in range(d, 0, -1):
        lifted[:, j] = total - j * scaled[:, j - 1]
        total += scaled[:, j - 1]
    lifted[:, 0] = total
    # The nearest point whose coordinates are all multiples of d + 1. Rounded one by one they may not add up to 0; then
    # those with the largest rounding errors go one multiple up or down.
    down = np.float32(1 / (d + 1))
    whole = np.rint(lifted * down)
    nearest = whole * (d + 1)
    # Stable: with the ties the other way round, single marginals differed by up to 1 from the program's.
    order = np.argsort(nearest - lifted, axis=1, kind="stable")
    rank = np.empty((N, d + 1), np.int64)  # 0 for the coordinate that was rounded down the most
    np.put_along_axis(rank, order, np.arange(d + 1)[None], axis=1)
    rank += whole.sum(1, keepdims=True).astype(np.int64)
    wrap = (d + 1) * ((rank < 0).astype(np.int64) - (rank > d))
    rank += wrap
    nearest += wrap.astype(np.float32)
    # Barycentric weights: differences of consecutive rounding errors in the order of their ranks (Adams p. 10).
    error = np.empty((N, d + 1), np.float32)
    np.put_along_axis(error, rank, (lifted - nearest) * down, axis=1)
    weights = np.empty((N, d + 1), np.float32)
    weights[:, 1:] = error[:, d - 1 :: -1] - error[:, :0:-1]
    weights[:, 0] = error[:, d] + (1 - error[:, 0])
    # Corner r is `nearest` with r added where the rank is at most d - r, and r - (d + 1) elsewhere.
    r = np.arange(d + 1)
    canonical = np.where(r[None] <= d - r[:, None], r[:, None], r[:, None] - (d + 1))  # [corner, rank]
    corners = nearest[:, None, :d].astype(np.int64) + canonical.T[rank[:, :d]].transpose(0, 2, 1)
    return corners, weights


def _blur(keys: np.ndarray, step: int) -> sparse.csr_array:
    """[M, M]: every corner keeps its value and gets half of each neighbour's; corners that no point has don't exist."""
    at = np.minimum(np.searchsorted(keys, keys + step), len(keys) - 1)
    here = np.flatnonzero(keys[at] == keys + step)
    rows = np.concatenate([np.arange(len(keys)), here, at[here]])
    columns = np.concatenate([np.arange(len(keys)), at[here], here])
    shares = np.full(len(rows), 0.5, np.float32)
    shares[: len(keys)] = 1
    return sparse.csr_array((shares, (rows, columns)), shape=(len(keys), len(keys)))


def mean_field(unary: np.ndarray, kernels: list[tuple[float, Lattice]], iterations: int) -> np.ndarray:
    """Marginals of a dense CRF in which different labels of near points cost their kernel's weight (Potts).

    Q <- softmax(-U + sum_k w_k D_k K_k D_k Q), begun at softmax(-U). D_k makes every point's kernel weigh alike:
    1 / sqrt of the sum of its row of K_k.

    Args:
        unary: float32 [N, L], negative log probabilities. kernels: (weight, lattice of N points) each.

    Returns float32 [N, L], rows that add up to 1.
    """
    ones = np.ones((len(unary), 1), np.float32)
    norms = [1 / np.sqrt(lattice.filter(ones) + np.float32(1e-20)) for _, lattice in kernels]
    Q = _softmax(-unary)
    for _ in range(iterations):
        energy = -unary
        for (weight, lattice), norm in zip(kernels, norms):
            energy = energy + np.float32(weight) * (norm * lattice.filter(norm * Q))
        Q = _softmax(energy)
    return Q


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)
