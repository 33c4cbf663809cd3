"""What lies in the dark on SynRef's table."""

import numpy as np

from wsris_lib.synref.placed import CORNERS, Placed, stacked
from wsris_lib.synref.scene import Scene
from wsris_lib.synref.solids import meet


def shadows(
    scene: Scene, eye: np.ndarray, planes: np.ndarray, depth: np.ndarray, bare: np.ndarray, placed: list[Placed]
) -> np.ndarray:
    """1 in the light, 0.5 in shadow, float32 [H / 2, W / 2], where the ground can be seen: `bare`, bool [H, W].

    Traced at half resolution, where nobody sees the difference. A part is asked only about the ground that its bounding
    cube shades.

    Args:
        eye: [3]. planes: unit ray directions [3, H, W]. depth: [H, W] of the empty table. H = W.
    """
    side = -(-len(depth) // 2)
    even = np.zeros((2 * side, 2 * side), bool)
    even[: len(depth), : len(depth)] = bare
    bare_cells = np.logical_or(even[::2], even[1::2])
    bare_cells = np.logical_or(bare_cells[:, ::2], bare_cells[:, 1::2])
    t = depth[::2, ::2][bare_cells]
    small = eye[:, None] + t * planes[:, ::2, ::2][:, bare_cells]  # (3, M)
    light = np.array(scene.light, np.float32)
    matrices, offsets = stacked(placed)
    corners = 1.05 * CORNERS @ matrices.mT + offsets  # (P, 8, 3); more than 1, as a ring's surface is thick by .02
    fallen = corners[..., :2] - corners[..., 2:] * (light[:2] / light[2])
    lows = fallen.min(1) - 1e-3
    highs = fallen.max(1) + 1e-3
    asks = []
    k = 0
    for one, (left, front), (right, back) in zip(placed, lows.tolist(), highs.tolist()):
        if one.k != k:
            k = one.k
            # Shadows fall within this distance of the foot: tallest part times the light's slant.
            reach = one.thing.scale * (1.3 + 2.7 * np.hypot(light[0], light[1]) / light[2])
            x, y = one.thing.place
            near = np.flatnonzero(np.hypot(small[0] - x, small[1] - y) < reach)
            x, y, _ = around = small.take(near, 1)
        inside = np.flatnonzero((x > left) & (x < right) & (y > front) & (y < back))
        if len(inside):
            asks.append((one, near[inside], around.take(inside, 1) - one.offset[:, None]))
    met = meet(
        [
            (
                "cylinder" if one.part.kind == "torus" and one.part.tilt == 0 else one.part.kind,
                one.part.taper,
                one.inverse @ start,
                (one.inverse @ light)[:, None],
            )
            for one, _, start in asks
        ]
    )
    dark = np.zeros(len(t), bool)
    for (_, where, _), t in zip(asks, met):
        dark[where[t < np.inf]] = True
    lit = np.ones((side, side), np.float32)
    lit[bare_cells] = np.where(dark, 0.5, 1.0)
    return lit
