"""Whether a paraphrase still says where the thing is: every word of place kept, none added, no two things swapped.

A paraphrase that turns "left" into "right" teaches the opposite of the truth, and one that drops "left" teaches that it
doesn't matter. So each sentence is read for its *facts of place*, words of one meaning being one fact, and the facts of
both must be the same. In a relation ("cup behind the chair") the two things mustn't have changed sides either.
"""

import re
from collections import Counter
from functools import lru_cache

# Fact -> the ways to say it, tried in this order: the longer before the shorter that it contains.
FACTS = {
    "in front of": r"in front of|in the front of|before",
    "behind": r"in (?:the )?back of|behind|at the back of the (?=[a-z]+ ?$)",
    "next to": (
        r"(?:right )?next to|besides?|adjacent to|alongside|by|(?:close|near) to(?! us| me| the camera)|"
        r"near(?! left| right| us| me| the camera)"
    ),
    "between": r"(?:in )?between|inbetween",
    "under": r"underneath|under|beneath|below",
    "above": r"on top of|above|atop",
    "second": r"second|2nd",
    "third": r"third|3rd",
    "fourth": r"fourth|4th",
    "first": r"first|1st",
    "last": r"last",
    "far": r"far(?=[ -](?:left|right|back|end|side))|very(?= (?:left|right|back|front|top|bottom))|most(?=left|right)",
    "front": (
        r"foreground|frontmost|front|(?:closest|nearest|closer|nearer)(?: to)?(?: the| us| me| you| camera| viewer)*|"
        r"close(?= (?:to us|to me|to the camera|up))|near(?= (?:us|me|the camera))"
    ),
    "back": (
        r"background|backmost|rearmost|(?:far|fur)thest(?: away| from)*(?: the| us| me| you| camera| viewer)*|"
        r"most distant|in (?:the )?distance|rear|back"
    ),
    "left": r"left[- ]?most|left[- ]?hand|lefty|left|lft",
    "right": r"right[- ]?most|right[- ]?hand|rightside|right|rght",
    "top": r"top[- ]?most|uppermost|upper|top",
    "bottom": r"bottom[- ]?most|lowermost|lowest|lower|bottom",
    "middle": r"middle|mid|cent(?:er|re)d?|central",
    "corner": r"corner",
    "edge": r"edge",
}
RELATIONS = ("in front of", "behind", "next to", "under", "above")  # between a thing and another; and left, right "of"
EMPTY = frozenset(
    "a an the this that these those is are was which who one thing object item of to in on at from with and its it be "
    "located standing positioned placed situated found seen visible side picture image photo scene frame area part "
    "there please find show select us me camera viewer you".split()
)
_fact = re.compile("|".join(rf"(?P<f{n}>\b(?:{ways})\b)" for n, ways in enumerate(FACTS.values())))
_names = list(FACTS)
_side = re.compile(
    r"\b(?:to|on|at)? ?(?:the )?(left|right)(?:[- ]hand)?(?: side)? of"
    r"(?! (?:the )?(?:picture|image|photo|frame|scene|screen|us|me))\b"
)


@lru_cache(maxsize=4096)
def facts_of_place(sentence: str) -> Counter[str]:
    """How often each fact of `FACTS` is said. "leftmost" and "on the left" are one fact, "far left" is two."""
    text = re.sub(r"[^a-z0-9 -]+", " ", sentence.lower())
    text = re.sub(r"\b(?:second|2nd|third|3rd|next|last) (?=to\b)", "next ", text)
    return Counter(_name(match) for match in _fact.finditer(text))


def _name(match: re.Match[str]) -> str:
    """Of the fact that a match of `_fact` says; each alternative is a group of its own."""
    assert match.lastgroup
    return _names[int(match.lastgroup[1:])]


def why_rejected(sentence: str, paraphrase: str) -> str:
    """What is wrong with a paraphrase as to place, in a few words; "" if nothing is.

    An empty one, and one that differs in nothing but capitals, punctuation or articles, is rejected too.
    """
    if not paraphrase.strip():
        return "empty"
    if _bare(sentence) == _bare(paraphrase):
        return "the same words"
    before = facts_of_place(sentence)
    after = facts_of_place(paraphrase)
    if lost := before - after:
        return f"lost {', '.join(lost)}"
    if added := after - before:
        return f"added {', '.join(added)}"
    mine = _sides(sentence)
    theirs = _sides(paraphrase)
    if mine and theirs and _swapped(mine, theirs):
        return "swapped the two things of a relation"
    return ""


def _bare(sentence: str) -> list[str]:
    return [word for word in re.findall(r"[a-z0-9]+", sentence.lower()) if word not in ("a", "an", "the")]


def _sides(sentence: str) -> tuple[set[str], set[str]] | None:
    """The words that name the thing and those that name its landmark, where a relation parts them."""
    text = re.sub(r"[^a-z0-9 -]+", " ", sentence.lower())
    match = _side.search(text)
    if match is None:
        match = next((m for m in _fact.finditer(text) if _name(m) in RELATIONS), None)
    if match is None:
        return None
    thing, landmark = (
        {w for w in re.findall(r"[a-z0-9]+", half) if w not in EMPTY and not _fact.fullmatch(w)}
        for half in (text[: match.start()], text[match.end() :])
    )
    return (thing, landmark) if thing and landmark else None


def _swapped(mine: tuple[set, set], theirs: tuple[set, set]) -> bool:
    kept = len(mine[0] & theirs[0]) + len(mine[1] & theirs[1])
    crossed = len(mine[0] & theirs[1]) + len(mine[1] & theirs[0])
    return crossed > kept
