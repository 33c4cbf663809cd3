"""Where the parts of a scene's objects are in the world, and how a ray is brought into the coordinates of each."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from wsris_lib.synref.scene import Scene, Thing
from wsris_lib.synref.shapes import CATEGORIES, CLUTTER, Part

SHAPES = CATEGORIES | CLUTTER
CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)  # of a part's own cube


@dataclass(frozen=True)
class Placed:
    """A part of a scene's k-th thing, with what rays are brought into its coordinates by."""

    k: int  # of the thing, from 1
    thing: Thing
    number: int  # of the part, from 1
    part: Part
    matrix: np.ndarray  # [3, 3], local to world
    offset: np.ndarray  # [3]
    inverse: np.ndarray  # of the matrix
    origin: np.ndarray  # [3], the camera in local coordinates


def place(scene: Scene, eye: np.ndarray) -> list[Placed]:
    """All parts of a scene, of one thing after the other, clutter last."""
    owners = []
    for k, thing in enumerate(scene.things + scene.clutter, 1):
        owners += [(k, thing, number, *one) for number, one in enumerate(placed_parts(thing), 1)]
    inverses = np.linalg.inv(np.array([one[-2] for one in owners]).reshape(-1, 3, 3))
    return [Placed(*one, inverse, inverse @ (eye - one[-1])) for one, inverse in zip(owners, inverses)]


def placed_parts(thing: Thing) -> list[tuple[Part, np.ndarray, np.ndarray]]:
    """Each part of a thing with its local-to-world matrix [3, 3] and offset [3]."""
    c = np.cos(thing.yaw)
    s = np.sin(thing.yaw)
    yaw = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) * thing.scale
    tilts, halves, centres = _resting(thing.category)
    matrices = (yaw @ tilts * halves).astype(np.float32)
    offsets = ((yaw @ centres)[..., 0] + np.array([*thing.place, 0.0])).astype(np.float32)
    return list(zip(SHAPES[thing.category], matrices, offsets))


@cache
def _resting(category: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of a category's P parts: turns [P, 3, 3], sizes [P, 1, 3] and centres [P, 3, 1] in its own coordinates."""
    tilts = []
    for part in SHAPES[category]:
        c = np.cos(np.radians(part.tilt))
        s = np.sin(np.radians(part.tilt))
        tilts.append([[1, 0, 0], [0, c, -s], [0, s, c]])
    halves = np.array([part.half for part in SHAPES[category]])[:, None, :]
    return np.array(tilts), halves, np.array([part.centre for part in SHAPES[category]])[:, :, None]


def stacked(placed: list[Placed]) -> tuple[np.ndarray, np.ndarray]:
    """Matrices [P, 3, 3] and offsets [P, 1, 3] of all parts."""
    matrices = np.array([one.matrix for one in placed], np.float32).reshape(-1, 3, 3)
    return matrices, np.array([one.offset for one in placed], np.float32).reshape(-1, 1, 3)
