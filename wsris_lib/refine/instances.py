"""Which cells point at one place: objects without classes, from IRNet's displacement field."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage

STEPS = 300  # of following the field


def centres(displacement: NDArray[np.float32], steps: int = STEPS) -> NDArray[np.int64]:
    """Follow the field [2, h, w] (y, x, in cells) from every cell, [2, h, w]: the cell where it ends.

    Between cells the field is interpolated; what leaves the plane stays at its border.
    """
    height, width = displacement.shape[1:]
    last = torch.tensor([width - 1.0, height - 1.0])  # x, y, as `grid_sample` counts
    field = torch.from_numpy(displacement[::-1].astype(np.float32))[None]  # [1, 2, h, w]
    place = torch.from_numpy(np.indices((height, width))[::-1].astype(np.float32)).permute(1, 2, 0)[None]
    for _ in range(steps):
        frame = 2 * place / last.clamp(min=1) - 1  # the outermost cells' centres are -1 and 1
        step = F.grid_sample(field, frame, padding_mode="border", align_corners=True)
        moved = (place + step.permute(0, 2, 3, 1)).clamp(min=0).minimum(last)
        if (moved - place).abs().max() < 1e-3:  # the rest would change nothing
            break
        place = moved
    return place[0].round().long().permute(2, 0, 1).flip(0).numpy()


def instances(displacement: NDArray[np.float32], max_displacement: float, steps: int = STEPS) -> NDArray[np.int64]:
    """Displacement [2, h, w] -> a number for each cell's instance, 0 to K - 1, [h, w].

    Cells where the field is weaker than `max_displacement`, in cells, form connected regions, as a centre may be
    there; a cell belongs to the region where following the field ends. Those that end in none share a number.
    """
    regions, _ = ndimage.label(np.hypot(*displacement) < max_displacement)
    y, x = centres(displacement, steps)
    return np.unique(regions[y, x], return_inverse=True)[1].reshape(regions.shape)
