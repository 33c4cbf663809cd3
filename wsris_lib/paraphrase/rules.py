"""Paraphrases without a model: synonyms, and the same place said in another form and another position.

Less free than an LLM's, but offline, instant and the same every time; what it can't say otherwise it leaves alone.
"""

import re
import zlib
from collections.abc import Iterable, Sequence

import numpy as np
from tqdm import tqdm

from wsris_lib.paraphrase.checker import facts_of_place, why_rejected

# Words that stand for each other in RefCOCO's and SynRef's sentences, whatever the picture.
SYNONYMS = [
    pair.split("/")
    for pair in (
        "man/guy, woman/lady, men/guys, women/ladies, kid/child, kids/children, dude/guy, gal/girl, infant/baby, "
        "person/individual, bike/bicycle, motorcycle/motorbike, truck/lorry, airplane/plane, couch/sofa, "
        "tv/television, fridge/refrigerator, donut/doughnut, mug/cup, bucket/pail, bear/teddy bear, ball/sphere, "
        "picture/photo, eyeglasses/glasses, big/large, small/little, shiny/glossy, fuzzy/furry, dotted/spotted, "
        "striped/stripy, purple/violet, gray/grey, facing/looking towards"
    ).split(", ")
]
ONE_WAY = ("bear", "dude", "gal", "facing", "eyeglasses", "infant", "shiny", "ball")  # back it may be another thing
PLACES = {  # one fact of place, {} is what is there
    "left": ("left {}", "leftmost {}", "{} on the left", "{} on left", "{} to the left", "{} on the left side"),
    "right": ("right {}", "rightmost {}", "{} on the right", "{} on right", "{} to the right", "{} on the right side"),
    "front": ("front {}", "closest {}", "nearest {}", "{} in front", "{} in the foreground", "{} closest to us"),
    "back": ("back {}", "{} in back", "{} in the back", "{} in the background"),
    "middle": ("middle {}", "center {}", "{} in the middle", "{} in the center", "{} in middle"),
    "top": ("top {}", "upper {}", "{} at the top", "{} on top"),
    "bottom": ("bottom {}", "lower {}", "{} at the bottom", "{} on the bottom"),
    "far left": ("far left {}", "{} on the far left", "{} at the far left", "{} far left"),
    "far right": ("far right {}", "{} on the far right", "{} at the far right", "{} far right"),
    "top left": ("top left {}", "upper left {}", "{} at the top left", "{} on the upper left"),
    "top right": ("top right {}", "upper right {}", "{} at the top right", "{} on the upper right"),
    "bottom left": ("bottom left {}", "lower left {}", "{} at the bottom left", "{} on the lower left"),
    "bottom right": ("bottom right {}", "lower right {}", "{} at the bottom right", "{} on the lower right"),
    "second left": ("second {} from left", "second {} from the left", "2nd {} from the left"),
    "second right": ("second {} from right", "second {} from the right", "2nd {} from the right"),
}
RELATIONS = (
    ("to the left of", "left of", "on the left of"),
    ("to the right of", "right of", "on the right of"),
    ("next to", "beside"),
    ("in back of", "behind"),
    ("on top of", "atop"),
    ("under", "beneath", "underneath"),
)
_COLOUR = r"black|white|gr[ae]y|red|orange|yellow|green|blue|purple|violet|pink|brown|tan"
SOMEBODY = r"\b(man|guy|woman|lady|girl|boy|kid|child|person|player|men|women|guys|people)"
GARMENT = (
    r"(?=(?:a |an |the )?(?:(?:dark|light|bright) )?"
    r"(?:black|white|gr[ae]y|red|orange|yellow|green|blue|purple|pink|brown|tan|striped|plaid|shirt|hat|jacket|coat|suit|dress|shorts|jeans|glasses|uniform)\b)"
)
_PHRASES = (  # pattern -> what may stand in its place
    (rf"{SOMEBODY} in {GARMENT}", r"\1 wearing "),
    (rf"{SOMEBODY} wearing {GARMENT}", r"\1 in "),
    (rf"{SOMEBODY} with (?=(?:a |an |the |his |her )?[a-z]+ ?[a-z]*$)", r"\1 who has "),
    (rf"{SOMEBODY} (?=(?:holding|sitting|standing|eating|looking|kneeling|bending)\b)", r"\1 who is "),
    (rf"{SOMEBODY} holding (?=(?:a |an |the )?[a-z]+$)", r"\1 that holds "),
    (rf"^(the |a )?({_COLOUR}) (?!{_COLOUR}|left|right|top|bottom|middle|cent)([a-z]+)$", r"\1\3 that is \2"),
)
PHRASES = [(re.compile(pattern), instead) for pattern, instead in _PHRASES]
_INSTEAD = {
    word: [other for other in group if other != word]
    for group in SYNONYMS
    for n, word in enumerate(group)
    if n == 0 or group[0] not in ONE_WAY
}
EXTRA = {  # forms that are read and not written: they mean the same, but sound odd
    "left": ("{} left", "{} at left", "left side {}", "{} left side", "{} on left side"),
    "right": ("{} right", "{} at right", "right side {}", "{} right side", "{} on right side"),
    "front": ("{} front", "{} in the front", "{} nearest us", "{} closest"),
    "back": ("{} back", "{} in background", "{} in rear"),
    "middle": ("{} middle", "{} center", "{} in center"),
    "top": ("{} top", "{} up top"),
    "bottom": ("{} bottom",),
    "second left": ("{} second from left", "{} second from the left"),
    "second right": ("{} second from right", "{} second from the right"),
}
for _row, _also in (("top", "upper"), ("bottom", "lower")):
    for _side in ("left", "right"):
        _said = (f"{_row} {_side}", f"{_also} {_side}", f"{_side} {_row}", f"{_side} {_also}")
        EXTRA[_said[0]] = tuple(
            form.format(p) for p in _said for form in ("{{}} {}", "{{}} in {}", "{{}} on {}", "{{}} at {}")
        )
        _corners = [f"{p} corner" for p in _said]
        PLACES[_corners[0]] = tuple(form.format(c) for c in _corners[:2] for form in ("{} {{}}", "{{}} in the {}"))
        EXTRA[_corners[0]] = tuple(form.format(c) for c in _corners for form in ("{{}} {}", "{{}} in {}", "{{}} at {}"))


def _pattern(form: str) -> re.Pattern:
    return re.compile("(?:the )?" + re.escape(form).replace(r"\{\}", r"(?:the )?(?P<what>[a-z0-9' ]+?)") + r"\s*")


# facts of place -> (place, patterns): a sentence is held only against the forms that say what it says
_FORMS = {
    frozenset(facts_of_place(forms[0].format("it")).items()): (
        place,
        sorted(map(_pattern, (*forms, *EXTRA.get(place, ()))), key=lambda pattern: -len(pattern.pattern)),
    )
    for place, forms in PLACES.items()
}


def paraphrase_each(sentences: Iterable[str], k: int) -> dict[str, list[str]]:
    """k paraphrases of each different sentence, "" where there is no further one; the same in every run and order."""
    unique = sorted(set(sentences))
    paraphrases = {}
    for sentence in tqdm(unique, desc="paraphrases", unit="sentence", disable=len(unique) < 5000):
        others = paraphrase(sentence, k, np.random.default_rng(zlib.crc32(sentence.encode())))
        paraphrases[sentence] = (others + [""] * k)[:k]
    return paraphrases


def paraphrase(sentence: str, k: int, rng: np.random.Generator) -> list[str]:
    """Up to `k` different sentences that mean the same and pass the checker; [] if nothing but synonyms could change.

    `sentence` is lower case, as REFER's `sent`.
    """
    paraphrases: dict[str, str] = {}  # without articles -> with them
    ways = _restated(sentence) or [sentence]
    for _ in range(8 * k):
        candidate = one_of(ways, rng)
        candidate = _related(_reworded(_rephrased(candidate, rng), rng), rng)
        if rng.random() < 0.3 and not candidate.startswith(("the ", "a ")) and one_thing(candidate):
            candidate = f"the {candidate}"
        bare = re.sub(r"\b(?:the|an?) ", "", candidate)
        if bare not in paraphrases and not why_rejected(sentence, candidate):
            paraphrases[bare] = candidate
        if len(paraphrases) == k:
            break
    return list(paraphrases.values())


def placed(sentence: str) -> tuple[str, str]:
    """A place, a key of `PLACES`, and what is there: "" for a place alone, ("", "") where it is no thing at a place."""
    text = re.sub(r"\s+", " ", re.sub(r"[^a-z0-9' ]", " ", sentence.lower())).strip()
    place, patterns = _FORMS.get(frozenset(facts_of_place(text).items()), ("", []))
    if place and text.removeprefix("the ") in {
        form.format("").strip() for form in (*PLACES[place], *EXTRA.get(place, ()))
    }:
        return place, ""  # "on the left" alone
    for pattern in patterns:
        match = pattern.fullmatch(text)
        if match and match["what"].strip() and not facts_of_place(match["what"]):
            return place, match["what"].strip()
    return "", ""


def _restated(sentence: str) -> list[str]:
    """The sentence with its one place said in every other form; [] where it isn't a thing and a place."""
    place, what = placed(sentence)
    if not place:
        return []
    # "guy in a red shirt" takes a place before or after; a longer clause ("man who is eating") only before
    tail = re.search(r"\b(?:who|that|which|is|are|of)\b", what)
    return [form.format(what or "one") for form in PLACES[place] if not (tail and not form.endswith("{}"))]


def _reworded(text: str, rng: np.random.Generator) -> str:
    for word in text.split():
        others = _INSTEAD.get(word, ())
        if others and rng.random() < 0.5:
            other = one_of(others, rng)
            if not re.search(rf"\b{other}\b", text):
                text = re.sub(rf"\b{word}\b", other, text)
    return text


def _rephrased(text: str, rng: np.random.Generator) -> str:
    for pattern, instead in PHRASES:
        if rng.random() < 0.6 and pattern.search(text):
            return pattern.sub(instead, text, count=1)
    return text


def _related(text: str, rng: np.random.Generator) -> str:
    for group in RELATIONS:
        relation = next((way for way in group if re.search(rf"\b{way}\b", text)), None)
        if relation and rng.random() < 0.6:
            text = re.sub(rf"\b{relation}\b", one_of([way for way in group if way != relation], rng), text, count=1)
            break
    return text


def one_thing(text: str) -> bool:
    """Whether an article may stand before it: not several things, somebody's, or a place."""
    return not re.match(r"(?:\d|his|her|its|their|on|in|at|to|closest|nearest|guys|ladies|two|three)\b", text)


def one_of(options: Sequence[str], rng: np.random.Generator) -> str:
    """One of them at random."""
    return options[int(rng.integers(len(options)))]
