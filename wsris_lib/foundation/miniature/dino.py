"""A DINOv2 of under a million weights, trained by its own objective: images only, no label, mask or sentence.

A student sees small and masked views, a teacher (the student's moving average) sees the whole ones, and the student
names what the teacher sees: Caron et al. 2021 (DINO), Zhou et al. 2022 (iBOT), Oquab et al. 2024 (DINOv2, section 4).
"""

import copy
import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm
from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

from wsris_lib.foundation.miniature.card import LossLog, adamw, cosine, device, write_card
from wsris_lib.foundation.pooling import pool_patches

if TYPE_CHECKING:
    from wsris_lib.refer.synref.web import Web

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, which both public processors assume
PATCH = 8


def config(**changes) -> Dinov2Config:
    """DINOv2's ViT at width 128 and depth 4, for 128 px images in 16 x 16 patches; depth.py builds upon the same."""
    sizes = dict(hidden_size=128, num_hidden_layers=4, num_attention_heads=4, image_size=128, patch_size=PATCH)
    return Dinov2Config(**(sizes | changes))


def normalise(images: Tensor) -> Tensor:
    """float [B, 3, H, W] in [0, 1] -> what the network takes."""
    return (images - images.new_tensor(MEAN).view(3, 1, 1)) / images.new_tensor(STD).view(3, 1, 1)


def load_images(web: "Web", index) -> Tensor:
    """uint8 [n, H, W, 3] on disk -> float [B, 3, H, W] in [0, 1] on the training device."""
    return torch.from_numpy(web.images[index]).to(device()).permute(0, 3, 1, 2).float() / 255


def uniform(low: float, high: float, *shape: int, generator: torch.Generator) -> Tensor:
    return torch.empty(shape).uniform_(low, high, generator=generator).to(device())


def jitter(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mild brightness, contrast and tint, one draw per image. Strong jitter would make features blind to colour,
    and "the red mug" is found by its colour."""
    b = len(images)
    gain = uniform(0.8, 1.2, b, 1, 1, 1, generator=generator) * uniform(0.93, 1.07, b, 3, 1, 1, generator=generator)
    mean = images.mean((1, 2, 3), keepdim=True)
    return ((images - mean) * gain + mean * uniform(0.85, 1.15, b, 1, 1, 1, generator=generator)).clamp(0, 1)


def crops(images: Tensor, size: int, area: tuple[float, float], generator: torch.Generator) -> Tensor:
    """One random square of each image [B, 3, H, W], `area` of it, perhaps mirrored, resampled to [B, 3, size, size]."""
    b = len(images)
    side = uniform(*area, b, generator=generator).sqrt()
    shift = uniform(-1, 1, 2, b, generator=generator) * (1 - side)  # keeps the square inside the image
    theta = images.new_zeros(b, 2, 3)
    theta[:, 0, 0] = side * uniform(-1, 1, b, generator=generator).sign()
    theta[:, 1, 1] = side
    theta[:, :, 2] = shift.T
    grid = F.affine_grid(theta, [b, 3, size, size], align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def patch_masks(b: int, grid: int, ratio: tuple[float, float], generator: torch.Generator) -> Tensor:
    """bool [B, grid * grid]: one rectangle hidden per image, `ratio` of its area. Blocks, because a single hidden patch can
    be filled in from its neighbours without knowing what the thing is (BEiT's masking, as in iBOT)."""
    area = torch.empty(b).uniform_(*ratio, generator=generator) * grid**2
    aspect = torch.empty(b).uniform_(-0.4, 0.4, generator=generator).exp()
    h, w = [(area * a).sqrt().round().clamp(1, grid - 1) for a in (aspect, 1 / aspect)]
    top, left = [(torch.rand(b, generator=generator) * (grid - side + 1)).floor() for side in (h, w)]
    at = torch.arange(grid)
    rows = (at >= top[:, None]) & (at < (top + h)[:, None])  # [B, grid]
    columns = (at >= left[:, None]) & (at < (left + w)[:, None])
    return (rows[:, :, None] & columns[:, None, :]).flatten(1).to(device())


class Head(nn.Module):
    """Token [.., C] -> logits over K prototypes [.., K]: a small MLP, then cosine to unit-length prototypes."""

    def __init__(self, width: int, prototypes: int, bottleneck: int = 64):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, bottleneck))
        self.prototypes = nn.Parameter(F.normalize(torch.randn(prototypes, bottleneck), dim=1))

    def forward(self, tokens: Tensor) -> Tensor:
        return F.normalize(self.mlp(tokens), dim=-1) @ F.normalize(self.prototypes, dim=1).T


@torch.no_grad()
def sinkhorn(logits: Tensor, temperature: float, iterations: int = 3) -> Tensor:
    """Teacher's targets [M, K], rows summing to 1, made sharp by `temperature` and using all prototypes about equally:
    DINOv2's guard against collapse (Sinkhorn-Knopp, after SwAV)."""
    log = logits / temperature
    for _ in range(iterations):
        log = log - log.logsumexp(0, keepdim=True)
        log = log - log.logsumexp(1, keepdim=True)
    return log.exp()


def cross_entropy(targets: Tensor, logits: Tensor, temperature: float) -> Tensor:
    return -(targets * F.log_softmax(logits / temperature, dim=-1)).sum(-1).mean()


def information(logits: Tensor, temperature: float) -> float:
    """Share in [0, 1] of log K that the choice of prototype tells about the token: H(mean p) - mean H(p), over log K.

    It is 0 in both ways to collapse, all tokens on one prototype and every token on all of them evenly.
    """
    p = F.softmax(logits / temperature, dim=-1)
    mean = p.mean(0)
    gained = torch.special.entr(mean).sum() - torch.special.entr(p).sum(-1).mean()
    return (gained / math.log(logits.shape[-1])).item()


def train(
    out: Path,
    web: "Web",
    steps: int = 1000,
    batch: int = 32,
    seed: int = 0,
    *,
    lr: float = 1e-3,
    prototypes: int = 256,
    global_size: int = 96,
    global_area: tuple[float, float] = (0.4, 1.0),
    locals_: int = 4,
    local_size: int = 48,
    local_area: tuple[float, float] = (0.08, 0.3),
    masked: tuple[float, float] = (0.15, 0.45),
    teacher_temperature: float = 0.05,
    student_temperature: float = 0.1,
    momentum: float = 0.99,
) -> Path:
    """Train on the web split's images alone; write the teacher (fp16, transformers' format), its processor and card.

    Each step: two global crops per image (the student's have a block masked), `locals_` local ones. The student's
    [CLS] of every crop must predict the teacher's [CLS] of the other global crops (DINO), its masked patches the
    teacher's same, unmasked patches (iBOT). Raises RuntimeError when the teacher has collapsed.
    """
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    student = nn.ModuleDict({"body": Dinov2Model(config()), "head": Head(config().hidden_size, prototypes)}).to(
        device()
    )
    teacher = copy.deepcopy(student).requires_grad_(False).eval()
    optimiser = adamw(student.train(), lr)
    losses, told = LossLog(), 0.0

    for step in (bar := tqdm(range(steps), desc="dino", mininterval=2)):
        for group in optimiser.param_groups:
            group["lr"] = lr * cosine(step, steps, warmup=steps // 10)
        index = torch.randint(len(web.images), (batch,), generator=generator).numpy()
        images = load_images(web, index)
        views = torch.cat([jitter(crops(images, global_size, global_area, generator), generator) for _ in range(2)])
        small = torch.cat([jitter(crops(images, local_size, local_area, generator), generator) for _ in range(locals_)])
        views, small = normalise(views), normalise(small)  # [2B, 3, G, G], [4B, 3, L, L]
        hidden = patch_masks(2 * batch, global_size // PATCH, masked, generator)

        with torch.no_grad():
            seen = teacher["body"](views).last_hidden_state  # [2B, 1 + patches, C]
            cls_logits, patch_logits = teacher["head"](seen[:, 0]), teacher["head"](seen[:, 1:][hidden])
            cls_targets = sinkhorn(cls_logits, teacher_temperature).view(2, batch, -1)
            patch_targets = sinkhorn(patch_logits, teacher_temperature)

        tokens = student["body"](views, bool_masked_pos=hidden).last_hidden_state
        local_cls = student["head"](student["body"](small).last_hidden_state[:, 0]).view(locals_, batch, -1)
        first, second = student["head"](tokens[:, 0]).view(2, batch, -1)
        # [CLS] of each crop against each other global crop: 2 pairs of globals, 2 * locals_ with a local one
        names = torch.stack([first, second, *local_cls, *local_cls])
        targets = torch.stack([*cls_targets.flip(0), *[t for t in cls_targets for _ in range(locals_)]])
        dino = cross_entropy(targets, names, student_temperature)
        ibot = cross_entropy(patch_targets, student["head"](tokens[:, 1:][hidden]), student_temperature)
        loss = dino + ibot

        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), 3.0)
        optimiser.step()
        keep = 1 - (1 - momentum) * cosine(step, steps, warmup=0)  # DINO: the teacher comes to rest
        with torch.no_grad():
            for slow, fast in zip(teacher.parameters(), student.parameters()):
                slow.lerp_(fast, 1 - keep)

        losses.add(step, loss)
        if step % 50 == 0 or step == steps - 1:
            told = information(patch_logits, teacher_temperature)
            bar.set_postfix(dino=dino.item(), ibot=ibot.item(), information=told)

    if not told > 0.02:
        raise RuntimeError(f"dino: the teacher collapsed (information {told:.3f} of log K, expected > 0.02); lower lr")
    save(teacher["body"], out)
    write_card(
        out,
        name="Miniature DINOv2",
        objective="self-distillation of image crops (DINO) and of masked patches (iBOT), Sinkhorn targets; no labels",
        data={"split": "SynRef web, images only", "scenes": len(web.images), "batch": batch, "seed": seed},
        steps=steps,
        seconds=losses.seconds,
        loss_curve=losses.curve,
        limits="Knows rendered tabletop scenes only. Features keep colour, because the jitter is mild.",
    )
    return out


def save(model: Dinov2Model, out: Path) -> None:
    """Write the folder that AutoModel and AutoImageProcessor load."""
    size = model.config.image_size
    copy.deepcopy(model).half().save_pretrained(out)
    BitImageProcessor(
        size={"shortest_edge": size},
        crop_size={"height": size, "width": size},
        image_mean=list(MEAN),
        image_std=list(STD),
    ).save_pretrained(out)


@torch.no_grad()
def patches(model: Dinov2Model, images: Tensor) -> Tensor:
    """float [B, 3, H, W] in [0, 1] -> patch features [B, C, H / 8, W / 8]."""
    b, _, h, w = images.shape
    return model(normalise(images)).last_hidden_state[:, 1:].mT.reshape(b, -1, h // PATCH, w // PATCH)
