"""A mean teacher: the average over time of a network that is being trained (ES3Net C.3, eq. 11)."""

import copy
from typing import Any, Generic, NamedTuple, Self, TypeVar

import torch
from torch import Tensor, nn

from wsris_lib.infra.trainer import LossCurve

Network = TypeVar("Network", bound=nn.Module)


def decay(horizon: float, steps: int) -> float:
    """alpha = 1 - 1 / (horizon * steps): the teacher averages over that share of a training, whatever its length.

    The literature's 0.9996 averages over 2,500 updates. That suits 9,000 of them; after 200 the teacher would still be
    92 % the network it began as. Less than one update to average over makes the teacher a copy of its student.
    """
    return max(0.0, 1 - 1 / (horizon * steps))


class MeanTeacher(nn.Module, Generic[Network]):
    """A copy of `student` that follows it; it evaluates always, and no gradient reaches it.

    A module, so that a checkpoint which holds it holds all of its state. The student isn't part of it. Its batch norms
    use their running statistics; TRIS's (`ema_pytorch`) is left in training mode and uses each batch's own.
    """

    def __init__(self, student: Network):
        super().__init__()
        self.module: Network = copy.deepcopy(student).requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Never: it stays in evaluation when what holds it goes to training."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, *args: Any, **options: Any) -> Any:
        """The averaged network's output."""
        return self.module(*args, **options)

    @torch.no_grad()
    def copy_from(self, student: Network) -> None:
        """Become the student as it is now, as after a burn-in."""
        self.update(student, 0.0)

    @torch.no_grad()
    def update(self, student: Network, alpha: float) -> None:
        """ES3Net eq. 11: theta_t <- alpha theta_t + (1 - alpha) theta_s; buffers, whole numbers too, are copied."""
        theta_t: list[Tensor] = [*self.module.parameters()]
        theta_s: list[Tensor] = [*student.parameters()]
        torch._foreach_lerp_(theta_t, theta_s, 1 - alpha)
        for buffer, value in zip(self.module.buffers(), student.buffers(), strict=True):
            buffer.copy_(value)


class StudentAndTeacher(nn.Module, Generic[Network]):
    """All that a training has the weights of: a student and, where it has one, its mean teacher, a copy at first."""

    def __init__(self, student: Network, teacher: bool = True):
        super().__init__()
        self.student = student
        self.teacher = MeanTeacher(student) if teacher else None


class TrainedStudent(NamedTuple, Generic[Network]):
    """What a cached training of a segmenter gives, evaluating.

    teacher: None where the settings ask for none. key: of the step, and so of its file.
    """

    student: Network
    teacher: MeanTeacher[Network] | None
    curve: LossCurve
    key: str

    def network(self, who: str) -> Network:
        """The "student", or what its "teacher" averaged. Raises ValueError for a teacher that wasn't trained."""
        if who == "student":
            return self.student
        if who != "teacher" or self.teacher is None:
            raise ValueError(
                f"there is no {who!r} of this training; it has a student{' and a teacher' * bool(self.teacher)}"
            )
        return self.teacher.module
