"""The student's augmentation in CADD, and the same change of place for all that its outputs are compared with.

ES3Net, C.3: the teacher sees image and sentence as they are, the student augmented ones (flips, crops, mild changes of
colour), so that labels, the teacher's masks and its features lie in another frame than the student's. The paper doesn't
say how they are brought together. Here one affine moves them all, and what it brings in from outside the image doesn't
count. A flip swaps left and right in the sentence, of which the paper says nothing either.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from wsris_lib.refer.words import mirrored

GREY = (0.299, 0.587, 0.114)  # of red, green and blue in the brightness that we see


@dataclass(frozen=True)
class Warp:
    """How each of B samples is changed. Frames reach from -1 to 1 both ways whatever the map's size, edge to edge.

    theta: float [B, 2, 3], from a place in the student's frame to one in the image's, as of `F.affine_grid`.
    flipped: bool [B].
    colour: float [B, 3], factors of brightness, contrast and saturation.
    """

    theta: Tensor
    flipped: Tensor
    colour: Tensor

    def to(self, device: str | torch.device) -> "Warp":
        """The same on another device."""
        return Warp(self.theta.to(device), self.flipped.to(device), self.colour.to(device))

    def jitter(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, H, W] in [0, 255] of any type -> float in [0, 255], other colours. Nothing moves.

        The hue stays: sentences name colours.
        """
        brightness, contrast, saturation = self.colour.view(-1, 3, 1, 1).unbind(1)  # each [B, 1, 1]
        grey = self.colour.new_tensor(GREY)
        mixing = brightness * (saturation * torch.eye(3).to(grey) + (1 - saturation) * grey)  # [B, 3, 3]
        mixed = (mixing @ pixels.float().flatten(2)).clamp_(0, 255)  # [B, 3, H W]
        middle = grey @ mixed.mean(2, keepdim=True)  # [B, 1], the mean brightness
        return mixed.mul_(contrast).add_((1 - contrast) * middle[:, None]).clamp_(0, 255).view(pixels.shape)

    def image(self, pixels: Tensor) -> Tensor:
        """Normalised pixels [B, 3, H, W] -> the same size, moved; what lies outside the image is 0, the mean colour."""
        return self.maps(pixels) * self.inside(*pixels.shape[2:])[:, None]

    def maps(self, maps: Tensor) -> Tensor:
        """Float [B, C, h, w] of any size (features), or [B, h, w] (probabilities) -> the same size, moved, bilinear.

        Outside the image values are its nearest edge's; `inside` says where. Features of a coarse grid are moved only
        nearly right: a Swin's windows aren't symmetric.
        """
        return self._sampled(maps, "bilinear")

    def labels(self, labels: Tensor) -> Tensor:
        """Labels [B, H, W] of any type -> the same type and size, moved. The nearest pixel's: hard labels stay hard."""
        return self._sampled(labels.float(), "nearest").to(labels.dtype)

    def inside(self, height: int, width: int) -> Tensor:
        """Which cells of a map have their centre in the image: bool [B, height, width]."""
        x, y = self._grid(height, width).unbind(3)
        return (x.abs() <= 1) & (y.abs() <= 1)  # `all` over the two takes twice as long

    def sentences(self, sentences: list[str]) -> list[str]:
        """B sentences -> the same, with left and right swapped where the image is flipped (`refer.words.mirrored`)."""
        return [mirrored(s) if flip else s for s, flip in zip(sentences, self.flipped.tolist(), strict=True)]

    def _grid(self, height: int, width: int) -> Tensor:
        return F.affine_grid(self.theta, [len(self.theta), 1, height, width], align_corners=False)  # [B, h, w, 2]

    def _sampled(self, maps: Tensor, mode: str) -> Tensor:
        plain = maps.ndim == 3
        maps = maps[:, None] if plain else maps
        grid = self._grid(*maps.shape[2:]).to(maps)
        # At the edge of the image half a cell's reach lies outside: zeros there would dilute what is inside.
        maps = F.grid_sample(maps, grid, mode=mode, padding_mode="border", align_corners=False)
        return maps[:, 0] if plain else maps


def draw(
    batch: int,
    generator: torch.Generator,
    flip: float = 0.5,
    zoom: tuple[float, float] = (0.8, 1.2),
    colour: float = 0.2,
) -> Warp:
    """A warp of `batch` samples, each drawn on its own; on the CPU. Values are ours: the paper gives none.

    flip: how likely a sample is mirrored, left to right.
    zoom: the least and the greatest share of the image's side that is seen. Below 1 it is a crop, anywhere in the image
        and possibly without what the sentence means: then the label is as empty as the picture. Above 1 all of the
        image is seen, anywhere in a larger frame. (1, 1) moves nothing.
    colour: factors are drawn from 1 - colour to 1 + colour.
    """
    chance = torch.rand(batch, 7, generator=generator)  # a row for each sample
    flipped = chance[:, 0] < flip
    share = zoom[0] + (zoom[1] - zoom[0]) * chance[:, 1]
    shift = (1 - share).abs()[:, None] * (2 * chance[:, 2:4] - 1)  # [B, 2], x and y
    theta = torch.zeros(batch, 2, 3)
    theta[:, 0, 0] = torch.where(flipped, -share, share)
    theta[:, 1, 1] = share
    theta[:, :, 2] = shift
    return Warp(theta, flipped, 1 + colour * (2 * chance[:, 4:] - 1))
