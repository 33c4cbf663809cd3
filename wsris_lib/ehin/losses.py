"""What EHIN learns by (eq. 14-19): which sentence is of which image, and what a frozen CLIP sees under the mask."""

import torch
import torch.nn.functional as F
from torch import Tensor

POWER = 3.0  # p of the focal mask penalty, as in TRIS
LEAST = 0.01  # lambda, likewise
FORMS = ("log", "relative")  # of the foreground loss
MARGIN = 0.1  # of two cosines, beyond which the mask has hardly anything left to win; ours, untuned
SHARPNESS = 4.0  # of the masks that are compared: sigma(4 R); ours, untuned


def image_score(R: Tensor) -> Tensor:
    """EHIN eq. 14: how well each sentence fits the image as a whole; R [B, N, h, w] -> y [B, N].

    y = max R + mean R + psi(m). m is the sentence's mean share of the cells, a softmax over the N sentences and a
    background that always scores 1; psi penalises a mask that is nowhere. (The paper cites the focal loss; the formula
    is the focal mask penalty of Araslanov and Roth, CVPR 2020, and needs m of the softmax and not of R.)
    """
    background = torch.ones_like(R[:, :1])
    m = torch.cat([background, R], 1).softmax(1)[:, 1:].mean((2, 3))  # [B, N]
    return R.amax((2, 3)) + R.mean((2, 3)) + focal_mask_penalty(m)


def focal_mask_penalty(m: Tensor) -> Tensor:
    """psi(m) = (1 - m)^p log(lambda + m): about -4.6 for an empty mask, 0 for a full one."""
    return (1 - m) ** POWER * torch.log(LEAST + m)


def classification(y: Tensor, own: Tensor, same_words: Tensor | None = None) -> Tensor:
    """The loss that uses y, which eq. 17 forgets: multi-label soft margin; y [B, N], own bool [B, N].

    same_words: bool [B, N], sentences of others in the words of the own one; these count as neither. Without it they
    are negatives as all others, as in TRIS: then one y is pulled up and down at once.
    """
    counted = None if same_words is None else (~same_words).to(y)
    return F.multilabel_soft_margin_loss(y, own.to(y), weight=counted)


def relative_foreground(inside: Tensor, outside: Tensor) -> Tensor:
    """FG as a comparison: softplus(-(S of the mask - S of its complement) / 0.1); cosines [B] both.

    Ours, after the complement's image that TRIS's code computes and doesn't use. Eq. 18 asks for a high S, and a mask
    can raise it without moving to the object: cosines differ more from sentence to sentence than from place to place.
    What a sentence adds to both sides is no matter here, and no logarithm of a cosine near 0 outweighs the batch.
    """
    return F.softplus(-(inside - outside) / MARGIN).mean()


def foreground(similarity: Tensor) -> Tensor:
    """EHIN eq. 18: -log S of what is under the mask and the image's own sentence; S [B], cosines."""
    return -torch.log(_open(similarity)).mean()


def background(similarity: Tensor, reduction: str = "mean") -> Tensor:
    """EHIN eq. 19: -log(1 - S) of what is under the mask and K sentences that don't mean it; S [B, K], cosines.

    reduction: "mean" over the K, as TRIS has it, or "K_sum", K times their sum as eq. 15 is printed: K^2 times as
    much, which a mask of nothing or of everything pleases best, whichever fits the sentences less.
    """
    if reduction not in ("mean", "K_sum"):
        raise ValueError(f'reduction is {reduction!r}; choose "mean" or "K_sum"')
    losses = -torch.log(1 - _open(similarity))  # [B, K]
    K = losses.shape[1]
    return losses.mean() * (K * K if reduction == "K_sum" else 1)


def early_contrast(own: Tensor, others: Tensor, reduction: str = "mean", outside: Tensor | None = None) -> Tensor:
    """EHIN eq. 15: ECLM, foreground and background of one map together; S of its own text [B] and of others [B, K].

    outside: S [B] of the complement and the own text; with it FG is the relative one.
    """
    fg = foreground(own) if outside is None else relative_foreground(own, outside)
    return fg + background(others, reduction)


def _open(similarity: Tensor) -> Tensor:
    """A cosine can be negative, and its logarithm isn't then."""
    return similarity.clamp(1e-4, 1 - 1e-4)
