"""Images of the web split as training batches, and the random views of them, a whole batch at a time and no PIL."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wsris_lib.miniature.card import device
from wsris_lib.synref.web import Web

MEAN = [0.485, 0.456, 0.406]  # ImageNet's, as the public DINOv2 and Depth Anything
STD = [0.229, 0.224, 0.225]


def load_images(web: Web, index: np.ndarray) -> Tensor:
    """uint8 [n, H, W, 3] on disk -> float [B, 3, H, W] in [0, 1] on the training device."""
    return torch.from_numpy(web.images[index]).to(device()).permute(0, 3, 1, 2).float() / 255


def normalise(images: Tensor) -> Tensor:
    """float [B, 3, H, W] in [0, 1] -> zero mean, unit variance per channel, as far as ImageNet knows."""
    return (images - images.new_tensor(MEAN).view(3, 1, 1)) / images.new_tensor(STD).view(3, 1, 1)


def uniform(low: float, high: float, *shape: int, generator: torch.Generator) -> Tensor:
    """Drawn on the CPU, so that the seed means the same on every device."""
    return torch.empty(shape).uniform_(low, high, generator=generator).to(device())


def jitter(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mild brightness, contrast and tint, one draw per image [B, 3, H, W].

    Strong jitter would make features blind to colour, and "the red mug" is found by its colour.
    """
    b = len(images)
    contrast = uniform(0.8, 1.2, b, 1, 1, 1, generator=generator) * uniform(0.93, 1.07, b, 3, 1, 1, generator=generator)
    brightness = uniform(0.85, 1.15, b, 1, 1, 1, generator=generator)
    mean = images.mean((1, 2, 3), keepdim=True)
    return ((images - mean) * contrast + mean * brightness).clamp(0, 1)


def striking_places(images: Tensor, generator: torch.Generator, cells: int = 16) -> Tensor:
    """A random place in each image [B, 3, H, W], the likelier the less its colour is that of the image at large.

    Returns (x, y) [B, 2] in [-1, 1]. No label is needed to see where a table has something on it.
    """
    coarse = F.adaptive_avg_pool2d(images, cells).flatten(2)  # [B, 3, cells^2]
    strange = (coarse - coarse.median(2, keepdim=True).values).square().sum(1) + 1e-4
    chosen = torch.multinomial(strange.cpu(), 1, generator=generator)[:, 0]
    return ((torch.stack([chosen % cells, chosen // cells], 1) + 0.5) / cells * 2 - 1).to(images)


def crops(images: Tensor, size: int, area: tuple[float, float], centre: Tensor, generator: torch.Generator) -> Tensor:
    """One square of each image [B, 3, H, W], `area` of it, perhaps mirrored, resampled to [B, 3, size, size].

    Its centre is `centre` [B, 2] in [-1, 1], as far as the square then lies within the image.
    """
    b = len(images)
    side = uniform(*area, b, generator=generator).sqrt()
    theta = images.new_zeros(b, 2, 3)
    theta[:, 0, 0] = side * uniform(-1, 1, b, generator=generator).sign()
    theta[:, 1, 1] = side
    theta[:, :, 2] = torch.minimum(centre.abs(), (1 - side)[:, None]) * centre.sign()
    grid = F.affine_grid(theta, [b, 3, size, size], align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def block_masks(b: int, grid: int, share: tuple[float, float], generator: torch.Generator) -> Tensor:
    """bool [B, grid * grid]: a rectangle of patches to hide per image, `share` of its area.

    Blocks, because a lone hidden patch can be filled in from its neighbours without knowing what the thing is (the
    masking of BEiT, which iBOT took over).
    """
    area = uniform(*share, b, generator=generator) * grid**2
    aspect = uniform(-0.4, 0.4, b, generator=generator).exp()
    h, w = [(area * a).sqrt().round().clamp(1, grid - 1) for a in (aspect, 1 / aspect)]
    top, left = [(uniform(0, 1, b, generator=generator) * (grid - side + 1)).floor() for side in (h, w)]
    at = torch.arange(grid, device=h.device)
    rows = (at >= top[:, None]) & (at < (top + h)[:, None])  # [B, grid]
    columns = (at >= left[:, None]) & (at < (left + w)[:, None])
    return (rows[:, :, None] & columns[:, None, :]).flatten(1)
