"""The random walk that carries a response over an object and stops at its edge (IRNet, after AffinityNet).

The published code squares the dense transition matrix: at 120 x 160 cells 1.5 GB and 113 TFLOP an image. Here the map
is multiplied by the sparse matrix again and again, which is the same product in another order, x ((T T) ...) =
((x T) T) ..., and takes a second on one core.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from wsris_lib.refine.affinity import affinities


def transitions(edge: NDArray[np.float32], radius: int, beta: float) -> sparse.csr_array:
    """Edges [h, w] in [0, 1] -> T [hw, hw], sparse: affinity ** beta within the radius, each column of sum 1.

    T[i, j] is what cell j takes of cell i; a cell's affinity to itself is 1. In float64: 256 steps add up what float32
    rounds off.
    """
    height, width = edge.shape
    cells = np.arange(height * width).reshape(height, width)
    here = [cells.ravel()]
    there = [cells.ravel()]
    weight = [np.ones(cells.size)]
    for (dy, dx), affinity in affinities(torch.from_numpy(edge)[None], radius).items():
        left = max(0, -dx)
        a = cells[: height - dy, left : width - max(0, dx)].ravel()
        b = a + dy * width + dx
        strength = (affinity[0].double().numpy() ** beta).ravel()
        here += [a, b]
        there += [b, a]
        weight += [strength, strength]
    pairs = (np.concatenate(here), np.concatenate(there))
    A = sparse.coo_array((np.concatenate(weight), pairs), shape=(cells.size, cells.size)).tocsr()
    return (A @ sparse.diags_array(1 / A.sum(0))).tocsr()


def walk(x: NDArray[Any], T: sparse.csr_array, steps: int) -> NDArray[np.float64]:
    """x [S, hw] -> x T^steps [S, hw], by `steps` sparse products."""
    pulled = T.T.tocsr()  # (x T)^T = T^T x^T: rows of a csr matrix are read in order
    x = np.ascontiguousarray(x.T)
    for _ in range(steps):
        x = pulled @ x
    return x.T


def spread(x: NDArray[Any], edge: NDArray[np.float32], radius: int, beta: float, doublings: int) -> NDArray[Any]:
    """Maps [S, h, w] -> the same after 2 ** doublings steps of the walk; what lies on an edge is left out at the start.

    A step gives each cell a mean of its neighbours', so values stay within those of x.
    """
    T = transitions(edge, radius, beta)
    return walk((x * (1 - edge)).reshape(len(x), edge.size), T, 2**doublings).reshape(x.shape)
