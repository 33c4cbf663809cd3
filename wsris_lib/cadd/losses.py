"""What CADD minimises (ES3Net, C.3, eq. 7-10; eq. 11 is in `segmentation.mean_teacher`).

All of it is compared in the student's frame. `inside` says which of its cells lie in the image; the others don't count.
Nothing gives the teacher a gradient.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from wsris_lib.cadd.augment import Warp
from wsris_lib.ehin.stage2_losses import dice

CLASSES = (0.9, 1.1)  # weights of background and foreground: LAVT's, whose settings the paper takes over
WEIGHTS = (1.0, 0.5, 0.05)  # of eq. 7, 8 and 9: lambda 1 = .5 and lambda 2 = .05


def confidence_weighted_ce(logits: Tensor, labels: Tensor, confidence: Tensor, inside: Tensor) -> Tensor:
    """ES3Net eq. 7: cross entropy with the pseudo labels, each sample times its confidence sigma.

    Logits [B, 2, H, W], labels [B, H, W] of 0 and 1, confidence [B] in [0, 1], inside bool [B, H, W] -> a number.
    Classes weigh `CLASSES`, and a sample's mean divides by the sum of its pixels' weights, as torch's cross entropy
    does; only then come sigma and the mean over the batch, not divided by the sigmas' sum, so that a doubtful batch
    teaches less. Sigma inside one mean over all pixels of the batch would let large objects weigh down small ones.
    """
    classes = logits.new_tensor(CLASSES)
    weights = torch.where(labels > 0, classes[1], classes[0]) * inside  # [B, H, W]
    surplus = logits[:, 1] - logits[:, 0]  # of the foreground: with two classes all that cross entropy depends on
    each = -F.logsigmoid(torch.where(labels > 0, surplus, -surplus))
    return (confidence * (each * weights).sum((1, 2)) / weights.sum((1, 2))).mean()


def foreground(logits: Tensor) -> Tensor:
    """The foreground's probability: [B, 2, H, W] -> [B, H, W] in [0, 1]. Of two classes the softmax is a sigmoid."""
    return (logits[:, 1] - logits[:, 0]).sigmoid()


def weighted_dice(logits: Tensor, labels: Tensor, confidence: Tensor, inside: Tensor) -> Tensor:
    """Dice beside eq. 7, weighted by sigma as it is: ours; the paper has cross entropy alone. Arguments as eq. 7's.

    LAVT's authors found a Dice loss to help. An object of 3 % of the image is 3 % of the cross entropy too (lesson 09).
    """
    return (confidence * dice(foreground(logits) * inside, labels.float() * inside)).mean()


def mask_agreement(logits: Tensor, teacher: Tensor, inside: Tensor) -> Tensor:
    """ES3Net eq. 8: Dice between the student's foreground probability and the teacher's, which stays soft.

    Logits [B, 2, H, W]; teacher [B, H, W] in [0, 1], already warped; inside bool [B, H, W] -> a number in [0, 1]. It is
    smoothed by one pixel, which the paper leaves open. 0 only if the teacher is sure of each pixel: with a soft mask
    the Dice is least at a hard one, so that the student learns to be surer than its teacher.
    """
    return dice(foreground(logits) * inside, teacher.detach() * inside).mean()


def feature_agreement(features: Tensor, teacher: Tensor, inside: Tensor) -> Tensor:
    """ES3Net eq. 9: mean squared difference of the last stage's features, over all channels and all cells in the image.

    Features and teacher [B, C, h, w], the latter already warped; inside bool [B, h, w] -> a number.
    """
    each = (features - teacher.detach()).square().mean(1)  # [B, h, w]
    return (each * inside).sum() / inside.sum()


def cadd(
    student: tuple[Tensor, Tensor],
    teacher: tuple[Tensor, Tensor],
    labels: Tensor,
    confidence: Tensor,
    warp: Warp,
    weights: tuple[float, float, float] = WEIGHTS,
    dice_weight: float = 0.0,
) -> Tensor:
    """ES3Net eq. 10: eq. 7 + lambda 1 (eq. 8) + lambda 2 (eq. 9), a number; and dice_weight times `weighted_dice`.

    Student: logits [B, 2, H, W] and features [B, C, h, w] of what `warp` made of the images; teacher: the same of the
    images as they are; labels [B, H, W], theirs too; confidence [B]. Teacher and labels are warped here.
    """
    Y_s, features_s = student
    Y_t, features_t = teacher
    inside = warp.inside(*Y_s.shape[2:])
    labels = warp.labels(labels)
    loss = weights[0] * confidence_weighted_ce(Y_s, labels, confidence, inside)  # eq. 7
    if dice_weight:
        loss = loss + dice_weight * weighted_dice(Y_s, labels, confidence, inside)
    if weights[1]:  # a term of weight 0, as in the burn-in, would cost as much as any
        mask_t = warp.maps(foreground(Y_t))  # [B, H, W]
        loss = loss + weights[1] * mask_agreement(Y_s, mask_t, inside)  # eq. 8
    if weights[2]:
        inside_cells = warp.inside(*features_s.shape[2:])
        loss = loss + weights[2] * feature_agreement(features_s, warp.maps(features_t), inside_cells)  # eq. 9
    return loss
