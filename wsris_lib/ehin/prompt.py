"""The bilateral prompt (EHIN eq. 4-7, after TRIS): the image tells the sentences, and the sentences the image."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

FORMS = ("residual", "eq. 1-2", "eq. 8-13")  # of HIPM


class BilateralPrompt(nn.Module):
    """Two single-head attentions, each side asking the other; what they bring is added by `HIPM`, not here.

        A_v = softmax over the N texts of  Q_v K_t' / sqrt(C)    [B, hw, N]     P_v = out(A_v V_t)      eq. 5, 7
        A_t = softmax over the hw cells of Q_t K_v' / sqrt(C)    [B, N, hw]     P_t = out(A_t V_v)      eq. 4, 6

    The paper's equations have plain matrices for Q, K and V and no `out`; the instance norms, the ReLUs and `out` are
    TRIS's code. (What eq. 4 and 5 compute are A_t' and A_v', which eq. 6 and 7 transpose; the shapes given are those of
    A_t and A_v. Eq. 7's Reshape has to be a transpose: one that kept the order of the numbers would scramble cells and
    channels.)

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

    The paper prints two networks, and its text and Fig. 3 (one prompt on top of the other) fit a third best:
        "eq. 1-2":   V_F = V + alpha P_1(V, L) + beta P_2(V, L): no prompt sees what another did.
        "eq. 8-13":  V_1 = P_1(V, L) + alpha V,   V_F = P_2(V_1, L_1) + alpha V + beta V_1: the features get the small
                     weights. (P_2 is printed with one argument, once for each side.)
        "residual":  V_1 = V + alpha P_1(V, L),   V_F = V + alpha P_1(V, L) + beta P_2(V_1, L_1): sums as in eq. 1 and
                     2, P_2 on top as in eq. 10 and 11. With one layer it is TRIS.
    L alike in each. An instance norm gives a prompt up to the length sqrt(C) where V has 1, so that an alpha of .1 need
    not be a small share.

    Each layer has weights of its own, which the paper leaves open; so it does what a third and a fourth layer (Table 3)
    are weighted with.

    Args:
        width: C.
        layers: 0 passes the features through; 1 is TRIS; the paper has 2.
        alpha: weight of the first prompt (eq. 8-13: of the features).
        beta: weight of every further prompt (eq. 8-13: of what every earlier layer made).
        form: one of FORMS.
        reuse: after which layers, from 0, the features themselves are added again; None: after all. The paper's "repeat
            twice" is (0, 1). Its "repeat once" (Table 4) may be (1,), at the end, or (0,), after the first: then V_F is
            made of prompts alone, and with one sentence to an image the map is the same in every cell.
        visual_softmax: see `BilateralPrompt`.
    """

    def __init__(
        self,
        width: int,
        layers: int = 2,
        alpha: float = 0.1,
        beta: float = 0.05,
        form: str = "residual",
        reuse: Sequence[int] | None = None,
        visual_softmax: str = "texts",
    ):
        super().__init__()
        if form not in FORMS:
            raise ValueError(f"form is {form!r}; choose one of {', '.join(FORMS)}")
        self.prompts = nn.ModuleList(BilateralPrompt(width, visual_softmax) for _ in range(layers))
        self.alpha, self.beta, self.form = alpha, beta, form
        self.reuse = range(layers) if reuse is None else reuse
        if surplus := set(self.reuse) - set(range(layers)):
            raise ValueError(f"reuse names layer {max(surplus)} of {layers}; they are counted from 0")

    def forward(self, image: Tensor, texts: Tensor) -> tuple[Tensor, Tensor]:
        """V [B, C, h, w] and L [B, N, C] -> V_F and L_F of the same shapes."""
        first = now = (image, texts)
        states, prompts = [], []  # of each layer: the features that it hands on, and its prompts
        for layer, prompt in enumerate(self.prompts):
            prompts.append(prompt(*(first if self.form == "eq. 1-2" else now)))
            again = 1.0 if layer in self.reuse else 0.0
            now = tuple(
                self._sum(again * side, [state[k] for state in states], [pair[k] for pair in prompts])
                for k, side in enumerate(first)
            )
            states.append(now)
        return now

    def _sum(self, features: Tensor, states: list[Tensor], prompts: list[Tensor]) -> Tensor:
        if self.form == "eq. 8-13":
            return prompts[-1] + self.alpha * features + self.beta * sum(states)
        return features + self.alpha * prompts[0] + self.beta * sum(prompts[1:])
