"""Inter-pixel affinity: two cells belong together unless an edge lies between them (Ahn, Cho and Kwak, CVPR 2019).

A pair of cells is written as an offset (dy, dx) with dy >= 0, so that each pair within a radius occurs once: 34 offsets
within radius 5, 152 within 10. Everything here works on whole planes of cells, one offset at a time.
"""

from functools import lru_cache

import torch
from torch import Tensor

IGNORE = 255  # a label that says nothing
SMALL = 1e-5  # keeps logarithms and quotients finite


@lru_cache
def paths(radius: int) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """offset (dy, dx) -> the cells (y, x) between (0, 0) and it, both included: those nearer than 1 to the line."""
    ends = [(0, x) for x in range(1, radius)]
    ends += [(y, x) for y in range(1, radius) for x in range(1 - radius, radius) if y * y + x * x < radius * radius]
    cells = {}
    for dy, dx in ends:
        box = [(y, x) for y in range(dy + 1) for x in range(min(0, dx), max(0, dx) + 1)]
        cells[dy, dx] = [(y, x) for y, x in box if (dy * x - dx * y) ** 2 < dy * dy + dx * dx]
    return cells


def shifted(plane: Tensor, y: int, x: int, dy: int, dx: int) -> Tensor:
    """plane [..., H, W] at (y, x) from every cell whose partner at (dy, dx) lies in the plane too, [..., h, w]."""
    height, width = plane.shape[-2:]
    left = max(0, -dx)
    return plane[..., y : height - dy + y, left + x : width - max(0, dx) + x]


def affinities(edge: Tensor, radius: int) -> dict[tuple[int, int], Tensor]:
    """Edges [..., H, W] in [0, 1] -> offset: 1 - the highest edge on the way, [..., H - dy, W - |dx|].

    Raises ValueError where the plane is smaller than the radius, since some offset would have no pair.
    """
    if min(edge.shape[-2:]) < radius:
        raise ValueError(f"a plane of {tuple(edge.shape[-2:])} cells is smaller than the radius {radius}; shrink that")
    return {
        (dy, dx): 1 - torch.stack([shifted(edge, y, x, dy, dx) for y, x in cells]).amax(0)
        for (dy, dx), cells in paths(radius).items()
    }


def losses(edge: Tensor, displacement: Tensor, labels: Tensor, radius: int) -> dict[str, Tensor]:
    """IRNet's four terms, each a mean over its pairs of cells.

    Pairs of one label should have no edge between them ("same", the object's pairs and the ground's weighing equally),
    pairs of two labels one ("different"). Inside the object the displacements should point at one place, so that they
    differ by the offset ("object"); on the ground they should be equal ("ground").

    Args:
        edge: [B, h, w] in [0, 1]. displacement: [B, 2, h, w], (y, x) in cells.
        labels: [B, h, w] of 0 (ground), 1 (object) and 255 (unknown: no pair with it counts).
    """
    sums = {name: [edge.new_zeros(()), edge.new_zeros(())] for name in ("ground+", "object+", "different", "dp", "dp0")}

    def add(name: str, values: Tensor, where: Tensor) -> None:
        sums[name][0] = sums[name][0] + (values * where).sum()
        sums[name][1] = sums[name][1] + where.sum()

    for (dy, dx), affinity in affinities(edge, radius).items():
        here = shifted(labels, 0, 0, dy, dx)
        there = shifted(labels, dy, dx, dy, dx)
        known = (here != IGNORE) & (there != IGNORE)
        ground = known & (here == 0) & (there == 0)
        inside = known & (here == 1) & (there == 1)
        add("ground+", -(affinity + SMALL).log(), ground)
        add("object+", -(affinity + SMALL).log(), inside)
        add("different", -(1 + SMALL - affinity).log(), known & (here != there))
        between = shifted(displacement, 0, 0, dy, dx) - shifted(displacement, dy, dx, dy, dx)  # [B, 2, h, w]
        offset = between.new_tensor([dy, dx]).view(2, 1, 1)
        add("dp", (between - offset).abs().mean(1), inside)
        add("dp0", between.abs().mean(1), ground)
    mean = {name: value / (count + SMALL) for name, (value, count) in sums.items()}
    same = (mean["ground+"] + mean["object+"]) / 2
    return {"same": same, "different": mean["different"], "object": mean["dp"], "ground": mean["dp0"]}


def total(terms: dict[str, Tensor]) -> Tensor:
    """(same + different) / 2 + (object + ground) / 2."""
    return torch.stack([*terms.values()]).sum() / 2
