"""The table that a run ends in: every method on the same sentences, between baselines and upper bounds."""

import json
import platform
from collections import defaultdict
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from wsris_lib.config.profiles import Profile
from wsris_lib.infra import artefacts
from wsris_lib.metrics import SampleMetrics, subsets, summarise
from wsris_lib.pipeline import ehin, es3net, pseudo_labels, refine, stage2, students, unjudged
from wsris_lib.pipeline.cache import Inputs, cached_step
from wsris_lib.pipeline.evaluation import Evaluation
from wsris_lib.pipeline.run import Run
from wsris_lib.refer.views import AnnotatedSample

METHODS = (  # esem: ESEM alone; lcm: ESEM and LCM, the alignment that labels, students and `predict` are of
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
    "cadd_single_text",
    "cadd_greedy",
    "cadd_ehin",
    "cadd_both",
    "cadd_truth",
    "oracle",
)  # the order of the table
FIXED = ("central", "largest", "zero_shot_clip", "centre", "clip_map", "oracle")  # the same for every seed
PACKAGES = ("wsris", "torch", "transformers", "open_clip_torch", "numpy")


def supervision(profile: Profile) -> str:
    """Which methods know what; EHIN's and TRIS's supervision is a matter of the profile's settings."""
    run = Run(profile)
    kinds = {"cadd_greedy": "MT", "cadd_both": "MT", "cadd_ehin": pseudo_labels.supervision(run)}
    kinds |= dict.fromkeys(("tris", "ehin", "ehin_crf"), ehin.supervision(run))
    kinds |= dict.fromkeys(("ehin_irnet", "ehin_irnet_crf", "ehin_stage_2"), pseudo_labels.supervision(run))
    several = ", ".join(method for method in METHODS if kinds.get(method) == "MT")
    return (
        "ST: image-sentence pairs, one sentence at a time; proposals from a class-agnostic detector and SAM2, "
        "themselves trained with boxes and masks of other images (centre, clip_map, tris and all of ehin use none). "
        f"MT, also which sentences mean one object: {several}. Full, the true masks of train: cadd_truth alone. The "
        "point of ehin_crf, ehin_irnet and ehin_irnet_crf, which are hard masks, is their middle, that of the other "
        "maps their maximum"
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
    rows = [row for part in parts or PARTS for row in _rows_of_part(run, part)]
    board = {
        "dataset": f"{'synref' if profile.data == 'synref' else Path(profile.data).resolve().name}/{run.corpus.corpus}",
        "split": f"{run.corpus.split_by}/{profile.val_split}",
        "sentences": len(run.evaluation().samples),
        "resolution": "original",
        "supervision": supervision(profile),
        "rows": sorted(rows, key=lambda r: METHODS.index(r["method"])),
        "profile": asdict(profile) | {"data": Path(profile.data).name},
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
    models = [profile.clip, profile.dino, profile.depth, profile.sam2, profile.text, profile.detector]
    models += [profile.ehin.backbone, profile.ehin.critic]
    models += [profile.refine.backbone, profile.stage2.backbone]
    models += [profile.cadd.image_model, profile.cadd.text_model]
    checkpoints = [run.fingerprint(name) for name in models]
    return {"part": part, "profile": profile, "truth": run.truth_key(), "data": data, "checkpoints": checkpoints}


@cached_step(
    "rows",
    uses=(
        *("baselines", "ehin", "es3net", "experiments.scoreboard", "frozen", "metrics", "pipeline", "refer", "refine"),
        *("cadd", "segmentation", "infra.trainer"),
    ),
    inputs=_inputs,
    title=lambda run, part: f"scoreboard, {part}",
)
def _rows_of_part(run: Run, part: str, *, out: Path) -> list[dict]:
    return PARTS[part](run.profile)


def _es3net(profile: Profile) -> list[dict]:
    """Whatever chooses a proposal."""
    val = Run(profile).evaluation()
    rows = []
    for seed in profile.seeds:
        for name, chosen in choices(profile, seed).items():
            if seed == profile.seeds[0] or name not in FIXED:
                rows += rows_of(val, name, seed, chosen)
    return rows


def _ehin(profile: Profile) -> list[dict]:
    """Whatever answers with a map of its own."""
    samples = ehin.samples(Run(profile))
    rows = []
    for seed in profile.seeds:
        for name, measures in responses(profile, seed, seed == profile.seeds[0]).items():
            rows += judged(samples, measures, name, seed)
    return rows


def _route(profile: Profile) -> list[dict]:
    """EHIN's way from its response maps to masks: dense CRF, IRNet's walk, both, and stage 2."""
    run = Run(profile)
    samples = ehin.samples(run)
    rows = []
    for seed in profile.segmenter_seeds:
        for how in refine.HOW[1:]:
            labels = refine.masks(run, seed, profile.val_split, how)
            measures = pseudo_labels.judge(run, profile.val_split, labels)
            rows += judged(samples, measures, f"ehin_{how.replace(' + ', '_')}", seed)
        rows += judged(*stage2.judged(run, seed), method="ehin_stage_2", seed=seed)
    return rows


def _cadd(profile: Profile) -> list[dict]:
    """LAVT students of the profile's kinds of labels."""
    rows = []
    for seed in profile.segmenter_seeds:
        for kind in unjudged.student_kinds(Run(profile)):
            answers = students.judged(Run(profile), seed, profile.val_split, kind)
            rows += judged(*answers, method=f"cadd_{kind.replace(' ', '_')}", seed=seed)
    return rows


PARTS = {"es3net": _es3net, "ehin": _ehin, "route": _route, "cadd": _cadd}


def choices(profile: Profile, seed: int) -> dict[str, torch.Tensor]:
    """Every method's chosen proposals on val, long [S] each."""
    run = Run(profile)
    alone = run.changed(es3net={"consistency": 0.0})
    rows = {"baseline": (run, False), "esem": (alone, True), "lcm": (run, True)}  # Table 2's
    trained = {name: es3net.trained_choice(own_run, seed, esem)[0] for name, (own_run, esem) in rows.items()}
    return es3net.baseline_choices(run, seed) | trained


def responses(profile: Profile, seed: int, untrained: bool = True) -> dict[str, list[SampleMetrics]]:
    """Measures of the methods that answer with a map of their own instead of a proposal."""
    run = Run(profile)
    measures = {}
    if untrained:
        measures = {"centre": ehin.central_baseline(run), "clip_map": ehin.judge(run, ehin.zero_shot(run))}
    for name, changes in (("tris", ehin.TRIS), ("ehin", {})):
        changed = run.changed(ehin=changes)
        measures[name] = ehin.judge(changed, ehin.maps(changed, seed))
    return measures


def rows_of(val: Evaluation, method: str, seed: int, chosen: torch.Tensor) -> list[dict]:
    """One row for each subset of sentences that isn't empty, of chosen proposals [S]."""
    return judged(val.samples, val.judge(chosen), method, seed)


def judged(samples: list[AnnotatedSample], measures: list[SampleMetrics], method: str, seed: int) -> list[dict]:
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
                lines.append(f"  {method:22s}" + "".join(f"{cell([r[m] for r in rows]):>14s}" for m in metrics))
    return "\n".join([*lines, "", f"Percent; ± over seeds. {board['supervision']}."])


def cell(values: list[float]) -> str:
    """Fractions of some seeds as percent: their mean, and their standard deviation where there are several."""
    mean = 100 * np.mean(values)
    spread = 100 * np.std(values, ddof=1) if len(values) > 1 else None
    return f"{mean:.1f}" if spread is None else f"{mean:.1f} ± {spread:.1f}"
