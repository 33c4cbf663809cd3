"""The random walk that carries a response over an object and stops at its edge (IRNet, after AffinityNet).

The published code squares the dense transition matrix: at 120 x 160 cells 1.5 GB and 113 TFLOP an image. Here the map
is multiplied by the sparse matrix again and again, which is the same product in another order, x ((T T) ...) =
((x T) T) ..., and takes a second on one core.
"""

from functools import lru_cache
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from wsris_lib.refine.affinity import affinities, paths
from wsris_lib.refine.lattice import csr, quiet_csr


def transitions(edge: NDArray[np.float32], radius: int, beta: float) -> sparse.csr_array:
    """Edges [h, w] in [0, 1] -> T [hw, hw], sparse: affinity ** beta within the radius, each column of sum 1.

    T[i, j] is what cell j takes of cell i; a cell's affinity to itself is 1. In float64: 256 steps add up what float32
    rounds off. Raises what `affinity.affinities` raises.
    """
    A = _affinities(edge, radius, beta)
    return (A @ sparse.diags_array(1 / A.sum(0))).tocsr()


def _affinities(edge: NDArray[np.float32], radius: int, beta: float) -> sparse.csr_array:
    """[hw, hw], symmetric: affinity ** beta, 1 on the diagonal. `affinity.affinities`, where no gradient is wanted."""
    if min(edge.shape) < radius:
        affinities(torch.from_numpy(edge), radius)  # raises
    starts, columns, source, ways = _structure(*edge.shape, radius)
    cells = edge.ravel()
    highest = np.concatenate([np.zeros(1, edge.dtype), *(cells[way].max(0) for way in ways)])
    strength = (1 - highest).astype(np.float64) ** beta
    return sparse.csr_array((strength[source], columns, starts), shape=(edge.size, edge.size))


@lru_cache(maxsize=4)
def _structure(
    height: int, width: int, radius: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], list[NDArray[Any]]]:
    """The same for all maps of one size: rows' starts and columns of the csr matrix, which pair each entry is of, and
    the cells [L, pairs] on the way of the pairs that have L on it.

    Pair 0 is a cell with itself, the others follow in the order of the ways.
    """
    cells = np.arange(height * width, dtype=np.int32).reshape(height, width)
    first = []
    second = []
    ways = []
    for _, offsets in groupby(sorted(paths(radius).items(), key=lambda item: len(item[1])), lambda i: len(i[1])):
        some = []
        for (dy, dx), way in offsets:
            start = cells[: height - dy, max(0, -dx) : width - max(0, dx)].ravel()
            first.append(start)
            second.append(start + dy * width + dx)
            some.append(start + np.array([[y * width + x] for y, x in way], np.int32))
        ways.append(np.concatenate(some, 1))
    a = np.concatenate(first)
    b = np.concatenate(second)
    rows = np.concatenate([cells.ravel(), a, b])
    columns = np.concatenate([cells.ravel(), b, a])
    pair = np.concatenate([np.zeros(cells.size, np.int32), *[np.arange(1, 1 + len(a), dtype=np.int32)] * 2])
    order = np.lexsort([columns, rows])
    starts = np.concatenate([[0], np.bincount(rows, minlength=cells.size).cumsum()]).astype(np.int32)
    return starts, columns[order], pair[order], ways


def walk(x: NDArray[Any], T: sparse.csr_array, steps: int) -> NDArray[np.float64]:
    """x [S, hw] -> x T^steps [S, hw], by `steps` sparse products."""
    return _pulled(x, T.T.tocsr(), steps)  # (x T)^T = T^T x^T: rows of a csr matrix are read in order


def _pulled(x: NDArray[Any], pull: sparse.csr_array, steps: int) -> NDArray[np.float64]:
    with quiet_csr():
        matrix = csr(pull.indptr, pull.indices, pull.data, pull.shape)
    columns = torch.from_numpy(np.ascontiguousarray(x.T, np.float64))  # [hw, S]
    for _ in range(steps):
        columns = matrix @ columns
    return columns.T.numpy()


def spread(x: NDArray[Any], edge: NDArray[np.float32], radius: int, beta: float, doublings: int) -> NDArray[Any]:
    """Maps [S, h, w] -> the same after 2 ** doublings steps of the walk; what lies on an edge is left out at the start.

    A step gives each cell a mean of its neighbours', so values stay within those of x.
    """
    pull = _affinities(edge, radius, beta)
    pull.data /= np.repeat(pull.sum(1), np.diff(pull.indptr))  # symmetric, so this is the transposed `transitions`
    return _pulled((x * (1 - edge)).reshape(len(x), edge.size), pull, 2**doublings).reshape(x.shape)
