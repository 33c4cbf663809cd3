"""What surfaces look like: the pattern of the table, the texture and the material of things, and the light on them."""

import numpy as np

from wsris_lib.synref.scene import Scene, Thing

STRIPE = 0.62  # width of two stripes, in units of the object's size
CELL = 0.44  # side of a dot's or a check's cell, in the same units


def ground(scene: Scene, eye: np.ndarray, rays: np.ndarray, depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colour and normal [H, W, 3] of every pixel as if the table were empty."""
    hit = eye + depth[..., None] * rays
    x = hit[..., 0]
    y = hit[..., 1]
    rng = np.random.default_rng(scene.noise_seed)
    if scene.pattern == "checker":
        weave = ((np.floor(x) + np.floor(y)) % 2).astype(np.float32)
    elif scene.pattern == "planks":
        weave = 0.5 + 0.5 * np.sin(2.5 * x + 0.6 * np.sin(0.8 * y))
    else:
        weave = np.full(x.shape, 0.5, np.float32)
    rough = rng.random((64, 64), dtype=np.float32)[
        (np.floor(x * 6).astype(int) % 64), (np.floor(y * 6).astype(int) % 64)
    ]
    weave = np.clip(weave + (rough - 0.5) * (1.0 if scene.pattern == "noise" else 0.25), 0, 1)[..., None]
    albedo = weave * np.array(scene.ground, np.float32) + (1 - weave) * np.array(scene.ground_second, np.float32)
    normal = np.broadcast_to(np.array([0, 0, 1], np.float32), rays.shape).copy()
    return albedo.astype(np.float32), normal


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
    rays: np.ndarray,
    albedo: np.ndarray,
    normal: np.ndarray,
    gloss: np.ndarray,
    fuzz: np.ndarray,
    shade: np.ndarray,
) -> np.ndarray:
    """Lambert shading under a coloured lamp, a highlight where `gloss`, ruffled where `fuzz`; uint8 RGB [H, W, 3]."""
    light = np.array(scene.light, np.float32)
    facing = normal @ light
    if fuzz.any():  # hairs catch the light here and there, and the edge of a fur is bright
        ruffle = np.random.default_rng([scene.noise_seed, 1]).normal(0, 0.3, fuzz.shape).astype(np.float32)
        rim = 1 + (normal * rays).sum(-1)  # 0 seen from the front, 1 at the edge
        facing = np.where(fuzz, facing * 0.6 + ruffle + 0.4 * rim, facing)
    diffuse = scene.ambient + (1 - scene.ambient) * np.maximum(facing, 0) * shade
    mirrored = 2 * facing[..., None] * normal - light
    highlight = gloss * np.maximum(-(mirrored * rays).sum(-1), 0) ** 12 * 0.7
    rgb = albedo * (diffuse * (0.6 + 0.4 * shade))[..., None] + highlight[..., None]
    return (np.clip(rgb * np.array(scene.lamp, np.float32), 0, 1) * 255 + 0.5).astype(np.uint8)
