"""Scenes in which things must be told apart: neighbours of one kind, which differ in one fact or stand in line.

What the sentences of RefCOCO are written for is an object *among its like*. Where two mugs differ in colour alone,
every other word is idle; where one stands behind the other as the camera sees it, left and right are idle too, and what
remains is depth ("the mug in front") or a relation. Relations ("the mug behind the tree") name two things, and a score
of one proposal and one sentence (ES3Net eq. 3) can't hold both: they are there to be failed at.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from wsris_lib.synref.scene import (
    MATERIALS,
    REACH,
    SIZES,
    TEXTURES,
    Scene,
    Thing,
    free_place,
    one,
    photographed,
    tint,
    weighted,
    yaw,
)
from wsris_lib.synref.shapes import CATEGORIES, COLOURS

DIFFER = ("colour", "size", "texture", "material", "")  # in which fact a rival is another; "": in its place alone
IN_LINE = 0.5  # share of the rivals that stand behind or in front of what they resemble
MOST = 9  # things on the table


def sample_rivals(rng: np.random.Generator) -> Scene:
    """A table with 4 to 9 things, of which 2 to 4 are of one kind, neighbours, and each like another but for a fact."""
    turn = rng.uniform(0, 2 * np.pi)
    number = int(rng.integers(4, MOST + 1))
    kin = int(rng.integers(2, 5))
    kinds = rng.choice(list(CATEGORIES), number - kin + 1)
    things: list[Thing] = []
    if first := _thing(rng, str(kinds[0]), things):
        things.append(first)
    while 0 < len(things) < kin:
        model = things[int(rng.integers(len(things)))]
        rival = _rival(rng, model, things, turn)
        if rival is None:
            break  # no room beside its like: the table holds fewer
        things.append(rival)
    for kind in kinds[1:]:
        other = _thing(rng, str(kind), things)
        if other is not None:
            things.append(other)
    return photographed(rng, things, turn)


def _thing(rng: np.random.Generator, kind: str, things: list[Thing]) -> Thing | None:
    """Any thing of a kind, in a free place; None where there is none."""
    colour = one(COLOURS, rng)
    size = one(SIZES, rng)
    scale = float(rng.uniform(*SIZES[size]))
    place = free_place(rng, things, scale)
    if place is None:
        return None
    material = weighted(rng, MATERIALS)
    texture = weighted(rng, TEXTURES)
    return Thing(kind, colour, material, texture, size, scale, place, yaw(rng), tint(rng, colour))


def _rival(rng: np.random.Generator, model: Thing, things: list[Thing], turn: float) -> Thing | None:
    """A thing like `model` but for one fact, near it or in line with it as the camera sees them; None without room."""
    fact = one(DIFFER, rng)
    values: dict[str, Iterable[str]] = {"colour": COLOURS, "size": SIZES, "texture": TEXTURES, "material": MATERIALS}
    changed: dict[str, Any] = {}
    if fact:
        changed[fact] = one([value for value in values[fact] if value != getattr(model, fact)], rng)
    rival = replace(model, **changed)
    scale = float(rng.uniform(*SIZES[rival.size]))
    in_line = rng.random() < IN_LINE
    for _ in range(30):
        angle = turn + rng.normal(0, 0.15) + np.pi * rng.integers(2) if in_line else rng.uniform(0, 2 * np.pi)
        distance = (model.scale + scale) * rng.uniform(1.0, 1.8)
        place = (float(model.place[0] + distance * np.cos(angle)), float(model.place[1] + distance * np.sin(angle)))
        apart = (np.hypot(place[0] - t.place[0], place[1] - t.place[1]) / (scale + t.scale) for t in things)
        if np.hypot(*place) < REACH and all(ratio > 0.95 for ratio in apart):
            return replace(rival, scale=scale, place=place, yaw=yaw(rng), tint=tint(rng, rival.colour))
    return None
