"""A DINOv2 of under a million weights, trained on images only: no label, mask or sentence.

What the public one is known for is that its patches name the part of a thing that they show, alike across poses,
colours and styles (Oquab et al. 2024, section 7.4 and figure 1). It got there by self-distillation on 142 million
photographs. This one has minutes, and its objective isn't DINO's: two views of a scene show the same points, and a
patch has to tell its point among those of all other scenes, whatever lamp, camera and colours did to it: a contrast
(InfoNCE; of patches: VADeR, Pinheiro et al. 2020, DenseCL, Wang et al. 2021) with views as a video gives them.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

from wsris_lib.infra.artefacts import read_json
from wsris_lib.miniature.card import cosine, device
from wsris_lib.miniature.dino_probe import probe
from wsris_lib.miniature.pair_views import CropPair, crop_pairs
from wsris_lib.miniature.training import MiniatureTrainer, autocast, compiled, with_weights_of
from wsris_lib.miniature.views import MEAN, STD, block_masks
from wsris_lib.synref.second_view import TwoViews, load_two_views

__all__ = ["PATCH", "SIZE", "config", "load", "probe", "save", "train"]

SIZE = 128
PATCH = 8
TEMPERATURE = 0.1
LEAST_GAP = 0.02  # between the cosines of corresponding and of other patches; trainings end at .5 and more
HIDE = (0.1, 0.5)  # share of its patches that half of the crops lose, as in iBOT and DINOv2


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


def load(n_scenes: int, seed: int = 0, size: int = SIZE, workers: int | None = None) -> TwoViews:
    """What `train` takes: the scenes of the web split in two views each."""
    return load_two_views(n_scenes, seed, size, workers)


def encode(body: Dinov2Model, positions: Tensor, crops: Tensor, hidden: Tensor) -> Tensor:
    """Tokens [B, 1 + g^2, C] of crops [B, 3, G, G], of which hidden, bool [B, g^2], conceals some patches.

    positions [1, 1 + g^2, C] stand in for the body's own; see `window`.
    """
    named = {"embeddings.position_embeddings": positions}
    return torch.func.functional_call(body, named, (crops, hidden)).last_hidden_state


def window(body: Dinov2Model, grid: int, row: int, column: int) -> Tensor:
    """The positions [1, 1 + grid^2, C] of the grid x grid patches from (row, column) on, and [CLS]'s.

    transformers stretches all 16 x 16 positions over a crop of 6 x 6 patches, and what attention learns of "the patch
    to the left" would then be wrong in a whole frame. DINOv2 ends with a phase at full size for that; a window does
    without.
    """
    positions = body.embeddings.position_embeddings
    side = SIZE // PATCH
    whole = positions[:, 1:].unflatten(1, (side, side))[:, row : row + grid, column : column + grid]
    return torch.cat([positions[:, :1], whole.flatten(1, 2)], 1)


def contrast(a: Tensor, b: Tensor) -> Tensor:
    """InfoNCE, both ways: each row of a [M, C] has to find the same row of b [M, C] by cosine, among all M."""
    logits = F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T / TEMPERATURE
    own = torch.arange(len(a), device=a.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def gap(a: Tensor, b: Tensor) -> float:
    """Mean cosine of corresponding rows of a and b [M, C] minus that of any two: 0 where all collapse to one."""
    a, b = (F.normalize(rows, dim=-1) for rows in (a, b))
    return ((a * b).sum(1).mean() - a.mean(0) @ b.mean(0)).item()


def corresponding(pair: CropPair, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """The points that both crops show, M of them: tokens [B, 1 + g^2, C] -> what each says of them, two [M, C].

    The second's patches say it where they are, the first's by linear interpolation.
    """
    maps = [tokens[:, 1:].unflatten(1, pair.visible.shape[1:]) for tokens in (first, second)]  # [B, g, g, C]
    moved = F.grid_sample(maps[0].movedim(-1, 1), pair.places, padding_mode="border", align_corners=False)
    return moved.movedim(1, -1)[pair.visible], maps[1][pair.visible]


def train(
    out: Path,
    views: TwoViews,
    steps: int = 1500,
    batch: int = 32,
    seed: int = 0,
    *,
    start: Path | None = None,
    lr: float = 2e-3,
    grid: int = 6,
    side: tuple[float, float] = (0.28, 0.56),
) -> None:
    """Train on two views of each scene and write `out` in transformers' format: fp16 weights, its processor, card.json.

    Crops have grid x grid patches and show `side` of the image's side. Each step, the patches of either view must find
    their points in the other among those of the whole batch, and the [CLS] of a crop that of the other view's crop.
    No head stands between the tokens and their cosines: minutes don't suffice to learn one more layer.
    `start` is the folder of an earlier DINOv2 to go on from. Raises RuntimeError if all patches have become alike.
    """
    torch.manual_seed(seed)
    eager = config(attn_implementation="eager")  # on a CPU, the gradient of sdpa is half of a step at this size
    body = with_weights_of(start, Dinov2Model(eager)).to(device()).train()
    fast = compiled(encode, steps, device())
    run = MiniatureTrainer(out, body, optimisers(body, lr), steps, seed, dict(batch=batch, start=str(start)))
    pixels = views.first.shape[2]
    for step in run:
        generator = run.generator
        index = run.rng.integers(len(views.second), size=batch)
        pair = crop_pairs(views, index, grid, PATCH, (side[0] * pixels, side[1] * pixels), generator)
        hidden = block_masks(2 * batch, grid, HIDE, generator)
        hidden[run.rng.random(2 * batch) < 0.5] = False
        tokens = []
        for crops, some in zip((pair.first, pair.second), hidden.split(batch)):
            row, column = run.rng.integers(SIZE // PATCH - grid + 1, size=2)
            with autocast(device()):
                tokens.append(fast(body, window(body, grid, row, column), crops, some).float())
        points = corresponding(pair, *tokens)
        loss = contrast(*points) + contrast(*(some[:, 0] for some in tokens))
        run.backward_and_step(loss, lr * cosine(step, steps, warmup=max(1, steps // 10)), clip=3.0)
    if not (apart := gap(*points)) > LEAST_GAP:
        raise RuntimeError(
            f"the patches collapsed: corresponding ones are {apart:.3f} nearer than any, expected > {LEAST_GAP}; "
            "lower lr or give more varied images"
        )
    save(body, out)
    earlier = read_json(start / "card.json") if start else {}
    run.finish(
        name="dino",
        objective="contrast (InfoNCE) of corresponding patches and of crops of two views of a scene: not DINO's own",
        data=dict(scenes=len(views.second), images=2 * steps * batch, seed=seed, uses="images, correspondences")
        | ({"start": earlier["data"] | {"steps": earlier["steps"]}} if start else {}),
        limits="knows SynRef's tables only",
    )


def optimisers(body: nn.Module, lr: float) -> list[torch.optim.Optimizer]:
    """Muon at AdamW's scale for the matrices of the blocks, AdamW for the rest."""
    matrices = [p for name, p in body.named_parameters() if p.ndim == 2 and name.startswith("encoder.")]
    chosen = {id(p) for p in matrices}
    others = [p for p in body.parameters() if id(p) not in chosen]
    return [
        torch.optim.Muon(matrices, lr=lr, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=lr, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def save(model: Dinov2Model, out: Path) -> None:
    """Write weights (fp16) and processor as AutoModel and AutoImageProcessor read them."""
    model.half().save_pretrained(out)
    sizes = dict(size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE})
    BitImageProcessor(**sizes, image_mean=MEAN, image_std=STD).save_pretrained(out)
