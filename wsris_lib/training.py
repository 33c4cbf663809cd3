"""One seeded training: its steps, its loss curve, and where to go on after it was killed."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import trange

from wsris_lib import artefacts

WINDOWS = 50  # points of a loss curve


class Training:
    """Counts the steps of a training and keeps all that the next one depends on.

        run = Training(out, model, adamw(model, lr), steps, seed)
        for step in run:
            ...  # draws from run.rng, run.generator or torch's own generator, and from nothing else
            run.descend(loss, lr * cosine(step, steps, warmup))
        run.forget()

    Every step draws from its own seeds, so that where a run was cut leaves no trace in its result. A checkpoint lies
    beside `out` as .NAME.partial.safetensors; another run's (other steps, seed, rates or settings) is not taken up.

    Args:
        out: what the training makes; its checkpoint lies beside it.
        model: all modules with a state, a mean teacher among them.
        settings: what else a checkpoint must agree in (numbers and texts).
    """

    save_seconds = 60.0  # the most time that killing a run can cost

    def __init__(
        self,
        out: Path,
        model: nn.Module,
        optimiser: torch.optim.Optimizer,
        steps: int,
        seed: int,
        settings: dict | None = None,
    ):
        self.out, self.model, self.optimiser, self.steps, self.seed = out, model, optimiser, steps, seed
        self.curve: list[list[float]] = []  # [[last step of a window, its mean loss], ...]
        self.seconds, self._start, self._sum, self._window = 0.0, 0, 0.0, max(1, steps // WINDOWS)
        self._path = out.parent / f".{out.name}.partial.safetensors"
        rates = [group["lr"] for group in optimiser.param_groups]
        self._settings = artefacts.key(out.name, steps, seed, rates, settings or {})
        stored = artefacts.stored_tensors(self._path)
        if stored is not None and stored[1]["settings"] == self._settings:
            self._restore(*stored)

    def __iter__(self) -> Iterator[int]:
        """The steps that are left, from 0."""
        before, saved = time.monotonic() - self.seconds, time.monotonic()
        self._bar = trange(
            self._start, self.steps, initial=self._start, total=self.steps, desc=f"training {self.out.name}"
        )
        for step in self._bar:
            self._step = step
            self.rng = np.random.default_rng([self.seed, step])
            self.generator = torch.Generator().manual_seed(int(self.rng.integers(2**62)))
            torch.manual_seed(int(self.rng.integers(2**62)))  # dropout
            yield step
            self.seconds = time.monotonic() - before
            if time.monotonic() - saved >= self.save_seconds and step + 1 < self.steps:
                self._save(step + 1)
                saved = time.monotonic()

    def descend(self, loss: Tensor, lr: float, clip: float = 1.0) -> None:
        """One step of the optimiser at rate `lr`, gradients clipped to norm `clip`; notes the loss.

        A group of parameters with its own "share" goes at that share of `lr`.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = lr * group.get("share", 1.0)
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([p for group in self.optimiser.param_groups for p in group["params"]], clip)
        self.optimiser.step()
        self._sum = self._sum + loss.detach()  # no .item(): a GPU is waited for once a window
        if (self._step + 1) % self._window == 0:
            self.curve.append([self._step + 1, round(float(self._sum) / self._window, 4)])
            self._bar.set_postfix(loss=self.curve[-1][1])
            self._sum = 0.0

    def forget(self) -> None:
        """Remove the checkpoint: the result is stored."""
        self._path.unlink(missing_ok=True)

    def _save(self, step: int) -> None:
        tensors = {f"model.{name}": tensor.clone() for name, tensor in self.model.state_dict().items()}  # tied ones too
        for n, values in self.optimiser.state_dict()["state"].items():
            tensors |= {f"adamw.{n}.{name}": value for name, value in values.items()}
        notes = dict(step=step, curve=self.curve, sum=float(self._sum), seconds=self.seconds, settings=self._settings)
        artefacts.save_tensors(self._path, tensors, **notes)

    def _restore(self, tensors: dict[str, Tensor], notes: dict) -> None:
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("adamw."):
                _, n, name = key.split(".")
                state.setdefault(int(n), {})[name] = value
        model = {key.removeprefix("model."): value for key, value in tensors.items() if key.startswith("model.")}
        self.model.load_state_dict(model)
        self.optimiser.load_state_dict(self.optimiser.state_dict() | {"state": state})
        self._start, self.curve, self._sum, self.seconds = (notes[n] for n in ("step", "curve", "sum", "seconds"))
