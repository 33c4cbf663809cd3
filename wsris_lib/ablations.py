"""ES3Net's ablations, one name each: the same sentences, seeds and cached features, one setting changed a row.

Only the alignment is trained anew for a row, and what was trained before is found again, so a table that was stopped
goes on, and two tables that share a row train it once.
"""

from collections import defaultdict
from dataclasses import asdict

import numpy as np
import torch
from tqdm import tqdm

from wsris_lib import artefacts, labelling, papers, stages
from wsris_lib.evaluate import subsets, summarise
from wsris_lib.profiles import Profile

ESEM, LCM, BASELINE = {}, {"consistency": 1.0}, {"esem": False}
CHOICE = {  # table -> row -> what differs from ESEM with the profile's settings; judged on val
    "table2": {"baseline": BASELINE, "+ ESEM": ESEM, "+ LCM": LCM},
    "table4": {
        f"{pooling} pooling, {told}": {"pooling": pooling, "geometry": geometry} | LCM
        for pooling in ("mean", "max")
        for told, geometry in (("no place", "none"), ("x, y", "2d"), ("x, y, depth", "3d"))
    },
    "fig9": {f"d / D = {share}": {"class_width": share} | LCM for share in (0.0, 0.25, 0.5, 0.75, 1.0)},
    "fig10": {f"N = {n} at test": {"candidates_eval": n} | LCM for n in (1, 5, 10, 15, 20, 25, 30)},
}
TABLES = (*CHOICE, "table6")  # the last: whose labels on train are better


def run(profile: Profile, name: str) -> dict:
    """Make a table: {"table", "rows": [{row, seed, subset, sentences, mIoU, ...}]}, also written into the run's folder.

    Raises KeyError that lists the tables for an unknown one.
    """
    if name not in TABLES:
        raise KeyError(f"no table {name!r}; choose one of {', '.join(TABLES)}")
    stages.evaluation(profile)  # whatever is missing says so before the first bar
    rows = []
    for seed in tqdm(profile.seeds, desc=name, unit="seed"):
        if name == "table6":
            rows += _labels(profile, seed)
        else:
            for row, changes in CHOICE[name].items():
                rows += _choices(profile, seed, row, dict(changes))
    board = {"table": name, "corpus": profile.corpus, "rows": rows, "aligning": asdict(profile.aligning)}
    artefacts.write_json(stages.run_folder(profile) / "ablations" / f"{name}.json", board)
    return board


def _choices(profile: Profile, seed: int, row: str, changes: dict) -> list[dict]:
    """What a changed alignment chooses on val, judged by subset."""
    esem = changes.pop("esem", True)
    val = stages.evaluation(profile)
    chosen, _ = stages.trained_choice(stages.with_aligning(profile, **changes), seed, esem)
    return _judged(row, seed, val, chosen)


def _labels(profile: Profile, seed: int) -> list[dict]:
    """Table 6: the masks that would be the pseudo labels of train, by each kind of supervision."""
    made = labelling.chosen(stages.with_aligning(profile, **LCM), seed)
    train = stages.evaluation(profile, profile.train_split)
    at = {sample.sent_id: n for n, sample in enumerate(stages.training_samples(profile))}
    kept = torch.tensor([at.get(sample.sent_id, -1) for sample in train.samples])  # -1: an unreadable image
    rows = []
    for name, (chosen, _) in made.items():
        rows += _judged(name, seed, train, torch.where(kept < 0, -1, chosen[kept]))
    return rows


def _judged(row: str, seed: int, view: stages.Evaluation, chosen: torch.Tensor) -> list[dict]:
    measures = view.judge(chosen)
    return [
        {"row": row, "seed": seed, "subset": subset} | summarise([measures[i] for i in positions])
        for subset, positions in subsets(view.samples).items()
        if positions
    ]


def table(board: dict, metric: str = "mIoU") -> str:
    """The rows by subset as text: percent, mean ± standard deviation over seeds, and the paper's number if known."""
    cells, subset_names = defaultdict(list), list(dict.fromkeys(row["subset"] for row in board["rows"]))
    for row in board["rows"]:
        cells[row["row"], row["subset"]].append(100 * row[metric])
    names = list(dict.fromkeys(row["row"] for row in board["rows"]))
    printed = papers.ES3NET.get(board["table"], {})
    lines = [f"{board['table']}, {board['corpus']}, {metric} in percent, ± over seeds"]
    lines += [f"{'':26s}" + "".join(f"{name:>14s}" for name in subset_names) + ("   paper" if printed else "")]
    for name in names:
        values = [cells[name, subset] for subset in subset_names]
        texts = [
            f"{np.mean(v):.1f}" + (f" ± {np.std(v, ddof=1):.1f}" if len(v) > 1 else "") if v else "" for v in values
        ]
        paper = printed.get(name)
        lines.append(f"{name:26s}" + "".join(f"{t:>14s}" for t in texts) + (f"{paper:8.1f}" if paper else ""))
    return "\n".join(lines)
