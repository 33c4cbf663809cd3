"""What each of our changes to LAVT and its training brings the student, on true masks.

    python benchmarks/student.py [PROFILE [SEEDS]]

From LAVT as published (one head, cells that aren't told their place, AdamW alone) a change at a time to what the
profile trains; the same labels, sentences and length. Prints each row as it is ready, keeps what is trained, and writes
student.md beside this file.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from wsris_lib.config import profiles
from wsris_lib.metrics import subsets, summarise
from wsris_lib.pipeline import students
from wsris_lib.pipeline.run import Run

PUBLISHED = dict(num_heads=1, coord_features=False, optimiser="adamw")
COLUMNS = [(subset, metric) for subset in ("all", "position_dependent", "other") for metric in ("mIoU", "PointM")]


def main(name: str = "tiny", seeds: str = "0") -> None:
    """Train what is missing and write the table."""
    usual = profiles.load(name)
    ours = {change: getattr(usual.cadd, change) for change in ("coord_features", "num_heads", "optimiser")}
    steps = [{}] + [dict(list(ours.items())[: n + 1]) for n in range(len(ours))]
    titles = ["LAVT as published", "+ x and y of each cell", f"+ {ours['num_heads']} heads", f"+ {ours['optimiser']}"]
    settings = usual.cadd
    lines = [
        "# What the student's training owes to what",
        "",
        f"Made by `python benchmarks/student.py {' '.join(sys.argv[1:])}`: profile `{name}`, true masks of train,",
        f"{settings.burn_in:g} + {settings.epochs:g} epochs, batch {settings.batch}, seeds {seeds},",
        f"{torch.get_num_threads()} threads, torch {torch.__version__}. Percent of {usual.val_split}; the student.",
        "",
        "| | " + " | ".join(f"{subset}, {metric}" for subset, metric in COLUMNS) + " |",
        "|---" * (1 + len(COLUMNS)) + "|",
    ]
    print("\n".join(lines), flush=True)
    for title, changes in zip(titles, steps):
        rows = [row(Run(usual).changed(cadd=PUBLISHED | changes), int(seed)) for seed in seeds.split(",")]
        values = " | ".join(f"{value:.1f}" for value in np.mean(rows, 0))
        lines.append(f"| {title} | {values} |")
        print(lines[-1], flush=True)
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")


def row(run: Run, seed: int) -> list[float]:
    """One training's row, in percent."""
    samples, measures = students.judged(run, seed, run.profile.val_split, "truth")
    groups = {subset: summarise([measures[i] for i in rows]) for subset, rows in subsets(samples).items() if rows}
    return [100 * groups[subset][metric] if subset in groups else float("nan") for subset, metric in COLUMNS]


if __name__ == "__main__":
    print(__doc__) if "--help" in sys.argv else main(*sys.argv[1:])
