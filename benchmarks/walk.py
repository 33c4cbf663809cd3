"""IRNet's random walk: sparse products beside the dense squaring: `python benchmarks/walk.py`.

Where both run, they are timed in turn on the same edges and compared; the full size runs alone, as the dense matrix
would need 2.9 GB in float64. Edges are random and mostly open, which costs the same as any others.
"""

import sys
import time
import tracemalloc

import numpy as np

from wsris_lib.refine.random_walk import transitions, walk

RADIUS = 5
BETA = 10.0
DOUBLINGS = 8


def squared(x: np.ndarray, T: np.ndarray) -> np.ndarray:
    """x T^256 as the published code has it."""
    for _ in range(DOUBLINGS):
        T = T @ T
    return x @ T


def main() -> None:
    """Time both where both run, then the full size."""
    rng = np.random.default_rng(0)
    for height, width in ((32, 32), (40, 60)):
        edge = rng.random((height, width)).astype(np.float32) ** 3
        x = rng.random((1, height * width))
        T = transitions(edge, RADIUS, BETA)
        dense = T.toarray()
        ours = []
        plain = []
        for _ in range(3):
            start = time.perf_counter()
            a = walk(x, T, 2**DOUBLINGS)
            middle = time.perf_counter()
            b = squared(x, dense)
            ours.append(middle - start)
            plain.append(time.perf_counter() - middle)
        ratio = min(plain) / min(ours)
        print(
            f"{height} x {width}: sparse {1000 * min(ours):.0f} ms, dense {1000 * min(plain):.0f} ms, "
            f"{ratio:.1f} times; greatest difference {np.abs(a - b).max():.1e}"
        )
    edge = rng.random((120, 160)).astype(np.float32) ** 3
    x = rng.random((1, 120 * 160))
    start = time.perf_counter()
    T = transitions(edge, RADIUS, BETA)
    middle = time.perf_counter()
    walk(x, T, 2**DOUBLINGS)
    end = time.perf_counter()
    print(f"120 x 160: transitions {middle - start:.2f} s ({T.nnz} pairs), walk {end - middle:.2f} s")
    tracemalloc.start()  # slows things down, hence apart
    walk(x, transitions(edge, RADIUS, BETA), 2**DOUBLINGS)
    print(f"greatest memory {tracemalloc.get_traced_memory()[1] / 1e6:.0f} MB")


if __name__ == "__main__":
    print(__doc__) if "--help" in sys.argv else main()
