"""Crops of two views of one scene around the same point of it, recoloured each in its own way.

A crop's place and its patches' correspondences come from `TwoViews.places`: no mask or label takes part.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wsris_lib.miniature.card import device
from wsris_lib.miniature.views import normalise, uniform
from wsris_lib.synref.second_view import TwoViews

REACH = 0.08  # how far from the common point a crop's centre lies; the image is 2 across
LUMINANCE = (0.299, 0.587, 0.114)
TO_YIQ = (LUMINANCE, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))  # hue is an angle in the last two


class CropPair(NamedTuple):
    """Crops of the first and second views, [B, 3, G, G] and normalised; and for the second's g x g patches:

    places [B, g, g, 2], where the first crop shows a patch's centre, (x, y) in [-1, 1] from edge to edge; and
    visible, bool [B, g, g], whether it does at all.
    """

    first: Tensor
    second: Tensor
    places: Tensor
    visible: Tensor


def crop_pairs(
    views: TwoViews, index: np.ndarray, grid: int, patch: int, side: tuple[float, float], generator: torch.Generator
) -> CropPair:
    """A pair for each scene in `index` [B], of grid x grid patches; `side` is the range of the crops' sides in pixels.

    The point is any that both views show; the table has none.
    """
    first, second = (torch.from_numpy(images[index]).to(device()) for images in (views.first, views.second))
    first, second = (images.permute(0, 3, 1, 2).float() / 255 for images in (first, second))
    places = torch.from_numpy(views.places[index].astype(np.float32)).to(device())  # [B, cells, cells, 2]
    b, cells = places.shape[:2]
    shown = torch.isfinite(places[..., 0]).flatten(1).float() + 1e-9
    chosen = torch.multinomial(shown.cpu(), 1, generator=generator)[:, 0].to(places.device)
    there = (torch.stack([chosen % cells, chosen // cells], 1) + 0.5) / cells * 2 - 1  # [B, 2], in the second view
    here = places.flatten(1, 2)[torch.arange(b), chosen].nan_to_num()  # the same point in the first
    theta = [_window(centre, side, first.shape[-1], generator) for centre in (here, there)]
    one, two = (
        normalise(colour_jitter(_cut(images, t, grid * patch), generator)) for images, t in zip((first, second), theta)
    )
    centres = F.affine_grid(theta[1], [b, 1, grid, grid], align_corners=False)  # [B, g, g, 2] in the second view
    column, row = ((centres + 1) / 2 * cells).floor().long().clamp(0, cells - 1).unbind(-1)
    in_first = places[torch.arange(b)[:, None, None], row, column]
    scale = torch.stack([theta[0][:, 0, 0], theta[0][:, 1, 1]], 1)
    within = (in_first - theta[0][:, None, None, :, 2]) / scale[:, None, None]
    visible = torch.isfinite(within).all(-1) & (within.abs() < 1).all(-1)
    return CropPair(one, two, within.nan_to_num(), visible)


def _window(centre: Tensor, side: tuple[float, float], pixels: int, generator: torch.Generator) -> Tensor:
    """Affine maps [B, 2, 3] of squares near `centre` [B, 2] within the image, half of them mirrored."""
    b = len(centre)
    share = (uniform(math.log(side[0]), math.log(side[1]), b, generator=generator).exp() / pixels).clamp(max=1)
    centre = centre + uniform(-REACH, REACH, b, 2, generator=generator)
    theta = centre.new_zeros(b, 2, 3)
    theta[:, 0, 0] = share * uniform(-1, 1, b, generator=generator).sign()
    theta[:, 1, 1] = share
    theta[:, :, 2] = torch.minimum(centre.abs(), (1 - share)[:, None]) * centre.sign()
    return theta


def _cut(images: Tensor, theta: Tensor, size: int) -> Tensor:
    grid = F.affine_grid(theta, [len(images), 3, size, size], align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def colour_jitter(images: Tensor, generator: torch.Generator, hue: float = 0.5, grey: float = 0.2) -> Tensor:
    """DINO's jitter, one draw per image [B, 3, H, W] in [0, 1]: brightness and contrast by up to .4 and saturation by
    up to .6 for four in five; but the hue by up to `hue` turns, where DINO's is .1.

    On photographs .1 suffices that colour alone doesn't say which thing it is. SynRef's things have one of ten colours
    each, most of them pure, and a tenth of a turn leads from a name to the next: with less than all hues the first
    thing that is learnt is the colour, and little beside. A fifth of the images turn `grey`.
    """
    b = len(images)

    def by(most: float) -> Tensor:
        return 1 + on * uniform(-most, most, b, 1, 1, 1, generator=generator)

    on = (uniform(0, 1, b, 1, 1, 1, generator=generator) < 0.8).float()
    images = images * by(0.4)
    luminance = images.new_tensor(LUMINANCE).view(1, 3, 1, 1)
    mean = (images * luminance).sum(1, keepdim=True).mean((2, 3), keepdim=True)
    images = (images - mean) * by(0.4) + mean
    bright = (images * luminance).sum(1, keepdim=True)
    images = (images - bright) * by(0.6) + bright
    angle = 2 * math.pi * (by(hue) - 1).view(b)
    yiq = images.new_tensor(TO_YIQ)
    turn = torch.eye(3).to(images).repeat(b, 1, 1)
    turn[:, 1, 1] = turn[:, 2, 2] = angle.cos()
    turn[:, 2, 1] = angle.sin()
    turn[:, 1, 2] = -angle.sin()
    images = torch.einsum("bij,bjhw->bihw", torch.linalg.inv(yiq) @ turn @ yiq, images)
    bright = (images * luminance).sum(1, keepdim=True).expand_as(images)
    is_grey = uniform(0, 1, b, 1, 1, 1, generator=generator) < grey
    return torch.where(is_grey, bright, images).clamp(0, 1)
