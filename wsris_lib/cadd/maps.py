"""A norm and an interpolation that torch has too, by operations that a CPU is quick at."""

import torch
from torch import Tensor

LEAST = 1e-5  # added to a variance: torch's own


def instance_norm(cells: Tensor) -> Tensor:
    """`F.instance_norm` over the cells, without weights: [B, N, C] -> [B, N, C]. The map isn't turned round twice."""
    x = cells if cells.dtype == torch.float64 else cells.float()  # in bfloat16 a variance would be rough
    centred = x - x.mean(1, keepdim=True)
    return (centred * (centred.square().mean(1, keepdim=True) + LEAST).rsqrt()).to(cells.dtype)


def enlarged(maps: Tensor, height: int, width: int) -> Tensor:
    """Bilinear interpolation as two products of matrices: maps [B, C, h, w] -> [B, C, height, width].

    It is `F.interpolate`'s, which takes ten times as long for the two logits, whose channels lie last.
    """
    return _shares(height, maps.shape[2], maps) @ maps.contiguous() @ _shares(width, maps.shape[3], maps).mT


def _shares(fine: int, coarse: int, like: Tensor) -> Tensor:
    """How much of each coarse cell a fine one takes: [fine, coarse], rows sum to 1."""
    centres, cells = (torch.arange(n, device=like.device, dtype=torch.float32) for n in (fine, coarse))
    place = ((centres + 0.5) * (coarse / fine) - 0.5).clamp(0, coarse - 1)  # edges: the nearest cell's
    return (1 - (place[:, None] - cells).abs()).clamp(min=0).to(like.dtype)
