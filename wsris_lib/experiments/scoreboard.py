"""The table that a run ends in: every method on the same sentences, between baselines and upper bounds."""

import json
import platform
from collections import defaultdict
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from wsris_lib.config.choices import ZERO_SHOT
from wsris_lib.config.profiles import Profile, checkpoints_of, zero_shot_of
from wsris_lib.experiments.methods import (
    CENTRE,
    CLIP_MAP,
    STAGE_2,
    Method,
    choice,
    refined,
    response,
    student,
    untrained,
    zero_shot_model,
)
from wsris_lib.frozen.zero_shot import SEEN
from wsris_lib.infra import artefacts
from wsris_lib.metrics import by_subset
from wsris_lib.pipeline import ehin, pseudo_labels, refine, unjudged, zero_shot
from wsris_lib.pipeline.cache import Inputs, cached_step
from wsris_lib.pipeline.evaluation import Evaluation
from wsris_lib.pipeline.run import Run

PARTS: dict[str, dict[str, Method]] = {
    "es3net": {  # whatever chooses a proposal; Table 2's rows are baseline, esem (ESEM alone) and lcm (both)
        **{name: untrained(name) for name in ("random", "central", "largest", "zero_shot_clip")},
        **{"baseline": choice(esem=False), "esem": choice(consistency=0.0), "lcm": choice()},
        "oracle": untrained("oracle"),
    },
    "ehin": {
        **{"centre": CENTRE, "clip_map": CLIP_MAP, "tris": response(**ehin.TRIS), "ehin": response()},
        "ehin_bg_alone": response(foreground=0.0, contrast=0.0),  # of its losses through the critic the one that helps
    },
    # EHIN's way from its response maps to masks
    "route": {f"ehin_{how.replace(' + ', '_')}": refined(how) for how in refine.HOW[1:]} | {"ehin_stage_2": STAGE_2},
    # Public models as they are. None is weakly supervised: what each has seen is said below the table.
    "zero_shot": {f"zero_shot_{name}": zero_shot_model(name) for name in ZERO_SHOT},
    "cadd": {f"cadd_{kind.replace(' ', '_')}": student(kind) for kind in pseudo_labels.LABELS},
}
METHODS = (*(name for part in PARTS.values() for name in part if name != "oracle"), "oracle")  # the table's order
PACKAGES = ("wsris", "torch", "transformers", "open_clip_torch", "numpy")


def supervision(profile: Profile) -> str:
    """Which methods know what; EHIN's and TRIS's supervision is a matter of the profile's settings."""
    run = Run(profile)
    kinds = {"cadd_greedy": "MT", "cadd_both": "MT", "cadd_ehin": pseudo_labels.supervision(run)}
    kinds |= dict.fromkeys(("tris", "ehin", "ehin_bg_alone", "ehin_crf"), ehin.supervision(run))
    kinds |= dict.fromkeys(("ehin_irnet", "ehin_irnet_crf", "ehin_stage_2"), pseudo_labels.supervision(run))
    several = ", ".join(method for method in METHODS if kinds.get(method) == "MT")
    return (
        "ST: image-sentence pairs, one sentence at a time; proposals from a class-agnostic detector and SAM2, "
        "themselves trained with boxes and masks of other images (centre, clip_map, tris and all of ehin use none). "
        f"MT, also which sentences mean one object: {several}. Full, the true masks of train: cadd_truth alone. The "
        "point of ehin_crf, ehin_irnet and ehin_irnet_crf, which are hard masks, is their middle, that of the other "
        "maps their maximum"
        + "".join(
            f". zero_shot_{name}: zero-shot, not weakly supervised; seen: {SEEN[name]}"
            for name in zero_shot.present(run)
        )
    )


def make(profile: Profile, *parts: str) -> dict:
    """Judge every method on the profile's val split and write `scoreboard.json` into the run's folder.

    With `parts`, only those of PARTS, and nothing is written: what a lesson needs and no more. A part that was judged
    before, by the same code on the same data, is found again.

    Returns what is written: dataset, split, sentences, rows (one per method, seed and subset, metrics as fractions),
    supervision, settings, versions, machine and seconds. Raises KeyError for an unknown part.
    """
    if unknown := set(parts) - set(PARTS):
        raise KeyError(f"no part {min(unknown)!r} of the scoreboard; choose one of {', '.join(PARTS)}")
    run = Run(profile)
    if "zero_shot" in (parts or PARTS):
        for name, checkpoint in zero_shot_of(profile).items():
            if why := zero_shot.missing(checkpoint):
                print(f"no row of {name}: {why}")
    rows = [row for part in parts or PARTS for row in _rows_of_part(run, part)]
    board = {
        "dataset": f"{'synref' if profile.data == 'synref' else Path(profile.data).resolve().name}/{run.corpus.corpus}",
        "split": f"{run.corpus.split_by}/{profile.val_split}",
        "sentences": len(run.evaluation().samples),
        "resolution": "original",
        "supervision": supervision(profile),
        "rows": sorted(rows, key=lambda r: METHODS.index(r["method"])),
        "profile": asdict(profile) | {field: Path(getattr(profile, field)).name for field in ("data", "image_folder")},
        "versions": {"python": platform.python_version()} | {p: version(p) for p in PACKAGES},
        "machine": {"device": profile.device, "threads": torch.get_num_threads(), "processor": platform.machine()},
        "seconds": run.seconds,
    }
    if not parts:
        artefacts.write_json(run.folder / "scoreboard.json", board)
    return json.loads(json.dumps(board))  # as a reader of the file gets it


def _inputs(run: Run, part: str) -> Inputs:
    """The whole profile: what a part reads of it is written nowhere, and judging again what is stored costs little."""
    profile = run.profile
    splits = (profile.train_split, profile.val_split)
    data = [(run.samples_key(split), run.images_key(split)) for split in splits]
    names = checkpoints_of(profile) if part != "zero_shot" else zero_shot.present(run)
    checkpoints = [run.fingerprint(name) for name in names.values() if name]
    return {"part": part, "profile": profile, "truth": run.truth_key(), "data": data, "checkpoints": checkpoints}


@cached_step(
    "rows",
    uses=(
        *("baselines", "ehin", "es3net", "experiments.methods", "frozen", "metrics", "pipeline", "refer", "refine"),
        *("cadd", "segmentation", "infra.trainer"),
    ),
    inputs=_inputs,
    title=lambda run, part: f"scoreboard, {part}",
)
def _rows_of_part(run: Run, part: str, *, out: Path) -> list[dict]:
    profile = run.profile
    kinds = unjudged.student_kinds(run)
    kinds = kinds if part == "cadd" else tuple(zero_shot.present(run))
    some = part in ("cadd", "zero_shot")
    methods = {n: m for n, m in PARTS[part].items() if not some or m.arguments[0] in kinds}
    seeds = profile.seeds if part in ("es3net", "ehin") else profile.segmenter_seeds
    return [
        {"method": name, "seed": seed} | row
        for name, method in methods.items()
        for seed in (seeds if method.seeded else seeds[:1])
        for row in by_subset(*method.answers(profile, seed))
    ]


def rows_of(val: Evaluation, method: str, seed: int, chosen: torch.Tensor) -> list[dict]:
    """One row for each subset of sentences that isn't empty, of chosen proposals [S]."""
    return [{"method": method, "seed": seed} | row for row in by_subset(val.samples, val.judge(chosen))]


def table(board: dict, metrics: tuple[str, ...] = ("mIoU", "oIoU", "Pr@0.5", "PointM", "PointIt", "BoxAcc")) -> str:
    """The scoreboard as text: percent, mean over seeds, with their standard deviation if there are several."""
    groups = defaultdict(list)
    for row in board["rows"]:
        groups[row["subset"], row["method"]].append(row)
    lines = [f"{board['dataset']} {board['split']}, {board['sentences']} sentences, {board['resolution']} resolution"]
    for subset in dict.fromkeys(row["subset"] for row in board["rows"]):
        n = next(row["sentences"] for row in board["rows"] if row["subset"] == subset)
        lines += ["", f"{subset + f' ({n})':26s}" + "".join(f"{m:>14s}" for m in metrics)]
        for method in METHODS:
            rows = groups.get((subset, method), [])
            if rows:
                lines.append(f"  {method:24s}" + "".join(f"{cell([r[m] for r in rows]):>14s}" for m in metrics))
    return "\n".join([*lines, "", f"Percent; ± over seeds. {board['supervision']}."])


def cell(values: list[float]) -> str:
    """Fractions of some seeds as percent: their mean, and their standard deviation where there are several."""
    mean = 100 * np.mean(values)
    spread = 100 * np.std(values, ddof=1) if len(values) > 1 else None
    return f"{mean:.1f}" if spread is None else f"{mean:.1f} ± {spread:.1f}"
