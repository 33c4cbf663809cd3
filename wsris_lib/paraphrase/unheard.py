"""A second family of rewordings, for tests alone: what a model makes of wordings that its training never made.

Training hears each sentence as `rules` rewords it. A test that is reworded by the same rules asks how well these were
learnt by heart. Here the synonyms, the forms of a place and of a relation, and the constructions are others: the place
goes to the front ("on the left is the mug"), determiners and relative clauses are added, other words stand for things,
persons' clothes and what they do. The thing that is meant stays the same, by the same checker.
"""

import re
import zlib
from collections.abc import Sequence

import numpy as np

from wsris_lib.paraphrase.checker import facts_of_place, why_rejected
from wsris_lib.paraphrase.rules import GARMENT, SOMEBODY, one_of, one_thing, placed
from wsris_lib.refer.views import Sample

# One way: said back it may be another thing. No word of it is among the training's.
SYNONYMS = dict(
    pair.split("/")
    for pair in (
        "chair/seat, rocket/spaceship, checkered/checked, thing/object, belly/tummy, cab/cabin, icing/frosting, "
        "pillow/cushion, stem/stalk, wheels/tires, boy/lad, cat/kitty, colorful/multicolored, people/persons, "
        "phone/telephone, sitting/seated, smiling/grinning"
    ).split(", ")
)
PLACES = {  # one fact of place of `rules.PLACES` -> where that is
    "left": ("at the left of the picture", "in the left of the picture", "at the left hand side"),
    "right": ("at the right of the picture", "in the right of the picture", "at the right hand side"),
    "far left": ("at the far left side", "on the far left side of the picture"),
    "far right": ("at the far right side", "on the far right side of the picture"),
    "front": ("at the front", "nearest to the camera", "nearest the camera"),
    "back": ("at the back", "farthest from us", "farthest away from the camera"),
    "middle": ("at the center", "at the center of the picture", "in the middle of the picture"),
    "top": ("at the top of the picture", "at the top side"),
    "bottom": ("at the bottom of the picture", "at the bottom side"),
    "top left": ("at the top left of the picture", "at the left of the top side"),
    "top right": ("at the top right of the picture", "at the right of the top side"),
    "bottom left": ("at the bottom left of the picture", "at the left of the bottom side"),
    "bottom right": ("at the bottom right of the picture", "at the right of the bottom side"),
    "second left": ("second from the left", "second from the left hand side"),
    "second right": ("second from the right", "second from the right hand side"),
} | {
    f"{row} {side} corner": (f"at the {row} {side} corner",) for row in ("top", "bottom") for side in ("left", "right")
}
PLACED = ("{at} is the {what}", "{at} {what}", "that {what} {at}", "{what} which is {at}")
ALONE = ("the thing which is {at}", "that one {at}", "what is {at}")  # for a place and nothing else
RELATIONS = {  # how the training and the corpora say it -> how here
    r"(?:to |on |at )?(?:the )?left of": ("at the left of", "on the left side of"),
    r"(?:to |on |at )?(?:the )?right of": ("at the right of", "on the right side of"),
    r"next to|beside|near(?! to)|(?<!ed )(?<!en )(?<!rn )(?<!wn )by": (
        "near to",
        "close to",
        "adjacent to",
        "alongside",
    ),
    r"in back of|behind": ("at the back of",),
    r"in front of": ("in the front of",),
    r"underneath|beneath|under": ("below",),
}
RELATED = ("{relation} {landmark} is the {what}", "that {what} {relation} {landmark}")
PLAIN = ("that {what}", "the one which is a {what}")  # where there is no place
PHRASES = (
    (rf"{SOMEBODY} (?:in|wearing) {GARMENT}", r"\1 dressed in "),
    (rf"{SOMEBODY} with (?=(?:a |an |the |his |her )?[a-z]+ ?[a-z]*$)", r"\1 having "),
    (rf"{SOMEBODY} holding (?=(?:a |an |the )?[a-z]+\b)", r"\1 gripping "),
)
USUAL = (  # forms that `rules.placed` doesn't read -> one that it does
    (r" (?:of|in) (?:the )?(?:picture|image|photo)$", ""),
    (r"\b2nd\b", "second"),
    (r"\b(?:far|fur)thest(?: away)?(?: from (?:the camera|us|me))?$", "in back"),
    (r"^(?:the )?(?:far|fur)thest ", "back "),
    (r"\b(?:closest|nearest)(?: to)? (?:us|me|the camera)$", "in front"),
)
_LINK = r" (?:that|which|who) is"  # before a place or a relation, it goes
_related = [
    (re.compile(rf"(?P<what>.+?)(?:{_LINK})?(?: standing)? (?P<relation>{ways}) (?P<landmark>.+)"), others)
    for ways, others in RELATIONS.items()
]
_part = re.compile(r"(?:the )?(?P<part>[a-z ]+?) of (?P<whole>.+)")
_CLAUSE = re.compile(r"\b(?:who|that|which|is|are)\b")
_HEAD = re.compile(r"\b(?:in|on|with|of|at|to|from|by|near|who|that|which|wearing|holding|[a-z]+ing)\b")
_SEVERAL = re.compile(r"[^isu]s$")
TRIES = 12


def unheard(samples: Sequence[Sample], seed: int = 0) -> list[str]:
    """One other wording of each sample's sentence, such as no training made; "" where there is none.

    For evaluation, never for training. The same for the same sentence and seed, whatever else is asked for.
    """
    return [reword(s.sentence, np.random.default_rng([seed, zlib.crc32(s.sentence.encode())])) for s in samples]


def reword(sentence: str, rng: np.random.Generator) -> str:
    """A wording that means the same and passes the checker, or "". `sentence` is lower case, as REFER's `sent`."""
    ways = _ways(re.sub(r"\s+", " ", re.sub(r"[^a-z0-9' ]", " ", sentence.lower())).strip())
    for _ in range(TRIES if ways else 0):
        other = _other_words(one_of(ways, rng), rng)
        if not why_rejected(sentence, other):
            return other
    return ""


def _ways(text: str) -> list[str]:
    place, what = _placed(text)
    if place:
        forms = _fitting(PLACED, what) if what else ALONE
        return [form.format(at=at, what=_bare(what)) for at in PLACES[place] for form in forms]
    match = _part.fullmatch(text)
    place, what = _placed(match["whole"]) if match and not facts_of_place(match["part"]) else ("", "")
    if match and what:  # "handle of the left mug"
        forms = [
            f"{match['part']} of {form}" for form in _fitting(("that {what} {at}", "the {what} which is {at}"), what)
        ]
        return [form.format(at=at, what=_bare(what)) for at in PLACES[place] for form in forms]
    for pattern, others in _related:
        match = pattern.fullmatch(text)
        if match and not facts_of_place(match["what"]) and not facts_of_place(match["landmark"]):
            return _reordered(match, others)
    if not text or facts_of_place(text):
        return []
    return [_an(form.format(what=_bare(text))) for form in _fitting(PLAIN, text)]


def _reordered(match: re.Match, others: Sequence[str]) -> list[str]:
    """A thing in a relation to another, the relation in other words or the landmark first."""
    landmark = match["landmark"]
    if one_thing(landmark):
        landmark = f"the {_bare(landmark)}"
    ways = []
    for form in _fitting(RELATED, match["what"]):
        relations = (*others, match["relation"]) if form.startswith("{relation}") else others
        ways += [form.format(relation=way, what=_bare(match["what"]), landmark=landmark) for way in relations]
    return ways


def _placed(text: str) -> tuple[str, str]:
    """As `rules.placed`, of more forms."""
    for pattern, usual in USUAL:
        text = re.sub(pattern, usual, text)
    place, what = placed(text)
    return ("", "") if what.startswith("of ") else (place, re.sub(f"{_LINK}$", "", what))  # "left of the car"


def _fitting(forms: Sequence[str], what: str) -> list[str]:
    """Those that can take it: no second clause after a first, no article before several things or somebody's."""
    fitting = [form for form in forms if not (_CLAUSE.search(what) and form.endswith(("{at}", "{landmark}")))]
    if not one_thing(what) or _SEVERAL.search(_HEAD.split(what)[0].strip()):
        fitting = [form for form in fitting if not re.search(r"\b(?:the|a|that) \{what|\} which is", form)]
    return fitting


def _other_words(text: str, rng: np.random.Generator) -> str:
    for pattern, instead in PHRASES:
        if rng.random() < 0.8 and re.search(pattern, text):
            text = re.sub(pattern, instead, text, count=1)
            break
    for word in text.split():
        if word in SYNONYMS and rng.random() < 0.8:
            text = re.sub(rf"\b{word}\b", SYNONYMS[word], text)
    return text


def _an(text: str) -> str:
    return re.sub(r"\ba (?=[aeiou])", "an ", text)


def _bare(text: str) -> str:
    return re.sub(r"^(?:the|an?) ", "", text)
