"""A Depth Anything of under a million weights: relative inverse depth from rendered scenes, on the miniature DINOv2.

Loss of Ranftl et al. 2020 (MiDaS), as Depth Anything (Yang et al. 2024) has it: the truth counts up to scale and shift.
"""

from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.stats import spearmanr
from torch import Tensor, nn
from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Model, DPTImageProcessor

from wsris_lib.frozen.depth import DepthEstimator
from wsris_lib.miniature.card import adamw, cosine, device
from wsris_lib.miniature.dino import PATCH, SIZE, config
from wsris_lib.miniature.training import MiniatureTrainer
from wsris_lib.miniature.views import MEAN, STD, jitter, load_images, normalise, uniform
from wsris_lib.synref.web import Web


def depth_config() -> DepthAnythingConfig:
    """Depth Anything's over the miniature DINOv2's ViT.

    The neck has about a quarter of the widths and resolutions that its ViT would have in the public models: at those it
    costs more than the ViT.
    """
    stages = dict(out_features=["stage1", "stage2", "stage3", "stage4"], reshape_hidden_states=False)
    neck = dict(reassemble_hidden_size=128, neck_hidden_sizes=[24, 32, 48, 64], reassemble_factors=[2, 1, 1, 0.5])
    head = dict(fusion_hidden_size=24, head_hidden_size=8, initializer_range=0.1)  # 0.02 lets narrow layers fade out
    return DepthAnythingConfig(backbone_config=config(**stages), patch_size=PATCH, **neck, **head)


def build(dino: Path) -> DepthAnythingForDepthEstimation:
    """Depth Anything whose ViT starts as the miniature DINOv2 in the folder `dino`."""
    if not (dino / "config.json").is_file():
        raise FileNotFoundError(f"{dino} holds no DINOv2; run `python -m wsris_lib zoo train dino` first")
    model = DepthAnythingForDepthEstimation(depth_config())
    nn.init.ones_(model.head.conv3.bias)  # the output passes a ReLU, which must not start out dead
    model.backbone.load_state_dict(Dinov2Model.from_pretrained(dino, dtype=torch.float32).state_dict())
    return model


def standardised(maps: Tensor) -> Tensor:
    """Maps [B, H, W] less their median, over their mean absolute deviation: free of scale and shift (MiDaS eq. 5-6)."""
    maps = maps - maps.flatten(1).median(1).values.view(-1, 1, 1)
    return maps / maps.abs().mean((1, 2), keepdim=True).clamp(min=1e-4)


def relative_loss(predicted: Tensor, inverse: Tensor, scales: int = 3) -> Tensor:
    """Mean |difference| of the standardised maps [B, H, W] (MiDaS eq. 7, untrimmed: rendered truth has no outliers),
    plus half the mean |slope of the difference| over `scales` halvings, which keeps edges sharp (MiDaS eq. 11)."""
    difference = standardised(predicted) - standardised(inverse)
    loss = difference.abs().mean()
    for _ in range(scales):
        loss = loss + 0.5 * sum(difference.diff(dim=side).abs().mean() for side in (1, 2))
        difference = difference[:, ::2, ::2]
    return loss


def train(
    out: Path,
    web: Web,
    steps: int = 900,
    batch: int = 16,
    seed: int = 0,
    *,
    dino: Path | None = None,
    lr: float = 1e-3,
) -> None:
    """Train on images and their depth, and write `out` in transformers' format: fp16 weights, processor, card.json.

    `dino` is the folder of the miniature DINOv2 to start from, by default the one beside `out`; FileNotFoundError if
    there is none.
    """
    torch.manual_seed(seed)
    model = build(dino or out.parent / "dino").to(device()).train()
    run = MiniatureTrainer(out, model, adamw(model, lr), steps, seed, dict(batch=batch))
    for step in run:
        index = run.rng.integers(len(web.images), size=batch)
        images = jitter(load_images(web, index), run.generator)
        inverse = 1 / torch.from_numpy(web.depth[index]).to(images).float()  # [B, H, W]
        mirrored = uniform(0, 1, batch, generator=run.generator) < 0.5
        images[mirrored] = images[mirrored].flip(-1)
        inverse[mirrored] = inverse[mirrored].flip(-1)
        loss = relative_loss(model(normalise(images)).predicted_depth, inverse)
        run.backward_and_step(loss, lr * cosine(step, steps, warmup=max(1, steps // 20)))
    save(model, out)
    run.finish(
        name="depth",
        objective="inverse depth up to scale and shift, with matched slopes (MiDaS, Depth Anything)",
        data=dict(scenes=len(web.images), images=steps * batch, seed=seed, uses="images and depth"),
        limits="knows SynRef's tables seen from 22 to 52 degrees above; frames are squashed to a square",
    )


def save(model: DepthAnythingForDepthEstimation, out: Path) -> None:
    """Write weights (fp16) and processor as AutoModelForDepthEstimation and AutoImageProcessor read them."""
    model.half().save_pretrained(out)
    sizes = dict(size={"height": SIZE, "width": SIZE}, ensure_multiple_of=PATCH, keep_aspect_ratio=False)
    DPTImageProcessor(**sizes, image_mean=MEAN, image_std=STD).save_pretrained(out)


def probe(folder: Path, web: Web) -> dict[str, float]:
    """The project's own estimator on unseen scenes, beside the mean of their true maps: what "lower is nearer" gives.

    Each map is first aligned to the true inverse depth by least squares (scale and shift), as relative models are
    judged. AbsRel and delta1 (depth within a factor 1.25) are over pixels, and so is Spearman's rank correlation, which
    needs no fit; "nearer of two" is the share of the pairs of objects in a scene whose mean inverse depths are in the
    right order, which is all that "in front of" needs. Of pairs of pixels on both sides of an outline (`across_edges`)
    "edge pairs ordered" is the share that is in the right order, "edge pairs tied" the share that lies within 1 % of
    the map's range of each other, whatever the order, and "edge step kept" the median part of the true step that is
    there, after the fit.
    """
    estimator = DepthEstimator(str(folder), SIZE)
    truth = 1 / np.asarray(web.depth, np.float32)
    images = [Image.fromarray(image) for image in np.asarray(web.images)]
    guesses = {
        "": [estimator.inverse_depth([image])[0].numpy() for image in images],
        ", mean map": [truth.mean(0)] * len(images),
    }
    result = {}
    for name, maps in guesses.items():
        absrel, delta1 = np.mean([errors(*both) for both in zip(maps, truth)], axis=0)
        right = [order for each in zip(maps, truth, web.ids) for order in ordered(*each)]
        rank = [spearmanr(guess[::2, ::2], true[::2, ::2], axis=None)[0] for guess, true in zip(maps, truth)]
        steps = np.concatenate([across_edges(*each) for each in zip(maps, truth, web.ids)])  # [pairs, 3]
        result |= {f"AbsRel{name}": absrel, f"delta1{name}": delta1, f"rank correlation{name}": np.mean(rank)}
        result |= {f"nearer of two{name}": np.mean(right)}
        if len(steps):
            result |= {f"edge pairs ordered{name}": np.mean(steps[:, 0] * steps[:, 1] > 0)}
            result |= {f"edge pairs tied{name}": np.mean(np.abs(steps[:, 2]) < 0.01)}
            result |= {f"edge step kept{name}": np.median(steps[:, 0] / steps[:, 1])}
    return {name: round(float(value), 4) for name, value in result.items()}


def fitted(inverse: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """A relative map [H, W] at the scale and shift nearest to `truth`, both of them 1 / depth."""
    design = np.stack([inverse.ravel(), np.ones(inverse.size)], axis=1)
    return (design @ np.linalg.lstsq(design, truth.ravel(), rcond=None)[0]).reshape(truth.shape)


def errors(inverse: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """(AbsRel, delta1) of a relative map [H, W] after the best scale and shift to `truth`, both of them 1 / depth."""
    ratio = truth / fitted(inverse, truth).clip(1 / 100)  # predicted over true depth; nothing is farther than 100
    return np.abs(ratio - 1).mean(), (np.maximum(ratio, 1 / ratio) < 1.25).mean()


def across_edges(inverse: np.ndarray, truth: np.ndarray, ids: np.ndarray, least: float = 0.05) -> np.ndarray:
    """The steps of two maps [H, W] of 1 / depth across the outlines in `ids`: [pairs, 3].

    A pair is two pixels, three apart in a row or a column, with an outline midway; each lies on its own side with the
    pixel next to it, and their true depths differ by the share `least` or more. Columns: the map's step after the fit,
    the true step, and the map's step as a share of the map's range.
    """
    aligned = fitted(inverse, truth)
    spread = max(float(np.ptp(inverse)), 1e-9)
    steps = []
    for turned in (False, True):
        ours, theirs, raw, of = (m.T if turned else m for m in (aligned, truth, inverse, ids))
        near = slice(0, -3)
        far = slice(3, None)
        edge = (of[near] == of[1:-2]) & (of[2:-1] == of[far]) & (of[1:-2] != of[2:-1])
        edge &= np.maximum(theirs[near] / theirs[far], theirs[far] / theirs[near]) >= 1 + least
        steps.append(np.stack([m[near][edge] - m[far][edge] for m in (ours, theirs, raw)], axis=1))
    return np.concatenate(steps) / (1, 1, spread)


def ordered(inverse: np.ndarray, truth: np.ndarray, ids: np.ndarray) -> list[bool]:
    """For each pair of visible objects: does the map [H, W] say rightly which of the two is nearer on average?"""
    masks = [ids == k for k in np.unique(ids[ids > 0])]
    ours, theirs = [[values[mask].mean() for mask in masks] for values in (inverse, truth)]
    return [(ours[a] > ours[b]) == (theirs[a] > theirs[b]) for a, b in combinations(range(len(masks)), 2)]
