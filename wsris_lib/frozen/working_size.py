"""A large photograph is worked on as a smaller copy, so that memory doesn't grow with it by every mask and crop."""

import math

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

PIXELS = 1 << 22  # 4 megapixels: twice the side of what SAM2 sees, the finest eye here; every corpus is below
SIDE = 1 << 12  # an object is cut out with a square around it, which a strip of a scan would make vast
FLOATS = 1 << 24  # numbers of 4 bytes that a temporary plane of several masks may hold: 64 MB


def shrunk(image: Image.Image, side: int = 0, pixels: int = PIXELS) -> Image.Image:
    """The image with its longer side brought down to `side` (0: to SIDE) and to about `pixels` in all.

    As it is where it's small enough; its shape is kept to a pixel, and no side falls below 1.
    """
    longest = max(image.size)
    share = min((side or SIDE) / longest, math.sqrt(pixels / (image.width * image.height)))
    if share >= 1:
        return image
    return image.resize([max(1, round(share * length)) for length in image.size], Image.Resampling.BOX)


def at_size(mask: Tensor, height: int, width: int) -> Tensor:
    """A mask bool [h, w] at the size of its photograph, [height, width]; a mask that is enlarged stays non-empty."""
    if mask.shape == (height, width):
        return mask
    return F.interpolate(mask[None, None].byte(), (height, width), mode="nearest-exact")[0, 0].bool()


def at_once(numbers: int) -> int:
    """How many planes of so many numbers each may be worked on at once, one or more."""
    return max(1, FLOATS // max(1, numbers))


def overlaps(masks: Tensor) -> Tensor:
    """Pixels that each pair of masks bool [N, H, W] shares, float [N, N], exact; no float mask is made as a whole."""
    flat = masks.flatten(1)
    total = torch.zeros(len(flat), len(flat))
    for part in flat.split(at_once(len(flat)), 1):
        some = part.float()
        total += some @ some.T
    return total
