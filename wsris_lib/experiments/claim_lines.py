"""Two claims that aren't of one method above another: that confidence tells what is right, and what an answer costs."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from wsris_lib.config.profiles import Profile
from wsris_lib.experiments import papers
from wsris_lib.experiments.comparing import DRAWS
from wsris_lib.experiments.costs import answer_seconds
from wsris_lib.frozen.clip_backbone import Backbone
from wsris_lib.pipeline import ehin, es3net
from wsris_lib.pipeline.run import Run

BINS = 10
LINEAR = 0.9  # an R of this or more is called a line
ASKED = 20  # answers timed
ROUNDS = 5  # and how often


def correlation(confidence: NDArray, correct: NDArray) -> float:
    """Pearson's R over ten bins of equal numbers: mean confidence against share of correct ones (ES3Net Fig. 5)."""
    parts = np.array_split(np.argsort(confidence, kind="stable"), BINS)
    return float(np.corrcoef([confidence[p].mean() for p in parts], [correct[p].mean() for p in parts])[0, 1])


def confidence_line(profile: Profile, splits: tuple[str, ...]) -> tuple[str, ...]:
    """ES3Net eq. 6 and Fig. 5: is the share of correct choices a line in their confidence?"""
    of_seed = []
    images = []
    for seed in profile.seeds:
        sure = []
        right = []
        images = []
        for split in splits:
            run = Run(replace(profile, val_split=split))
            val = run.evaluation()
            chosen, confidence = es3net.trained_choice(run, seed)
            sure += confidence.tolist()
            right += [measures.iou >= 0.5 for measures in val.judge(chosen)]
            images += [f"{split} {sample.image_id}" for sample in val.samples]
        of_seed.append((np.array(sure), np.array(right, float)))
    r = [correlation(*one) for one in of_seed]
    low, high = _interval(of_seed, images)
    verdict = "holds" if low >= LINEAR else "doesn't hold" if high < LINEAR else "can't be told here"
    spread = f" ± {np.std(r, ddof=1):.3f}" if len(r) > 1 else ""
    paper = papers.printed("es3net", "Fig. 5", "confidence against Pr@50", "refcoco", "", "R")
    here = f"R = {np.mean(r):.3f}{spread} over ten bins ({profile.corpus}, {len(images):,} sentences)"
    return (
        f"correctness is a line in confidence (R of {LINEAR} or more)",
        f"R = {paper} (ES3Net Fig. 5)",
        here,
        f"[{low:.3f}, {high:.3f}]",
        f"– ({len(r)})",
        "",
        f"**{verdict}**",
        "06",
    )


def _interval(of_seed: list[tuple[NDArray, NDArray]], images: list[str]) -> tuple[float, float]:
    """95 % of the mean R over seeds, by resampling images."""
    _, image = np.unique(images, return_inverse=True)
    rows = [np.flatnonzero(image == n) for n in range(image.max() + 1)]
    rng = np.random.default_rng(0)
    values = []
    for _ in range(DRAWS // 10):
        drawn = np.concatenate([rows[n] for n in rng.integers(len(rows), size=len(rows))])
        values.append(np.mean([correlation(sure[drawn], right[drawn]) for sure, right in of_seed]))
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def cost_line(profile: Profile) -> tuple[str, ...]:
    """EHIN Table 10: an answer of EHIN takes less time than one of TRIS."""
    run = Run(profile)
    runs = {"TRIS": run.changed(ehin=ehin.TRIS), "EHIN": run}
    heads = {name: ehin.train(variant, profile.seeds[0]).model["head"].eval() for name, variant in runs.items()}
    settings = profile.ehin
    backbone = Backbone(settings.backbone, settings.image_size, settings.max_tokens).eval().to(profile.device)
    view = run.corpus.training_view(profile.val_split)
    with torch.no_grad():
        whole, _ = answer_seconds(backbone, heads, view, view[:ASKED], ROUNDS, profile.device)
    ratios = np.divide(whole["EHIN"], whole["TRIS"])
    low, high = np.quantile(ratios, [0.25, 0.75])
    paper = {name: papers.printed("ehin", "Table 10", name, "", "", "seconds") for name in whole}
    verdict = "holds" if high < 1 else "doesn't hold" if low > 1 else "can't be told here"
    return (
        "an answer of EHIN takes less time than one of TRIS",
        f"{paper['TRIS']} → {paper['EHIN']} s (EHIN Table 10)",
        f"{1000 * np.median(whole['TRIS']):.1f} → {1000 * np.median(whole['EHIN']):.1f} ms",
        f"ratio {np.median(ratios):.2f}, half of the answers [{low:.2f}, {high:.2f}]",
        "–",
        "",
        f"**{verdict}**",
        "07",
    )
