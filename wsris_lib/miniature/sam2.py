"""A SAM 2 of 2 MB: the image branch of the public architecture, trained from nothing on the web split's masks.

Two stages, so that the decoder, which is to say "this object", starts from features that tell objects apart:

1. *dense*: the image encoder alone learns an embedding in which two pixels are near if they lie on the same object;
2. *promptable*, as SAM's (Kirillov et al. 2023, section 3): clicks with three masks, each of which may be an object,
   a part of it or a piece of that, and boxes with one mask; each mask's own IoU is predicted.

The masks are class-agnostic and of scenes that no lesson uses; this is what SA-1B is to the real SAM.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsris_lib.infra.artefacts import read_json
from wsris_lib.miniature.card import adamw, cosine, device
from wsris_lib.miniature.sam2_model import WIDTH, image_embeddings, new_model, pixel_values, processor
from wsris_lib.miniature.sam2_probe import probe
from wsris_lib.miniature.sam2_prompts import draw_prompts, prompt_loss
from wsris_lib.miniature.training import MiniatureTrainer, with_weights_of
from wsris_lib.synref.web import Web

__all__ = ["PixelEmbedding", "probe", "same_object_loss", "train"]
IMAGES = 4  # a step: many small steps teach the decoder more than few large ones


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
    categories = [[thing["category"] for thing in things] for things in web.objects]
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
            prompts = draw_prompts(ids, np.asarray(web.parts[chosen]), [categories[n] for n in chosen], run.rng)
            masks = prompts.masks.to(where)
            valid = prompts.valid.to(where)
            clicked = model(image_embeddings=features, input_points=prompts.clicks[:, :, None].to(where))
            boxed = model(image_embeddings=features, input_boxes=prompts.boxes.to(where), multimask_output=False)
            loss = (
                prompt_loss(clicked.pred_masks, clicked.iou_scores, masks, valid)
                + prompt_loss(boxed.pred_masks, boxed.iou_scores, masks[:, :, :1], valid[:, :, :1])
            ) / 2
        stage = (step, dense) if step < dense else (step - dense, steps - dense)
        run.backward_and_step(loss, lr * max(cosine(*stage, warmup=100), 0.5 if step < dense else 0.02))
    model.half().save_pretrained(out)
    processor().save_pretrained(out)
    earlier = read_json(start / "card.json") if start else {}
    run.finish(
        name="SAM 2, miniature",
        objective="same-object pixel embedding, then clicks (3 masks: whole, part, piece) and boxes of all three: "
        "BCE, Dice, IoU regression",
        data={
            "split": "web",
            "scenes": len(web.images),
            "seen": steps * IMAGES,
            "masks": "class-agnostic, exact; wholes, parts, pieces",
        }
        | ({"start": earlier["data"] | {"steps": earlier["steps"]}} if start else {}),
        limits="has seen tabletop scenes only; on photographs its masks mean little",
    )
