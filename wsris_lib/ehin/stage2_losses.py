"""What stage 2 minimises. All of it takes logits, one channel to a pixel, and labels that may be soft.

Outputs are a list of logits [B, H, W]; labels float [B, H, W] in [0, 1]; weight float [B], what each sample counts for
(a label's confidence, say), or None for 1. Everything is averaged over pixels, then times the weight, then averaged
over the batch, so that half the weight is half the gradient whatever else is in the batch. The papers don't weight.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

KINDS = ("mse", "kl")
SMOOTH = 1.0  # of the Dice, in pixels: an empty mask for an empty label costs nothing


def bce(outputs: list[Tensor], labels: Tensor, weight: Tensor | None = None) -> Tensor:
    """TRIS: binary cross entropy of each output, summed over the outputs."""
    return torch.stack([_mean(_cross_entropy(logits, labels), weight) for logits in outputs]).sum()


def ce_dice(outputs: list[Tensor], labels: Tensor, weight: Tensor | None = None) -> Tensor:
    """EHIN, 3.5: cross entropy and Dice, summed over the outputs.

    The paper doesn't say on which outputs, how Dice is smoothed, or how the two are weighted: here on each of the four,
    as TRIS's cross entropy, and 1 to 1. Its two-class cross entropy is the binary one of a difference of two logits.
    """
    each = (_cross_entropy(logits, labels) + dice(logits.sigmoid(), labels) for logits in outputs)
    return torch.stack([_mean(loss, weight) for loss in each]).sum()


def dice(probabilities: Tensor, labels: Tensor) -> Tensor:
    """1 - (2 sum(p y) + 1) / (sum p + sum y + 1) of each sample, [B, H, W] -> [B] in [0, 1].

    0 where a hard label is met exactly; a soft one always costs something, since p y < y wherever y is soft.
    """
    both = (probabilities * labels).sum((1, 2))
    return 1 - (2 * both + SMOOTH) / (probabilities.sum((1, 2)) + labels.sum((1, 2)) + SMOOTH)


def consistency(student: list[Tensor], teacher: list[Tensor], kind: str = "mse") -> Tensor:
    """How far the student's outputs are from its teacher's, summed over the outputs; no gradient goes to the teacher.

    kind: "mse" of the probabilities (TRIS), or "kl", KL(teacher || student) of each pixel's Bernoulli distribution.
    TRIS's "kl" hands raw logits to a function that expects log-probabilities and probabilities: its value may be
    negative and means nothing. Raises ValueError for another kind.
    """
    if kind not in KINDS:
        raise ValueError(f"consistency {kind!r}: expected one of {', '.join(KINDS)}")
    of = {"mse": _mse, "kl": _kl}[kind]
    return torch.stack([of(ours, theirs.detach()).mean() for ours, theirs in zip(student, teacher, strict=True)]).sum()


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean((1, 2))  # [B]


def _mean(each: Tensor, weight: Tensor | None) -> Tensor:
    return (each if weight is None else each * weight).mean()


def _mse(ours: Tensor, theirs: Tensor) -> Tensor:
    return (ours.sigmoid() - theirs.sigmoid()).square()


def _kl(ours: Tensor, theirs: Tensor) -> Tensor:
    yes = theirs.sigmoid() * (F.logsigmoid(theirs) - F.logsigmoid(ours))
    return yes + (-theirs).sigmoid() * (F.logsigmoid(-theirs) - F.logsigmoid(-ours))
