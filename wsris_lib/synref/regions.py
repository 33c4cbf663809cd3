"""Wholes, parts and pieces: what a scene has that one can outline.

Three levels, as SAM's three masks of a click have them (Kirillov et al. 2023, section 3: "whole, part, and subpart"):
a thing; its parts, each of a name ("legs") and the rest that has none; the primitives that these are put together of
(one leg).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wsris_lib.synref.placed import SHAPES

LEVELS = ("whole", "part", "piece")
ALIKE = 0.8  # IoU above which two regions of a thing are one: the larger level stays


@dataclass(frozen=True)
class Region:
    """What shows of a thing or of some of its primitives.

    Attributes:
        thing: its number in `Web.ids`, from 1.
        level: one of LEVELS.
        name: what people call the part (or the piece's part); "" for a whole and for what has no name.
        primitives: their numbers in `Web.parts`, from 1.
        pixels: how many of it show.
    """

    thing: int
    level: str
    name: str
    primitives: frozenset[int]
    pixels: int

    def mask(self, ids: np.ndarray, parts: np.ndarray) -> np.ndarray:
        """bool [H, W]: where it shows in ids, parts uint8 [H, W] of its scene."""
        own = np.zeros(256, bool)
        own[list(self.primitives)] = True
        return (ids == self.thing) & own[parts]


def regions(ids: np.ndarray, parts: np.ndarray, categories: Sequence[str], least: int) -> list[Region]:
    """Of each thing of a scene the whole, then its parts, then pieces; those of `least` visible pixels or more.

    ids, parts: uint8 [H, W], as `render` has them; categories: of the things 1, 2, ... in this order (clutter has
    none, and no regions). A region that is nearly the same as one before it (IoU above ALIKE) is left out.
    Raises KeyError for a category without a shape.
    """
    number = len(categories)
    counts = np.bincount(ids.astype(np.int64).ravel() * 256 + parts.ravel(), minlength=(number + 1) * 256)
    listed = []
    for thing, category in enumerate(categories, 1):
        pixels = counts[thing * 256 : (thing + 1) * 256]
        shape = SHAPES[category]
        own: list[Region] = []
        for level, name, members in _candidates([primitive.name for primitive in shape]):
            area = int(sum(pixels[k] for k in members))
            region = Region(thing, level, name, frozenset(members), area)
            if area >= least and all(_iou(region, other, pixels) <= ALIKE for other in own):
                own.append(region)
        listed += own
    return listed


def _candidates(names: list[str]) -> list[tuple[str, str, list[int]]]:
    """(level, name, numbers of primitives) of a shape whose primitives are called so."""
    whole = [("whole", "", list(range(1, len(names) + 1)))]
    parts = [("part", name, [k for k, own in enumerate(names, 1) if own == name]) for name in dict.fromkeys(names)]
    return whole + parts + [("piece", name, [k]) for k, name in enumerate(names, 1)]


def _iou(one: Region, other: Region, pixels: np.ndarray) -> float:
    common = sum(pixels[k] for k in one.primitives & other.primitives)
    return common / (one.pixels + other.pixels - common)
