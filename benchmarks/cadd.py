"""Students of all labels, over seeds: CADD beside the choices it learnt from and beside true masks.

    python benchmarks/cadd.py [PROFILE [EPOCHS [SEEDS [KIND ...]]]]

EPOCHS: after the burn-in, in place of the profile's; the burn-in is the paper's share of it, 4 of 10. SEEDS: 0,1,2 or
fewer. Trains what isn't there, prints each row as it is ready, and writes cadd_PROFILE.md or cadd_PROFILE_EPOCHS.md
beside this file. Killed, it goes on where it was.
"""

import shlex
import sys
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.stats import ttest_rel

from wsris_lib import distilling, profiles, refining, stages
from wsris_lib.evaluate import Measures, subsets, summarise

METRICS = ("mIoU", "oIoU", "PointM")
SUBSETS = ("all", "decisive", "other", "part")


def main(name: str = "tiny", epochs: str = "", seeds: str = "", *kinds: str) -> None:
    """Make what is missing and write the table."""
    profile, rows, labels = profiles.load(name), defaultdict(list), {}
    if epochs:
        profile = distilling.with_distilling(profile, epochs=float(epochs), burn_in=0.4 * float(epochs))
    if seeds:
        profile = replace(profile, seeds=tuple(map(int, seeds.split(","))))
    val = stages.evaluation(profile)
    note(rows, "best proposal", val.samples, val.judge(stages.floor_choices(profile)["oracle"]))
    for seed in profile.seeds:
        note(rows, "alignment's choice", val.samples, val.judge(stages.trained_choice(profile, seed)[0]))
        for kind in kinds or distilling.LABELS:
            if kind not in labels or kind != "truth":
                judged = refining.judge(profile, profile.train_split, distilling.labels(profile, seed, kind))
                labels.setdefault(kind, []).append(100 * summarise(judged)["mIoU"])
            for who in ("student", "teacher"):
                start = time.perf_counter()
                note(rows, f"{kind}, {who}", *distilling.judged(profile, seed, profile.val_split, kind, who))
                print(f"{kind}, {who}, seed {seed}: {time.perf_counter() - start:.0f} s", flush=True)
    settings = profile.distilling
    lines = [
        "# CADD: students of all labels, SynRef",
        "",
        f"Made by `python benchmarks/cadd.py {shlex.join(sys.argv[1:])}`:",
    ]
    lines += [f"profile `{name}`, corpus {profile.corpus}, split {profile.val_split}, {len(profile.seeds)} seeds,"]
    lines += [
        f"{settings.burn_in:g} + {settings.epochs:g} epochs, batch {settings.batch}, {torch.get_num_threads()} threads."
    ]
    lines += ["Percent, mean ± standard deviation over seeds. No mask takes part but in the rows `truth`.", ""]
    columns = [f"{metric}, {subset}" for subset in SUBSETS for metric in METRICS]
    lines += ["| | labels, mIoU | " + " | ".join(columns) + " |", "|---" * (2 + len(columns)) + "|"]
    for row, found in rows.items():
        quality = labels.get(row.split(",")[0])
        values = [cell([each[c] for each in found]) for c in columns]
        lines.append(f"| {row} | {cell(quality) if quality else ''} | " + " | ".join(values) + " |")
    lines += ["", *compared(rows)]
    out = Path(__file__).with_name("_".join(["cadd", name] + [epochs] * bool(epochs)) + ".md")
    out.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def compared(rows: dict) -> list[str]:
    """Each student beside the choice and the oracle, paired over seeds."""
    lines, choice, oracle = [], rows["alignment's choice"], rows.get("truth, student")
    for row, found in rows.items():
        if row.endswith("student") and len(found) > 1:
            a, b = ([each["mIoU, all"] for each in its] for its in (found, choice))
            said = f"- {row}: {np.mean(a) - np.mean(b):+.1f} points from the choice (p = {ttest_rel(a, b).pvalue:.2g})"
            if oracle and row != "truth, student":
                said += f", {100 * np.mean(a) / np.mean([each['mIoU, all'] for each in oracle]):.0f} % of the oracle"
            lines.append(said)
    return lines


def note(rows: dict, name: str, samples: list, measures: list[Measures]) -> None:
    """Keep and print a row of one seed."""
    found = {}
    for subset, positions in subsets(samples).items():
        if positions and subset in SUBSETS:
            whole = summarise([measures[i] for i in positions])
            found |= {f"{metric}, {subset}": 100 * whole[metric] for metric in METRICS}
    rows[name].append(defaultdict(lambda: float("nan"), found))
    print(name, {c: round(v, 1) for c, v in found.items() if c.startswith("mIoU")}, flush=True)


def cell(values: list[float]) -> str:
    """Mean and spread."""
    mean = f"{np.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1):.1f}"


if __name__ == "__main__":
    main(*sys.argv[1:])
