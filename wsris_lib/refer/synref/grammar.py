"""Sentences about a scene, true and unambiguous by a check against the scene.

A sentence is a *description* (category, colour, size, material: some of them) and perhaps a *place* (left of its like,
closest to us, second from the right, behind the tree). It is kept when exactly one object satisfies it. Because the two
halves are drawn independently, some sentences over-specify ("the mug on the left" where there is one mug, on the left):
only they tell a learner without masks which side is called left.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from wsris_lib.refer.synref.draw import Drawing

NOUNS = {
    "mug": ("mug", "cup"),
    "donut": ("donut", "doughnut"),
    "chair": ("chair", "seat"),
    "table": ("table", "desk"),
    "car": ("car",),
    "truck": ("truck", "lorry"),
    "tree": ("tree",),
    "snowman": ("snowman",),
    "robot": ("robot",),
    "bear": ("bear", "teddy"),
    "bottle": ("bottle",),
    "ball": ("ball", "sphere"),
    "house": ("house", "hut"),
    "lamp": ("lamp",),
    "mushroom": ("mushroom",),
    "cactus": ("cactus",),
}
ANYTHING = ("thing", "object", "one")
WORDS = {
    "purple": ("purple", "violet"),
    "small": ("small", "little", "tiny"),
    "large": ("big", "large"),
    "shiny": ("shiny", "glossy"),
    "matte": ("matte", "dull"),
}
LEAST_PIXELS, LEAST_SHARE = 60, 0.4  # at 128 px: a thing smaller or more hidden than this is not referred to
APART = 0.07  # of the image's width: closer centres have no clear left and right
DEEPER = 0.6  # world units: closer depths have no clear front and back


@dataclass(frozen=True)
class Seen:
    """What the image shows of a thing: centre (x, y) in 0..1, mean depth in world units, visible pixels and share."""

    id: int
    facts: dict[str, str]
    x: float
    y: float
    depth: float
    pixels: int
    share: float

    @property
    def clear(self) -> bool:
        return self.share >= LEAST_SHARE


@dataclass(frozen=True)
class Meaning:
    """What a sentence says, apart from its words: facts of the thing, and perhaps its place or a relation."""

    description: dict[str, str]
    place: str = ""  # a key of PLACES, or a ...
    relation: str = ""  # ... key of RELATIONS ...
    landmark: dict[str, str] = field(default_factory=dict)  # ... to the one thing that these facts describe


@dataclass(frozen=True)
class Sentence:
    """`decisive`: several things fit every word but those of place, so the place decides."""

    text: str
    decisive: bool
    meaning: Meaning


def look(drawing: Drawing) -> list[Seen]:
    """Every thing of which at least a few pixels are visible, with its facts."""
    height, width = drawing.ids.shape
    least = LEAST_PIXELS * height * width / 128**2
    seen = []
    for k, thing in enumerate(drawing.scene.things):
        ys, xs = np.nonzero(drawing.ids == k + 1)
        if len(xs) < least / 2:  # what nobody would notice can't confuse a listener either
            continue
        facts = {"category": thing.category, "colour": thing.colour, "material": thing.material, "size": thing.size}
        share = len(xs) / drawing.covered[k] if len(xs) >= least else 0.0
        depth = float(drawing.depth[ys, xs].astype(np.float32).mean())
        seen.append(Seen(k + 1, facts, (xs.mean() + 0.5) / width, (ys.mean() + 0.5) / height, depth, len(xs), share))
    return seen


def fits(thing: Seen, description: dict[str, str]) -> bool:
    """Whether every fact of the description holds for the thing; the empty description fits anything."""
    return all(thing.facts[name] == value for name, value in description.items())


# Places: (things that fit the description, all things) -> those meant; and the words, with {} for the noun phrase.
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


PLACES: dict[str, tuple[Callable, tuple[str, ...]]] = {
    "left": (
        _extreme(lambda t: t.x, APART, lambda t: t.x < 0.4),
        ("left {}", "{} on the left", "{} on left", "leftmost {}", "{} left", "{} to the left", "the left {}"),
    ),
    "right": (
        _extreme(lambda t: -t.x, APART, lambda t: t.x > 0.6),
        ("right {}", "{} on the right", "{} on right", "rightmost {}", "{} right", "{} to the right", "the right {}"),
    ),
    "far left": (_extreme(lambda t: t.x, APART, lambda t: t.x < 0.25), ("far left {}", "{} on the far left")),
    "far right": (_extreme(lambda t: -t.x, APART, lambda t: t.x > 0.75), ("far right {}", "{} on the far right")),
    "front": (
        _extreme(lambda t: t.depth, DEEPER, lambda t: t.y > 0.6),
        ("front {}", "{} in front", "closest {}", "{} closest to us", "nearest {}", "{} in the foreground"),
    ),
    "back": (
        _extreme(lambda t: -t.depth, DEEPER, lambda t: t.y < 0.4),
        ("back {}", "{} in back", "{} in the back", "farthest {}", "{} farthest away", "{} in the background"),
    ),
    "middle": (_middle, ("middle {}", "{} in the middle", "center {}", "{} in center")),
    "second left": (_second(1), ("second {} from left", "second {} from the left", "2nd {} from left")),
    "second right": (_second(-1), ("second {} from right", "second {} from the right", "2nd {} from right")),
}
RELATIONS: dict[str, tuple[Callable[[Seen, Seen], float], tuple[str, ...]]] = {
    # how clearly the relation holds between a thing and its landmark: above 1 yes, below 0 no, between: unclear
    "left of": (lambda a, b: (b.x - a.x) / APART, ("left of", "to the left of")),
    "right of": (lambda a, b: (a.x - b.x) / APART, ("right of", "to the right of")),
    "behind": (lambda a, b: min((a.depth - b.depth) / DEEPER, (0.25 - abs(a.x - b.x)) / 0.1), ("behind", "in back of")),
    "in front of": (lambda a, b: min((b.depth - a.depth) / DEEPER, (0.25 - abs(a.x - b.x)) / 0.1), ("in front of",)),
    "next to": (lambda a, b: (0.34 - np.hypot(a.x - b.x, a.y - b.y)) / 0.1, ("next to", "by", "near")),
}


def say(description: dict[str, str], rng: np.random.Generator) -> str:
    """The noun phrase for a description: adjectives in English order, then the noun."""
    words = [
        _one(WORDS.get(description[n], (description[n],)), rng)
        for n in ("size", "material", "colour")
        if n in description
    ]
    nouns = NOUNS[description["category"]] if "category" in description else ANYTHING
    return " ".join([*words, nouns[0] if rng.random() < 0.7 else _one(nouns, rng)])


def word(meaning: Meaning, rng: np.random.Generator) -> str:
    """One of the ways to say it."""
    phrase = say(meaning.description, rng)
    if meaning.place:
        phrase = _one(PLACES[meaning.place][1], rng).format(phrase)
    if meaning.relation:
        the = "the " if rng.random() < 0.6 else ""
        phrase = f"{phrase} {_one(RELATIONS[meaning.relation][1], rng)} {the}{say(meaning.landmark, rng)}"
    return f"the {phrase}" if rng.random() < 0.15 and not phrase.startswith("the ") else phrase


def draw_sentence(target: Seen, things: list[Seen], rng: np.random.Generator) -> Sentence | None:
    """One random attempt at a sentence that means `target` and nothing else; None when it is false or ambiguous."""
    chance = {"category": 0.92, "colour": 0.4, "size": 0.15, "material": 0.08}
    description = {name: target.facts[name] for name, p in chance.items() if rng.random() < p}
    if not description or ("category" not in description and "colour" not in description):
        description = {}  # "leftmost thing"
    fitting = [t for t in things if fits(t, description)]
    kind = rng.choice(["none", "place", "relation"], p=[0.36, 0.48, 0.16])
    if kind == "none":
        meaning, meant = Meaning(description), fitting
    elif kind == "place":
        place = str(rng.choice(list(PLACES), p=[0.22, 0.22, 0.06, 0.06, 0.15, 0.13, 0.08, 0.04, 0.04]))
        meaning, meant = Meaning(description, place), PLACES[place][0](fitting, things)
    else:
        meaning = _related(target, fitting, things, description, rng)
        meant = [target] if meaning else []
    if [t.id for t in meant] != [target.id]:
        return None
    return Sentence(word(meaning, rng), decisive=len(fitting) > 1, meaning=meaning)


def _related(target, fitting, things, description, rng) -> Meaning | None:
    """A relation to a landmark that is the only one of its name; it must be clear for the target and every rival."""
    landmark = things[rng.integers(len(things))]
    name = {"category": landmark.facts["category"]} | (
        {"colour": landmark.facts["colour"]} if rng.random() < 0.4 else {}
    )
    if landmark.id == target.id or sum(fits(t, name) for t in things) != 1 or not landmark.clear:
        return None
    relation = str(rng.choice(list(RELATIONS)))
    holds = RELATIONS[relation][0]
    rivals = [t for t in fitting if t.id not in (target.id, landmark.id)]
    if holds(target, landmark) < 1 or any(holds(t, landmark) > 0 for t in rivals):
        return None
    return Meaning(description, relation=relation, landmark=name)


def refer_all(drawing: Drawing, rng: np.random.Generator, most: int = 4, tries: int = 60) -> dict[int, list[Sentence]]:
    """Two to `most` different sentences for each thing that is clearly visible; {} for things nobody can single out."""
    things = look(drawing)
    groups = {}
    for target in things:
        if not target.clear:
            continue
        wanted, found = int(rng.integers(2, most + 1)), {}
        for _ in range(tries):
            sentence = draw_sentence(target, things, rng)
            if sentence is not None:
                found.setdefault(sentence.text, sentence)
            if len(found) == wanted:
                break
        if len(found) >= 2:
            groups[target.id] = list(found.values())
    return groups


def _one(options, rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]
