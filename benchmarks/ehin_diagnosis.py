"""Why EHIN isn't above TRIS here: each loss's share of the gradient, and what the critic thinks of which mask.

    python benchmarks/ehin_diagnosis.py [PROFILE [SEED [CORPUS]]]     default: tiny 0 refcoco+

Trains each row once, with the profile's sizes; prints it as it is ready, and writes ehin_diagnosis.md beside this file.

Every WATCH-th step the gradient of each weighted loss is taken at the two projections, which all losses share. After
the training the critic judges val: S of the own sentence, under the mask itself and under masks as coarse as a map.
"""

import sys
import tempfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsris_lib.config import profiles
from wsris_lib.ehin.gradients import at_projections, cosine, shares
from wsris_lib.ehin.losses import SHARPNESS
from wsris_lib.ehin.predict import response_maps
from wsris_lib.ehin.train import train
from wsris_lib.frozen.critic import Critic
from wsris_lib.metrics import summarise
from wsris_lib.pipeline import ehin
from wsris_lib.pipeline.run import Run

WATCH = 16
Noted = tuple[float, dict[str, float], dict[str, float]]  # place in the training (0 to 1), shares, cosines
THIRDS = ("first", "second", "last")  # of the training
RELATIVE = {"foreground_form": "relative", "foreground": 0.5}
ROWS = {
    "classification alone": ehin.TRIS | {"foreground": 0.0, "background": 0.0},
    "BG alone": {"foreground": 0.0, "contrast": 0.0},
    "TRIS": ehin.TRIS,
    "EHIN": {},
    "TRIS, FG relative": ehin.TRIS | RELATIVE,
    "EHIN, FG relative": RELATIVE | {"contrast": 0.5},
}
LOSSES = {"classify": "classification", "foreground": "FG", "background": "BG", "contrast": "CL"}


def main(name: str = "tiny", seed: str = "0", corpus: str = "refcoco+") -> None:
    """Train, measure and write the tables."""
    run = Run(profiles.load(name, corpus=corpus))
    settings = run.profile.ehin
    val = ehin.images(run)
    h, w = val.maps(val.ids[:1]).shape[2:]
    by_truth = seen_by_truth(run, h, w)
    quality: dict[str, tuple] = {"CLIP's own map": (summarise(ehin.judge(run, ehin.zero_shot(run))), None)}
    gradients = {}
    command = " ".join(["python benchmarks/ehin_diagnosis.py", *sys.argv[1:]])
    for row, changes in ROWS.items():
        R, gradients[row] = trained(run, int(seed), changes)
        sharp = SHARPNESS if "foreground_form" in changes else 1.0
        measures = ehin.judge(run, R)
        S = ehin.seen_by_critic(run, (sharp * R).sigmoid()).numpy()
        quality[row] = summarise(measures), (S, np.array([m.point_m for m in measures]))
        print(row, {metric: round(100 * quality[row][0][metric], 1) for metric in ("PointM", "mIoU")}, flush=True)
        lines = [
            "# Why EHIN isn't above TRIS here",
            "",
            f"Made by `{command}`: profile `{name}`, {corpus} val,",
            f"{len(ehin.samples(run)):,} sentences, seed {seed}; {settings.image_size} pixels ({h} x {w} cells), the",
            f"critic's {settings.critic_image_size}, {settings.precision}; torch {torch.__version__}. One seed:",
            "differences under 1 PointM or .5 mIoU say nothing.",
            "",
            *gradient_table(gradients),
            "",
            *critic_tables(quality, by_truth),
            "",
        ]
        Path(__file__).with_name("ehin_diagnosis.md").write_text("\n".join(lines))


def trained(run: Run, seed: int, changes: dict) -> tuple[Tensor, list[Noted]]:
    """R of val [S, h, w], and what was noted of each watched step."""
    settings = replace(run.profile.ehin, **changes)
    critic = Critic(settings.critic, settings.critic_image_size, settings.max_tokens)
    noted = []

    def watch(step, terms, head):
        if step % WATCH == 0:
            gradients = at_projections(terms, settings, head)
            cosines = {loss: cosine(gradients, "classify", loss) for loss in gradients if loss != "classify"}
            noted.append((step, shares(gradients), cosines))

    samples = list(run.corpus.training_view(run.profile.train_split))
    with tempfile.TemporaryDirectory() as folder:
        images = ehin.images(run, run.profile.train_split)
        modules, _ = train(images, samples, critic.to(images.device), settings, seed, Path(folder) / "run", watch)
    steps = noted[-1][0] + 1
    return response_maps(modules, ehin.images(run), ehin.samples(run)), [(n / steps, *rest) for n, *rest in noted]


def seen_by_truth(run: Run, h: int, w: int) -> dict[str, NDArray]:
    """S of val's sentences [S] under masks that nobody trained; nan where an image has no other object."""
    samples = ehin.samples(run)
    whole = torch.stack([torch.from_numpy(truth).float() for truth in ehin.truths(run)])
    cells = ehin.true_cells(run, h, w)
    refs = defaultdict(dict)  # image -> ref -> a row of it
    for row, sample in enumerate(samples):
        refs[sample.image_id].setdefault(sample.ref_id, row)
    rival = [next((r for ref, r in refs[s.image_id].items() if ref != s.ref_id), -1) for s in samples]
    there = np.array(rival) >= 0
    others = ehin.seen_by_critic(run, cells[rival]).numpy()
    everything = torch.ones_like(cells)
    return {
        "the true mask": ehin.seen_by_critic(run, whole).numpy(),
        "the true mask in the map's cells": ehin.seen_by_critic(run, cells).numpy(),
        "another object of the image in cells": np.where(there, others, np.nan),
        "the whole image": ehin.seen_by_critic(run, everything).numpy(),
    }


def gradient_table(gradients: dict) -> list[str]:
    """Shares of the gradient's norm by thirds of the training, and the cosines with the classification's."""
    lines = [
        "## Whose gradient it is",
        "",
        "Norm of each weighted loss's gradient at the projections of image and sentence, percent of the sum of norms,",
        f"in each third of the training (every {WATCH}th step). In brackets: mean cosine with classification's.",
        "",
        "| | third | " + " | ".join(LOSSES.values()) + " |",
        "|---" * (2 + len(LOSSES)) + "|",
    ]
    for row, noted in gradients.items():
        for n, third in enumerate(THIRDS):
            some = [(share, cosines) for place, share, cosines in noted if n <= 3 * place < n + 1]
            cells = []
            for loss in LOSSES:
                if loss not in some[0][0]:
                    cells.append("–")
                    continue
                share = f"{100 * np.mean([share[loss] for share, _ in some]):.0f}"
                pull = f" ({np.mean([c[loss] for _, c in some]):+.2f})" if loss != "classify" else ""
                cells.append(share + pull)
            lines.append(f"| {row} | {third} | " + " | ".join(cells) + " |")
    return lines


def critic_tables(quality: dict, by_truth: dict[str, NDArray]) -> list[str]:
    """S under true and wrong masks; and of each row its measures, and S of its masks where its point hits or misses."""
    true_cells = by_truth["the true mask in the map's cells"]
    rival = by_truth["another object of the image in cells"]
    there = ~np.isnan(rival)
    lines = ["## What the critic thinks", "", "S of the own sentence (mean ± standard deviation over sentences):", ""]
    lines += ["| under | S |", "|---|---|"]
    lines += [f"| {mask} | {np.nanmean(S):.3f} ± {np.nanstd(S):.3f} |" for mask, S in by_truth.items()]
    better = 100 * np.mean(true_cells[there] > rival[there])
    lines += [
        "",
        f"The true cells are above another object's in {better:.1f} % of the {there.sum():,} sentences that have one.",
        "",
        "S under each row's own masks, sigma(R), or sigma(4 R) where FG is relative; and of those whose point misses,",
        "how many have a higher S than the true mask in the map's cells: there the critic prefers what is wrong.",
        "",
        "| | PointM | mIoU | S, all | where it hits | where it misses | wrong and above the truth |",
        "|---|---|---|---|---|---|---|",
    ]
    for row, (summary, critic_and_hits) in quality.items():
        cells = ["–"] * 4
        if critic_and_hits:
            S, hit = critic_and_hits
            above = 100 * np.mean(S[~hit] > true_cells[~hit])
            cells = [f"{S.mean():.3f}", f"{S[hit].mean():.3f}", f"{S[~hit].mean():.3f}", f"{above:.0f} %"]
        lines.append(
            f"| {row} | {100 * summary['PointM']:.1f} | {100 * summary['mIoU']:.1f} | " + " | ".join(cells) + " |"
        )
    return lines


if __name__ == "__main__":
    print(__doc__) if "--help" in sys.argv else main(*sys.argv[1:])
