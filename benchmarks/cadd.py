"""Students of all labels, over seeds: CADD beside the choices it learnt from and beside true masks.

    python benchmarks/cadd.py [PROFILE [EPOCHS [SEEDS [KIND ...]]]]

EPOCHS: after the burn-in, in place of the profile's; the burn-in is the paper's share of it, 4 of 10. SEEDS: 0,1,2 or
fewer. Trains what isn't there, prints each row as it is ready, and writes cadd_PROFILE.md or cadd_PROFILE_EPOCHS.md
beside this file, with what each student gains over its choice on every split. Killed, it goes on where it was.
"""

import shlex
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.stats import ttest_rel

from wsris_lib import distilling, profiles, refining, stages
from wsris_lib.evaluate import Measures, subsets, summarise

METRICS = ("mIoU", "oIoU", "PointM")
SUBSETS = ("all", "decisive", "other", "part")
SPLITS = ("val",), ("testA", "testB")  # looked at while settings were chosen, and not
DRAWS = 4000


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
    lines += [
        "",
        *compared(rows),
        "",
        *gains(profile, [kind for kind in kinds or distilling.LABELS if kind != "truth"]),
    ]
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


def gains(profile: profiles.Profile, kinds: Iterable[str]) -> list[str]:
    """Each student less the alignment's choice on every split, mean over seeds, and how sure that is of the images."""
    lines = ["Student less choice, mean over seeds; in brackets 95 % by resampling the images of the split:", ""]
    lines += [
        "| labels | split (sentences, images) | mIoU | mIoU, decisive | oIoU | PointM |",
        "|---|---|---|---|---|---|",
    ]
    for kind in kinds:
        sums = {split: of_split(replace(profile, val_split=split), kind) for split in SPLITS[0] + SPLITS[1]}
        for splits in (SPLITS[0], *((split,) for split in SPLITS[1]), SPLITS[1]):
            found = np.concatenate([sums[split] for split in splits], axis=-1)
            counted = f"{found[0, 0, 0].sum():,.0f}, {found.shape[-1]}"
            lines.append(f"| {kind} | {' + '.join(splits)} ({counted}) | " + " | ".join(resampled(found)) + " |")
    return lines


def of_split(profile: profiles.Profile, kind: str) -> np.ndarray:
    """`by_image` of the student and of the choice that it learnt from, of each seed: [seeds, 2, 7, images]."""
    val, found = stages.evaluation(profile), []
    row = {sample.sent_id: n for n, sample in enumerate(val.samples)}
    for seed in profile.seeds:
        samples, student = distilling.judged(profile, seed, profile.val_split, kind)
        chosen = val.judge(stages.trained_choice(profile, seed)[0])
        found.append([by_image(samples, m) for m in (student, [chosen[row[s.sent_id]] for s in samples])])
    return np.array(found)


def resampled(sums: np.ndarray) -> list[str]:
    """mIoU, mIoU of decisive sentences, oIoU and PointM: student less choice, and where 95 % of the draws lie."""
    images = sums.shape[-1]
    draws = np.random.default_rng(0).multinomial(images, np.full(images, 1 / images), DRAWS)
    weights = np.concatenate([np.ones((1, images)), draws])  # as it is, then resampled
    n, iou, point, inter, union, n_decisive, iou_decisive = np.einsum("swki,di->kwsd", sums, weights)
    cells = []
    with np.errstate(invalid="ignore"):  # a draw may have no decisive sentence
        for metric in (iou / n, iou_decisive / n_decisive, inter / union, point / n):
            less = 100 * (metric[0] - metric[1]).mean(0)
            low, high = np.nanquantile(less[1:], [0.025, 0.975])
            cells.append(f"{less[0]:+.1f} [{low:.1f}, {high:.1f}]")
    return cells


def by_image(samples: list, measures: list[Measures]) -> np.ndarray:
    """Sums [7, images]: sentences, IoU, PointM, intersection, union, decisive sentences, their IoU."""
    image = np.unique([s.image_id for s in samples], return_inverse=True)[1]
    decisive = np.array([bool(s.decisive) for s in samples])
    iou = np.array([m.iou for m in measures])
    point, inter, union = (
        np.array([getattr(m, name) for m in measures]) for name in ("point_m", "intersection", "union")
    )
    columns = [np.ones(len(samples)), iou, point, inter, union, decisive, iou * decisive]
    return np.array([np.bincount(image, weights=column) for column in columns])


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
