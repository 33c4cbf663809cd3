"""Images a second that SynRef is made at, on one core and on all: pictures, ids and depth, without writing files.

python benchmarks/synref.py [IMAGES] [PIXELS]
"""

import sys
import time

from wsris_lib.infra import machine
from wsris_lib.synref.draw import draw


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1600
    pixels = int(sys.argv[2]) if len(sys.argv) > 2 else 128
    rates = []
    for workers in (1, machine.cores()):
        start = time.perf_counter()
        assert sum(1 for _ in draw((0, 99), count, pixels, workers)) == count
        rates.append(count / (time.perf_counter() - start))
        print(f"{workers} worker(s): {rates[-1]:6.1f} images/s at {pixels} px")
    print(f"ratio {rates[1] / rates[0]:.2f}")


if __name__ == "__main__":
    print(__doc__) if "--help" in sys.argv else main()
