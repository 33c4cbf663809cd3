"""Training of IRNet from affinity labels: maps of 0, 1 and 255 that dense CRF made of responses, with no class."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from wsris_lib.config.settings import RefineConfig
from wsris_lib.frozen.clip_backbone import Backbone
from wsris_lib.frozen.image_cache import CacheEntry
from wsris_lib.infra import artefacts
from wsris_lib.infra.trainer import LossCurve, Trained, Trainer
from wsris_lib.refer.masks import decode_rle, encode_rle
from wsris_lib.refine.affinity import IGNORE, losses, total
from wsris_lib.refine.irnet import IRNet, channels

OPTIMISERS = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}


class Affinities:
    """Square images and S maps of 0, 1 and 255, each of one of them: what IRNet learns from.

    Maps are kept as run lengths: the 120,000 of RefCOCO would take 32 GB as bytes at 512 pixels.

    Args:
        images: image_id -> its tensors, "pixels" among them: uint8 [3, P, P] as `Backbone.prepare` gives it; and notes.
        owners: the image of each map.
        maps: uint8 [P, P], as many, one at a time.
    """

    def __init__(self, images: Mapping[int, CacheEntry], owners: Sequence[int], maps: Iterable[NDArray[np.uint8]]):
        self._images = images
        self.owners = list(owners)
        self._packed = [(encode_rle(map_ == 1), encode_rle(map_ == IGNORE)) for map_ in maps]

    def __len__(self) -> int:
        return len(self._packed)

    def batch(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """uint8 [B, 3, P, P] and [B, P, P]."""
        maps = [decode_rle(ones) + IGNORE * decode_rle(ignored) for ones, ignored in (self._packed[r] for r in rows)]
        return self.pixels([self.owners[r] for r in rows]), torch.stack([torch.from_numpy(m).byte() for m in maps])

    def pixels(self, image_ids: Sequence[int]) -> Tensor:
        """uint8 [B, 3, P, P]."""
        return torch.stack([self._images[image_id][0]["pixels"] for image_id in image_ids])

    def digest(self) -> str:
        """Changes with the maps: rounds of refinement differ in nothing else."""
        return artefacts.content_hash(self.owners, self._packed)


def train(
    backbone: Backbone, data: Affinities, settings: RefineConfig, seed: int, out: Path
) -> Trained[IRNet, LossCurve]:
    """Fit the two heads; the backbone stays as it is. The same seed gives the same weights on one machine.

    A polynomial decay of the rate, as IRNet's; its weight decay reaches SGD as a momentum by mistake, ours doesn't.

    Args:
        out: where the caller writes; a checkpoint lies beside it while this runs.

    Raises ValueError if there is no label, KeyError for an unknown optimiser.

    Returns the network, evaluating, and the loss curve.
    """
    if not len(data):
        raise ValueError("there is no label to learn affinities from; lower refine.foreground or give more sentences")
    device = next(backbone.parameters()).device
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = IRNet(channels(backbone), settings.width).to(device).train()
    edge, displacement = model.parts()
    parts = [{"params": edge}, {"params": displacement, "lr_scale": settings.displacement_lr_scale}]
    optimiser = OPTIMISERS[settings.optimiser](parts, lr=settings.learning_rate, weight_decay=1e-4)
    per_epoch = max(1, len(data) // settings.batch)
    steps = max(1, round(settings.epochs * per_epoch))
    made_from = {"settings": repr(settings), "labels": data.digest()}
    run = Trainer(out, model, optimiser, steps, seed, made_from, settings.grad_accum_steps)
    for step in run:
        epoch, place = divmod(step, per_epoch)
        order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed * 10_007 + epoch)).tolist()
        for rows in run.micro_batches(order[place * settings.batch : (place + 1) * settings.batch]):
            pixels, labels = data.batch(rows)
            pixels, labels = augmented(backbone.normalise(pixels.to(device)), labels.to(device), run.generator)
            with torch.no_grad():
                maps = backbone.pyramid(pixels)
            labels = labels[:, ::4, ::4][:, : maps[0].shape[2], : maps[0].shape[3]]  # the nearest label of each cell
            edges, field = model(maps)
            run.backward(total(losses(edges, field, labels, settings.radius_train)))
        run.optimizer_step(settings.learning_rate * (1 - step / steps) ** 0.9, clip=10.0)
    model.eval()
    model.drift.copy_(_drift(model, backbone, data, settings.batch))
    run.delete_checkpoint()
    return Trained(model, run.curve)


def augmented(pixels: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Each image [B, 3, P, P] and its label [B, P, P] zoomed by .5 to 1.5, moved and mirrored alike.

    A mirror is safe: the network never reads the sentence. Outside of the image are CLIP's mean colour and 255.
    """
    n = len(pixels)
    zoom = 1 / (0.5 + torch.rand(n, generator=generator))  # of the window: below 1 it sees a part of the image
    mirror = torch.randint(0, 2, (n,), generator=generator) * 2.0 - 1
    move = (2 * torch.rand(n, 2, generator=generator) - 1) * (1 - zoom).abs()[:, None]
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = zoom * mirror
    theta[:, 1, 1] = zoom
    theta[:, :, 2] = move
    grid = F.affine_grid(theta, list(pixels.shape), align_corners=False).to(pixels.device)
    pixels = F.grid_sample(pixels, grid, align_corners=False)
    offset = (labels.float() - IGNORE)[:, None]  # what lies outside is sampled as 0, which means 255 here
    warped = F.grid_sample(offset, grid, mode="nearest", align_corners=False)[:, 0] + IGNORE
    return pixels, warped.round().to(labels.dtype)


@torch.no_grad()
def _drift(model: IRNet, backbone: Backbone, data: Affinities, batch: int) -> Tensor:
    device = next(model.parameters()).device
    total = torch.zeros(2, 1, 1)
    ids = list(dict.fromkeys(data.owners))
    for start in range(0, len(ids), batch):
        some = data.pixels(ids[start : start + batch]).to(device)
        field = model(backbone.pyramid(backbone.normalise(some)))[1]
        total += field.mean((2, 3), keepdim=True).sum(0).cpu()
    return total / len(ids)
