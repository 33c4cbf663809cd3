"""Which referring sentences lean on a position: the rule behind the "spatial" column of every table.

A sentence is spatial if, after the phrases of `NOT_A_PLACE` are taken out, one of its words is in `SPATIAL_WORDS`, is a
fusion of them ("topleft", "leftmost", "infront") or a numbered ordinal ("7th"), or if a phrase of `PLACE_PHRASES` is in
it. Whole words only, so "bright", "upright" and "backpack" don't count.

What counts is position in the picture (left, top), in depth (front, far, closest), in a row (second, last) and relative
to another thing (behind, next to, under). What doesn't: contact and possession ("on", "in", "with", "by": mostly "man
on bike", "held by"), containment, size ("tall"), "side" and "half" alone, "over" ("bending over"). "left arm" does
count, although it may be the person's own left. A bare "l" or "r" doesn't ("toys r us"). The rule marks 65 % of
RefCOCO's 142,210 sentences and 18 % of RefCOCO+'s 141,564, whose writers were told to avoid places.
"""

import re

SPATIAL_WORDS = frozenset(
    # in the picture; "lt", "rt" and the like are spelt out in REFER's `sent` but not in `raw` or in what people type
    "left lefty lt lft right rt rgt top bottom upper lower uppermost lowest middle mid center centre central centered "
    "corner corners edge "
    # in depth
    "front frontal back rear foreground background forefront far farther farthest further furthest distance distant "
    "near nearer nearest nearby close closer closest "
    # in a row
    "first second third fourth fifth sixth seventh eighth ninth tenth last "
    # relative to another thing
    "behind between inbetween beside besides next above below beneath under underneath adjacent opposite across "
    # misspellings that RefCOCO has ten times or more
    "lef eft rigth rigt righ rght riht botom bottm botto bottome midle middel frt fron fornt closes".split()
)
_PLACE = "left|right|top|bottom|upper|lower|middle|center|front|back|far"
_FUSED = re.compile(rf"(?:on|in|far)?(?:{_PLACE}){{1,2}}(?:est|ish|most|side|hand)?|\d+(?:st|nd|rd|th)")
PLACE_PHRASES = (
    r"(?:on|at) (?:the )?(?:far |very )?end",
    r"closet to",  # a slip for "closest"
    r"o ?clock",
)
_COLOUR = "black|white|gr[ae]y|red|orange|yellow|green|blue|purple|pink|brown|tan|striped|plaid"
NOT_A_PLACE = (
    # a garment or a surface, unless a place follows: "blue top", but "blue top left"
    rf"(?:tank|tube|halter|crop|table|counter|{_COLOUR}) top(?! (?:left|right|corner|middle|center|row|shelf|of))",
    # a back of the body or of a thing: "back to us", "her back", "back of head", but "in the back of"
    r"(?:his|her|their|its|whose|my|your) back",
    r"back (?:is )?(?:to|toward|towards|facing) (?:the )?(?:us|you|me|camera|cam|viewer)",
    r"back (?:is )?turn(?:ed)?|(?<!in )(?<!in the )back of",
    r"backside|backhand|rear end|front (?:legs?|paws?|feet|foot|wheels?|tires?)",
    # where somebody looks or goes is no place
    r"(?:fac(?:ing|es)|look(?:ing|s)|point(?:ing|ed)|turn(?:ed|ing)|head(?:ing|ed)|lean(?:ing|ed|s)) "
    r"(?:to |towards? |to the |towards? the )?(?:left|right|back|front)",
    r"(?:left|right) handed|middle aged?|middle finger|right now|all right",
    r"(?:sorry|my) (?:about |bout |for )?(?:the |that )?last (?:one|click|time)|last (?:one|click) was",
)
_places = re.compile(rf"\b(?:{'|'.join(PLACE_PHRASES)})\b")
_not_places = re.compile(rf"\b(?:{'|'.join(NOT_A_PLACE)})\b")


def is_spatial(sentence: str) -> bool:
    """Whether `sentence` leans on a position, by the rule at the head of this module. Case doesn't matter."""
    text = _not_places.sub(" ", re.sub(r"[^a-z0-9]+", " ", sentence.lower()))
    if _places.search(text):
        return True
    return any(map(is_place, text.split()))


def is_place(word: str) -> bool:
    """Whether a lower-case word is one of place, or such words run together in a usual way ("topleft")."""
    return word in SPATIAL_WORDS or _FUSED.fullmatch(word) is not None


_PAIRS = (("left", "right"), ("lft", "rgt"), ("lt", "rt"), ("lefty", "righty"))
_MIRRORED = (
    {slip: "right" for slip in ("lef", "eft")}
    | {slip: "left" for slip in ("rigth", "rigt", "righ", "rght", "riht")}
    | dict(_PAIRS)
    | {right: left for left, right in _PAIRS}
)
# A side may be glued to anything ("leftmost", "topleft", "leftguy"), but isn't in each word that has its letters.
_SIDE = re.compile("left|right")
_NO_SIDE = re.compile(
    r"[a-z]*(?:b|f)right[a-z]*|(?:play|ship)?wright[a-z]*|(?:al|up|out|down|forth|birth|copy)right[a-z]*|right(?:eous|ful|ly)[a-z]*"
    r"|sta?right|cleft[a-z]*|leftovers?"
)
# "right behind", unless a word before it says that a side is meant: "on the right behind the dog", "top right above"
_JUST = re.compile(r"[^a-z]+(?:behind|next|above|below|under|underneath|beneath|beside|in front of|here|there|now)\b")
_SIDE_BEFORE = re.compile(
    r"\b(?:the|on|to|towards?|at|from|far|farthest|furthest|of|in|most|way|facing|looking|top|bottom|upper|lower|rear|back"
    r"|front|middle|center|second|third)[^a-z]*$"
)


def has_side(word: str) -> bool:
    """Whether a lower-case word holds left or right, whole or glued to something; "upright" and the like don't."""
    return _SIDE.search(word) is not None and not _NO_SIDE.fullmatch(word)


def is_just(text: str, start: int, end: int) -> bool:
    """Whether `text[start:end]` of a lower-case text is a "right" that means "just" ("right behind the dog")."""
    return bool(text[start:end] == "right" and _JUST.match(text, end) and not _SIDE_BEFORE.search(text[:start]))


def mirrored(sentence: str) -> str:
    """The sentence for the image flipped left to right: left and right swapped, and what is made of them.

    "leftmost", "left-hand", "topleft", "lefty", glued words ("leftguy") and slips such as "rigth" change, "upright",
    "bright" and "copyright" don't. Nor does a "right" that only means "just" ("right behind the dog", "right next to").
    Capitals stay. A person's own left arm becomes a right one, as it does in the image. Hours of a clock ("at 3
    o'clock") and whatever is written in the image are let be.

    Twice gives the sentence back, but for slips, which come back spelt right, and a "left" where "right" would mean
    "just" ("chair left behind the table"): 108 of RefCOCO's 142,210 sentences.
    """
    text = sentence.lower()

    def other(match: re.Match[str]) -> str:
        written = match[0]
        word = written.lower()
        if is_just(text, *match.span()) or (word not in _MIRRORED and not has_side(word)):
            return written
        new = _MIRRORED.get(word) or _SIDE.sub(lambda side: _MIRRORED[side[0]], word)
        return new.upper() if written.isupper() else new.capitalize() if written[0].isupper() else new

    return re.sub("[A-Za-z]+", other, sentence)
