"""Another domain than referring: what happens in a picture, what follows from it, and what contradicts it.

Supervised SimCSE (Gao et al. 2021, section 4) learns from SNLI and MNLI: a premise, of SNLI a photograph's caption, a
hypothesis that follows from it and one that doesn't. Nobody there singles a thing out. Here a premise is a whole
sentence that is true of a scene of the web split, and says more than the hypothesis does, which as a rule drops where
things are, as a hypothesis of SNLI drops details: from "a red mug stands to the left of a bear" follows "a mug is
beside a bear". So left and right have to be told apart now and then only, as in that corpus. The words are those of
SynRef's sentences, the constructions are others: a finite verb in each, and no phrase for one thing and its place.
"""

from types import SimpleNamespace

import numpy as np

from wsris_lib.synref import grammar, wording
from wsris_lib.synref.shapes import CATEGORIES
from wsris_lib.synref.web import Web

MENTIONED = {"category": 0.92, "colour": 0.55, "size": 0.25, "material": 0.2, "texture": 0.25}  # chances, in a premise
KEPT = 0.6  # chance that a hypothesis keeps a fact which isn't the category
RELATING = 0.45  # share of premises about two things, where the scene has a clear relation
PARTING = 0.15  # share of premises about a part
SLIPS = 0.05  # share of sentences with a typing error: whoever spells misspelt words has met all letters before
PLACE_KEPT = 0.2  # chance that a hypothesis says, in its own words, where things are
VERBS = ("stands", "sits", "is", "can be seen", "was put", "is placed", "is standing")
RELATED = {  # {a}, {b}: noun phrases with their articles, {v} a verb
    "left of": (
        "{a} {v} to the left of {b}",
        "left of {b} there is {a}",
        "{b} {v} to the right of {a}",
        "whoever looks from left to right meets {a} and then {b}",
        "{a} has {b} on its right hand",
    ),
    "right of": (
        "{a} {v} to the right of {b}",
        "right of {b} there is {a}",
        "{b} {v} to the left of {a}",
        "whoever looks from right to left meets {a} and then {b}",
        "{a} has {b} on its left hand",
    ),
    "behind": ("{a} {v} behind {b}", "{a} is in back of {b}", "{b} hides some of {a}", "{a} {v} at the back of {b}"),
    "in front of": ("{a} {v} in front of {b}", "in front of {b} there is {a}", "{b} is partly hidden by {a}"),
    "next to": ("{a} {v} next to {b}", "{a} {v} near {b}", "{a} {v} by {b}", "{a} {v} close to {b}"),
}
TOGETHER = (  # what follows from any relation
    "{a} is beside {b}",
    "{a} and {b} stand alongside each other",
    "{a} is adjacent to {b}",
    "{a} and {b} share a table",
    "{b} {v} beside {a}",
)
PLACED = {  # facts of place: `wording.PLACES`
    "left": (
        "the left of the picture shows {a}",
        "the left half of the table holds {a}",
        "{a} {v} nearer to the left side than to the other",
    ),
    "right": (
        "the right of the picture shows {a}",
        "the right half of the table holds {a}",
        "{a} {v} nearer to the right side than to the other",
    ),
    "far left": ("leftmost of all {v} {a}", "nothing is as far to the left as {a}", "the far left belongs to {a}"),
    "far right": ("rightmost of all {v} {a}", "nothing is as far to the right as {a}", "the far right belongs to {a}"),
    "front": (
        "the foreground shows {a}",
        "nothing is closer to us than {a}",
        "{a} is closest of all, at the front",
        "the camera is nearest to {a}",
    ),
    "back": (
        "the background shows {a}",
        "nothing is farther from us than {a}",
        "{a} is farthest of all, away at the back",
        "the camera is farthest from {a}",
    ),
    "middle": ("the middle of the table holds {a}", "others stand around {a} in the center", "{a} is in their midst"),
    "second left": ("counted from the left {a} is second", "one thing only is left of {a}, so it comes 2nd"),
    "second right": ("counted from the right {a} is second", "one thing only is right of {a}, so it comes 2nd"),
}
THERE = (  # what follows from any place
    "there is {a}",
    "{a} {v} on a table",
    "somebody made a picture of {a}",
    "the table holds {a}",
    "one of the others is {a}",
    "the thing which is seen is {a}",
    "an object that looks like {a} can be seen",
)
PARTED = ("{a} with its {p} {v} on the table", "the {p} of {a} can be seen", "{a} shows its {p}")


class Entailments:
    """Premises that are true of a web split's scenes, each with a sentence that follows and one that is false."""

    def __init__(self, web: Web, least_pixels: int = 48):
        """Things with fewer visible pixels than `least_pixels` are not spoken of. Raises ValueError if none is left."""
        self.scenes = []
        for objects, ids, depth in zip(web.objects, web.ids, web.depth):
            rows, columns = np.nonzero(ids)
            shown = ids[rows, columns]
            pixels = np.bincount(shown, minlength=257)
            y, x, z = (np.bincount(shown, of, 257) / pixels.clip(1) for of in (rows, columns, depth[rows, columns]))
            scene = [
                SimpleNamespace(
                    facts={name: thing[name] for name in MENTIONED if name in thing},
                    x=x[thing["id"]] / ids.shape[1],
                    y=y[thing["id"]] / ids.shape[0],
                    depth=z[thing["id"]],
                )
                for thing in objects
                if pixels[thing["id"]] >= least_pixels
            ]
            if scene:
                self.scenes.append(scene)
        if not self.scenes:
            raise ValueError(f"the web split shows no object of {least_pixels} or more pixels; make more scenes")
        facts = [thing.facts for scene in self.scenes for thing in scene]
        known = {name: {fact[name] for fact in facts if name in fact} for name in MENTIONED}
        self.values = {name: sorted(values.difference(wording.ORDINARY)) for name, values in known.items()}

    def draw(self, number: int, rng: np.random.Generator, slips: float = SLIPS) -> list[tuple[str, ...]]:
        """(premise, what follows from it, what contradicts it), `number` times, each of a scene of its own choice.

        `slips`: the share of sentences with a typing error.
        """
        triples = [self.one(self.scenes[int(rng.integers(len(self.scenes)))], rng) for _ in range(number)]
        return [tuple(wording.misspell(s, rng) if rng.random() < slips else s for s in each) for each in triples]

    def one(self, scene: list, rng: np.random.Generator) -> tuple[str, str, str]:
        """A triple about one scene: of two things and their relation, of a thing and its place, or of a part of it."""
        a, b = (scene[int(rng.integers(len(scene)))] for _ in range(2))
        kind = rng.random()
        part = ""
        premises: tuple[str, ...]
        vague: tuple[str, ...]
        other: dict[str, str] = {}  # the second thing's facts, in the premise ...
        less: dict[str, str] = {}  # ... and in what follows
        relations = [name for name, how in grammar.RELATIONS.items() if b is not a and how(a, b) >= 1]
        parts = sorted({part.name for part in CATEGORIES[a.facts["category"]] if part.name})
        if kind < RELATING and relations:
            premises = RELATED[_one(relations, rng)]
            vague = TOGETHER
            other = _mentioned(b, rng)
            less = _fewer(other, rng)
        elif kind > 1 - PARTING and parts:
            premises = PARTED
            vague = THERE
            part = _one(parts, rng)
        else:
            places = [name for name, meant in grammar.PLACES.items() if meant(scene, scene) == [a]]
            premises = PLACED[_one(places, rng)] if places else THERE
            vague = THERE
        mentioned = _mentioned(a, rng)
        fewer = _fewer(mentioned, rng)
        follows = vague if part or rng.random() >= PLACE_KEPT else premises
        return (
            _say(_one(premises, rng), rng, mentioned, other, part),
            _say(_one(follows, rng), rng, fewer, less),
            _say(_one(follows, rng), rng, self.changed(fewer, scene, rng), less),
        )

    def changed(self, facts: dict[str, str], scene: list, rng: np.random.Generator) -> dict[str, str]:
        """The facts with one of them changed so that nothing in the scene fits, if eight tries find such a one."""
        for _ in range(8):
            name = _one([name for name in facts if len(self.values[name]) > 1] or list(facts), rng)
            other = facts | {name: _one(self.values[name], rng)}
            if not any(other.items() <= thing.facts.items() for thing in scene):
                break
        return other


def _say(form: str, rng: np.random.Generator, a: dict[str, str], b: dict[str, str], part: str = "") -> str:
    """A sentence in lower case: `form` with its noun phrases, a verb and the name of a part."""
    named = _one(wording.PARTS[part], rng) if part else ""
    return form.format(a=_phrase(a, rng), b=_phrase(b, rng) if b else "", v=_one(VERBS, rng), p=named)


def _mentioned(thing, rng: np.random.Generator) -> dict[str, str]:
    """Some of a thing's facts, as `MENTIONED` has it; ordinary ones nobody mentions."""
    facts = {n: v for n, v in thing.facts.items() if rng.random() < MENTIONED[n] and v not in wording.ORDINARY}
    return facts or {"category": thing.facts["category"]}


def _fewer(facts: dict[str, str], rng: np.random.Generator) -> dict[str, str]:
    """What is left of the facts in a sentence that says less; the category stays."""
    fewer = {name: value for name, value in facts.items() if name == "category" or rng.random() < KEPT}
    return fewer or facts


def _phrase(facts: dict[str, str], rng: np.random.Generator) -> str:
    """A noun phrase with its article."""
    phrase = wording.say(facts, rng)
    if rng.random() < 0.25:
        return f"the {phrase}"
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def _one(options, rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]
