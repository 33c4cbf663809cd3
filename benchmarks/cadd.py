"""Students of all labels, over seeds: CADD beside the choices it learnt from and beside true masks.

    python benchmarks/cadd.py [PROFILE [EPOCHS [SEEDS [KIND ...]]]]

EPOCHS: after the burn-in, in place of the profile's; the burn-in is the paper's share of it, 4 of 10. SEEDS: 0,1,2 or
fewer. KIND: of labels, with seeds of its own after a colon ("truth:0"). Trains what isn't there, prints each row as it
is ready, and writes cadd_PROFILE.md or cadd_PROFILE_EPOCHS.md beside this file, with what each student gains over its
choice on every split. Killed, it goes on where it was.
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
SPLITS = ("val",), ("testA", "testB")  # looked at while settings were chosen, and not
MISSED = ("Pr@0.5", "mIoU", "PointM")
DRAWS = 4000
GAINS = [
    "Student less choice, mean over seeds; in brackets 95 % by resampling the images of the split:",
    "",
    "| labels | split (sentences, images) | mIoU | mIoU, decisive | oIoU | PointM |",
    "|---|---|---|---|---|---|",
]


def main(name: str = "tiny", epochs: str = "", seeds: str = "", *kinds: str) -> None:
    """Make what is missing and write the table."""
    profile, rows, labels = profiles.load(name), defaultdict(dict), {}
    if epochs:
        profile = distilling.with_distilling(profile, epochs=float(epochs), burn_in=0.4 * float(epochs))
    if seeds:
        profile = replace(profile, seeds=tuple(map(int, seeds.split(","))))
    wanted = {}  # kind -> seeds
    for kind, _, own in (given.partition(":") for given in kinds or distilling.LABELS):
        wanted[kind] = tuple(map(int, own.split(","))) if own else profile.seeds
    val = stages.evaluation(profile)
    note(rows, "best proposal", profile.seeds[0], val.samples, val.judge(stages.floor_choices(profile)["oracle"]))
    for seed in profile.seeds:
        note(rows, "alignment's choice", seed, val.samples, val.judge(stages.trained_choice(profile, seed)[0]))
        for kind in (kind for kind, its in wanted.items() if seed in its):
            if kind not in labels or kind != "truth":
                judged = refining.judge(profile, profile.train_split, distilling.labels(profile, seed, kind))
                labels.setdefault(kind, []).append(100 * summarise(judged)["mIoU"])
            for who in ("student", "teacher"):
                start = time.perf_counter()
                note(rows, f"{kind}, {who}", seed, *distilling.judged(profile, seed, profile.val_split, kind, who))
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
        values = [cell([each[c] for each in found.values()]) for c in columns]
        lines.append(f"| {row} | {cell(quality) if quality else ''} | " + " | ".join(values) + " |")
    lines += ["", *compared(rows), "", *GAINS]
    for kind in (kind for kind in wanted if kind != "truth"):
        lines += gains(replace(profile, seeds=wanted[kind]), kind)
    lines += ["", *missed(profile, wanted)]
    out = Path(__file__).with_name("_".join(["cadd", name] + [epochs] * bool(epochs)) + ".md")
    out.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def compared(rows: dict) -> list[str]:
    """Each student beside the choice and the oracle, over the seeds that both have."""
    lines, choice, oracle = [], rows["alignment's choice"], rows["truth, student"]
    for row, found in rows.items():
        if row.endswith("student"):
            a, b = both(found, choice)
            said = f"- {row}: {np.mean(a) - np.mean(b):+.1f} points from the choice"
            said += f" (paired over seeds, p = {ttest_rel(a, b).pvalue:.2g})" if len(a) > 1 else ""
            a, b = both(found, oracle)
            if b and found is not oracle:
                said += (
                    f", {100 * np.mean(a) / np.mean(b):.0f} % of the oracle (over {len(b)} seed{'s' * (len(b) > 1)})"
                )
            lines.append(said)
    return lines


def both(first: dict, second: dict) -> tuple[list[float], list[float]]:
    """mIoU of two rows, of the seeds that both have."""
    common = [seed for seed in first if seed in second]
    return tuple([row[seed]["mIoU, all"] for seed in common] for row in (first, second))


def gains(profile: profiles.Profile, kind: str) -> list[str]:
    """A student less the alignment's choice on every split, mean over seeds, and how sure that is of the images."""
    lines, sums = [], {split: of_split(replace(profile, val_split=split), kind) for split in SPLITS[0] + SPLITS[1]}
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


def missed(profile: profiles.Profile, wanted: dict[str, tuple[int, ...]]) -> list[str]:
    """Sentences of all judged splits whose target no proposal has half of: who finds it (the paper's Fig. 4 and 13)."""
    found = defaultdict(lambda: defaultdict(dict))  # row -> seed -> (split, sentence) -> measures
    targets = {"whole thing": {}, "part": {}}  # (split, sentence) -> the object's id
    for split in SPLITS[0] + SPLITS[1]:
        its = replace(profile, val_split=split)
        val = stages.evaluation(its)
        keys = [(split, sample.sent_id) for sample in val.samples]
        best = dict(zip(keys, val.judge(stages.floor_choices(its)["oracle"])))
        for key, sample in zip(keys, val.samples):
            if best[key].iou < 0.5:
                targets["part" if sample.part else "whole thing"][key] = split, sample.ann_id
        found["best proposal"][profile.seeds[0]] |= best
        for seed in profile.seeds:
            chosen = val.judge(stages.trained_choice(its, seed)[0])
            found["alignment's choice"][seed] |= zip(keys, chosen)
        for kind, seed in ((kind, seed) for kind, seeds in wanted.items() for seed in seeds):
            samples, measures = distilling.judged(its, seed, split, kind)
            found[f"{kind}, student"][seed] |= {(split, s.sent_id): m for s, m in zip(samples, measures)}
    columns = [f"{name}, {metric}" for name in targets for metric in MISSED]
    lines = ["Targets of which no proposal has half (IoU below .5), in val, testA and testB:", ""]
    lines += [
        f"- {name}: {len(keys):,} sentences, {len(set(keys.values())):,} objects" for name, keys in targets.items()
    ]
    lines += ["", "| | " + " | ".join(columns) + " |", "|---" * (1 + len(columns)) + "|"]
    for row, seeds in found.items():
        told = [[summarise([own[k] for k in keys]) for own in seeds.values()] for keys in targets.values()]
        cells = [cell([100 * one[metric] for one in each]) for each in told for metric in MISSED]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return lines


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


def note(rows: dict, name: str, seed: int, samples: list, measures: list[Measures]) -> None:
    """Keep and print a row of one seed."""
    found = {}
    for subset, positions in subsets(samples).items():
        if positions and subset in SUBSETS:
            whole = summarise([measures[i] for i in positions])
            found |= {f"{metric}, {subset}": 100 * whole[metric] for metric in METRICS}
    rows[name][seed] = defaultdict(lambda: float("nan"), found)
    print(name, {c: round(v, 1) for c, v in found.items() if c.startswith("mIoU")}, flush=True)


def cell(values: list[float]) -> str:
    """Mean and spread."""
    mean = f"{np.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1):.1f}"


if __name__ == "__main__":
    print(__doc__) if "--help" in sys.argv else main(*sys.argv[1:])
