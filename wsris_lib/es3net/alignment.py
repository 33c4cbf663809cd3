"""DualSimFuse (ES3Net eq. 3): what a proposal is and where it is, each compared with the sentence."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsris_lib.es3net.esem import ESEM, small


class Alignment(nn.Module):
    """ES3Net eq. 3: s = <F_cls, t[:d]> + (d / D) <F_geo, t>, inner products of vectors that are not normalised.

    F_cls is a linear layer on CLIP's raw class token, F_geo is ESEM's. With d = 0 only <F_geo, t> is left, with
    factor 1. Without ESEM (the paper's baseline) only <F_cls, t[:d]> is.

    The first d channels of t are no better than others: SimCSE doesn't order them. text_slice="learned" has a linear
    layer choose d directions instead. With `normalise` both inner products are cosines.

    Args:
        class_channels: W of the class tokens.
        pooled_channels: C of the pooled patch features.
        width: D of the sentence vectors.
        cls_fraction: d / D, in [0, 1].
        geometry, gain, learn_gain: see `ESEM`.
        esem: False for the baseline.
        text_slice: "prefix" or "learned".
        normalise: whether the four vectors are brought to length 1.
        generator: draws the initial weights.
    """

    def __init__(
        self,
        class_channels: int,
        pooled_channels: int,
        width: int,
        cls_fraction: float = 0.5,
        geometry: str = "3d",
        gain: float = 10.0,
        learn_gain: bool = False,
        esem: bool = True,
        text_slice: str = "prefix",
        normalise: bool = False,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.d = round(cls_fraction * width)
        if not 0 <= self.d <= width or (self.d == 0 and not esem):
            raise ValueError(f"cls_fraction is {cls_fraction}; it must be in [0, 1], and above 0 without ESEM")
        if text_slice not in ("prefix", "learned"):
            raise ValueError(f'text_slice is {text_slice!r}; choose "prefix" or "learned"')
        self.factor = self.d / width if self.d else 1.0
        self.normalise = normalise
        self.class_weight = nn.Parameter(small(self.d, class_channels, generator=generator))  # [d, W]
        self.esem = ESEM(pooled_channels, width, geometry, gain, learn_gain, generator) if esem else None
        # Near the identity at first: what "prefix" is throughout.
        slicing = (
            torch.eye(self.d, width) + small(self.d, width, generator=generator) if text_slice == "learned" else None
        )
        self.slicing = None if slicing is None else nn.Parameter(slicing)  # [d, D]

    def forward(self, class_tokens: Tensor, pooled: Tensor, geometry: Tensor, text: Tensor) -> Tensor:
        """ES3Net eq. 3: scores s [..., B, M] of M proposals for B sentences.

        class_tokens [..., M, W], pooled [..., M, C], geometry [..., M, 3] in [0, 1], text t [..., B, D].
        """
        t_d = text[..., : self.d] if self.slicing is None else text @ self.slicing.T  # t[:d], [..., B, d]
        if self.normalise:
            return self._cosines(t_d, class_tokens, pooled, geometry, text)
        s = t_d @ self.class_weight @ class_tokens.mT  # <F_cls, t[:d]>, brackets moved as in ESEM.similarity
        if self.esem is not None:
            s = s + self.factor * self.esem.similarity(pooled, geometry, text)  # + (d / D) <F_geo, t>
        return s

    def _cosines(self, t_d: Tensor, class_tokens: Tensor, pooled: Tensor, geometry: Tensor, text: Tensor) -> Tensor:
        F_cls = class_tokens @ self.class_weight.T
        s = F.normalize(t_d, dim=-1) @ F.normalize(F_cls, dim=-1).mT
        if self.esem is not None:
            F_geo = self.esem(pooled, geometry)
            s = s + self.factor * F.normalize(text, dim=-1) @ F.normalize(F_geo, dim=-1).mT
        return s
