"""The manners of four corpora: which facts their writers told, how often a place or a relation, in how many words."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Style:
    """The manner of a corpus: how often what is told, and in how many words."""

    facts: dict[str, float]  # chance that a fact is told
    kinds: dict[str, float]  # chance of no place, a place, a relation
    relations: tuple[str, ...] = ("left of", "right of", "behind", "in front of", "next to")
    words: tuple[int, int] = (1, 20)  # least and most
    long: bool = False


STYLES = {
    "refcoco": Style(
        {"category": 0.92, "colour": 0.4, "size": 0.15, "material": 0.08, "texture": 0.12},
        {"none": 0.36, "place": 0.48, "relation": 0.16},
    ),
    "refcoco+": Style(  # its writers were told to avoid places
        {"category": 0.92, "colour": 0.6, "size": 0.3, "material": 0.25, "texture": 0.35},
        {"none": 0.5, "place": 0.0, "relation": 0.5},
        relations=("behind", "in front of", "next to"),
    ),
    "refcocog": Style(  # whole phrases, written without haste
        {"category": 0.95, "colour": 0.65, "size": 0.25, "material": 0.2, "texture": 0.3},
        {"none": 0.1, "place": 0.3, "relation": 0.6},
        words=(4, 20),
        long=True,
    ),
    "refclef": Style(  # ReferIt's game: as few words as will do
        {"category": 0.85, "colour": 0.35, "size": 0.08, "material": 0.05, "texture": 0.08},
        {"none": 0.55, "place": 0.45, "relation": 0.0},
        words=(1, 3),
    ),
}
