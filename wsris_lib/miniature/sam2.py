"""A SAM 2 of 2 MB: the image branch of the public architecture, trained from nothing on the web split's masks.

Two stages, so that the decoder, which is to say "this object", starts from features that tell objects apart:

1. *dense*: the image encoder alone learns an embedding in which two pixels are near if they lie on the same object;
2. *promptable*, as SAM's (Kirillov et al. 2023, section 3): clicks, of whose three masks the best is taught, and boxes
   with one mask; each mask's own IoU is predicted.

The masks are class-agnostic and of scenes that no lesson uses; this is what SA-1B is to the real SAM.
"""

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Sam2Model

from wsris_lib.infra.artefacts import read_json
from wsris_lib.miniature.card import adamw, cosine, device
from wsris_lib.miniature.sam2_model import PIXELS, WIDTH, image_embeddings, new_model, pixel_values, processor
from wsris_lib.miniature.training import MiniatureTrainer, with_weights_of
from wsris_lib.synref.web import Web

LEAST = 16  # pixels of a region that is pointed at
# A step: many small steps teach the decoder more than few large ones.
IMAGES = 4
PROMPTS = 8  # of each image


class PixelEmbedding(nn.Module):
    """Reads a 16-channel embedding of every stride-4 cell off the encoder's three levels. For stage 1 only."""

    def __init__(self):
        super().__init__()
        self.heads = nn.ModuleList(nn.Conv2d(channels, 16, 1) for channels in (WIDTH // 8, WIDTH // 4, WIDTH))

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Levels [B, C, h, w] of strides 4, 8, 16 -> [B, 16, 48, 48]."""
        maps = [head(level) for head, level in zip(self.heads, levels)]
        return torch.stack([F.interpolate(m, maps[0].shape[-2:], mode="bilinear") for m in maps]).sum(0)


def same_object_loss(embedding: Tensor, ids: Tensor, generator: torch.Generator, points: int = 200) -> Tensor:
    """Logistic loss on all pairs of `points` random cells an image: same object <=> squared distance below 2.

    embedding [B, C, h, w]; ids long [B, H, W], ground being an object like any other.
    """
    h, w = embedding.shape[-2:]
    cells = F.interpolate(ids[:, None].float(), (h, w), mode="nearest").flatten(1)  # [B, h*w]
    at = torch.randint(h * w, (len(ids), points), generator=generator).to(embedding.device)
    vectors = embedding.flatten(2).gather(2, at[:, None].expand(-1, embedding.shape[1], -1)).mT  # [B, points, C]
    same = cells.gather(1, at)[:, :, None] == cells.gather(1, at)[:, None]
    distance = (vectors[:, :, None] - vectors[:, None]).square().sum(-1)
    return F.binary_cross_entropy_with_logits(2 - distance, same.float())


def draw_prompts(ids: np.ndarray, rng: np.random.Generator, prompts: int = PROMPTS) -> tuple[Tensor, Tensor, Tensor]:
    """Random regions of each scene and how to point at them; one in ten is the ground.

    ids: uint8 [B, H, W]. Returns clicks [B, P, 2] (x, y) on the region, boxes [B, P, 4] around it with the jitter of a
    detector, both in pixels of the model's input, and masks bool [B, P, H, W].
    """
    clicks = []
    boxes = []
    masks = []
    for scene in ids:
        things = np.flatnonzero(np.bincount(scene.ravel())[1:] >= LEAST) + 1
        for _ in range(prompts):
            mask = scene == (rng.choice(things) if len(things) and rng.random() > 0.1 else 0)
            ys, xs = np.nonzero(mask)
            here = rng.integers(len(xs))
            box = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], float)
            jitter = rng.normal(0, 0.05, 4) * np.tile(box[2:] - box[:2], 2)
            clicks.append((xs[here] + 0.5, ys[here] + 0.5))
            boxes.append(np.clip(box + jitter, 0, scene.shape[0]))
            masks.append(mask)
    scale = PIXELS / ids.shape[1]
    shape = (len(ids), prompts)
    points, frames = (torch.tensor(np.array(a) * scale, dtype=torch.float32) for a in (clicks, boxes))
    return (
        points.view(*shape, 2),
        frames.view(*shape, 4),
        torch.from_numpy(np.array(masks)).view(*shape, *ids.shape[1:]),
    )


def prompt_loss(logits: Tensor, predicted_iou: Tensor, masks: Tensor) -> Tensor:
    """SAM's loss with cross entropy for its focal loss, which from nothing leads to empty masks.

    logits [B, P, K, h, w], predicted_iou [B, P, K], masks bool [B, P, H, W]. Of the K masks the best is taught, the
    others a tenth as much, lest one that never wins stay useless.
    """
    target = F.interpolate(masks.float(), logits.shape[-2:], mode="area")[:, :, None].expand_as(logits)
    bce = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    bce = (bce * (1 + 4 * (target > 0.5))).mean((3, 4))  # an object is a twentieth of the scene
    p = logits.sigmoid()
    dice = 1 - (2 * (p * target).sum((3, 4)) + 1) / (p.sum((3, 4)) + target.sum((3, 4)) + 1)
    inside = logits.detach() > 0
    object_ = target > 0.5
    iou = (inside & object_).sum((3, 4)) / (inside | object_).sum((3, 4)).clamp(min=1)
    each = bce + dice  # [B, P, K]
    return each.amin(-1).mean() + 0.1 * each.mean() + F.mse_loss(predicted_iou, iou)


def train(
    out: Path,
    web: Web,
    steps: int = 10_000,
    dense: int = 1_500,
    seed: int = 0,
    lr: float = 8e-4,
    start: Path | None = None,
) -> None:
    """Train and write the folder `out`. `dense` of the steps are stage 1.

    `start`: a folder of an earlier miniature, whose weights to go on from; stage 1 is left out then. From nothing stage
    2 stands still for thousands of steps before the decoder finds out that a click means the thing it lies on; it gets
    there sooner on simple scenes than on rich ones.
    """
    torch.manual_seed(seed)
    where = device()
    dense = 0 if start else dense
    lr = lr / 2 if start else lr
    model = with_weights_of(start, new_model()).to(where).train()
    both = nn.ModuleDict({"model": model, "head": (head := PixelEmbedding().to(where))})
    run = MiniatureTrainer(
        out, both, adamw(both, lr, weight_decay=0.01), steps, seed, dict(dense=dense, start=str(start))
    )
    for step in run:
        chosen = run.rng.integers(len(web.images), size=IMAGES)
        ids = np.asarray(web.ids[chosen])
        features = image_embeddings(model, pixel_values(web.images[chosen]).to(where))
        if step < dense:
            loss = same_object_loss(head(features), torch.from_numpy(ids).to(where), run.generator)
        else:
            clicks, boxes, masks = draw_prompts(ids, run.rng)
            by_box = step % 2 == 1
            prompt = {"input_boxes": boxes.to(where)} if by_box else {"input_points": clicks[:, :, None].to(where)}
            predicted = model(image_embeddings=features, multimask_output=not by_box, **prompt)
            loss = prompt_loss(predicted.pred_masks, predicted.iou_scores, masks.to(where))
        stage = (step, dense) if step < dense else (step - dense, steps - dense)
        run.backward_and_step(loss, lr * max(cosine(*stage, warmup=100), 0.5 if step < dense else 0.02))
    model.half().save_pretrained(out)
    processor().save_pretrained(out)
    earlier = read_json(start / "card.json") if start else {}
    run.finish(
        name="SAM 2, miniature",
        objective="same-object pixel embedding, then clicks (best of 3 masks) and boxes: BCE, Dice, IoU regression",
        data={"split": "web", "scenes": len(web.images), "seen": steps * IMAGES, "masks": "class-agnostic, exact"}
        | ({"start": earlier["data"] | {"steps": earlier["steps"]}} if start else {}),
        limits="has seen tabletop scenes only; whole objects, no parts; on photographs its masks mean little",
    )


@torch.no_grad()
def probe(folder: Path, web: Web, scenes: int = 100, side: int = 12, seed: int = 0) -> dict:
    """Mean IoU on held-out scenes, at 128 px, over objects of at least 60 pixels.

    `click`: one click on the object, mask chosen by predicted IoU; `click_best_of_3`: by the truth; `box`: the exact
    box; `oracle`: the best mask that a grid of `side` x `side` clicks brings up, and the same by size of the object.
    """
    model = Sam2Model.from_pretrained(folder, dtype=torch.float32).eval()
    rng = np.random.default_rng(seed)
    rows = []
    axis = (torch.arange(side) + 0.5) / side * PIXELS
    grid = torch.cartesian_prod(axis, axis)[None, :, None]  # [1, side^2, 1, 2]
    for n in range(min(scenes, len(web.images))):
        ids = np.asarray(web.ids[n])
        features = model.get_image_embeddings(pixel_values(web.images[n : n + 1]))
        everything = _enlarged(
            model(image_embeddings=features, input_points=grid).pred_masks[0].flatten(0, 1), ids.shape
        )
        for k in np.unique(ids):
            truth = torch.from_numpy(ids == k)
            if k == 0 or truth.sum() < 60:
                continue
            ys, xs = truth.nonzero().T
            at = int(rng.integers(len(xs)))
            scale = PIXELS / len(ids)
            click = torch.tensor([[[[(xs[at] + 0.5) * scale, (ys[at] + 0.5) * scale]]]])
            box = torch.tensor([[[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]]]) * scale
            clicked = model(image_embeddings=features, input_points=click)
            boxed = model(image_embeddings=features, input_boxes=box, multimask_output=False)
            three = _iou(_enlarged(clicked.pred_masks[0, 0], ids.shape), truth)
            rows.append([
                float(three[clicked.iou_scores[0, 0].argmax()]), float(three.max()),
                float(_iou(_enlarged(boxed.pred_masks[0, 0], ids.shape), truth)[0]),
                float(_iou(everything, truth).max()), math.sqrt(float(truth.sum())),
            ])  # fmt: skip
    table = np.array(rows)
    sizes = {"below 14 px": (0, 14), "14 to 22 px": (14, 22), "above 22 px": (22, 128)}  # root of the area
    by_size = {s: table[(table[:, 4] >= low) & (table[:, 4] < high), 3] for s, (low, high) in sizes.items()}
    means = dict(zip(("click", "click_best_of_3", "box", "oracle"), table[:, :4].mean(0).round(3).tolist()))
    oracle_by_size = {s: round(float(v.mean()), 3) for s, v in by_size.items() if len(v)}
    return means | {"oracle_by_size": oracle_by_size, "objects": len(table), "grid": side}


def _enlarged(logits: Tensor, shape: tuple[int, int]) -> Tensor:
    """Logits [N, h, w] -> masks bool [N, H, W]."""
    return F.interpolate(logits[:, None], shape, mode="bilinear")[:, 0] > 0


def _iou(masks: Tensor, truth: Tensor) -> Tensor:
    return (masks & truth).sum((1, 2)) / (masks | truth).sum((1, 2))
