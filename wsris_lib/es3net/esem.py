"""ESEM, the Explicit Spatial Enhancement Module (ES3Net 3.2): tell the features of a mask where the mask is."""

import torch
from torch import Tensor, nn

COORDINATES = {"none": 0, "2d": 2, "3d": 3}  # how many of (x, y, z) are told


class ESEM(nn.Module):
    """F_geo = Linear([F_pool, x, y, z]): from C pooled channels and a place to the D channels of the sentence.

    Three numbers beside hundreds of channels go unheard, so (x, y, z) are brought to [-gain, gain]. The layer has no
    bias: added to all proposals alike, it would cancel in the softmax of eq. 4. (For the same reason it is only the
    scale of the coordinates that matters, and where their zero lies doesn't: the indices 0 to G - 1 of eq. 2 as printed
    are a gain of (G - 1) / 2.)
    """

    def __init__(
        self,
        channels: int,
        width: int,
        geometry: str = "3d",
        gain: float = 10.0,
        learn_gain: bool = False,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        if geometry not in COORDINATES:
            raise ValueError(f"geometry is {geometry!r}; choose one of {', '.join(COORDINATES)}")
        self.coordinates = COORDINATES[geometry]
        self.gain = nn.Parameter(torch.tensor(float(gain)), requires_grad=learn_gain)
        self.weight = nn.Parameter(small(width, channels + self.coordinates, generator=generator))  # [D, C + 3]

    def enhance(self, pooled: Tensor, geometry: Tensor) -> Tensor:
        """pooled [..., C], geometry [..., 3] in [0, 1] -> [F_pool, x, y, z], [..., C + 3]."""
        return torch.cat([pooled, self.gain * (2 * geometry[..., : self.coordinates] - 1)], dim=-1)

    def forward(self, pooled: Tensor, geometry: Tensor) -> Tensor:
        """pooled [..., C], geometry [..., 3] in [0, 1] -> F_geo [..., D]."""
        return self.enhance(pooled, geometry) @ self.weight.T

    def similarity(self, pooled: Tensor, geometry: Tensor, text: Tensor) -> Tensor:
        """<F_geo, t> of M proposals [..., M, *] and B sentences [..., B, D]: [..., B, M].

        The brackets are moved: F t = (x Wᵀ) t = x (Wᵀ t) projects B sentences instead of B N proposals, which makes
        a step of training three times as fast.
        """
        return text @ self.weight @ self.enhance(pooled, geometry).mT


def small(*shape: int, generator: torch.Generator | None) -> Tensor:
    """Initial weights of std 0.02: larger ones make the first softmax one-hot, and eq. 4 would hold on to its guess."""
    return torch.randn(*shape, generator=generator) * 0.02
