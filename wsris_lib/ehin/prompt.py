"""The bilateral prompt (EHIN eq. 4-7, after TRIS): the image tells the sentences, and the sentences the image."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

FORMS = ("residual", "eq. 1-2", "eq. 8-13")  # of HIPM


class BilateralPrompt(nn.Module):
    """EHIN eq. 4-7: two single-head attentions, each side asking the other; what they bring is added by `HIPM`.

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

    def forward(self, V: Tensor, L: Tensor) -> tuple[Tensor, Tensor]:
        """EHIN eq. 4-7: V [B, C, h, w] and L [B, N, C] -> prompts P_v [B, C, h, w] and P_t [B, N, C].

        Each map needs more than one cell: an instance norm over a single number has nothing to norm by.
        """
        scale = 1 / math.sqrt(V.shape[1])
        Q_v, K_v, V_v = (part(V).flatten(2).mT for part in self.visual)  # [B, hw, C]
        Q_t, K_t, V_t = (part(L) for part in self.textual)  # [B, N, C]
        A_t = (Q_t @ K_v.mT * scale).softmax(2)  # eq. 4, [B, N, hw]
        A_v = (Q_v @ K_t.mT * scale).softmax(self.axis)  # eq. 5, [B, hw, N]
        P_t = self.textual_out(A_t @ V_v)  # eq. 6
        P_v = self.visual_out((A_v @ V_t).mT.unflatten(2, V.shape[2:]))  # eq. 7
        return P_v, P_t


def _cellwise(width: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(width, width, 1), nn.InstanceNorm2d(width, affine=True)


class HIPM(nn.Module):
    """EHIN eq. 1-2, 8-13: HIPM, the hierarchical interaction prompt module: bilateral prompts on top of each other.

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
        self.alpha = alpha
        self.beta = beta
        self.form = form
        self.reuse = range(layers) if reuse is None else reuse
        if surplus := set(self.reuse) - set(range(layers)):
            raise ValueError(f"reuse names layer {max(surplus)} of {layers}; they are counted from 0")

    def forward(self, V: Tensor, L: Tensor) -> tuple[Tensor, Tensor]:
        """EHIN eq. 1-2, 8-13: V [B, C, h, w] and L [B, N, C] -> V_F and L_F of the same shapes."""
        V_n = [V]  # V, V_1, ..., V_F: after each layer
        L_n = [L]
        P_v = []  # P_1, P_2, ...: each layer's prompts
        P_t = []
        for n, prompt in enumerate(self.prompts):
            p_v, p_t = prompt(V, L) if self.form == "eq. 1-2" else prompt(V_n[-1], L_n[-1])  # eq. 10-11
            P_v.append(p_v)
            P_t.append(p_t)
            again = float(n in self.reuse)  # Table 4
            V_n.append(self._fuse(again * V, V_n[1:], P_v))
            L_n.append(self._fuse(again * L, L_n[1:], P_t))
        return V_n[-1], L_n[-1]

    def _fuse(self, x: Tensor, states: list[Tensor], P: list[Tensor]) -> Tensor:
        """The next V or L, of the features x, what the layers before handed on and the prompts of all layers."""
        if self.form == "eq. 8-13":
            return P[-1] + self.alpha * x + self.beta * sum(states)  # eq. 8-9 with one layer; eq. 12-13 with two
        return x + self.alpha * P[0] + self.beta * sum(P[1:])  # eq. 1-2
