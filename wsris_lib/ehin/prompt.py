"""The bilateral prompt (EHIN eq. 4-7, after TRIS): the image tells the sentences, and the sentences the image."""

import math

from torch import Tensor, nn


class BilateralPrompt(nn.Module):
    """Two single-head attentions, each side asking the other; what they bring is added by `HIPM`, not here.

        A_v = softmax over the N texts of  Q_v K_t' / sqrt(C)    [B, hw, N]     P_v = out(A_v V_t)
        A_t = softmax over the hw cells of Q_t K_v' / sqrt(C)    [B, N, hw]     P_t = out(A_t V_v)

    As printed, eq. 4-7 show one text to an image and leave the axes of the softmax open; with one text the first
    softmax is 1 everywhere, so P_v is the same in every cell, and the instance norm behind it makes that 0: the visual
    prompt vanishes but for a bias. So it is trained with all texts of a batch shown to every image (as TRIS is), and
    at test, with one, it does vanish. `visual_softmax="cells"` normalises A_v over the cells instead, and keeps a
    pattern for one text too.

    Args:
        width: C.
        visual_softmax: "texts" or "cells".
    """

    def __init__(self, width: int, visual_softmax: str = "texts"):
        super().__init__()
        if visual_softmax not in ("texts", "cells"):
            raise ValueError(f'visual_softmax is {visual_softmax!r}; choose "texts" or "cells"')
        self.axis = {"texts": 2, "cells": 1}[visual_softmax]
        self.visual = nn.ModuleList(nn.Sequential(*_cellwise(width), nn.ReLU()) for _ in range(3))  # Q, K, V
        self.textual = nn.ModuleList(nn.Sequential(nn.Linear(width, width), nn.ReLU()) for _ in range(3))
        self.visual_out = nn.Sequential(*_cellwise(width))
        self.textual_out = nn.Linear(width, width)

    def forward(self, image: Tensor, texts: Tensor) -> tuple[Tensor, Tensor]:
        """image [B, C, h, w] and texts [B, N, C] -> prompts P_v [B, C, h, w] and P_t [B, N, C].

        Each map needs more than one cell: an instance norm over a single number has nothing to norm by.
        """
        scale = 1 / math.sqrt(image.shape[1])
        q_v, k_v, v_v = (part(image).flatten(2).mT for part in self.visual)  # [B, hw, C]
        q_t, k_t, v_t = (part(texts) for part in self.textual)  # [B, N, C]
        told = (q_v @ k_t.mT * scale).softmax(self.axis) @ v_t  # [B, hw, C]
        seen = (q_t @ k_v.mT * scale).softmax(2) @ v_v  # [B, N, C]
        return self.visual_out(told.mT.unflatten(2, image.shape[2:])), self.textual_out(seen)


def _cellwise(width: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(width, width, 1), nn.InstanceNorm2d(width, affine=True)


class HIPM(nn.Module):
    """The hierarchical interaction prompt module (EHIN eq. 1, 2 and 8-13): bilateral prompts on top of each other.

    "residual", after eq. 1 and 2, keeps the features and adds a little of each prompt:
        V_1 = V + alpha P_1(V, L),   V_F = V + alpha P_1(V, L) + beta P_2(V_1, L_1),   and L alike.
    "literal", as eq. 8-13 are printed, keeps the prompts and adds a little of the features:
        V_1 = P_1(V, L) + alpha V,   V_F = P_2(V_1, L_1) + alpha V + beta P_1(V, L).
    The paper prints both and they are different networks; TRIS, which has one layer, is of the first kind. An instance
    norm gives a prompt up to the length sqrt(C) where V has 1, so that an alpha of .1 need not be a small share.

    Args:
        width: C.
        layers: 0 passes the features through; 1 in the residual form is TRIS; the paper has 2.
        alpha: weight of the first prompt (literal: of the features).
        beta: weight of every further prompt (literal: of every earlier one).
        form: "residual" or "literal".
        reuse: after how many layers the features themselves are added again, from the first on; None: after all. The
            paper's "repeat once" and "repeat twice" are read as 1 and 2.
        visual_softmax: see `BilateralPrompt`.
    """

    def __init__(
        self,
        width: int,
        layers: int = 2,
        alpha: float = 0.1,
        beta: float = 0.05,
        form: str = "residual",
        reuse: int | None = None,
        visual_softmax: str = "texts",
    ):
        super().__init__()
        if form not in ("residual", "literal"):
            raise ValueError(f'form is {form!r}; choose "residual" or "literal"')
        self.prompts = nn.ModuleList(BilateralPrompt(width, visual_softmax) for _ in range(layers))
        self.alpha, self.beta, self.form = alpha, beta, form
        self.reuse = layers if reuse is None else reuse

    def forward(self, image: Tensor, texts: Tensor) -> tuple[Tensor, Tensor]:
        """V [B, C, h, w] and L [B, N, C] -> V_F and L_F of the same shapes."""
        first, now, earlier = (image, texts), (image, texts), []
        for layer, prompt in enumerate(self.prompts):
            new = prompt(*now)
            again = 1.0 if layer < self.reuse else 0.0
            now = tuple(
                self._sum(again * side, [side_of[k] for side_of in earlier], new[k]) for k, side in enumerate(first)
            )
            earlier.append(new)
        return now

    def _sum(self, features: Tensor, earlier: list[Tensor], new: Tensor) -> Tensor:
        if self.form == "literal":
            return new + self.alpha * features + self.beta * sum(earlier)
        prompts = [*earlier, new]
        return features + self.alpha * prompts[0] + self.beta * sum(prompts[1:])
