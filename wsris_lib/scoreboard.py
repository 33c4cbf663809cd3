"""The table that a run ends in: every method on the same sentences, between its floors and its ceiling."""

import platform
from collections import defaultdict
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from wsris_lib import artefacts, grounding, refining, segmenting, stages
from wsris_lib.evaluate import Measures, subsets, summarise
from wsris_lib.profiles import Profile
from wsris_lib.refer.views import JudgedSample

METHODS = (
    "random",
    "central",
    "largest",
    "zero_shot_clip",
    "baseline",
    "esem",
    "lcm",
    "centre",
    "clip_map",
    "tris",
    "ehin",
    "ehin_crf",
    "ehin_irnet",
    "ehin_irnet_crf",
    "ehin_stage_2",
    "oracle",
)  # the order of the table
FIXED = ("central", "largest", "zero_shot_clip", "centre", "clip_map", "oracle")  # the same for every seed
PACKAGES = ("wsris", "torch", "transformers", "open_clip_torch", "numpy")
SUPERVISION = (
    "ST: image-sentence pairs, one sentence at a time; proposals from a class-agnostic detector and SAM2, themselves "
    "trained with boxes and masks of other images (centre, clip_map, tris and all of ehin use none)"
)


def make(profile: Profile) -> dict:
    """Judge every method on the profile's val split and write `scoreboard.json` into the run's folder.

    Returns what is written: dataset, split, sentences, rows (one per method, seed and subset, metrics as fractions),
    supervision, settings, versions, machine and seconds.
    """
    val = stages.evaluation(profile)
    with stages.timed(profile, "scoreboard"):
        rows, samples = [], grounding.samples(profile, profile.val_split)
        for seed in profile.seeds:
            first = seed == profile.seeds[0]
            for name, chosen in choices(profile, seed).items():
                if first or name not in FIXED:
                    rows += rows_of(val, name, seed, chosen)
            for name, measures in responses(profile, seed, first).items():
                rows += judged(samples, name, seed, measures)
            if seed in profile.route_seeds:
                rows += route(profile, seed, profile.val_split)
    board = {
        "dataset": f"{'synref' if profile.data == 'synref' else Path(profile.data).resolve().name}/{profile.corpus}",
        "split": f"{profile.split_by}/{profile.val_split}",
        "sentences": len(val.samples),
        "resolution": "original",
        "supervision": SUPERVISION,
        "rows": sorted(rows, key=lambda r: METHODS.index(r["method"])),
        "profile": asdict(profile) | {"data": Path(profile.data).name},
        "versions": {"python": platform.python_version()} | {p: version(p) for p in PACKAGES},
        "machine": {"device": profile.device, "threads": torch.get_num_threads(), "processor": platform.machine()},
        "seconds": artefacts.read_json(stages.run_folder(profile) / "seconds.json"),
    }
    path = stages.run_folder(profile) / "scoreboard.json"
    artefacts.write_json(path, board)
    return artefacts.read_json(path)


def choices(profile: Profile, seed: int) -> dict[str, torch.Tensor]:
    """Every method's chosen proposals on val, long [S] each."""
    trained = {name: stages.trained_choice(profile, seed, name == "esem")[0] for name in ("baseline", "esem")}
    trained["lcm"] = stages.trained_choice(stages.with_aligning(profile, consistency=1.0), seed)[0]  # ESEM and eq. 5
    return stages.floor_choices(profile, seed) | trained


def responses(profile: Profile, seed: int, untrained: bool = True) -> dict[str, list[Measures]]:
    """Measures of the methods that answer with a map of their own instead of a proposal."""
    found = {}
    if untrained:
        found = {"centre": grounding.floor(profile), "clip_map": grounding.judge(profile, grounding.zero_shot(profile))}
    for name, changes in (("tris", grounding.TRIS), ("ehin", {})):
        changed = grounding.with_grounding(profile, **changes)
        found[name] = grounding.judge(changed, grounding.maps(changed, seed))
    return found


def route(profile: Profile, seed: int, split: str) -> list[dict]:
    """Rows of EHIN's way from its response maps to masks: dense CRF, IRNet's walk, both, and stage 2, on a split."""
    rows = []
    for how in refining.HOW[1:]:
        measures = refining.judge(profile, split, refining.masks(profile, seed, split, how))
        rows += judged(grounding.samples(profile, split), f"ehin_{how.replace(' + ', '_')}", seed, measures)
    samples, measures = segmenting.judged(profile, seed, split)
    return rows + judged(samples, "ehin_stage_2", seed, measures)


def rows_of(val: stages.Evaluation, method: str, seed: int, chosen: torch.Tensor) -> list[dict]:
    """One row for each subset of sentences that isn't empty, of chosen proposals [S]."""
    return judged(val.samples, method, seed, val.judge(chosen))


def judged(samples: list[JudgedSample], method: str, seed: int, measures: list[Measures]) -> list[dict]:
    """One row for each subset of sentences that isn't empty."""
    return [
        {"method": method, "subset": subset, "seed": seed, **summarise([measures[i] for i in positions])}
        for subset, positions in subsets(samples).items()
        if positions
    ]


def table(board: dict, metrics: tuple[str, ...] = ("mIoU", "oIoU", "Pr@0.5", "PointM", "PointIt", "BoxAcc")) -> str:
    """The scoreboard as text: percent, mean over seeds, with their standard deviation if there are several."""
    groups = defaultdict(list)
    for row in board["rows"]:
        groups[row["subset"], row["method"]].append(row)
    lines = [f"{board['dataset']} {board['split']}, {board['sentences']} sentences, {board['resolution']} resolution"]
    for subset in dict.fromkeys(row["subset"] for row in board["rows"]):
        n = next(row["sentences"] for row in board["rows"] if row["subset"] == subset)
        lines += ["", f"{subset + f' ({n})':24s}" + "".join(f"{m:>14s}" for m in metrics)]
        for method in METHODS:
            rows = groups.get((subset, method), [])
            if rows:
                lines.append(f"  {method:22s}" + "".join(f"{_cell([r[m] for r in rows]):>14s}" for m in metrics))
    return "\n".join([*lines, "", f"Percent; ± over seeds. {board['supervision']}."])


def _cell(values: list[float]) -> str:
    mean, spread = 100 * np.mean(values), 100 * np.std(values, ddof=1) if len(values) > 1 else None
    return f"{mean:.1f}" if spread is None else f"{mean:.1f} ± {spread:.1f}"
