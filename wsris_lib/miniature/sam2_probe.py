"""What the miniature SAM 2 makes of wholes and parts in scenes that it hasn't seen."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Sam2Model

from wsris_lib.miniature.sam2_model import PIXELS, pixel_values
from wsris_lib.synref.grammar import LEAST_PART, LEAST_PIXELS, MOST_PART
from wsris_lib.synref.regions import Region, regions
from wsris_lib.synref.web import Web


@torch.no_grad()
def probe(folder: Path, web: Web, scenes: int = 100, side: int = 12, seed: int = 0) -> dict:
    """Mean IoU on held-out scenes, at 128 px, over objects of at least 60 pixels.

    `click`: one click on the object, mask chosen by predicted IoU; `click_best_of_3`: by the truth; `box`: the exact
    box; `oracle`: the best mask that a grid of `side` x `side` clicks brings up, and the same by size of the object.
    `parts`: the same of parts that have a name, 40 pixels and at most MOST_PART of their object. `whole_and_part`: of
    the clicks on such a part, the share whose three masks hold the part and, another of them, its object, both with an
    IoU of 0.5 or more.
    """
    model = Sam2Model.from_pretrained(folder, dtype=torch.float32).eval()
    rng = np.random.default_rng(seed)
    rows: dict[str, list[list[float]]] = {"whole": [], "part": []}
    both = []
    axis = (torch.arange(side) + 0.5) / side * PIXELS
    grid = torch.cartesian_prod(axis, axis)[None, :, None]  # [1, side^2, 1, 2]
    for n in range(min(scenes, len(web.images))):
        ids = np.asarray(web.ids[n])
        parts = np.asarray(web.parts[n])
        targets = targets_of(ids, parts, [thing["category"] for thing in web.objects[n]])
        if not targets:
            continue
        masks = {region: torch.from_numpy(region.mask(ids, parts)) for region, _ in targets}
        features = model.get_image_embeddings(pixel_values(web.images[n : n + 1]))
        everything = _enlarged(
            model(image_embeddings=features, input_points=grid).pred_masks[0].flatten(0, 1), ids.shape
        )
        prompts = [_exact_prompt(masks[region], rng) for region, _ in targets]
        clicks, boxes = (torch.stack(column)[None] for column in zip(*prompts))  # [1, R, 2], [1, R, 4]
        clicked = model(image_embeddings=features, input_points=clicks[:, :, None])
        boxed = model(image_embeddings=features, input_boxes=boxes, multimask_output=False)
        for k, (region, whole) in enumerate(targets):
            truth = masks[region]
            answers = _enlarged(clicked.pred_masks[0, k], ids.shape)
            three = _iou(answers, truth)
            rows[region.level].append([
                float(three[clicked.iou_scores[0, k].argmax()]), float(three.max()),
                float(_iou(_enlarged(boxed.pred_masks[0, k], ids.shape), truth)[0]),
                float(_iou(everything, truth).max()), math.sqrt(region.pixels),
            ])  # fmt: skip
            if region != whole:
                of_whole = _iou(answers, torch.from_numpy(whole.mask(ids, parts)))
                both.append(bool((three >= 0.5).any() and (of_whole[three < 0.5] >= 0.5).any()))
    table = np.array(rows["whole"]).reshape(-1, 5)
    sizes = {"below 14 px": (0, 14), "14 to 22 px": (14, 22), "above 22 px": (22, 128)}  # root of the area
    by_size = {s: table[(table[:, 4] >= low) & (table[:, 4] < high), 3] for s, (low, high) in sizes.items()}
    oracle_by_size = {s: round(float(v.mean()), 3) for s, v in by_size.items() if len(v)}
    within = dict(_means(rows["part"]), number=len(both), whole_and_part=round(float(np.mean(both or [False])), 3))
    return _means(rows["whole"]) | {
        "oracle_by_size": oracle_by_size,
        "objects": len(table),
        "grid": side,
        "parts": within,
    }


def targets_of(ids: np.ndarray, parts: np.ndarray, categories: Sequence[str]) -> list[tuple[Region, Region]]:
    """What a sentence may mean, as `grammar.look` has it: objects and parts that have a name, each with its object.

    ids, parts: uint8 [H, W] of a scene of 128 pixels; categories of its things.
    """
    known = regions(ids, parts, categories, LEAST_PART)
    whole = {region.thing: region for region in known if region.level == "whole"}
    return [
        (region, whole[region.thing])
        for region in known
        if (region.level == "whole" and region.pixels >= LEAST_PIXELS)
        or (region.level == "part" and region.name and region.pixels <= MOST_PART * whole[region.thing].pixels)
    ]


def _exact_prompt(mask: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A click [2] at random on a mask bool [H, W] and the exact box [4] around it, in pixels of the model's input."""
    ys, xs = mask.nonzero().T
    at = int(rng.integers(len(xs)))
    click = torch.stack([xs[at] + 0.5, ys[at] + 0.5])
    box = torch.stack([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
    scale = PIXELS / len(mask)
    return click * scale, box * scale


def _means(rows: list[list[float]]) -> dict[str, float]:
    names = ("click", "click_best_of_3", "box", "oracle")
    return dict(zip(names, np.array(rows).reshape(-1, 5)[:, :4].mean(0).round(3).tolist())) if rows else {}


def _enlarged(logits: Tensor, shape: tuple[int, int]) -> Tensor:
    """Logits [N, h, w] -> masks bool [N, H, W]."""
    return F.interpolate(logits[:, None], shape, mode="bilinear")[:, 0] > 0


def _iou(masks: Tensor, truth: Tensor) -> Tensor:
    return (masks & truth).sum((1, 2)) / (masks | truth).sum((1, 2))
