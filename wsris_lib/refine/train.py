"""Training of IRNet from affinity labels: maps of 0, 1 and 255 that dense CRF made of responses, with no class."""

import hashlib
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from wsris_lib.ehin.backbone import Backbone
from wsris_lib.refine.affinity import IGNORE, losses, total
from wsris_lib.refine.irnet import IRNet, channels
from wsris_lib.settings import Refining
from wsris_lib.training import Training

OPTIMISERS = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}


def train(
    backbone: Backbone, pixels: Tensor, labels: Tensor, owner: Tensor, settings: Refining, seed: int, out: Path
) -> tuple[IRNet, list[list[float]]]:
    """Fit the two heads; the backbone stays as it is. The same seed gives the same weights on one machine.

    A polynomial decay of the rate, as IRNet's; its weight decay reaches SGD as a momentum by mistake, ours doesn't.

    Args:
        pixels: uint8 [I, 3, P, P], square images as `Backbone.prepare` gives them.
        labels: uint8 [S, P, P] of 0, 1 and 255. owner: long [S], the row of `pixels` that a label is of.
        out: where the caller writes; a checkpoint lies beside it while this runs.

    Raises ValueError if there is no label, KeyError for an unknown optimiser.

    Returns the network, evaluating, and the loss curve [[step, mean loss], ...].
    """
    if not len(labels):
        raise ValueError("there is no label to learn affinities from; lower refining.foreground or give more sentences")
    device = next(backbone.parameters()).device
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = IRNet(channels(backbone), settings.width).to(device).train()
    edge, displacement = model.parts()
    parts = [{"params": edge}, {"params": displacement, "share": settings.displacement_rate}]
    optimiser = OPTIMISERS[settings.optimiser](parts, lr=settings.learning_rate, weight_decay=1e-4)
    per_epoch = max(1, len(labels) // settings.batch)
    steps = max(1, round(settings.epochs * per_epoch))
    digest = hashlib.sha256(labels.numpy().tobytes()).hexdigest()  # rounds of refinement differ in nothing else
    made_from = {"settings": repr(settings), "labels": digest}
    run = Training(out, model, optimiser, steps, seed, made_from, settings.pieces)
    for step in run:
        epoch, place = divmod(step, per_epoch)
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed * 10_007 + epoch))
        for rows in run.parts(order[place * settings.batch : (place + 1) * settings.batch]):
            seen, wanted = augmented(
                backbone.normalise(pixels[owner[rows]].to(device)), labels[rows].to(device), run.generator
            )
            with torch.no_grad():
                maps = backbone.pyramid(seen)
            wanted = wanted[:, ::4, ::4][:, : maps[0].shape[2], : maps[0].shape[3]]  # the nearest label of each cell
            found = model(maps)
            run.learn(total(losses(found[0], found[1], wanted, settings.radius_train)))
        run.step(settings.learning_rate * (1 - step / steps) ** 0.9, clip=10.0)
    model.eval()
    model.drift.copy_(_drift(model, backbone, pixels[owner.unique()], settings.batch))
    run.forget()
    return model, run.curve


def augmented(pixels: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Each image [B, 3, P, P] and its label [B, P, P] zoomed by .5 to 1.5, moved and mirrored alike.

    A mirror is safe: the network never reads the sentence. Outside of the image are CLIP's mean colour and 255.
    """
    n = len(pixels)
    zoom = 1 / (0.5 + torch.rand(n, generator=generator))  # of the window: below 1 it sees a part of the image
    mirror = torch.randint(0, 2, (n,), generator=generator) * 2.0 - 1
    move = (2 * torch.rand(n, 2, generator=generator) - 1) * (1 - zoom).abs()[:, None]
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = zoom * mirror, zoom, move
    grid = F.affine_grid(theta, list(pixels.shape), align_corners=False).to(pixels.device)
    seen = F.grid_sample(pixels, grid, align_corners=False)
    offset = (labels.float() - IGNORE)[:, None]  # what lies outside is sampled as 0, which means 255 here
    wanted = F.grid_sample(offset, grid, mode="nearest", align_corners=False)[:, 0] + IGNORE
    return seen, wanted.round().to(labels.dtype)


@torch.no_grad()
def _drift(model: IRNet, backbone: Backbone, pixels: Tensor, batch: int) -> Tensor:
    device, total = next(model.parameters()).device, torch.zeros(2, 1, 1)
    for some in pixels.split(batch):
        field = model(backbone.pyramid(backbone.normalise(some.to(device))))[1]
        total += field.mean((2, 3), keepdim=True).sum(0).cpu()
    return total / len(pixels)
