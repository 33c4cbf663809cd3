"""Draw a scene at random: which objects stand where, under which light, seen from where."""

import math
from bisect import bisect
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from wsris_lib.synref.shapes import CATEGORIES, CLUTTER, CLUTTER_COLOURS, COLOURS, FIXED

SIZES = {"small": (0.55, 0.65), "large": (0.88, 1.02)}  # world units per object unit; the gap keeps the words apart
MATERIALS = {"matte": 0.6, "shiny": 0.22, "fuzzy": 0.18}  # how often
TEXTURES = {"plain": 0.64, "striped": 0.14, "dotted": 0.11, "checkered": 0.11}
REACH = 3.3  # objects stand within this distance of the table's centre


@dataclass(frozen=True)
class Thing:
    """One object of a scene. `place` is (x, y) on the table in world units, `yaw` its turn in radians."""

    category: str
    colour: str
    material: str
    texture: str
    size: str
    scale: float
    place: tuple[float, float]
    yaw: float
    tint: tuple[float, float, float]  # RGB in 0..1: the named colour with a little variation


@dataclass(frozen=True)
class Scene:
    """Everything that a picture is drawn from, in world units (a large object is about 2 across), z up."""

    things: tuple[Thing, ...]
    clutter: tuple[Thing, ...]  # drawn and numbered after the things; has a shape and a tint, and nothing to say
    eye: tuple[float, float, float]  # camera position
    gaze: tuple[float, float, float]  # the point it looks at
    roll: float  # its turn about that line, radians
    zoom: float  # tangent of half the field of view
    light: tuple[float, float, float]  # unit vector towards the light
    lamp: tuple[float, float, float]  # its RGB colour, about 1
    ambient: float
    ground: tuple[float, float, float]  # two RGB colours woven into a pattern
    ground_second: tuple[float, float, float]
    pattern: str  # "plain", "checker", "planks" or "noise"
    noise_seed: int


def sample_scene(rng: np.random.Generator) -> Scene:
    """A table with 3 to 7 objects and clutter. In 4 of 5 scenes some share a category: words of place are needed."""
    number = int(rng.integers(3, 8))
    names = [list(CATEGORIES)[i] for i in rng.integers(0, len(CATEGORIES), number)]
    if rng.random() < 0.8:  # a theme: two to four of a kind, often of one colour too
        same = int(rng.integers(2, min(4, number) + 1))
        names[:same] = [names[0]] * same
    theme_colour = one(COLOURS, rng)
    things: list[Thing] = []
    for name in names:
        colour = theme_colour if name == names[0] and rng.random() < 0.5 else one(COLOURS, rng)
        size = one(SIZES, rng)
        scale = float(rng.uniform(*SIZES[size]))
        place = free_place(rng, things, scale)
        if place is None:
            continue
        paint = tint(rng, colour)
        material = weighted(rng, MATERIALS)
        texture = weighted(rng, TEXTURES)
        things.append(Thing(name, colour, material, texture, size, scale, place, yaw(rng), paint))
    return photographed(rng, things)


def photographed(rng: np.random.Generator, things: list[Thing], turn: float | None = None) -> Scene:
    """The scene of these things: clutter between them, a camera, a lamp and a table.

    turn: the camera's direction as seen from above, radians; None: any.
    """
    tilt = np.radians(rng.uniform(22, 52))
    turn = rng.uniform(0, 2 * np.pi) if turn is None else turn
    far = rng.uniform(9.5, 12.5)
    eye = far * np.array([np.cos(tilt) * np.cos(turn), np.cos(tilt) * np.sin(turn), np.sin(tilt)])
    # Objects face the camera within a quarter turn: a person photographs the front of things.
    facing = np.arctan2(eye[1], eye[0]) + np.pi / 2
    things = [replace(thing, yaw=float(thing.yaw + facing)) for thing in things]
    clutter = _clutter(rng, things)
    gaze = np.array([*rng.normal(0, 0.35, 2), 0.5])
    light = np.array([rng.normal(), rng.normal(), rng.uniform(1.2, 2.5)])
    base = rng.uniform(0.25, 0.75) + rng.normal(0, 0.07, 3)
    second = np.clip(base * rng.uniform(0.6, 0.9) + rng.normal(0, 0.03, 3), 0.05, 0.95)
    return Scene(
        things=tuple(things),
        clutter=tuple(clutter),
        eye=tuple(eye.tolist()),
        gaze=tuple(gaze.tolist()),
        roll=float(rng.normal(0, 0.05)),
        zoom=float(rng.uniform(0.26, 0.34)),
        light=tuple((light / np.linalg.norm(light)).tolist()),
        lamp=tuple((1 + rng.normal(0, 0.06) * np.array([1.0, 0.2, -1.0])).tolist()),  # warm to cold
        ambient=float(rng.uniform(0.28, 0.6)),
        ground=tuple(np.clip(base, 0.05, 0.95).tolist()),
        ground_second=tuple(second.tolist()),
        pattern=one(("plain", "checker", "planks", "noise"), rng),
        noise_seed=int(rng.integers(2**31)),
    )


def tint(rng: np.random.Generator, colour: str) -> tuple[float, float, float]:
    """RGB in 0..1: the named colour with a little variation."""
    return tuple(np.clip(np.array(COLOURS[colour]) * rng.uniform(0.9, 1.1) + rng.normal(0, 0.02, 3), 0, 1).tolist())


def yaw(rng: np.random.Generator) -> float:
    """A turn of up to a sixth to either side, radians."""
    return float(rng.uniform(-np.pi / 3, np.pi / 3))


def weighted(rng: np.random.Generator, chances: dict[str, float]) -> str:
    """A key by its chance, as `rng.choice` draws it, in a tenth of the time."""
    shares = _cumulative(tuple(chances.values()))
    return list(chances)[bisect(shares, rng.random())]


@cache
def _cumulative(chances: tuple[float, ...]) -> list[float]:
    total = np.cumsum(chances)
    return (total / total[-1]).tolist()


def one(options: Iterable[str], rng: np.random.Generator) -> str:
    """One of them, as `rng.choice` draws it."""
    options = tuple(options)
    return options[int(rng.integers(0, len(options)))]


def free_place(
    rng: np.random.Generator, things: list[Thing], scale: float, apart: float = 0.95
) -> tuple[float, float] | None:
    """A place whose circle overlaps no other's, or None after 30 tries: a full table simply holds fewer things."""
    for _ in range(30):
        radius = REACH * np.sqrt(rng.random())
        angle = rng.uniform(0, 2 * np.pi)
        place = (float(radius * np.cos(angle)), float(radius * np.sin(angle)))
        if all(math.hypot(place[0] - t.place[0], place[1] - t.place[1]) > apart * (scale + t.scale) for t in things):
            return place
    return None


def _clutter(rng: np.random.Generator, things: list[Thing]) -> list[Thing]:
    """Up to five small things without a name, between the others."""
    clutter: list[Thing] = []
    for _ in range(int(rng.integers(0, 6))):
        scale = float(rng.uniform(0.16, 0.3))
        place = free_place(rng, [*things, *clutter], scale, apart=0.85)
        if place is not None:
            paint = FIXED[one(CLUTTER_COLOURS, rng)]
            tint = tuple(np.clip(np.array(paint) * rng.uniform(0.8, 1.2), 0, 1).tolist())
            turn = float(rng.uniform(0, 2 * np.pi))
            clutter.append(Thing(one(CLUTTER, rng), "", "matte", "plain", "", scale, place, turn, tint))
    return clutter
