"""The training of a miniature: resumable as any, and it ends in a card."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import PreTrainedModel

from wsris_lib.infra import trainer
from wsris_lib.infra.device import multiplies_bfloat16
from wsris_lib.miniature.card import write_card

Model = TypeVar("Model", bound=PreTrainedModel)


class MiniatureTrainer(trainer.Trainer):
    """Ends with `run.finish(name=..., objective=..., data=..., limits=...)`."""

    def finish(self, **card: Any) -> None:
        """Write `out`/card.json (see `write_card` for what it wants besides) and forget the checkpoint."""
        write_card(self.out, steps=self.steps, seconds=round(self.seconds, 1), loss_curve=self.curve, **card)
        self.delete_checkpoint()


COMPILING_PAYS = 300  # steps; a compilation takes a minute


def autocast(where: torch.device) -> torch.autocast:
    """bfloat16 where the processor multiplies it, else no change. A compiled ResNet's steps are 2.5 times as fast."""
    fast = where.type == "cuda" or multiplies_bfloat16()
    return torch.autocast(where.type, torch.bfloat16, enabled=fast)


def compiled(function: Callable, steps: int, where: torch.device) -> Callable:
    """`function` compiled, where that pays: a long training on a CPU beside a C++ compiler. Else itself."""
    has_compiler = any(shutil.which(name) for name in ("g++", "clang++", "c++"))
    return torch.compile(function) if has_compiler and steps >= COMPILING_PAYS and where.type == "cpu" else function


def with_weights_of(start: Path | None, model: Model) -> Model:
    """`model` with the weights of an earlier miniature in the folder `start`, if that is given.

    The config stays the model's own: the folder's is of an earlier edition, and a switch that has been changed since
    would come back with the weights. Raises RuntimeError where the weights don't fit.
    """
    if start:
        model.load_state_dict(type(model).from_pretrained(start, dtype=torch.float32).state_dict())
    return model
