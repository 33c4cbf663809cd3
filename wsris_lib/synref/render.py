"""Ray casting with NumPy: image, object ids and depth of a scene, exact to the pixel.

Every primitive is intersected analytically (the torus by sphere tracing) and only inside the rectangle that its
bounding cube covers on the screen, which is what makes 100 images a second possible without compiled code.
"""

import numpy as np

from wsris_lib.synref.scene import Scene, Thing
from wsris_lib.synref.shapes import CATEGORIES, CLUTTER, FIXED, Part
from wsris_lib.synref.surfaces import ground, paint, shaded

SHAPES = CATEGORIES | CLUTTER
CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)
FAR = np.float32(60.0)  # depth of the backdrop, world units


def camera_rays(scene: Scene, pixels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Camera position [3], unit ray directions [H, W, 3] and the camera's axes [3, 3] (right, down, forward)."""
    eye = np.array(scene.eye, np.float32)
    forward = np.array(scene.gaze, np.float32) - eye
    forward /= np.linalg.norm(forward)
    level = np.cross(forward, np.array([0, 0, 1], np.float32))
    level /= np.linalg.norm(level)
    right = np.cos(scene.roll) * level + np.sin(scene.roll) * np.cross(forward, level)
    axes = np.stack([right, np.cross(forward, right), forward]).astype(np.float32)
    grid = ((np.arange(pixels, dtype=np.float32) + 0.5) / pixels * 2 - 1) * np.float32(scene.zoom)
    rays = grid[None, :, None] * axes[0] + grid[:, None, None] * axes[1] + axes[2]  # (H, W, 3)
    return eye, rays / np.linalg.norm(rays, axis=-1, keepdims=True), axes


def placed_parts(thing: Thing) -> list[tuple[Part, np.ndarray, np.ndarray]]:
    """Each part of a thing with its local-to-world matrix [3, 3] and offset [3]."""
    c = np.cos(thing.yaw)
    s = np.sin(thing.yaw)
    yaw = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) * thing.scale
    foot = np.array([*thing.place, 0.0])
    parts = []
    for part in SHAPES[thing.category]:
        ct = np.cos(np.radians(part.tilt))
        st = np.sin(np.radians(part.tilt))
        tilt = np.array([[1, 0, 0], [0, ct, -st], [0, st, ct]])
        parts.append(
            (part, (yaw @ tilt * np.array(part.half)).astype(np.float32), (yaw @ part.centre + foot).astype(np.float32))
        )
    return parts


def render(scene: Scene, pixels: int = 128) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Draw a scene.

    Returns:
        image uint8 [H, W, 3]; ids uint8 [H, W] (0 is ground, k the k-th thing where it is visible, clutter after the
        things); parts uint8
        [H, W] (the same of the thing's primitives); depth float32 [H, W], distance from the camera in world units;
        covered int [things + clutter], the pixels each would fill if nothing stood before it.
    """
    eye, rays, axes = camera_rays(scene, pixels)
    down = rays[..., 2]
    depth = np.where(down < -1e-3, -eye[2] / np.minimum(down, -1e-3), FAR).clip(max=FAR).astype(np.float32)
    ids, numbers = np.zeros((2, pixels, pixels), np.uint8)
    albedo, normal = ground(scene, eye, rays, depth)
    gloss, fuzz = np.zeros((2, pixels, pixels), bool)
    everything = scene.things + scene.clutter
    parts = [placed_parts(thing) for thing in everything]
    shade = _shadows(scene, eye, rays, depth, parts)
    covered = np.zeros(len(everything), int)
    for k, (thing, thing_parts) in enumerate(zip(everything, parts)):
        whole = np.zeros((pixels, pixels), bool)
        for number, (part, matrix, offset) in enumerate(thing_parts, 1):
            window = _window(matrix, offset, eye, axes, scene.zoom, pixels)
            if window is None:
                continue
            inverse = np.linalg.inv(matrix)
            origin = inverse @ (eye - offset)
            local = rays[window] @ inverse.T  # (h, w, 3)
            t = INTERSECT[part.kind](origin, local, part.taper)
            whole[window] |= np.isfinite(t)
            nearer = t < depth[window]
            if not nearer.any():
                continue
            point = origin + t[nearer, None] * local[nearer]  # (M, 3)
            n = NORMAL[part.kind](point, part.taper) @ inverse
            normal[window][nearer] = n / np.linalg.norm(n, axis=-1, keepdims=True)
            main = part.paint == "main"
            world = eye + t[nearer, None] * rays[window][nearer]
            albedo[window][nearer] = paint(thing, world) if main else FIXED[part.paint]
            gloss[window][nearer] = thing.material == "shiny"
            fuzz[window][nearer] = thing.material == "fuzzy"
            depth[window][nearer] = t[nearer]
            ids[window][nearer] = k + 1
            numbers[window][nearer] = number
            shade[window][nearer] = 1.0
        covered[k] = whole.sum()
    return shaded(scene, rays, albedo, normal, gloss, fuzz, shade), ids, numbers, depth, covered


def _window(matrix, offset, eye, axes, zoom, pixels):
    """The screen rectangle (a pair of slices) that holds a part, or None when it is out of view."""
    corners = (CORNERS @ matrix.T + offset - eye) @ axes.T  # (8, 3): right, down, forward
    xy = (corners[:, :2] / corners[:, 2:] / zoom + 1) / 2 * pixels
    x0, y0 = np.floor(xy.min(0)).astype(int).clip(0)
    x1, y1 = np.ceil(xy.max(0)).astype(int).clip(max=pixels)
    return (slice(y0, y1), slice(x0, x1)) if x0 < x1 and y0 < y1 else None


# -- intersections in local coordinates: origin [3] or [..., 3], direction [..., 3] -> t [...], inf where missed -------
def _sphere(o, d, _taper):
    a = (d * d).sum(-1)
    b = (o * d).sum(-1)
    c = (o * o).sum(-1) - 1
    root = b * b - a * c
    t = (-b - np.sqrt(np.maximum(root, 0))) / a
    return np.where((root > 0) & (t > 0), t, np.inf)


def _box(o, d, _taper):
    with np.errstate(divide="ignore", invalid="ignore"):
        t0 = (-1 - o) / d
        t1 = (1 - o) / d
    near = np.minimum(t0, t1).max(-1)
    far = np.maximum(t0, t1).min(-1)
    return np.where((near < far) & (near > 0), near, np.inf)


def _cylinder(o, d, taper):
    """Radius 1 at z = -1 and `taper` at z = 1: a cylinder, a truncated cone or a cone, with both lids."""
    slope = (taper - 1) / 2  # radius(z) = middle + slope * z
    middle = (taper + 1) / 2
    ox = o[..., 0]
    oy = o[..., 1]
    oz = o[..., 2]
    dx = d[..., 0]
    dy = d[..., 1]
    dz = d[..., 2]
    ro = middle + slope * oz
    rd = slope * dz
    a = dx * dx + dy * dy - rd * rd
    b = ox * dx + oy * dy - ro * rd
    c = ox * ox + oy * oy - ro * ro
    root = b * b - a * c
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (-b - np.sqrt(np.maximum(root, 0))) / a
        z = oz + t * dz
        best = np.where((root > 0) & (np.abs(z) <= 1) & (t > 0), t, np.inf)
        for end, radius in ((-1.0, 1.0), (1.0, taper)):
            t = (end - oz) / dz
            x = ox + t * dx
            y = oy + t * dy
            best = np.where((x * x + y * y <= radius * radius) & (t > 0) & (t < best), t, best)
    return best


def _torus(o, d, minor):
    """Ring in the xy plane, outer radius 1, tube radius `minor`; sphere tracing from the bounding sphere."""
    length = np.sqrt((d * d).sum(-1))
    t = np.maximum(-(o * d).sum(-1) / length**2 - 1.1 / length, 0)
    for _ in range(24):
        distance = _torus_distance(o + t[..., None] * d, minor)
        t = t + distance / length
    return np.where(np.abs(distance) < 0.02, t, np.inf)


def _torus_distance(p, minor):
    ring = np.sqrt(p[..., 0] ** 2 + p[..., 1] ** 2) - (1 - minor)
    return np.sqrt(ring**2 + p[..., 2] ** 2) - minor


def _box_normal(p, _taper):
    return np.where(np.abs(p) == np.abs(p).max(-1, keepdims=True), np.sign(p), 0)


def _cylinder_normal(p, taper):
    slope = (taper - 1) / 2
    radius = (taper + 1) / 2 + slope * p[..., 2]
    side = np.stack([p[..., 0], p[..., 1], -slope * radius], -1)
    lid = (np.abs(p[..., 2]) > 0.999)[..., None] & ((p[..., :2] ** 2).sum(-1) < 0.998 * radius**2)[..., None]
    return np.where(lid, np.sign(p) * np.array([0, 0, 1]), side)


def _torus_normal(p, minor):
    around = np.sqrt((p[..., :2] ** 2).sum(-1, keepdims=True))
    return np.concatenate([p[..., :2] * (1 - (1 - minor) / around), p[..., 2:]], -1)


INTERSECT = {"sphere": _sphere, "box": _box, "cylinder": _cylinder, "torus": _torus}
NORMAL = {"sphere": lambda p, _: p, "box": _box_normal, "cylinder": _cylinder_normal, "torus": _torus_normal}


def _shadows(scene, eye, rays, depth, parts):
    """1 in the light, 0.5 in shadow, for the ground; traced at half resolution, where nobody sees the difference."""
    small = eye + depth[::2, ::2, None] * rays[::2, ::2]  # (H/2, W/2, 3)
    light = np.array(scene.light, np.float32)
    lit = np.ones(small.shape[:2], np.float32)
    for thing, thing_parts in zip(scene.things + scene.clutter, parts):
        # Shadows fall within this distance of the foot: tallest part times the light's slant.
        reach = thing.scale * (1.3 + 2.7 * np.hypot(light[0], light[1]) / light[2])
        near = np.hypot(small[..., 0] - thing.place[0], small[..., 1] - thing.place[1]) < reach
        for part, matrix, offset in thing_parts:
            inverse = np.linalg.inv(matrix)
            kind = "cylinder" if part.kind == "torus" and part.tilt == 0 else part.kind
            origin = (small[near] - offset) @ inverse.T
            lit[near] *= np.where(np.isfinite(INTERSECT[kind](origin, (inverse @ light)[None], part.taper)), 0.5, 1.0)
    return np.maximum(lit, 0.5).repeat(2, 0).repeat(2, 1)[: depth.shape[0], : depth.shape[1]]
