"""How SynRef says things: synonyms, word order, few words or many. What is true is a matter for grammar.py."""

from dataclasses import dataclass, field, replace

import numpy as np

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
    "rocket": ("rocket", "spaceship"),
    "boat": ("boat", "sailboat"),
    "bed": ("bed",),
    "duck": ("duck", "bird"),
    "airplane": ("airplane", "plane"),
    "flower": ("flower",),
    "bucket": ("bucket", "pail"),
    "cake": ("cake",),
}
ANYTHING = ("thing", "object", "one")
WORDS = {
    "purple": ("purple", "violet"),
    "small": ("small", "little", "tiny"),
    "large": ("big", "large"),
    "shiny": ("shiny", "glossy"),
    "fuzzy": ("fuzzy", "furry"),
    "striped": ("striped", "stripy"),
    "dotted": ("dotted", "spotted"),
    "checkered": ("checkered", "checked"),
}
ORDINARY = ("matte", "plain")  # what nobody would mention
PARTS = {  # what people call the named parts of shapes.py
    "handle": ("handle",),
    "backrest": ("backrest",),
    "legs": ("legs",),
    "wheels": ("wheels", "tires"),
    "cab": ("cab", "cabin"),
    "trunk": ("trunk",),
    "head": ("head",),
    "hat": ("hat",),
    "belly": ("belly", "tummy"),
    "cap": ("cap",),
    "roof": ("roof",),
    "door": ("door",),
    "shade": ("shade", "lampshade"),
    "base": ("base", "foot"),
    "stem": ("stem", "stalk"),
    "arms": ("arms", "branches"),
    "nose": ("nose", "tip"),
    "fins": ("fins",),
    "sail": ("sail",),
    "headboard": ("headboard",),
    "pillow": ("pillow", "cushion"),
    "beak": ("beak", "bill"),
    "wings": ("wings",),
    "tail": ("tail",),
    "pot": ("pot",),
    "icing": ("icing", "frosting"),
    "candle": ("candle",),
}
PLACES = {  # in few words, and in many; {} is the noun phrase
    "left": (
        ("left {}", "{} on the left", "{} on left", "leftmost {}", "{} left", "{} to the left", "the left {}"),
        ("{} that is on the left", "{} on the left side of the picture", "{} standing on the left"),
    ),
    "right": (
        ("right {}", "{} on the right", "{} on right", "rightmost {}", "{} right", "{} to the right", "the right {}"),
        ("{} that is on the right", "{} on the right side of the picture", "{} standing on the right"),
    ),
    "far left": (
        ("far left {}", "{} on the far left"),
        ("{} that is on the far left", "{} at the far left of the picture"),
    ),
    "far right": (
        ("far right {}", "{} on the far right"),
        ("{} that is on the far right", "{} at the far right of the picture"),
    ),
    "front": (
        ("front {}", "{} in front", "closest {}", "{} closest to us", "nearest {}", "{} in the foreground"),
        ("{} that is closest to the camera", "{} standing in the foreground", "{} that is nearest to us"),
    ),
    "back": (
        ("back {}", "{} in back", "{} in the back", "farthest {}", "{} farthest away", "{} in the background"),
        ("{} that is farthest from the camera", "{} standing in the background", "{} that is farthest away"),
    ),
    "middle": (
        ("middle {}", "{} in the middle", "center {}", "{} in center"),
        ("{} that is in the middle", "{} standing in the middle of the others"),
    ),
    "second left": (
        ("second {} from left", "second {} from the left", "2nd {} from left"),
        ("second {} from the left side", "{} that is second from the left"),
    ),
    "second right": (
        ("second {} from right", "second {} from the right", "2nd {} from right"),
        ("second {} from the right side", "{} that is second from the right"),
    ),
}
RELATIONS = {
    "left of": ("left of", "to the left of"),
    "right of": ("right of", "to the right of"),
    "behind": ("behind", "in back of"),
    "in front of": ("in front of",),
    "next to": ("next to", "by", "near"),
}
LINKS = ("", "that is ", "which is ", "standing ")  # between a noun and its relation, when there is time for it


@dataclass(frozen=True)
class Meaning:
    """What a sentence says, apart from its words: facts of the thing, and perhaps its place or a relation."""

    description: dict[str, str]
    place: str = ""  # a key of PLACES, or a ...
    relation: str = ""  # ... key of RELATIONS ...
    landmark: dict[str, str] = field(default_factory=dict)  # ... to the one thing that these facts describe
    part: str = ""  # not the thing itself but this part of it, a key of PARTS


def word(meaning: Meaning, rng: np.random.Generator, long: bool = False) -> str:
    """One of the ways to say it, in few words or in `long` ones."""
    if meaning.part:
        whole = replace(meaning, part="")
        part = _one(PARTS[meaning.part], rng)
        plain = "category" in meaning.description and not (meaning.place or meaning.relation)
        if plain and rng.random() < 0.4:
            return _article(f"{say(meaning.description, rng)} {part}", rng, long)
        return _article(f"{part} of {_the(word(whole, rng, long))}", rng, long)
    phrase = say(meaning.description, rng)
    if meaning.place:
        phrase = _one(PLACES[meaning.place][long], rng).format(phrase)
    if meaning.relation:
        link = _one(LINKS, rng) if long else ""
        landmark = say(meaning.landmark, rng)
        landmark = f"the {landmark}" if long or rng.random() < 0.6 else landmark
        phrase = f"{phrase} {link}{_one(RELATIONS[meaning.relation], rng)} {landmark}"
    return _article(phrase, rng, long)


def say(description: dict[str, str], rng: np.random.Generator) -> str:
    """The noun phrase for a description: adjectives in English order, then the noun."""
    words = [
        _one(WORDS.get(description[n], (description[n],)), rng)
        for n in ("size", "material", "texture", "colour")
        if n in description
    ]
    nouns = NOUNS[description["category"]] if "category" in description else ANYTHING
    return " ".join([*words, nouns[0] if rng.random() < 0.7 else _one(nouns, rng)])


def misspell(text: str, rng: np.random.Generator) -> str:
    """The text with a slip in a word of four letters or more: two letters swapped, one lost or one doubled."""
    words = text.split()
    able = [i for i, w in enumerate(words) if len(w) > 3]
    if not able:
        return text
    i = able[int(rng.integers(len(able)))]
    w = words[i]
    at = int(rng.integers(1, len(words[i]) - 1))
    slips = (w[:at] + w[at + 1] + w[at] + w[at + 2 :], w[:at] + w[at + 1 :], w[: at + 1] + w[at:])
    words[i] = _one(slips, rng)
    return " ".join(words)


def _one(options, rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def _the(phrase: str) -> str:
    return phrase if phrase.startswith("the ") else f"the {phrase}"


def _article(phrase: str, rng: np.random.Generator, long: bool) -> str:
    return _the(phrase) if rng.random() < (0.85 if long else 0.15) else phrase
