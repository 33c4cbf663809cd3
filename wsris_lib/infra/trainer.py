"""One seeded training: its steps, its loss curve, and where to go on after it was killed."""

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import trange

from wsris_lib.infra import artefacts, distributed

WINDOWS = 50  # points of a loss curve


class LossPoint(NamedTuple):
    """The mean loss of the steps since the point before it, up to `step`, which is counted from 1."""

    step: int
    loss: float


LossCurve = list[LossPoint]
Model_co = TypeVar("Model_co", bound=nn.Module, covariant=True)
Curve_co = TypeVar("Curve_co", covariant=True)


class Trained(NamedTuple, Generic[Model_co, Curve_co]):
    """What a training gives: its modules, evaluating, and their loss curve (of ES3Net's alignment a row an epoch)."""

    model: Model_co
    curve: Curve_co


class Trainer:
    """Counts the steps of a training and keeps all that the next one depends on.

        run = Trainer(out, model, adamw(model, lr), steps, seed)
        for step in run:
            ...  # draws from run.rng, run.generator or torch's own generator, and from nothing else
            run.backward_and_step(loss, lr * cosine(step, steps, warmup))
        run.delete_checkpoint()

    Every step draws from its own seeds, so that where a run was cut leaves no trace in its result. A checkpoint lies
    beside `out` as .NAME.partial.safetensors; another run's (other steps, seed, rates or settings) is not taken up.

    A step in pieces, over as many processes as torchrun started, with the same result bit for bit as in one:

        for step in run:
            for some in run.micro_batches(rows):  # this process's pieces of the step's rows
                run.backward(loss)  # their mean; draws as above
            run.optimizer_step(lr)

    Args:
        out: what the training makes; its checkpoint lies beside it.
        model: all modules with a state, a mean teacher among them.
        optimiser: or several, each with parameters of its own.
        settings: what else a checkpoint must agree in (numbers and texts).
        grad_accum_steps: pieces of a step; with 1, each process does all of it. Raises ValueError unless it is a power
            of 2 that the number of processes divides.
    """

    save_seconds = 60.0  # the most time that killing a run can cost

    def __init__(
        self,
        out: Path,
        model: nn.Module,
        optimiser: torch.optim.Optimizer | Sequence[torch.optim.Optimizer],
        steps: int,
        seed: int,
        settings: dict | None = None,
        grad_accum_steps: int = 1,
    ):
        if grad_accum_steps & (grad_accum_steps - 1) or (
            grad_accum_steps > 1 and grad_accum_steps % distributed.world()
        ):
            counts = f"{grad_accum_steps} pieces of a step and {distributed.world()} processes"
            raise ValueError(f"{counts}: expected 1, 2, 4, 8, ... pieces, a multiple of torchrun's number of processes")
        self.grad_accum_steps = grad_accum_steps
        self.out = out
        self.model = model
        self.steps = steps
        self.seed = seed
        self.optimisers = [optimiser] if isinstance(optimiser, torch.optim.Optimizer) else list(optimiser)
        self.curve: LossCurve = []
        self.seconds = 0.0
        self._start = 0
        self._window = max(1, steps // WINDOWS)
        self._sum: float | Tensor = 0.0  # of the losses since the last window
        self._step = 0  # the one at hand
        self._share = 1.0  # of its rows, the piece at hand
        self._sums = _PairwiseSum()  # of its pieces' gradients and losses
        self._loss: float | Tensor = 0.0  # its mean
        self._path = out.parent / f".{out.name}.partial.safetensors"
        rates = [group["lr"] for group in self._groups]
        self._settings = artefacts.content_hash(
            out.name, steps, seed, rates, settings or {}, *([grad_accum_steps] if grad_accum_steps > 1 else [])
        )
        stored = artefacts.try_load_tensors(self._path)
        if stored is not None and stored[1]["settings"] == self._settings:
            self._restore(*stored)

    def __iter__(self) -> Iterator[int]:
        """The steps that are left, from 0."""
        saved = time.monotonic()
        before = saved - self.seconds
        places = dict(initial=self._start, total=self.steps, disable=not distributed.is_main_process())
        self._bar = trange(self._start, self.steps, desc=f"training {self.out.name}", **places)
        for step in self._bar:
            self._step = step
            self._seeds(step)
            yield step
            self.seconds = time.monotonic() - before
            if (
                time.monotonic() - saved >= self.save_seconds
                and step + 1 < self.steps
                and distributed.is_main_process()
            ):
                self._save(step + 1)
                saved = time.monotonic()

    def _seeds(self, *place: int) -> None:
        self.rng = np.random.default_rng([self.seed, *place])
        self.generator = torch.Generator().manual_seed(int(self.rng.integers(2**62)))
        torch.manual_seed(int(self.rng.integers(2**62)))  # dropout

    def micro_batches(self, rows: Sequence) -> Iterator[Sequence]:
        """The pieces of a step's rows that are this process's; all of them if the step is one piece.

        Each draws from seeds of its own. Of the running statistics of batch norms those stay that the first piece left.
        """
        if self.grad_accum_steps == 1:
            yield rows
            return
        if len(rows) < self.grad_accum_steps:
            raise ValueError(
                f"a step has {len(rows)} rows and {self.grad_accum_steps} pieces; "
                "raise the batch or lower grad_accum_steps"
            )
        each = self.grad_accum_steps // distributed.world()
        cuts = [len(rows) * n // self.grad_accum_steps for n in range(self.grad_accum_steps + 1)]
        first = distributed.rank() * each
        for n in range(first, first + each):
            self._seeds(self._step, n)
            some = rows[cuts[n] : cuts[n + 1]]
            self._share = len(some) / len(rows)
            yield some
            if n == first:
                statistics = [buffer.clone() for buffer in self.model.buffers()]
        for buffer, value in zip(self.model.buffers(), statistics):
            buffer.copy_(distributed.broadcast(value) if value.is_floating_point() else value)

    def backward(self, loss: Tensor) -> None:
        """The gradient of a piece's loss, a mean over its rows."""
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        if self.grad_accum_steps == 1:
            loss.backward()
            self._loss = loss.detach()
            return
        (self._share * loss).backward()
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in self._parameters()]
        self._sums.add(torch.cat([*(g.flatten().float() for g in grads), self._share * loss.detach().view(1)]))

    def optimizer_step(self, lr: float, clip: float = 1.0) -> None:
        """One step of each optimiser at rate `lr`, gradients clipped to norm `clip`; notes the loss.

        A group of parameters with its own "lr_scale" goes at that times `lr`.
        """
        if self.grad_accum_steps > 1:
            self._gather()
        for group in self._groups:
            group["lr"] = lr * group.get("lr_scale", 1.0)
        nn.utils.clip_grad_norm_(self._parameters(), clip)
        for optimiser in self.optimisers:
            optimiser.step()
        self._sum = self._sum + self._loss  # no .item(): a GPU is waited for once a window
        if (self._step + 1) % self._window == 0:
            self.curve.append(LossPoint(self._step + 1, round(float(self._sum) / self._window, 4)))
            self._bar.set_postfix(loss=self.curve[-1].loss)
            self._sum = 0.0

    def backward_and_step(self, loss: Tensor, lr: float, clip: float = 1.0) -> None:
        """A step of one piece: `backward` and `optimizer_step`."""
        self.backward(loss)
        self.optimizer_step(lr, clip)

    @property
    def _groups(self) -> list[dict]:  # not kept: loading an optimiser's state makes new ones
        return [group for optimiser in self.optimisers for group in optimiser.param_groups]

    def _parameters(self) -> list[nn.Parameter]:
        return [p for group in self._groups for p in group["params"]]

    def _gather(self) -> None:
        """Sum the pieces of all processes, two by two as one process would, so that each bit is the same."""
        total = _PairwiseSum()
        for theirs in distributed.all_gather(self._sums.take()):
            total.add(theirs)
        whole = total.take()
        self._loss = whole[-1]
        sizes = [p.numel() for p in self._parameters()]
        for p, gradient in zip(self._parameters(), whole[:-1].split(sizes)):
            p.grad = gradient.view_as(p).to(p.dtype)

    def delete_checkpoint(self) -> None:
        """Remove the checkpoint: the result is stored."""
        if distributed.is_main_process():
            self._path.unlink(missing_ok=True)

    def _save(self, step: int) -> None:
        tensors = {f"model.{name}": tensor.clone() for name, tensor in self.model.state_dict().items()}  # tied ones too
        for numbers, optimiser in self._numbered():
            for n, values in optimiser.state_dict()["state"].items():
                tensors |= {f"adamw.{numbers[n]}.{name}": value for name, value in values.items()}
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
        for numbers, optimiser in self._numbered():
            states = {n: state[number] for n, number in enumerate(numbers) if number in state}
            optimiser.load_state_dict(optimiser.state_dict() | {"state": states})
        self._start, self._sum, self.seconds = (notes[n] for n in ("step", "sum", "seconds"))
        self.curve = read_curve(notes["curve"])

    def _numbered(self) -> Iterator[tuple[range, torch.optim.Optimizer]]:
        """Each optimiser with the numbers of its parameters: they are counted through."""
        first = 0
        for optimiser in self.optimisers:
            last = first + sum(len(group["params"]) for group in optimiser.param_groups)
            yield range(first, last), optimiser
            first = last


def read_curve(rows: Iterable[Iterable[float]]) -> LossCurve:
    """A curve as JSON holds it, [[step, loss], ...]."""
    return [LossPoint(int(step), loss) for step, loss in rows]


class _PairwiseSum:
    """Adds tensors as a binary tree: blocks of 2, 4, 8, ... have sums of their own, wherever they are computed."""

    def __init__(self):
        self._blocks: list[tuple[int, Tensor]] = []  # (how many were added, their sum), the larger first

    def add(self, tensor: Tensor) -> None:
        self._blocks.append((1, tensor))
        while len(self._blocks) > 1 and self._blocks[-1][0] == self._blocks[-2][0]:
            n, later = self._blocks.pop()
            _, earlier = self._blocks.pop()
            self._blocks.append((2 * n, earlier + later))

    def take(self) -> Tensor:
        """The sum; what follows begins at 0."""
        _, total = self._blocks[0]
        self._blocks = []
        return total
