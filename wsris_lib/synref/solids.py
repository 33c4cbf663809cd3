"""The unit primitives that SynRef's objects are made of: where a ray meets each, and which way its surface faces there.

All in local coordinates, of a solid within the cube [-1, 1]^3. Vectors are [..., 3]; each coordinate is read as a plane
of its own, so arrays whose planes are contiguous (`a.T` of a [3, N]) are the fastest. The order of every sum is part of
SynRef's edition: another one would move a pixel here and there.
"""

import numpy as np


def _sphere(o, d, _taper):
    a = _dot(d, d)
    b = _dot(o, d)
    c = _dot(o, o) - 1
    root = b * b - a * c
    t = (-b - np.sqrt(np.maximum(root, 0))) / a
    return np.where((root > 0) & (t > 0), t, np.inf)


def _box(o, d, _taper):
    near = far = None
    with np.errstate(divide="ignore", invalid="ignore"):
        for axis in range(3):
            t0 = (-1 - o[..., axis]) / d[..., axis]
            t1 = (1 - o[..., axis]) / d[..., axis]
            low = np.minimum(t0, t1)
            high = np.maximum(t0, t1)
            near = low if near is None else np.maximum(near, low)
            far = high if far is None else np.minimum(far, high)
    return np.where((near < far) & (near > 0), near, np.inf)


def _cylinder(o, d, taper):
    """Radius 1 at z = -1 and `taper` at z = 1: a cylinder, a truncated cone or a cone, with both lids."""
    slope = _like(o, (taper - 1) / 2)  # radius(z) = middle + slope * z
    middle = _like(o, (taper + 1) / 2)
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
        for end, squared in ((-1.0, 1.0), (1.0, _like(o, taper * taper))):
            t = (end - oz) / dz
            x = ox + t * dx
            y = oy + t * dy
            best = np.where((x * x + y * y <= squared) & (t > 0) & (t < best), t, best)
    return best


def _torus(o, d, minor):
    """Ring in the xy plane, outer radius 1, tube radius `minor`; sphere tracing from the bounding sphere.

    Only rays that come within 1.1 of the middle are traced: the others stay further than a hit's .02 from the ring.
    """
    t = np.full(np.broadcast_shapes(o.shape, d.shape)[:-1], np.inf, np.result_type(o, d))
    squared = _dot(d, d)
    closest = _dot(o, d)
    near = np.broadcast_to(_dot(o, o) - closest**2 / squared < 1.1**2, t.shape)
    if near.any():
        o, d = (np.stack([np.broadcast_to(v[..., k], t.shape)[near] for k in range(3)], -1) for v in (o, d))
        t[near] = _traced(o, d, minor)
    return t


def _traced(o, d, minor):
    length = np.sqrt(_dot(d, d))
    t = np.maximum(-_dot(o, d) / length**2 - 1.1 / length, 0)
    ox, oy, oz = (o[..., axis].copy() for axis in range(3))
    dx, dy, dz = (d[..., axis].copy() for axis in range(3))
    for _ in range(24):
        ring = np.sqrt((ox + t * dx) ** 2 + (oy + t * dy) ** 2) - (1 - minor)
        distance = np.sqrt(ring**2 + (oz + t * dz) ** 2) - minor
        t = t + distance / length
    return np.where(np.abs(distance) < 0.02, t, np.inf)


def _box_normal(p, _taper):
    size = np.abs(p)
    greatest = np.maximum(np.maximum(size[..., 0], size[..., 1]), size[..., 2])
    return np.where(size == greatest[..., None], np.sign(p), 0)


def _cylinder_normal(p, taper):
    slope = (taper - 1) / 2
    radius = (taper + 1) / 2 + slope * p[..., 2]
    lid = (np.abs(p[..., 2]) > 0.999) & (p[..., 0] ** 2 + p[..., 1] ** 2 < 0.998 * radius**2)
    normal = np.empty((3, *lid.shape))  # float64
    normal[0] = np.where(lid, 0, p[..., 0])
    normal[1] = np.where(lid, 0, p[..., 1])
    normal[2] = np.where(lid, np.sign(p[..., 2]), -slope * radius)
    return normal.transpose(*range(1, normal.ndim), 0)


def _torus_normal(p, minor):
    around = np.sqrt(p[..., 0] ** 2 + p[..., 1] ** 2)
    outwards = 1 - (1 - minor) / around
    return np.stack([p[..., 0] * outwards, p[..., 1] * outwards, p[..., 2]], -1)


def _dot(a, b):
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]


def _like(vectors, numbers):
    """Numbers in the type of the vectors, in which everything is counted."""
    return np.asarray(numbers).astype(vectors.dtype)


# Of each kind: origin [3] or [..., 3], direction [..., 3], taper -> t [...], inf where missed; point [..., 3], taper ->
# a vector [..., 3] that points out of the surface, of any length.
INTERSECT = {"sphere": _sphere, "box": _box, "cylinder": _cylinder, "torus": _torus}
NORMAL = {"sphere": lambda p, _: p, "box": _box_normal, "cylinder": _cylinder_normal, "torus": _torus_normal}


def meet(rays: list[tuple[str, float, np.ndarray, np.ndarray]]) -> list[np.ndarray]:
    """Of each solid of (kind, taper, origin, direction), both [3, M] or [3, 1], t [M].

    Solids of one kind are met at once: numpy's calls would take longer than these few numbers.
    """
    met: list[np.ndarray] = [np.empty(0, np.float32)] * len(rays)
    for kind in ("sphere", "box", "cylinder"):
        which = [n for n, one in enumerate(rays) if one[0] == kind]
        if which:
            sizes = [max(rays[n][2].shape[1], rays[n][3].shape[1]) for n in which]
            ends = np.cumsum(sizes).tolist()
            starts = [0, *ends[:-1]]
            origins, directions = np.empty((2, 3, ends[-1]), np.float32)
            for n, start, end in zip(which, starts, ends):
                origins[:, start:end] = rays[n][2]
                directions[:, start:end] = rays[n][3]
            tapers = np.repeat([rays[n][1] for n in which], sizes)
            t = INTERSECT[kind](origins.T, directions.T, tapers)
            for n, start, end in zip(which, starts, ends):
                met[n] = t[start:end]
    for n, (kind, taper, origin, direction) in enumerate(rays):
        if kind == "torus":
            met[n] = INTERSECT[kind](origin.T, direction.T, taper)
    return met
