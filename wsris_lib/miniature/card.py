"""What every miniature training writes beside its weights, and the few pieces that all of them share."""

import math
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsris_lib.infra import artefacts
from wsris_lib.infra.trainer import LossCurve


def device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def cosine(step: int, steps: int, warmup: int) -> float:
    """Factor of the learning rate in [0, 1]: a linear rise over `warmup` steps, then half a cosine down to 0."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def adamw(model: nn.Module, lr: float, weight_decay: float = 0.05) -> torch.optim.AdamW:
    """AdamW that decays matrices only: biases, gains and scalars (CLIP's temperature) have no business shrinking."""
    trained = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in trained if p.ndim > 1]
    others = [p for p in trained if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98))


def write_card(
    folder: Path,
    *,
    name: str,
    objective: str,
    data: dict[str, Any],
    steps: int,
    seconds: float,
    loss_curve: LossCurve,
    limits: str,
    probe: dict | None = None,
) -> None:
    """Write folder/card.json: how the weights beside it were made. `probe` may follow later by `add_probe`."""
    versions = {"python": platform.python_version()} | {
        p: version(p) for p in ("torch", "transformers", "open_clip_torch")
    }
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else f"cpu, {torch.get_num_threads()} threads"
    card = dict(
        name=name, objective=objective, data=data, steps=steps, seconds=seconds, device=where, versions=versions
    )
    artefacts.write_json(folder / "card.json", card | dict(limits=limits, probe=probe or {}, loss_curve=loss_curve))


def add_probe(folder: Path, probe: dict) -> None:
    """Put the results of a probe on held-out scenes into a card that training has written."""
    card = artefacts.read_json(folder / "card.json")
    artefacts.write_json(folder / "card.json", card | {"probe": probe})


def linear_accuracy(vectors: Tensor, classes: Tensor, known: Tensor, ridge: float = 10.0) -> float:
    """How often a linear map fitted on the `known` rows (bool [M]) names the class of the others.

    vectors [M, D], classes long [M]. Ridge regression of one-hot classes on standardised vectors: no more than what a
    linear layer, such as those of ES3Net's 3.2 and eq. 3, could read off them.
    """
    x = (vectors - vectors[known].mean(0)) / vectors[known].std(0).clamp(min=1e-6)
    y = F.one_hot(classes).to(x)
    mean = y[known].mean(0)
    gram = x[known].T @ x[known] + ridge * torch.eye(x.shape[1]).to(x)
    named = (x[~known] @ torch.linalg.solve(gram, x[known].T @ (y[known] - mean)) + mean).argmax(1)
    return round((named == classes[~known]).float().mean().item(), 4)
