"""Sentences about a scene, true and unambiguous by a check against the scene, in the manners of four corpora.

A sentence is a *description* (category, colour, size, material, texture: some of them) and perhaps a *place* (left of
its like, closest to us, second from the right) or a *relation* (behind the tree). It is kept when exactly one object
satisfies it. Because the two halves are drawn independently, some sentences over-specify ("the mug on the left" where
there is one mug, on the left): only they tell a learner without masks which side is called left.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from wsris_lib.synref.draw import Drawing
from wsris_lib.synref.shapes import CATEGORIES
from wsris_lib.synref.styles import STYLES, Style
from wsris_lib.synref.wording import ORDINARY, Meaning, misspell, word

FACTS = ("category", "colour", "size", "material", "texture")
LEAST_PIXELS = 60  # at 128 px: a thing smaller than this is not referred to
LEAST_SHARE = 0.4  # nor one of which less than this share is visible
LEAST_PART = 40  # pixels at 128 px
MOST_PART = 0.6  # share of its thing, so that the whole is no good answer for a part
APART = 0.07  # of the image's width: closer centres have no clear left and right
DEEPER = 0.6  # world units: closer depths have no clear front and back


SLIPS = 0.02  # share of sentences with a typing error
TRIES = 60  # at random sentences for one target, before it is left out
PARTS = 0.12  # share of things of which a part is referred to as well


@dataclass(frozen=True)
class Seen:
    """What the image shows of a thing: centre (x, y) in 0..1, mean depth in world units, visible pixels and share.

    Clutter has no facts and no share: it may be the "leftmost thing" and so spoil this name for another, no more.
    """

    id: int
    facts: dict[str, str]
    x: float
    y: float
    depth: float
    pixels: int
    share: float
    parts: tuple[str, ...]  # those that can be referred to: visible, and by far not all of the thing

    @property
    def clear(self) -> bool:
        return self.share >= LEAST_SHARE


@dataclass(frozen=True)
class Sentence:
    """`position_dependent`: several things fit every word but those of place. `noisy`: has a slip."""

    text: str
    position_dependent: bool
    meaning: Meaning
    noisy: bool = False


def part_mask(drawing: Drawing, thing: int, part: str) -> np.ndarray:
    """bool [H, W]: where the named part of the `thing`-th thing (from 1) is visible."""
    shape = CATEGORIES[drawing.scene.things[thing - 1].category]
    named = np.array([False, *(primitive.name == part for primitive in shape)] + [False] * (255 - len(shape)))
    return (drawing.ids == thing) & named[drawing.parts]


def look(drawing: Drawing) -> list[Seen]:
    """Every thing and piece of clutter of which at least a few pixels are visible, with its facts."""
    height, width = drawing.ids.shape
    scale = height * width / 128**2
    least = LEAST_PIXELS * scale
    visible = []
    for k, thing in enumerate(drawing.scene.things + drawing.scene.clutter, 1):
        ys, xs = np.nonzero(drawing.ids == k)
        if len(xs) < least / 2:  # what nobody would notice can't confuse a listener either
            continue
        facts = {}
        parts = []
        share = 0.0
        if k <= len(drawing.scene.things):
            values = {name: getattr(thing, name) for name in FACTS}
            facts = {name: value for name, value in values.items() if value not in ORDINARY}
            share = len(xs) / drawing.covered[k - 1] if len(xs) >= least else 0.0
            for name in dict.fromkeys(part.name for part in CATEGORIES[thing.category] if part.name):
                if LEAST_PART * scale <= part_mask(drawing, k, name).sum() <= MOST_PART * len(xs):
                    parts.append(name)
        depth = float(drawing.depth[ys, xs].astype(np.float32).mean())
        x = (xs.mean() + 0.5) / width
        y = (ys.mean() + 0.5) / height
        visible.append(Seen(k, facts, x, y, depth, len(xs), share, tuple(parts)))
    return visible


def fits(thing: Seen, description: dict[str, str]) -> bool:
    """Whether every fact of the description holds for the thing; the empty description fits anything."""
    return description.items() <= thing.facts.items()


# What a place means: (things that fit the description, all things) -> those meant.
def _extreme(value: Callable[[Seen], float], margin: float, alone: Callable[[Seen], bool]):
    """The thing with the least `value`, by at least `margin`; where it has no rival, only if `alone` holds."""

    def meant(fitting: list[Seen], _all: list[Seen]) -> list[Seen]:
        ranked = sorted(fitting, key=value)
        if len(ranked) == 1:
            return ranked if alone(ranked[0]) else []
        return ranked[:1] if value(ranked[1]) - value(ranked[0]) > margin else []

    return meant


def _middle(fitting: list[Seen], _all: list[Seen]) -> list[Seen]:
    ranked = sorted(fitting, key=lambda t: t.x)
    if len(ranked) == 1:
        return [t for t in ranked if abs(t.x - 0.5) < 0.08]
    return ranked[1:2] if len(ranked) == 3 and all(b.x - a.x > APART for a, b in pairwise(ranked)) else []


def _second(sign: int):
    def meant(fitting: list[Seen], _all: list[Seen]) -> list[Seen]:
        ranked = sorted(fitting, key=lambda t: sign * t.x)
        clear = len(ranked) > 2 and all(abs(b.x - a.x) > APART for a, b in pairwise(ranked))
        return ranked[1:2] if clear else []

    return meant


PLACES: dict[str, Callable[[list[Seen], list[Seen]], list[Seen]]] = {
    "left": _extreme(lambda t: t.x, APART, lambda t: t.x < 0.4),
    "right": _extreme(lambda t: -t.x, APART, lambda t: t.x > 0.6),
    "far left": _extreme(lambda t: t.x, APART, lambda t: t.x < 0.25),
    "far right": _extreme(lambda t: -t.x, APART, lambda t: t.x > 0.75),
    "front": _extreme(lambda t: t.depth, DEEPER, lambda t: t.y > 0.6),
    "back": _extreme(lambda t: -t.depth, DEEPER, lambda t: t.y < 0.4),
    "middle": _middle,
    "second left": _second(1),
    "second right": _second(-1),
}
PLACES_SAID = dict(zip(PLACES, (0.22, 0.22, 0.06, 0.06, 0.15, 0.13, 0.08, 0.04, 0.04)))  # how often
RELATIONS: dict[str, Callable[[Seen, Seen], float]] = {
    # how clearly the relation holds between a thing and its landmark: above 1 yes, below 0 no, between: unclear
    "left of": lambda a, b: (b.x - a.x) / APART,
    "right of": lambda a, b: (a.x - b.x) / APART,
    "behind": lambda a, b: min((a.depth - b.depth) / DEEPER, (0.25 - abs(a.x - b.x)) / 0.1),
    "in front of": lambda a, b: min((b.depth - a.depth) / DEEPER, (0.25 - abs(a.x - b.x)) / 0.1),
    "next to": lambda a, b: (0.34 - np.hypot(a.x - b.x, a.y - b.y)) / 0.1,
}


def draw_sentence(
    target: Seen, things: list[Seen], rng: np.random.Generator, style: Style, part: str = ""
) -> Sentence | None:
    """One random attempt at a sentence that means `target` (or its `part`) and nothing else; None when it fails."""
    names = [name for name, chance in style.facts.items() if rng.random() < chance]
    description = {name: target.facts[name] for name in names if name in target.facts}
    if not description or ("category" not in description and "colour" not in description):
        description = {}  # "leftmost thing"
    fitting = [t for t in things if fits(t, description)]
    kind = _pick(style.kinds, rng)
    place = ""
    relation = ""
    landmark = {}
    if kind == "none":
        meant = fitting
    elif kind == "place":
        place = _pick(PLACES_SAID, rng)
        meant = PLACES[place](fitting, things)
    else:
        relation, landmark = _related(target, fitting, things, rng, style)
        meant = [target] if relation else []
    if [t.id for t in meant] != [target.id]:
        return None
    meaning = Meaning(description, place, relation, landmark, part)
    text = word(meaning, rng, style.long)
    if not style.words[0] <= len(text.split()) <= style.words[1]:
        return None
    slipped = misspell(text, rng) if rng.random() < SLIPS else text
    return Sentence(slipped, position_dependent=len(fitting) > 1, meaning=meaning, noisy=slipped != text)


def _related(target, fitting, things, rng, style) -> tuple[str, dict[str, str]]:
    """A relation to a landmark that is the only one of its name, clear for the target and every rival; or "" and {}."""
    landmark = things[rng.integers(len(things))]
    if landmark.id == target.id or not landmark.clear:
        return "", {}
    names = ("category", "colour") if rng.random() < style.facts["colour"] else ("category",)
    name = {fact: landmark.facts[fact] for fact in names}
    if sum(fits(t, name) for t in things) != 1:
        return "", {}
    relation = style.relations[int(rng.integers(len(style.relations)))]
    holds = RELATIONS[relation]
    rivals = [t for t in fitting if t.id not in (target.id, landmark.id)]
    if holds(target, landmark) < 1 or any(holds(t, landmark) > 0 for t in rivals):
        return "", {}
    return relation, name


def refer_all(
    drawing: Drawing, rng: np.random.Generator, style: Style = STYLES["refcoco"], things: list[Seen] | None = None
) -> dict[int, list[Sentence]]:
    """Two to five different sentences for each thing that is clearly visible; {} for things nobody can single out.

    `things`: what `look` has found, if it has been asked before.
    """
    things = look(drawing) if things is None else things
    groups = {t.id: _group(t, "", things, rng, style, most=5) for t in things if t.clear}
    return {thing: group for thing, group in groups.items() if group}


def refer_parts(
    drawing: Drawing, rng: np.random.Generator, style: Style = STYLES["refcoco"], things: list[Seen] | None = None
) -> dict[tuple[int, str], list[Sentence]]:
    """(thing, part) -> sentences, for a part of some of the things: targets that no mask of a whole object fits."""
    things = look(drawing) if things is None else things
    groups = {}
    for target in things:
        if target.clear and target.parts and rng.random() < PARTS:
            part = target.parts[int(rng.integers(len(target.parts)))]
            group = _group(target, part, things, rng, style, most=3)
            if group:
                groups[target.id, part] = group
    return groups


def _pick(chances: dict[str, float], rng: np.random.Generator) -> str:
    """A key by its chance. (NumPy's `choice` does the same in ten times the time.)"""
    drawn = rng.random()
    total = 0.0
    for name, chance in chances.items():
        total += chance
        if drawn < total:
            return name
    return name  # rounding may leave the total a hair below 1


def _group(target, part, things, rng, style, most) -> list[Sentence]:
    number = int(rng.integers(2, most + 1))
    sentences = {}
    for _ in range(TRIES):
        sentence = draw_sentence(target, things, rng, style, part)
        if sentence is not None:
            sentences.setdefault(sentence.text, sentence)
        if len(sentences) == number:
            break
    return list(sentences.values()) if len(sentences) >= 2 else []
