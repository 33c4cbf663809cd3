"""Which cells point at one place: objects without classes, from IRNet's displacement field."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

STEPS = 300  # of following the field


def centres(displacement: NDArray[np.float32], steps: int = STEPS) -> NDArray[np.int64]:
    """Follow the field [2, h, w] (y, x, in cells) from every cell, [2, h, w]: the cell where it ends.

    Between cells the field is interpolated; what leaves the plane stays at its border.
    """
    height, width = displacement.shape[1:]
    limit = np.array([height - 1, width - 1], np.float32).reshape(2, 1, 1)
    place = np.indices((height, width)).astype(np.float32)
    for _ in range(steps):
        step = [ndimage.map_coordinates(part, place, order=1, mode="nearest") for part in displacement]
        moved = np.clip(place + np.stack(step), 0, limit)
        if np.abs(moved - place).max() < 1e-3:  # the rest would change nothing
            break
        place = moved
    return place.round().astype(np.int64)


def instances(displacement: NDArray[np.float32], still: float, steps: int = STEPS) -> NDArray[np.int64]:
    """Displacement [2, h, w] -> a number for each cell's instance, 0 to K - 1, [h, w].

    Cells where the field is weaker than `still`, in cells, form connected regions, as a centre may be there; a cell
    belongs to the region where following the field ends. Those that end in none share a number.
    """
    regions, _ = ndimage.label(np.hypot(*displacement) < still)
    y, x = centres(displacement, steps)
    return np.unique(regions[y, x], return_inverse=True)[1].reshape(regions.shape)
