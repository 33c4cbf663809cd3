"""EHIN's way from maps to a segmenter on several seeds: `python benchmarks/route.py [PROFILE]` writes route.md.

Masks of train are what stage 2 may learn from, judged here and nowhere else; val is the scoreboard's split. About ten
minutes a seed on two cores in the profile tiny. Stopped, it goes on where it was.
"""

import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from wsris_lib.config import profiles
from wsris_lib.metrics import SampleMetrics, subsets, summarise
from wsris_lib.pipeline import pseudo_labels, refine, stage2
from wsris_lib.pipeline.run import Run

METRICS = ("mIoU", "oIoU", "Pr@0.5", "PointM")
HEAD = """# EHIN from response maps to stage 2, SynRef

Made by `python benchmarks/route.py {profile}`: profile `{profile}`, corpus {corpus}, {seeds} seeds, {machine}.
Percent, mean ± standard deviation over seeds. `raw` is the mask R > 0 of stage 1. Of train one sentence of each ref,
as stage 2 learns from them; the truth takes part in no training.
"""


def main(name: str = "tiny") -> None:
    """Make what is missing, print each row as it is ready, and write the tables."""
    profile = profiles.load(name)
    values = defaultdict(list)
    for seed in profile.seeds:
        for split in (profile.train_split, profile.val_split):
            for how in refine.HOW:
                labels = refine.masks(Run(profile), seed, split, how)
                measures = pseudo_labels.judge(Run(profile), split, labels)
                note(values, (split, how), measures)
                if split == profile.train_split and how != "raw":
                    r = np.corrcoef([label.confidence for label in labels], [m.iou for m in measures])[0, 1]
                    values["confidence", how].append({"r": float(r)})
        start = time.perf_counter()
        samples, measures = stage2.judged(Run(profile), seed, profile.val_split)
        print(f"stage 2, seed {seed}: {time.perf_counter() - start:.0f} s")
        for subset, rows in subsets(samples).items():
            if rows:
                note(values, (profile.val_split, f"stage 2, {subset}"), [measures[row] for row in rows])
    lines = [HEAD.format(profile=name, corpus=profile.corpus, seeds=len(profile.seeds), machine=machine(profile))]
    lines += ["| masks | " + " | ".join(METRICS) + " |", "|---" * (1 + len(METRICS)) + "|"]
    for (split, how), rows in values.items():
        if split != "confidence":
            lines.append(f"| {split}, {how} | " + " | ".join(cell([row[m] for row in rows]) for m in METRICS) + " |")
    lines += ["", "Correlation of confidence (agreement of the mask before and after) with IoU, train:", ""]
    for how in refine.HOW[1:]:
        lines.append(f"- {how}: {np.mean([row['r'] for row in values['confidence', how]]):.2f}")
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def note(values: dict, key: tuple[str, str], measures: list[SampleMetrics]) -> None:
    """Keep and print a row."""
    values[key].append(summarise(measures))
    print(*key, {m: round(100 * values[key][-1][m], 1) for m in METRICS}, flush=True)


def machine(profile: profiles.Profile) -> str:
    """What ran it."""
    return f"{torch.get_num_threads()} threads, {profile.device}"


def cell(values: list[float]) -> str:
    """Percent, mean and spread."""
    mean = f"{100 * np.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {100 * np.std(values, ddof=1):.1f}"


if __name__ == "__main__":
    print(__doc__) if "--help" in sys.argv else main(*sys.argv[1:])
