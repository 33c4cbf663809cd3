"""Which cells point at one place: objects without classes, from IRNet's displacement field."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

STEPS = 300  # of following the field
BILINEAR = 0  # as `torch.grid_sampler` numbers them
BORDER = 1
CHECK = 10  # steps; to look whether all stand still takes as long as one


def centres(displacement: NDArray[np.float32], steps: int = STEPS) -> NDArray[np.int64]:
    """Follow the field [2, h, w] (y, x, in cells) from every cell, [2, h, w]: the cell where it ends.

    Between cells the field is interpolated; what leaves the plane stays at its border.
    """
    height, width = displacement.shape[1:]
    # In the coordinates of `grid_sample`, x before y: the outermost cells' centres are -1 and 1.
    last = torch.tensor([width - 1.0, height - 1.0]).view(2, 1, 1)
    half = last.clamp(min=1) / 2
    steps_away = torch.from_numpy(displacement[::-1].astype(np.float32)) * (last > 0)  # a single row has nowhere to go
    field = (steps_away / half)[None]  # [1, 2, h, w]
    cells = torch.from_numpy(np.indices((height, width))[::-1].astype(np.float32))
    place = (cells / half - 1)[None]  # [1, 2, h, w]
    grid = place.permute(0, 2, 3, 1)  # the same memory, as `grid_sampler` wants it
    near = 1e-3 / half  # less than that would change nothing
    for step in range(1, steps + 1):
        before = place.clone() if step % CHECK == 0 else None
        # F.grid_sample, which asks more than it does
        place.add_(torch.grid_sampler(field, grid, BILINEAR, BORDER, True)).clamp_(-1, 1)
        if before is not None and bool(((place - before).abs() < near).all()):
            break
    return ((place[0] + 1) * half).round().long().flip(0).numpy()


def instances(displacement: NDArray[np.float32], max_displacement: float, steps: int = STEPS) -> NDArray[np.int64]:
    """Displacement [2, h, w] -> a number for each cell's instance, 0 to K - 1, [h, w].

    Cells where the field is weaker than `max_displacement`, in cells, form connected regions, as a centre may be
    there; a cell belongs to the region where following the field ends. Those that end in none share a number.
    """
    regions, _ = ndimage.label(np.hypot(*displacement) < max_displacement)
    y, x = centres(displacement, steps)
    return np.unique(regions[y, x], return_inverse=True)[1].reshape(regions.shape)
