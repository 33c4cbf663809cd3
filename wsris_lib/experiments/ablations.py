"""Both papers' ablations, one name each: the same sentences, seeds and cached features, one setting changed a row.

Only ES3Net's alignment or EHIN's head is trained anew for a row, and what was trained before is found again, so a table
that was stopped goes on, and two tables that share a row train it once. Trainings go side by side, a core each, or are
dealt out under torchrun.
"""

from collections import defaultdict
from dataclasses import asdict
from typing import Any

import numpy as np
from scipy import stats
from tqdm import tqdm

from wsris_lib.config.profiles import Profile
from wsris_lib.experiments import papers
from wsris_lib.experiments.ehin_tables import NOTES
from wsris_lib.experiments.methods import Method, Pieces, distinct, on
from wsris_lib.experiments.variants import MERGED, MERGED_OF, TABLES, extras, orders
from wsris_lib.infra import artefacts, distributed, parallel
from wsris_lib.metrics import by_subset, subsets, summarise
from wsris_lib.pipeline.checks import refuse_faulty
from wsris_lib.pipeline.run import Run


def run(profile: Profile, name: str) -> dict:
    """Make a table, written into the run's folder, too: {"table", "corpus", "split", "rows": [{row, seed, mIoU, ...}]}.

    Raises KeyError that lists the tables for an unknown one.
    """
    if name not in TABLES:
        raise KeyError(f"no table {name!r}; choose one of {', '.join(TABLES)}")
    if distributed.is_main_process():
        for corpus_profile in _corpora(profile, name):
            # SynRef is made by one; a folder that is not there says so before the first bar
            Run(corpus_profile).corpus  # noqa: B018
            refuse_faulty(Run(corpus_profile))
        _announce(profile, name)
    distributed.barrier()
    workers = None if profile.device == "cpu" else 1
    parallel.run_jobs_distributed(trainings(profile, name), f"{name}, trainings", workers)
    judge = _merged if name == MERGED else _judged
    board: dict[str, Any] = {
        "table": name,
        "corpus": papers.MERGED if name == MERGED else profile.corpus,
        "split": profile.train_split if name == "table6" else profile.val_split,
        "rows": [
            {"row": row, "seed": seed} | measures
            for seed in tqdm(profile.seeds, desc=name, unit="seed")
            for row, method in TABLES[name].items()
            for measures in judge(profile, seed, method)
        ],
    }
    board |= {"es3net": asdict(profile.es3net), "ehin": asdict(profile.ehin)}
    if distributed.is_main_process():
        artefacts.write_json(Run(profile).folder / "ablations" / f"{name}.json", board)
    return board


def trainings(profile: Profile, name: str) -> list[tuple[Pieces, parallel.Job]]:
    """All that a table's rows are answered by, each once; what they read is made here."""
    jobs = []
    for corpus_profile in _corpora(profile, name):
        for method in TABLES[name].values():
            method.prepare(corpus_profile)
            jobs += method.jobs(corpus_profile, profile.seeds)
    return distinct(jobs)


def _announce(profile: Profile, name: str) -> None:
    """What the table will cost, from how long one training took in this run's folder before."""
    kind = "EHIN" if name.startswith("ehin") else "esem"
    seconds = Run(profile).seconds.get(f"training of {kind}, one seed")
    if seconds and name != "table6":
        trainings = len(TABLES[name]) * len(_corpora(profile, name)) * len(profile.seeds)
        print(f"{name}: at most {trainings} trainings, {trainings * seconds / 60:.0f} min; stored ones cost nothing")


def _corpora(profile: Profile, name: str) -> list[Profile]:
    """The profile of each corpus that a table's sentences are of: its own, or the three of the paper's Table 4."""
    return [on(profile, corpus, profile.val_split) for corpus in MERGED_OF] if name == MERGED else [profile]


def _judged(profile: Profile, seed: int, method: Method) -> list[dict]:
    return by_subset(*method.answers(profile, seed))


def _merged(profile: Profile, seed: int, method: Method) -> list[dict]:
    """What alignments choose on their own corpora's val, judged on all sentences with a word of place at once.

    The paper doesn't say on what it trains for this table, nor of which split the sentences are; here each corpus has
    an alignment of its own.
    """
    samples = []
    measures = []
    rows = []
    for corpus_profile in _corpora(profile, MERGED):
        every, judged = method.answers(corpus_profile, seed)
        spatial = subsets(every)["spatial"]
        samples += [every[i] for i in spatial]
        measures += [judged[i] for i in spatial]
        rows.append({"subset": corpus_profile.corpus} | summarise([judged[i] for i in spatial]))
    whole = {row["subset"]: row for row in by_subset(samples, measures)}
    return [whole[subset] for subset in ("spatial", "position_dependent") if subset in whole] + rows


def compare(
    board: dict, metric: str = "mIoU", subset: str = "", pairs: list[tuple[str, str]] | None = None
) -> list[dict]:
    """Orders (default: the paper's) put to the test: {"lower", "higher", "gain", "spread", "p", "verdict"}, in points.

    Of a subset; "" is the board's first, which holds all sentences that it judges.

    The same seeds made both rows, so the differences are paired: a two-sided t test over seeds. It says whether
    another start of the training could turn the order round, not whether other images could.
    """
    scores = defaultdict(dict)
    subset = subset or board["rows"][0]["subset"]
    for row in board["rows"]:
        if row["subset"] == subset:
            scores[row["row"]][row["seed"]] = 100 * row[metric]
    result = []
    for lower, higher in orders(board["table"]) if pairs is None else pairs:
        gains = np.array([scores[higher][seed] - scores[lower][seed] for seed in sorted(scores[lower])])
        spread = float(gains.std(ddof=1)) if len(gains) > 1 else float("nan")
        if not spread > 0:  # one seed, or a difference that no seed changes
            p = float("nan") if len(gains) == 1 else float(gains[0] == 0)
        else:
            p = float(stats.ttest_1samp(gains, 0).pvalue)
        verdict = ("higher" if gains.mean() > 0 else "lower") if p < 0.05 else "no difference shown"
        verdict = verdict if len(gains) > 1 else "one seed, not tested"
        result.append(dict(lower=lower, higher=higher, gain=float(gains.mean()), spread=spread, p=p, verdict=verdict))
    return result


def metrics(name: str) -> tuple[str, ...]:
    """What a table is shown in: the metrics that the paper prints, EHIN's first headed IoU and believed to be oIoU."""
    return ("oIoU", "mIoU", "PointIt", "PointM", "BoxAcc") if name.startswith("ehin") else ("mIoU",)


def printed(board: dict, metric: str = "mIoU") -> dict[str, papers.Printed]:
    """The paper's number of each row that has one, of the same metric, corpus and split: {row: number}."""
    at = (board["corpus"], board["split"], metric)
    numbers = {row["row"]: papers.beside(board["table"], row["row"], *at) for row in board["rows"]}
    return {row: number for row, number in numbers.items() if number}


def table(board: dict, metric: str = "mIoU") -> str:
    """The rows by subset, and the orders tested, as text; percent, mean ± standard deviation over seeds.

    The paper's numbers stand beside ours only where both are of one metric; the first line says which they are, and
    each has its supervision after it.
    """
    cells = defaultdict(list)
    subset_names = list(dict.fromkeys(row["subset"] for row in board["rows"]))
    for row in board["rows"]:
        cells[row["row"], row["subset"]].append(100 * row[metric])
    names = list(dict.fromkeys(row["row"] for row in board["rows"]))
    paper = printed(board, metric)
    width = {name: max(13, len(name) + 2) for name in subset_names}
    lines = [f"{board['table']}, {board['corpus']}, {metric} in percent, ± over seeds" + headed(paper)]
    lines += [f"{'':30s}" + "".join(f"{n:>{width[n]}s}" for n in subset_names) + ("     paper" if paper else "")]
    for name in names:
        values = [cells[name, subset] for subset in subset_names]
        texts = [
            f"{np.mean(v):.1f}" + (f" ± {np.std(v, ddof=1):.1f}" if len(v) > 1 else "") if v else "" for v in values
        ]
        beside = f"{paper[name]!s:>10s}" if name in paper else ""
        lines.append(f"{name:30s}" + "".join(f"{t:>{w}s}" for t, w in zip(texts, width.values())) + beside)
    lines += tested(f"a row against another, {subset_names[0]} sentences, paired over seeds", compare(board, metric))
    if more := extras(board["table"]):
        lines += tested("beside rows that the paper doesn't have", compare(board, metric, pairs=more))
    return "\n".join([*lines, *(["", *NOTES[board["table"]]] if board["table"] in NOTES else [])])


def tested(title: str, comparisons: list[dict]) -> list[str]:
    """What `compare` found, as lines of text under a title."""
    lines = ["", title]
    for c in comparisons:
        how = f"{c['gain']:+.2f} ± {c['spread']:.2f}, p = {c['p']:.3f}: {c['verdict']}"
        lines.append(f"{c['higher']} over {c['lower']}: {how}")
    return lines


def headed(paper: dict[str, papers.Printed]) -> str:
    """Where the paper's numbers of a table come from: "; paper: ES3Net Table 2, refcoco val, ST, headed mIoU"."""
    if not paper:
        return ""
    sources = dict.fromkeys(number.source.split(",")[0] for number in paper.values())
    places = dict.fromkeys(f"{number.dataset} {number.split}".strip() for number in paper.values())
    supervisions = dict.fromkeys(number.supervision for number in paper.values())
    heads = dict.fromkeys(number.metric_printed for number in paper.values())
    return "; paper: " + ", ".join([*sources, *places, " and ".join(supervisions), f"headed {' and '.join(heads)}"])
