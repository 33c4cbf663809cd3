"""ES3Net's Tables 1 and 5, and EHIN's stage 1 beside them: corpora x splits x methods, and who was told what.

    python benchmarks/tables.py [PROFILE [SEEDS [CORPUS ...]]]

SEEDS: 0,1,2 or fewer. Trains what isn't there, a training a core (in `tiny` with one seed some 20 minutes of one core
for each corpus), prints each board as it is ready, and writes tables.md beside this file. Killed, it goes on where it
was.
"""

import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from wsris_lib.config import profiles
from wsris_lib.config.profiles import Profile
from wsris_lib.experiments import papers, reproduce, scoreboard
from wsris_lib.infra import parallel
from wsris_lib.pipeline import es3net
from wsris_lib.pipeline.run import Run

STUDENTS = ("single text", "greedy", "truth")
METHODS = {  # method -> supervision
    "zero_shot_clip": "none",
    "clip_map": "none",
    "baseline": "ST",
    "esem": "ST",
    "lcm": "ST",
    "tris": "ST",
    "ehin": "ST",
    "cadd_single_text": "ST",
    "cadd_greedy": "MT",
    "cadd_truth": "full",
    "oracle": "the answer",
}
METRICS = ("mIoU", "oIoU", "PointM")
PARTS = ("es3net", "ehin", "cadd")


def main(name: str = "tiny", seeds: str = "0", *corpora: str) -> None:
    """Make what is missing and write the tables."""
    columns_of = defaultdict(dict)  # metric -> (corpus, split) -> method -> values of the seeds
    for corpus in corpora or profiles.SPLIT_BY:
        corpus_seeds = tuple(map(int, seeds.split(",")))
        profile = replace(
            profiles.load(name, corpus=corpus), seeds=corpus_seeds, segmenter_seeds=corpus_seeds, students=STUDENTS
        )
        run = Run(profile)
        es3net.training_tables(run)
        for wave in (reproduce.trainings(run), reproduce.cadd(run)):
            parallel.run_jobs_distributed(wave, f"trainings on {corpus}", None if profile.device == "cpu" else 1)
        for split in run.corpus.splits:
            if split != profile.train_split:
                judge(replace(profile, val_split=split), columns_of)
    lines = ["# Corpora, splits and methods, SynRef", ""]
    lines += [f"Made by `python benchmarks/tables.py {' '.join(sys.argv[1:])}`: profile `{name}`, seeds {seeds}."]
    lines += ["Percent, ± over seeds; in brackets the sentences of a split. The papers' numbers are of photographs:"]
    lines += ["their order can be compared, their size can't.", ""]
    for metric, columns in columns_of.items():
        lines += [f"## {metric}", "", *table(columns), ""]
    lines += ["## The papers", "", *printed()]
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def judge(profile: Profile, columns_of: dict) -> None:
    """Every method on a split."""
    board = scoreboard.make(profile, *PARTS)
    print(scoreboard.table(board, METRICS), flush=True)
    for metric in METRICS:
        column = columns_of[metric].setdefault(
            (profile.corpus, profile.val_split, board["sentences"]), defaultdict(list)
        )
        for row in board["rows"]:
            if row["subset"] == "all" and row["method"] in METHODS:
                column[row["method"]].append(row[metric])


def table(columns: dict) -> list[str]:
    """A row a method, a column a split of a corpus."""
    heads = [f"{corpus} {split} ({n})" for corpus, split, n in columns]
    lines = ["| | told | " + " | ".join(heads) + " |", "|---" * (2 + len(heads)) + "|"]
    for method, description in METHODS.items():
        values = [scoreboard.cell(column[method]) for column in columns.values()]
        lines.append(f"| {method} | {description} | " + " | ".join(values) + " |")
    return lines


def printed() -> list[str]:
    """The papers' own comparisons, and LAVT's numbers by both metrics; data/papers/README.md says what to beware of."""
    lines = ["The metric is what we believe a row's to be; where its table is headed otherwise, that is said too."]
    for paper, name in (("es3net", "Table 1"), ("es3net", "Table 5"), ("ehin", "Table 2"), ("lavt", "Results")):
        columns, rows = papers.grid(papers.table(paper, name))
        lines += ["", f"### {papers.TITLES[paper]}, {name}", ""]
        lines += ["| | supervision | metric | " + " | ".join(columns) + " |", "|---" * (3 + len(columns)) + "|"]
        lines += ["| " + " | ".join((*key, *values)) + " |" for key, values in rows.items()]
    return lines


if __name__ == "__main__":
    print(__doc__) if "--help" in sys.argv else main(*sys.argv[1:])
