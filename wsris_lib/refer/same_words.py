"""Which sentences are word for word the same: "dog" of one image and "dog" of another, or of another dog beside it."""

from collections.abc import Iterable


def numbered(sentences: Iterable[str]) -> list[int]:
    """A number for each sentence, the same for those that differ in case and spaces at most."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(" ".join(sentence.lower().split()), len(numbers)) for sentence in sentences]
