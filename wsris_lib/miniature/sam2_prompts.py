"""Clicks and boxes for the miniature SAM 2, what each may mean, and the loss that teaches it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wsris_lib.miniature.sam2_model import PIXELS
from wsris_lib.synref.regions import LEVELS, Region, regions

LEAST = 16  # pixels of a region that is pointed at
PROMPTS = 8  # of each image


@dataclass(frozen=True)
class Prompts:
    """How to point at P regions of each of B scenes, and what is meant.

    Attributes:
        clicks: float [B, P, 2], (x, y) on the region, in pixels of the model's input.
        boxes: float [B, P, 4] around it, with the jitter of a detector, likewise.
        masks: bool [B, P, 3, H, W]: the region, then others that hold the click.
        valid: bool [B, P, 3]: which of the three there are; the first always.
    """

    clicks: Tensor
    boxes: Tensor
    masks: Tensor
    valid: Tensor


def draw_prompts(
    ids: np.ndarray,
    parts: np.ndarray,
    categories: Sequence[Sequence[str]],
    rng: np.random.Generator,
    prompts: int = PROMPTS,
) -> Prompts:
    """Random regions of each scene: one in ten the ground, the others to equal shares wholes and what is within them.

    ids, parts: uint8 [B, H, W]; categories: of each scene's things.
    """
    rows = [
        _draw_prompt(scene, numbers, known, rng)
        for scene, numbers, things in zip(ids, parts, categories)
        for known in [regions(scene, numbers, things, LEAST)]
        for _ in range(prompts)
    ]
    clicks, boxes, masks = (np.stack(column) for column in zip(*rows))
    scale = PIXELS / ids.shape[1]
    shape = (len(ids), prompts)
    points, frames = (torch.tensor(a * scale, dtype=torch.float32) for a in (clicks, boxes))
    targets = torch.from_numpy(masks).view(*shape, len(LEVELS), *ids.shape[1:])
    return Prompts(points.view(*shape, 2), frames.view(*shape, 4), targets, targets.flatten(3).any(3))


def _draw_prompt(
    ids: np.ndarray, parts: np.ndarray, known: list[Region], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A click [2], a box [4] in pixels of the scene and masks bool [3, H, W], those that are missing empty."""
    masks = np.zeros((len(LEVELS), *ids.shape), bool)
    wholes = [region for region in known if region.level == "whole"]
    within = [region for region in known if region.level != "whole"]
    if not wholes or rng.random() < 0.1:
        masks[0] = ids == 0
    else:
        some = within if within and rng.random() < 0.5 else wholes
        region = some[rng.integers(len(some))]
        masks[0] = region.mask(ids, parts)
    ys, xs = np.nonzero(masks[0])
    here = rng.integers(len(xs))
    y = ys[here]
    x = xs[here]
    if ids[y, x]:
        others = [
            other for other in known if other != region and other.thing == ids[y, x] and parts[y, x] in other.primitives
        ]
        for k, other in enumerate(others, 1):
            masks[k] = other.mask(ids, parts)
    box = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], float)
    jitter = rng.normal(0, 0.05, 4) * np.tile(box[2:] - box[:2], 2)
    return np.array([x + 0.5, y + 0.5]), np.clip(box + jitter, 0, ids.shape[0]), masks


def prompt_loss(logits: Tensor, predicted_iou: Tensor, masks: Tensor, valid: Tensor) -> Tensor:
    """SAM's loss with cross entropy for its focal loss, which from nothing leads to empty masks.

    logits [B, P, K, h, w], predicted_iou [B, P, K], masks bool [B, P, T, H, W] with T <= K, valid bool [B, P, T].
    SAM teaches one region a click, by the best of K masks; here all regions that the click may mean are known, and
    each is taught by a mask of its own, such that the sum is least. All masks are taught a tenth as much the region
    that they are nearest to, lest one that never wins stay useless. IoU is that with this region.
    """
    pixels = masks.flatten(0, 1).float()
    target = F.interpolate(pixels, logits.shape[-2:], mode="area").unflatten(0, masks.shape[:2])[:, :, None]
    guess = logits[:, :, :, None]  # [B, P, K, 1, h, w] against target [B, P, 1, T, h, w]
    weight = 1 + 4 * (target > 0.5)  # an object is a twentieth of the scene
    # cross entropy of logit x and target t is softplus(x) - t x: two products instead of K T maps
    cells = target[0, 0, 0, 0].numel()
    rise = F.softplus(guess)
    bce = (_sums(rise, weight.float()) - _sums(guess, weight * target)) / cells  # [B, P, K, T]
    p = guess.sigmoid()
    dice = 1 - (2 * _sums(p, target) + 1) / (p.sum((4, 5)) + target.sum((4, 5)) + 1)
    inside = (guess.detach() > 0).float()
    region = (target > 0.5).float()
    common = _sums(inside, region)
    iou = common / (inside.sum((4, 5)) + region.sum((4, 5)) - common).clamp(min=1)
    each = bce + dice  # [B, P, K, T]
    share = valid / valid.sum(-1, keepdim=True)  # [B, P, T], of a prompt's regions
    nearest = each.masked_fill(~valid[:, :, None], torch.inf).amin(-1)  # [B, P, K]
    quality = iou.masked_fill(~valid[:, :, None], 0).amax(-1)
    weighted = each * share[:, :, None]  # [B, P, K, T]
    numbers = torch.arange(masks.shape[2])
    pairings = permutations(range(logits.shape[2]), masks.shape[2])  # a mask for each region
    matched = torch.stack([weighted[:, :, list(own), numbers].sum(-1) for own in pairings]).amin(0)  # [B, P]
    return matched.mean() + 0.1 * nearest.mean() + F.mse_loss(predicted_iou, quality)


def _sums(one: Tensor, other: Tensor) -> Tensor:
    """[B, P, K, 1, h, w] and [B, P, 1, T, h, w] -> [B, P, K, T], sums of the products over the cells."""
    return one.flatten(4)[:, :, :, 0] @ other.flatten(4)[:, :, 0].mT
