"""What a mask takes from the image: pooled patch features and a place in space (ES3Net 3.2, eq. 2)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from wsris_lib.frozen.working_size import at_once


def patch_cells(masks: Tensor, h: int, w: int) -> Tensor:
    """Bring masks [N, H, W] down to the patch grid: bool [N, h, w], never without a cell.

    A cell belongs to a mask that covers at least half of it. A mask too small or too thin to cover half of any cell
    gets the cell, or cells, that it covers most. Raises ValueError for an empty mask.
    """
    masks = _checked(masks)
    parts = masks.split(at_once(masks[0].numel())) if len(masks) else [masks]
    cover = torch.cat([F.adaptive_avg_pool2d(some.float(), (h, w)) for some in parts])  # [N, h, w]: covered shares
    return cover >= cover.amax((1, 2), keepdim=True).clamp(max=0.5)


def pool_patches(patches: Tensor, masks: Tensor, mode: str = "max") -> Tensor:
    """Mask-guided pooling: patches [C, h, w] of one image under masks bool [N, H, W] -> [N, C].

    `mode` is "max" (the paper's) or "mean", over the cells of the mask alone. Features have either sign, so a mask
    must *select*: multiplying by 0 outside would let a 0 win over every negative feature (as -inf never does).
    """
    if mode not in ("max", "mean"):
        raise ValueError(f'pooling is {mode!r}; choose "max" or "mean"')
    if len(masks) == 0:
        return patches.new_zeros(0, len(patches))
    reduce = torch.amax if mode == "max" else torch.mean
    return torch.stack([reduce(patches[:, cells], dim=1) for cells in patch_cells(masks, *patches.shape[1:])])


def geometry(masks: Tensor, inverse_depth: Tensor) -> Tensor:
    """ES3Net eq. 2: where each mask is, [N, 3] of (x, y, z).

    From masks bool [N, H, W] and inverse depth [H, W] in [0, 1]. (x, y) is the mask's centroid in (0, 1), x to the
    right and y down; z is its mean inverse depth, 1 = nearest point of the image. The paper has the centroid of the
    downsampled mask in indices of the patch grid (`cell_geometry`); this is that of the mask itself, the same place
    without the rounding to patches. Raises ValueError for an empty mask or sizes that differ.
    """
    masks = _checked(masks)
    if masks.shape[1:] != inverse_depth.shape:
        raise ValueError(
            f"masks are {tuple(masks.shape[1:])} and the depth map is {tuple(inverse_depth.shape)}; "
            "both must have the image's own size"
        )
    area = masks.sum((1, 2))
    x = masks.sum(1).double() @ _centres(masks.shape[2]).to(masks.device) / area
    y = masks.sum(2).double() @ _centres(masks.shape[1]).to(masks.device) / area
    z = torch.tensor([inverse_depth[mask].mean() for mask in masks], device=masks.device)
    return torch.stack([x.float(), y.float(), z], dim=1)


def cell_geometry(masks: Tensor, nearness: Tensor, grid: int) -> Tensor:
    """ES3Net eq. 2: as printed, in shares of the range: [N, 3] of (x, y, z) in [0, 1] from masks bool [N, H, W].

    x and y are the mean column and row of the mask's cells in a grid x grid of patches, counted from 0 (`patch_cells`;
    how masks are brought down the paper doesn't say), divided by the last index, grid - 1, to be in the range of
    `geometry`; `es3net.alignment` makes them as loud again. z, which the paper brings to the scale of x and y, is the
    mean inverse depth under the mask itself, nearness [N] as of `geometry`. Raises ValueError for an empty mask.
    """
    cells = patch_cells(masks, grid, grid).double()  # [N, h, w]
    index = torch.arange(grid, dtype=torch.float64, device=masks.device)
    area = cells.sum((1, 2))
    x, y = (cells.sum(axis) @ index / area / max(1, grid - 1) for axis in (1, 2))
    return torch.stack([x, y, nearness.double()], dim=1).float()


def _centres(size: int) -> Tensor:
    """The centres of `size` pixels that share the interval (0, 1)."""
    return (torch.arange(size, dtype=torch.float64) + 0.5) / size


def _checked(masks: Tensor) -> Tensor:
    empty = (~masks.flatten(1).any(1)).nonzero().flatten().tolist()
    if empty:
        raise ValueError(f"masks {empty} of {len(masks)} are empty; drop them before pooling")
    return masks
