"""Seconds and memory of each step at 1, 2, 4 and 8 times the images, and how each grows: prints scaling.md's table.

    python benchmarks/scaling.py [--images 40] [--times 1 2 4 8]

Each size is a process of its own with a folder of its own, so nothing is found stored and the peak is that size's.
Trainings run one epoch. The exponent is the slope of log seconds over log images by least squares, through the sizes
that took a second or more; 1 is linear. A step that starts (models read, libraries imported) looks better than linear.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np

from wsris_lib.config import profiles

REFCOCO = 16_994  # images of RefCOCO's train split
FEW = {"synref.test_a": 4, "synref.test_b": 4}
ONE_EPOCH = {
    "es3net.epochs": 1,
    "cadd.burn_in": 0,
    "ehin.epochs": 1,
    "refine.epochs": 1,
    "stage2.epochs": 1,
    "cadd.epochs": 1,
}


def steps(images: int) -> None:
    """Run every step at one size and print its seconds and the peak so far, a line of JSON each."""
    from resource import RUSAGE_SELF, getrusage

    from wsris_lib.pipeline import ehin, es3net, pseudo_labels, refine, stage2, students
    from wsris_lib.pipeline.run import Run

    run = Run(profiles.load("tiny", **{"synref.train": images, "synref.val": 16, **FEW, **ONE_EPOCH}))
    every: dict[str, Callable[[], object]] = {
        "SynRef drawn and indexed": lambda: run.corpus.training_view("train"),
        "features of images": lambda: run.features("train"),
        "features of sentences, paraphrases": lambda: es3net.training_tables(run),
        "alignment, an epoch": lambda: es3net.align(run, 0),
        "labels from choices": lambda: pseudo_labels.from_choices(run, 0),
        "EHIN stage 1, an epoch": lambda: ehin.train(run, 0),
        "response maps": lambda: ehin.responses(run, 0, "train"),
        "IRNet, CRF labels and an epoch": lambda: refine.irnet(run, 0),
        "maps to labels by the walk": lambda: pseudo_labels.from_responses(run, 0),
        "EHIN stage 2, an epoch": lambda: stage2.train(run, 0),
        "student, an epoch": lambda: students.train(run, 0, "greedy"),
    }
    for name, call in every.items():
        start = time.perf_counter()
        call()
        print(
            json.dumps(
                {"step": name, "seconds": time.perf_counter() - start, "GB": getrusage(RUSAGE_SELF).ru_maxrss / 1e6}
            ),
            flush=True,
        )


def exponent(images: list[int], seconds: list[float]) -> float:
    """Slope of log seconds over log images, through the sizes that took a second or more; nan for fewer than two."""
    kept = [(n, s) for n, s in zip(images, seconds) if s >= 1]
    if len(kept) < 2:
        return float("nan")
    x, y = np.log(np.array(kept)).T
    return float(np.polyfit(x, y, 1)[0])


def main() -> None:
    """Measure each size in its own process, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--times", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        steps(options.one)
        return
    sizes = [options.images * times for times in options.times]
    table: dict[str, list[dict[str, float]]] = {}
    for size in sizes:
        with tempfile.TemporaryDirectory() as home:
            command = [sys.executable, __file__, "--one", str(size)]
            done = subprocess.run(
                command,
                env=os.environ | {"WSRIS_HOME": home},
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        if done.returncode:
            raise SystemExit(f"{size} images: {done.stdout[-500:]}")
        for line in (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")):
            table.setdefault(line.pop("step"), []).append(line)
        print(f"{size} images done", file=sys.stderr)
    heads = [f"{size} images" for size in sizes]
    print(f"| step | {' | '.join(heads)} | exponent | {REFCOCO:,} images, linear from the last |")
    print("|---" * (len(sizes) + 3) + "|")
    for name, cells in table.items():
        seconds = [cell["seconds"] for cell in cells]
        hours = seconds[-1] / sizes[-1] * REFCOCO / 3600
        shown = [f"{cell['seconds']:.1f} s" for cell in cells]
        print(f"| {name} | {' | '.join(shown)} | {exponent(sizes, seconds):.2f} | {hours:.2f} h |")
    peaks = [f"{max(cells[n]['GB'] for cells in table.values()):.2f} GB" for n in range(len(sizes))]
    print(f"| peak memory | {' | '.join(peaks)} | | |")


if __name__ == "__main__":
    main()
