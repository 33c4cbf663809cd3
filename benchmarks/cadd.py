"""Students of all labels, over seeds: CADD beside the choices and labels of the same supervision, and true masks.

    python benchmarks/cadd.py [PROFILE [EPOCHS [SEEDS [KIND ...]]]]

EPOCHS: after the burn-in, in place of the profile's; the burn-in is the paper's share of it, 4 of 10. SEEDS: 0,1,2 or
fewer. KIND: of labels, with seeds of its own after a colon ("truth:0"). Trains what isn't there, prints each row as it
is ready, and writes cadd_PROFILE.md or cadd_PROFILE_EPOCHS.md beside this file. Killed, it goes on where it was.

The page begins with what the paper's Tables 1, 5 and 6 say together, two by two: labels and students under ST (each
sentence alone) and under MT (all that is said of an object). CADD's own gain is that of the ST student over the ST
choice, the prior's that of the MT student over the ST student. Labels are choices on train, where MT knows the groups;
at test nobody does, so there is one choice there, and it is ST.
"""

import shlex
import sys
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from wsris_lib.config import profiles
from wsris_lib.experiments import papers
from wsris_lib.metrics import SampleMetrics, subsets, summarise
from wsris_lib.pipeline import es3net, pseudo_labels, students
from wsris_lib.pipeline.run import Run

METRICS = ("mIoU", "oIoU", "PointM")
SUBSETS = ("all", "position_dependent", "other", "part")
SPLITS = ("val",), ("testA", "testB")  # looked at while settings were chosen, and not
MISSED = ("Pr@0.5", "mIoU", "PointM")
DRAWS = 4000
CHOICE = "alignment's choice"
TWO = {  # rows of the table two by two: ours -> supervision, the paper's table and row
    "single text, labels": ("ST", "Table 6", "ST"),
    "greedy, labels": ("MT", "Table 6", "greedy matching"),
    CHOICE: ("ST", "Table 5", "without CADD"),
    "single text, student": ("ST", "Table 5", "with CADD"),
    "greedy, student": ("MT", "Table 1", "ES3Net (MT)"),
    "truth, student": ("full", "Table 1", "LAVT (oracle)"),
}
PAIRS = {  # what is compared: title -> the higher and the lower by the paper, each a kind of student or CHOICE
    "CADD: ST student less ST choice": ("single text", CHOICE),
    "the MT prior: MT student less ST student": ("greedy", "single text"),
}


def main(name: str = "tiny", epochs: str = "", seeds: str = "", *kinds: str) -> None:
    """Make what is missing and write the page."""
    profile = profiles.load(name)
    rows = defaultdict(dict)
    if epochs:
        longer = replace(profile.cadd, epochs=float(epochs), burn_in=0.4 * float(epochs))
        profile = replace(profile, cadd=longer)
    if seeds:
        profile = replace(profile, seeds=tuple(map(int, seeds.split(","))))
    seeds_of = {}  # kind -> seeds
    for kind, _, own in (given.partition(":") for given in kinds or pseudo_labels.LABELS):
        seeds_of[kind] = tuple(map(int, own.split(","))) if own else profile.seeds
    val = Run(profile).evaluation()
    note(
        rows, "best proposal", profile.seeds[0], val.samples, val.judge(es3net.baseline_choices(Run(profile))["oracle"])
    )
    for seed in sorted({*profile.seeds, *(seed for kind_seeds in seeds_of.values() for seed in kind_seeds)}):
        note(rows, CHOICE, seed, val.samples, val.judge(es3net.trained_choice(Run(profile), seed)[0]))
        for kind in (kind for kind, kind_seeds in seeds_of.items() if seed in kind_seeds):
            if kind != "truth" or not rows["truth, labels"]:  # the same for every seed
                labelled(rows, profile, kind, seed)
            for who in ("student", "teacher"):
                start = time.perf_counter()
                note(rows, f"{kind}, {who}", seed, *students.judged(Run(profile), seed, profile.val_split, kind, who))
                print(f"{kind}, {who}, seed {seed}: {time.perf_counter() - start:.0f} s", flush=True)
    lines = [*preface(profile, name), "", *two_by_two(rows, profile), "", *compared(profile, seeds_of), ""]
    lines += [*whole(rows), "", *missed(profile, seeds_of)]
    out = Path(__file__).with_name("_".join(["cadd", name] + [epochs] * bool(epochs)) + ".md")
    out.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def preface(profile: profiles.Profile, name: str) -> list[str]:
    """What the page is of."""
    settings = profile.cadd
    threads = torch.get_num_threads()
    return [
        "# CADD: students of all labels, SynRef",
        "",
        f"Made by `python benchmarks/cadd.py {shlex.join(sys.argv[1:])}`:",
        f"profile `{name}`, corpus {profile.corpus}, split {profile.val_split}, {len(profile.seeds)} seeds,",
        f"{settings.burn_in:g} + {settings.epochs:g} epochs, batch {settings.batch}, {threads} threads.",
        "Percent, mean ± standard deviation over seeds. No mask takes part but in the rows `truth`.",
    ]


def labelled(rows: dict, profile: profiles.Profile, kind: str, seed: int) -> None:
    """How good the labels themselves are, on the sentences of train."""
    chosen = pseudo_labels.labels(Run(profile), seed, kind)
    of_label = {label.sent_id for label in chosen}
    samples = [s for s in Run(profile).evaluation(profile.train_split).samples if s.sent_id in of_label]
    note(rows, f"{kind}, labels", seed, samples, pseudo_labels.judge(Run(profile), profile.train_split, chosen))


def two_by_two(rows: dict, profile: profiles.Profile) -> list[str]:
    """Labels, choice and students under both supervisions, the paper's numbers beside."""
    columns = [f"{metric}, {subset}" for subset in ("all", "position_dependent") for metric in ("mIoU", "oIoU")]
    lines = [f"| | supervision | judged on | {' | '.join(columns)} | paper, {profile.corpus} |"]
    lines += ["|---" * (4 + len(columns)) + "|"]
    for row, (supervision, table, theirs) in TWO.items():
        if row not in rows:
            continue
        split = profile.train_split if row.endswith("labels") else profile.val_split
        values = [cell([each[c] for each in rows[row].values()]) for c in columns]
        beside = printed(table, theirs, profile.corpus, split)
        lines.append(f"| {row} | {supervision} | {split} | {' | '.join(values)} | {beside} |")
    return [*lines, "", *shares(rows, profile)]


def printed(table: str, row: str, corpus: str, split: str) -> str:
    """A number of ES3Net's by the metric that we believe it to be in, "" where it has none."""
    for number in papers.table("es3net", table):
        if (number.row, number.dataset, number.split) == (row, corpus, split):
            return f"{number.value} {number.metric}"
    return ""


def shares(rows: dict, profile: profiles.Profile) -> list[str]:
    """Students as shares of the same network on true masks, ours and the paper's, metric by metric."""
    place = (profile.corpus, profile.val_split)
    lines = []
    oracle = {m: papers.printed("lavt", "Results", "LAVT", *place, m) for m in ("mIoU", "oIoU")}
    for kind in ("single text", "greedy"):
        ours = []
        for metric in ("mIoU", "oIoU"):
            a, b = both(rows.get(f"{kind}, student", {}), rows.get("truth, student", {}), f"{metric}, all")
            ours += [f"{100 * np.mean(a) / np.mean(b):.1f} % in {metric} (seeds: {len(b)})"] if b else []
        _, table, row = TWO[f"{kind}, student"]
        theirs = papers.printed("es3net", table, row, *place, "mIoU")
        if ours and theirs:
            beside = [
                f"{100 * theirs / value:.1f} % of LAVT's {metric} {value:.2f}"
                for metric, value in oracle.items()
                if value
            ]
            ours.append(f"the paper's {theirs:.2f} mIoU are {' and '.join(beside)}")
        lines += [f"- {kind}, student, of its oracle: {', '.join(ours)}"] if ours else []
    return lines


def both(first: dict, second: dict, column: str) -> tuple[list[float], list[float]]:
    """A column of two rows, of the seeds that both have."""
    common = [seed for seed in first if seed in second]
    return tuple([row[seed][column] for seed in common] for row in (first, second))


def compared(profile: profiles.Profile, seeds_of: dict[str, tuple[int, ...]]) -> list[str]:
    """`PAIRS` on every split, over the seeds that both have, and how sure that is of seeds and of images."""
    lines = ["First less second, mean ± standard deviation over seeds; in brackets 95 % by resampling the images:", ""]
    lines += [
        "| | split (sentences, images) | seeds | mIoU | mIoU, position_dependent | oIoU | PointM |",
        "|---" * 7 + "|",
    ]
    for title, pair in PAIRS.items():
        have = [set(seeds_of.get(kind, ())) for kind in pair if kind != CHOICE]
        seeds = sorted(set.intersection(*have))
        if not seeds:
            continue
        sums = {split: of_split(replace(profile, val_split=split), pair, seeds) for split in SPLITS[0] + SPLITS[1]}
        for splits in (SPLITS[0], *((split,) for split in SPLITS[1]), SPLITS[1]):
            joined = np.concatenate([sums[split] for split in splits], axis=-1)
            counted = f"{joined[0, 0, 0].sum():,.0f}, {joined.shape[-1]}"
            cells = [title + theirs(pair, profile, splits), f"{' + '.join(splits)} ({counted})", str(len(seeds))]
            lines.append("| " + " | ".join([*cells, *resampled(joined)]) + " |")
    return lines


def theirs(pair: tuple[str, str], profile: profiles.Profile, splits: tuple[str, ...]) -> str:
    """The same difference in the paper, of one split."""
    rows = [TWO[row if row == CHOICE else f"{row}, student"] for row in pair]
    at = (profile.corpus, splits[0], "mIoU")
    values = [papers.printed("es3net", table, row, *at) for _, table, row in rows] if len(splits) == 1 else [None]
    return f" (paper {values[0] - values[1]:+.2f} mIoU)" if None not in values else ""


def of_split(profile: profiles.Profile, pair: tuple[str, str], seeds: list[int]) -> np.ndarray:
    """`by_image` of both of a pair, of each seed: [seeds, 2, 7, images]."""
    val = Run(profile).evaluation()
    sums = []
    for seed in seeds:
        judged = []
        for row in pair:
            if row == CHOICE:
                judged.append((val.samples, val.judge(es3net.trained_choice(Run(profile), seed)[0])))
            else:
                judged.append(students.judged(Run(profile), seed, profile.val_split, row))
        known = set.intersection(*({s.sent_id for s in samples} for samples, _ in judged))
        sums.append([by_image(*only(known, *one)) for one in judged])
    return np.array(sums)


def only(known: set[int], samples: list, measures: list[SampleMetrics]) -> tuple[list, list[SampleMetrics]]:
    """The sentences that both of a pair have answered."""
    kept = [n for n, sample in enumerate(samples) if sample.sent_id in known]
    return [samples[n] for n in kept], [measures[n] for n in kept]


def whole(rows: dict) -> list[str]:
    """Every row in every metric of every subset; labels are judged on train, all else on the split."""
    columns = [f"{metric}, {subset}" for subset in SUBSETS for metric in METRICS]
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (1 + len(columns)) + "|"]
    for row, of_seed in rows.items():
        values = [cell([each[c] for each in of_seed.values()]) for c in columns]
        lines.append(f"| {row} | " + " | ".join(values) + " |")
    return lines


def resampled(sums: np.ndarray) -> list[str]:
    """mIoU, mIoU of position-dependent sentences, oIoU, PointM of `by_image` [seeds, 2, 7, images]: first less second.

    Mean ± standard deviation over seeds [where 95 % of the draws of images lie].
    """
    images = sums.shape[-1]
    draws = np.random.default_rng(0).multinomial(images, np.full(images, 1 / images), DRAWS)
    weights = np.concatenate([np.ones((1, images)), draws])  # as it is, then resampled
    n, iou, point, inter, union, n_position_dependent, iou_position_dependent = np.einsum(
        "swki,di->kwsd", sums, weights
    )
    cells = []
    with np.errstate(invalid="ignore"):  # a draw may have no position-dependent sentence
        for metric in (iou / n, iou_position_dependent / n_position_dependent, inter / union, point / n):
            less = 100 * (metric[0] - metric[1])  # [seeds, 1 + draws]
            drawn = less.mean(0)[1:]
            if np.isnan(drawn).all():
                cells.append("")
                continue
            low, high = np.nanquantile(drawn, [0.025, 0.975])
            spread = f" ± {less[:, 0].std(ddof=1):.1f}" if len(less) > 1 else ""
            cells.append(f"{less[:, 0].mean():+.1f}{spread} [{low:.1f}, {high:.1f}]")
    return cells


def missed(profile: profiles.Profile, seeds_of: dict[str, tuple[int, ...]]) -> list[str]:
    """Sentences of all judged splits whose target no proposal has half of: who finds it (the paper's Fig. 4 and 13)."""
    measures_of = defaultdict(lambda: defaultdict(dict))  # row -> seed -> (split, sentence) -> measures
    targets = {"whole thing": {}, "part": {}}  # (split, sentence) -> the object's id
    for split in SPLITS[0] + SPLITS[1]:
        split_profile = replace(profile, val_split=split)
        val = Run(split_profile).evaluation()
        keys = [(split, sample.sent_id) for sample in val.samples]
        best = dict(zip(keys, val.judge(es3net.baseline_choices(Run(split_profile))["oracle"])))
        for key, sample in zip(keys, val.samples):
            if best[key].iou < 0.5:
                targets["part" if sample.part else "whole thing"][key] = split, sample.ann_id
        measures_of["best proposal"][profile.seeds[0]] |= best
        for seed in profile.seeds:
            chosen = val.judge(es3net.trained_choice(Run(split_profile), seed)[0])
            measures_of["alignment's choice"][seed] |= zip(keys, chosen)
        for kind, seed in ((kind, seed) for kind, seeds in seeds_of.items() for seed in seeds):
            samples, measures = students.judged(Run(split_profile), seed, split, kind)
            measures_of[f"{kind}, student"][seed] |= {(split, s.sent_id): m for s, m in zip(samples, measures)}
    columns = [f"{name}, {metric}" for name in targets for metric in MISSED]
    lines = ["Targets of which no proposal has half (IoU below .5), in val, testA and testB:", ""]
    lines += [
        f"- {name}: {len(keys):,} sentences, {len(set(keys.values())):,} objects" for name, keys in targets.items()
    ]
    lines += ["", "| | " + " | ".join(columns) + " |", "|---" * (1 + len(columns)) + "|"]
    for row, seeds in measures_of.items():
        summaries = [[summarise([own[k] for k in keys]) for own in seeds.values()] for keys in targets.values()]
        cells = [cell([100 * one[metric] for one in each]) for each in summaries for metric in MISSED]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return lines


def by_image(samples: list, measures: list[SampleMetrics]) -> np.ndarray:
    """Sums [7, images]: sentences, IoU, PointM, intersection, union, position-dependent sentences, their IoU."""
    image = np.unique([s.image_id for s in samples], return_inverse=True)[1]
    position_dependent = np.array([bool(s.position_dependent) for s in samples])
    iou = np.array([m.iou for m in measures])
    point, inter, union = (
        np.array([getattr(m, name) for m in measures]) for name in ("point_m", "intersection", "union")
    )
    columns = [np.ones(len(samples)), iou, point, inter, union, position_dependent, iou * position_dependent]
    return np.array([np.bincount(image, weights=column) for column in columns])


def note(rows: dict, name: str, seed: int, samples: list, measures: list[SampleMetrics]) -> None:
    """Keep and print a row of one seed."""
    values = {}
    for subset, positions in subsets(samples).items():
        if positions and subset in SUBSETS:
            whole = summarise([measures[i] for i in positions])
            values |= {f"{metric}, {subset}": 100 * whole[metric] for metric in METRICS}
    rows[name][seed] = defaultdict(lambda: float("nan"), values)
    print(name, {c: round(v, 1) for c, v in values.items() if c.startswith("mIoU")}, flush=True)


def cell(values: list[float]) -> str:
    """Mean and spread."""
    mean = f"{np.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1):.1f}"


if __name__ == "__main__":
    print(__doc__) if "--help" in sys.argv else main(*sys.argv[1:])
