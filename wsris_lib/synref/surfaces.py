"""What surfaces look like: the pattern of the table, the texture and the material of things, and the light on them."""

import numpy as np

from wsris_lib.synref.scene import Scene, Thing

STRIPE = 0.62  # width of two stripes, in units of the object's size
CELL = 0.44  # side of a dot's or a check's cell, in the same units


def ground(scene: Scene, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """RGB float32 [3, M] of the table at places x, y float32 [M], in world units."""
    rng = np.random.default_rng(scene.noise_seed)
    if scene.pattern == "checker":
        weave = ((np.floor(x) + np.floor(y)) % 2).astype(np.float32)
    elif scene.pattern == "planks":
        weave = 0.5 + 0.5 * np.sin(2.5 * x + 0.6 * np.sin(0.8 * y))
    else:
        weave = np.full(x.shape, 0.5, np.float32)
    cells = (np.floor(x * 6).astype(int) & 63) * 64 + (np.floor(y * 6).astype(int) & 63)
    rough = rng.random(64 * 64, dtype=np.float32).take(cells)
    weave = np.clip(weave + (rough - 0.5) * (1.0 if scene.pattern == "noise" else 0.25), 0, 1)
    first, second = (np.array(colour, np.float32)[:, None] for colour in (scene.ground, scene.ground_second))
    return weave * first + (1 - weave) * second


def paint(thing: Thing, point: np.ndarray) -> np.ndarray:
    """RGB [M, 3] of a thing's own colour at `point` [M, 3] in world units: its tint, or woven of this and another.

    The weave hangs on the thing, not on the picture, and its named colour always has the larger share.
    """
    tint = np.array(thing.tint, np.float32)
    if thing.texture == "plain":
        return np.broadcast_to(tint, point.shape)
    c = np.cos(thing.yaw)
    s = np.sin(thing.yaw)
    own = (point - np.array([*thing.place, 0.0])) @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) / thing.scale
    if thing.texture == "striped":
        second = ((own[:, 2] + 0.3 * own[:, 0]) / STRIPE) % 1 > 0.6
    elif thing.texture == "dotted":
        second = (((own / CELL + 0.31) % 1 - 0.5) ** 2).sum(-1) < 0.14
    else:  # checkered; the odd shift keeps flat faces off the borders of cells
        second = np.floor(own / CELL + 0.31).sum(-1) % 2 > 0.5
    other = tint * 0.3 if tint.mean() > 0.45 else 0.45 * tint + 0.55
    return np.where(second[:, None], other, tint)


def shaded(
    scene: Scene,
    pixels: int,
    order: np.ndarray,
    rays: np.ndarray,
    albedo: np.ndarray,
    normal: np.ndarray,
    surface: dict[str, list[slice]],
    shade: np.ndarray,
) -> np.ndarray:
    """Lambert shading under a coloured lamp, a highlight on what is shiny, ruffled where it is fuzzy; uint8 [H, W, 3].

    Args:
        order: [N], the pixel (y * W + x) that each column of the following shows.
        rays, albedo, normal: float32 [3, N]. shade: float32 [N], 1 in the light.
        surface: the columns of what is "shiny" and "fuzzy".
    """
    light = np.array(scene.light, np.float32)
    upright = np.empty((len(order), 3), np.float32)
    for axis in range(3):
        upright[:, axis][order] = normal[axis]  # one by one: three times as fast as rows of three
    facing = (upright.reshape(pixels, pixels, 3) @ light).ravel().take(order)
    if surface["fuzzy"]:  # hairs catch the light here and there, and the edge of a fur is bright
        ruffle = np.random.default_rng([scene.noise_seed, 1]).normal(0, 0.3, len(order)).astype(np.float32)
        for fur in surface["fuzzy"]:
            rim = 1 + _dot(normal[:, fur], rays[:, fur])  # 0 seen from the front, 1 at the edge
            facing[fur] = facing[fur] * 0.6 + ruffle[order[fur]] + 0.4 * rim
    diffuse = scene.ambient + (1 - scene.ambient) * np.maximum(facing, 0) * shade
    rgb = albedo * (diffuse * (0.6 + 0.4 * shade))
    for gloss in surface["shiny"]:
        mirrored = 2 * facing[gloss] * normal[:, gloss] - light[:, None]
        rgb[:, gloss] += np.maximum(-_dot(mirrored, rays[:, gloss]), 0) ** 12 * 0.7
    image = np.empty((len(order), 3), np.uint8)
    for axis, plane in enumerate(np.clip(rgb * np.array(scene.lamp, np.float32)[:, None], 0, 1) * 255 + 0.5):
        image[:, axis][order] = plane.astype(np.uint8)
    return image.reshape(pixels, pixels, 3)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
