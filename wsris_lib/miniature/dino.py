"""A DINOv2 of under a million weights, trained by its own objective: images only, no label, mask or sentence.

A student sees small and masked views, a teacher (the student's moving average) the whole ones, and the student names
what the teacher sees: Caron et al. 2021 (DINO), Zhou et al. 2022 (iBOT), Oquab et al. 2024 (DINOv2, section 4).
"""

import copy
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

from wsris_lib.frozen.dino import DinoEncoder
from wsris_lib.frozen.pooling import pool_patches
from wsris_lib.miniature.card import adamw, cosine, device, linear_accuracy
from wsris_lib.miniature.training import MiniatureTrainer
from wsris_lib.miniature.views import (
    MEAN,
    STD,
    block_masks,
    crops,
    jitter,
    load_images,
    normalise,
    striking_places,
    uniform,
)
from wsris_lib.synref.web import Web

SIZE = 128
PATCH = 8
REACH = 0.12  # how far the centres of an image's crops lie from the one place they share; the image is 2 across
LEAST_INFORMATION = 0.1  # of a teacher that is still worth following; trainings end at .2 to .4, blank images at .04
STUDENT = 0.1  # temperature
TEACHER = 0.05  # the teacher's names are the sharper ones


def config(**more) -> Dinov2Config:
    """DINOv2's ViT at width 128 and depth 4, 16 x 16 patches; the miniature Depth Anything builds upon the same.

    Weights start at std 0.05, not 0.02: at a sixth of ViT-B's width the blocks would hardly speak at first.
    """
    return Dinov2Config(
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=SIZE,
        patch_size=PATCH,
        initializer_range=0.05,
        **more,
    )


class Head(nn.Module):
    """Tokens [.., C] -> cosines with K prototypes [.., K], one head for [CLS] and patches (as in iBOT)."""

    def __init__(self, width: int, prototypes: int):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width // 2))
        self.prototypes = nn.Parameter(torch.randn(prototypes, width // 2))

    def forward(self, tokens: Tensor) -> Tensor:
        return F.normalize(self.mlp(tokens), dim=-1) @ F.normalize(self.prototypes, dim=1).T


@torch.no_grad()
def sinkhorn(logits: Tensor, iterations: int = 3) -> Tensor:
    """The teacher's targets [M, K] from its logits: rows sum to 1, and every prototype is used about as much as the
    others, which is DINOv2's guard against collapse (Sinkhorn-Knopp, after SwAV)."""
    log = logits / TEACHER
    for _ in range(iterations):
        log = log - log.logsumexp(0, keepdim=True)
        log = log - log.logsumexp(1, keepdim=True)
    return log.exp()


def cross_entropy(targets: Tensor, logits: Tensor) -> Tensor:
    """Mean over tokens of -<targets, log softmax of the student's logits>, both [..., K]."""
    return -(targets * F.log_softmax(logits / STUDENT, dim=-1)).sum(-1).mean()


def information(logits: Tensor) -> float:
    """What the teacher's choice among K prototypes tells about a token, in [0, 1]: (H(mean p) - mean H(p)) / log K.

    It is 0 in both ways to collapse: all tokens on one prototype, and every token on all of them evenly.
    """
    p = F.softmax(logits / TEACHER, dim=-1)
    gained = torch.special.entr(p.mean(0)).sum() - torch.special.entr(p).sum(-1).mean()
    return gained.item() / math.log(logits.shape[-1])


def view(images: Tensor, size: int, area: tuple[float, float], place: Tensor, generator: torch.Generator) -> Tensor:
    """A crop near `place`, recoloured. The public DINO's crops lie anywhere in a photograph, whose one subject most of
    them share; two ends of a table share the table alone, and its cloth would be all there is to learn."""
    near = place + uniform(-REACH, REACH, *place.shape, generator=generator)
    return jitter(crops(images, size, area, near, generator), generator)


def self_distillation(
    student: nn.ModuleDict, teacher: nn.ModuleDict, global_crops: Tensor, local_crops: Tensor, patch_mask: Tensor
) -> tuple[Tensor, Tensor]:
    """DINO's loss of the [CLS] tokens plus iBOT's of the hidden patches; and the teacher's logits [M, K] of the latter.

    global_crops [2 B, 3, G, G], of which patch_mask, bool [2 B, patches], hides some from the student; local_crops
    [n B, 3, L, L], for the student alone. Crops of one image are B apart.
    """
    B = len(global_crops) // 2
    n = len(local_crops) // B
    with torch.no_grad():
        tokens = teacher["body"](global_crops).last_hidden_state  # [2B, 1 + patches, C]
        teacher_patches = teacher["head"](tokens[:, 1:][patch_mask])
        teacher_cls = sinkhorn(teacher["head"](tokens[:, 0])).unflatten(0, (2, B))  # [2, B, K]
    tokens = student["body"](global_crops, bool_masked_pos=patch_mask).last_hidden_state
    student_patches = student["head"](tokens[:, 1:][patch_mask])
    student_cls = student["head"](tokens[:, 0]).unflatten(0, (2, B))
    local_cls = student["head"](student["body"](local_crops).last_hidden_state[:, 0]).unflatten(0, (n, B))  # [n, B, K]
    # [CLS] of a crop against the teacher's of another: 2 such pairs of globals, 2 n of a global and a local
    targets = torch.cat([teacher_cls.flip(0), *teacher_cls[:, None].expand(-1, n, -1, -1)])  # [2 + 2 n, B, K]
    dino = cross_entropy(targets, torch.cat([student_cls, local_cls, local_cls]))
    ibot = cross_entropy(sinkhorn(teacher_patches), student_patches)
    return dino + ibot, teacher_patches


def train(
    out: Path,
    web: Web,
    steps: int = 600,
    batch: int = 32,
    seed: int = 0,
    *,
    lr: float = 1e-3,
    prototypes: int = 256,
    big: tuple[int, float, float] = (64, 0.15, 0.4),
    small: tuple[int, float, float] = (32, 0.04, 0.1),
    locals_: int = 4,
    hide: tuple[float, float] = (0.2, 0.5),
    momentum: float = 0.99,
) -> None:
    """Train on images alone and write `out` in transformers' format: the teacher in fp16, its processor, card.json.

    `big` and `small` are the global and local crops: pixels, and the least and greatest share of the image's area.
    Each step, the student's [CLS] of every crop must name what the teacher's [CLS] says of the *other* global crops
    (DINO); and its hidden patches of a global crop what the teacher, who sees them, says of these same patches (iBOT).
    Raises RuntimeError if the teacher collapses.
    """
    torch.manual_seed(seed)
    body = Dinov2Model(config())
    student = nn.ModuleDict({"body": body, "head": Head(body.config.hidden_size, prototypes)}).to(device()).train()
    teacher = copy.deepcopy(student).requires_grad_(False).eval()
    both = nn.ModuleDict({"student": student, "teacher": teacher})
    run = MiniatureTrainer(out, both, adamw(student, lr), steps, seed, dict(batch=batch, prototypes=prototypes))
    for step in run:
        generator = run.generator
        images = load_images(web, run.rng.integers(len(web.images), size=batch))
        place = striking_places(images, generator)
        global_crops, local_crops = [
            normalise(torch.cat([view(images, size, (least, most), place, generator) for _ in range(n)]))
            for n, (size, least, most) in ((2, big), (locals_, small))
        ]  # [2B, 3, G, G], [locals_ * B, 3, L, L]
        patch_mask = block_masks(2 * batch, big[0] // PATCH, hide, generator)
        loss, teacher_patches = self_distillation(student, teacher, global_crops, local_crops, patch_mask)
        run.backward_and_step(loss, lr * cosine(step, steps, warmup=max(1, steps // 10)), clip=3.0)
        with torch.no_grad():
            rate = (1 - momentum) * cosine(step, steps, warmup=1)  # DINO: the teacher comes to rest
            for theta_t, theta_s in zip(teacher.parameters(), student.parameters()):
                theta_t.lerp_(theta_s, rate)
    if not (gained := information(teacher_patches)) > LEAST_INFORMATION:
        raise RuntimeError(
            f"the teacher collapsed: information {gained:.3f}, expected > {LEAST_INFORMATION}; "
            "lower lr or give more varied images"
        )

    save(teacher["body"], out)
    run.finish(
        name="dino",
        objective="self-distillation of crops (DINO) and of masked patches (iBOT) with Sinkhorn targets (DINOv2)",
        data=dict(scenes=len(web.images), images=steps * batch, seed=seed, uses="images only"),
        limits="undertrained: by nearest neighbours below random weights, see the probe; knows SynRef's tables only",
    )


def save(model: Dinov2Model, out: Path) -> None:
    """Write weights (fp16) and processor as AutoModel and AutoImageProcessor read them."""
    model.half().save_pretrained(out)
    sizes = dict(size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE})
    BitImageProcessor(**sizes, image_mean=MEAN, image_std=STD).save_pretrained(out)


def probe(folder: Path, web: Web, k: int = 10) -> dict[str, float]:
    """What the k nearest features (cosine) of *other* scenes say, for patches and for whole objects.

    Purity is the share of the k neighbours of the same category; accuracy that of their majority vote. Objects are
    described as ES3Net does, by max pooling under the mask; what a linear map reads off that is closer to what ESEM can
    use than what lies near. Beside the trained model stand the same network with
    random weights and the mean colour of each patch, which any training must beat. The first half of the scenes is
    the memory, the second asks.
    """
    trained = DinoEncoder(str(folder), SIZE)
    untrained = DinoEncoder(str(folder), SIZE)
    torch.manual_seed(0)
    untrained.model = Dinov2Model(untrained.model.config).eval()

    def colour(images: list[Image.Image]) -> Tensor:
        pixels = torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2).float() / 255
        return F.avg_pool2d(normalise(pixels), PATCH)

    result = {}
    for name, encode in {"": trained.patches, ", random weights": untrained.patches, ", mean colour": colour}.items():
        of_patches, of_objects = described(web, encode)
        purity, accuracy = neighbours(*of_patches, column=1, k=k)
        result |= {f"patch category purity{name}": purity, f"patch category accuracy{name}": accuracy}
        for column, what in ((1, "category"), (2, "colour")):
            result[f"object {what} accuracy{name}"] = neighbours(*of_objects, column, k)[1]
            vectors, codes = of_objects
            known = codes[:, 0] < codes[:, 0].max() / 2
            result[f"object {what} read linearly{name}"] = linear_accuracy(vectors, codes[:, column], known)
    common = of_patches[1][:, 1].bincount().max() / len(of_patches[1])
    return result | {"patch category chance": round(common.item(), 4)}


def described(web: Web, encode: Callable[[list[Image.Image]], Tensor]) -> list[tuple[Tensor, Tensor]]:
    """(features [M, C], codes int [M, 3]) of all patches that mostly show an object, then of all visible objects.

    The codes are scene, category and colour.
    """
    words = [sorted({t[name] for things in web.objects for t in things}) for name in ("category", "colour")]
    patches = []
    objects = []
    for scene, things in enumerate(web.objects):
        ids = torch.from_numpy(np.array(web.ids[scene]))
        things = [t for t in things if (ids == t["id"]).any()]
        if not things:
            continue
        masks = ids == torch.tensor([t["id"] for t in things])[:, None, None]  # [N, H, W]
        codes = torch.tensor([[scene, words[0].index(t["category"]), words[1].index(t["colour"])] for t in things])
        features = encode([Image.fromarray(np.array(web.images[scene]))])[0]  # [C, h, w]
        height, width = features.shape[1:]
        n, y, x = (F.adaptive_avg_pool2d(masks.float(), (height, width)) > 0.5).nonzero(as_tuple=True)
        patches.append((features[:, y, x].T, codes[n]))
        objects.append((pool_patches(features, masks), codes))
    return [
        (torch.cat([vectors for vectors, _ in rows]), torch.cat([codes for _, codes in rows]))
        for rows in (patches, objects)
    ]


def neighbours(features: Tensor, codes: Tensor, column: int, k: int) -> tuple[float, float]:
    """(purity, accuracy of the majority) of the labels codes[:, column] among the k nearest of the first scenes."""
    memory = codes[:, 0] < codes[:, 0].max() / 2
    unit = F.normalize(features - features[memory].mean(0), dim=1)
    labels = codes[:, column]
    nearest = (unit[~memory] @ unit[memory].T).topk(k).indices  # [Q, k]
    votes = F.one_hot(labels[memory][nearest], int(labels.max()) + 1).sum(1)  # [Q, labels]
    own = votes.gather(1, labels[~memory, None])
    return round((own / k).mean().item(), 4), round((votes.argmax(1) == labels[~memory]).float().mean().item(), 4)
