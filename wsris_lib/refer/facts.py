"""What is peculiar about a corpus's sentences, counted in the user's own copy, and what each thing does here."""

import gzip
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

import numpy as np
from open_clip import SimpleTokenizer

from wsris_lib.refer.errors import DataError
from wsris_lib.refer.pickles import load_refs
from wsris_lib.refer.reader import Refer
from wsris_lib.refer.same_words import numbered
from wsris_lib.refer.words import has_side, is_just, is_place, mirrored

TOKENS = 20  # the length at which EHIN, TRIS and LAVT cut (`max_tokens` of the settings), both ends counted
BATCHES = (24, 48, 200)  # EHIN's, TRIS's and CADD's, ES³Net's
DRAWS = 500  # batches that are drawn of each size
_WORD = re.compile("[a-z]+")
# Said by one who was shown nothing to describe, or who answers the other player; each is the whole of a sentence.
NOTHING = frozenset("no yes sorry lol that there same next it one thing t hello bad ok thanks idk wrong oops".split())


@dataclass(frozen=True, slots=True)
class Expression:
    """One sentence in lower case, the object it means, and its split ("" if the source names none)."""

    image_id: int
    ann_id: int
    sentence: str
    split: str


@dataclass(frozen=True, slots=True)
class Fact:
    """`count` of `of` are so, by split in `parts`; `effect` says what that does to training or judging here."""

    name: str
    count: int
    of: int
    effect: str
    parts: str = ""

    @property
    def value(self) -> str:
        """The count with its share, which has three digits where it is small."""
        share = 100 * self.count / self.of if self.of else 0.0
        if share >= 1:
            return f"{self.count:,} of {self.of:,} ({share:.1f} %)"
        return f"{self.count:,} ({share:.3f} %)" if self.count else "0"

    def __str__(self) -> str:
        return f"{self.name}: {self.value}{f'; {self.parts}' if self.parts else ''}. {self.effect}"


def expressions_of(refer: Refer) -> list[Expression]:
    """Of a corpus that was read, whose annotations may not be there: refs stand for objects."""
    views = {split: refer.for_training(split)[0] for split in refer.splits}
    return [Expression(s.image_id, s.ref_id, s.sentence.lower(), split) for split, view in views.items() for s in view]


def read(path: Path) -> list[Expression]:
    """From `refs(*.p)`, or from JSON lines (.jsonl, .jsonl.gz) with image_id, ann_id, sent and perhaps split.

    Raises DataError when the file is missing, damaged or lacks one of these.
    """
    try:
        if path.suffix == ".p":
            return [
                Expression(ref["image_id"], ref["ann_id"], sentence["sent"].lower(), ref["split"])
                for ref in load_refs(path)
                for sentence in ref["sentences"]
            ]
        text = gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8")
        with text as lines:
            rows = [json.loads(line) for line in lines]
        return [Expression(row["image_id"], row["ann_id"], row["sent"].lower(), row.get("split") or "") for row in rows]
    except DataError:
        raise
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as why:
        problem = f"{type(why).__name__}: {why}"
        raise DataError(f"{path}: no refs(*.p), and no JSON lines with image_id, ann_id and sent ({problem})") from None


def measure(expressions: Sequence[Expression], seed: int = 0) -> list[Fact]:
    """Every fact about a corpus. `seed` draws the batches.

    Raises DataError when there is no sentence.
    """
    if not expressions:
        raise DataError("there is no sentence to count anything in")
    return [*_objects(expressions), *_splits(expressions), *_sides(expressions), *_single(expressions),
            *_batches(expressions, seed)]  # fmt: skip


def _objects(expressions: Sequence[Expression]) -> Iterable[Fact]:
    """Equal words: of two objects of one image, and twice of one object."""
    objects = defaultdict(set)
    for e in expressions:
        objects[e.image_id, e.sentence].add(e.ann_id)
    shared = [e for e in expressions if len(objects[e.image_id, e.sentence]) > 1]
    yield Fact(
        "sentences said word for word of another object of the image", len(shared), len(expressions),
        "Whatever is answered is wrong for one of the objects; no method gets to 100", _by_split(shared),
    )  # fmt: skip
    groups = _groups(expressions)
    yield Fact(
        "objects with the same sentence twice", sum(len(set(group)) < len(group) for group in groups), len(groups),
        "It counts twice in a training, in a mean over sentences and in the multi-text prior",
    )  # fmt: skip


def _splits(expressions: Sequence[Expression]) -> Iterable[Fact]:
    """What of the other splits' sentences stands in train."""
    splits = defaultdict(list)
    for e in expressions:
        splits[e.split].append(e.sentence)
    known = set(splits.pop("train", ()))
    for split in sorted(splits, key=_order) if known else ():
        yield Fact(
            f"sentences of {split} that stand in train word for word",
            sum(sentence in known for sentence in splits[split]), len(splits[split]),
            "Their images are new, their words aren't: the split says little about free language",
        )  # fmt: skip


def _sides(expressions: Sequence[Expression]) -> Iterable[Fact]:
    """Left and right, and what becomes of them in a flipped image."""
    sided = [e for e in expressions if re.search(r"\b(?:left|right)\b", e.sentence)]
    yield Fact(
        "sentences with left or right", len(sided), len(expressions),
        "Without x these are chance; RefCOCO+'s writers were told to avoid them",
    )  # fmt: skip
    of_image = defaultdict(set)
    for e in expressions:
        of_image[e.image_id, e.sentence].add(e.ann_id)
    swapped = ((e, of_image.get((e.image_id, mirrored(e.sentence)), set())) for e in sided)
    rivals = [e for e, objects in swapped if mirrored(e.sentence) != e.sentence and objects - {e.ann_id}]
    yield Fact(
        "of these: sides swapped, said of another object of the image", len(rivals), len(sided),
        "A flip that leaves the words teaches just the wrong object; ours swaps them",
    )  # fmt: skip
    glued = sum(any(has_side(w) and not is_place(w) for w in _WORD.findall(e.sentence)) for e in expressions)
    yield Fact(
        "sides glued to a word or misspelt (`leftguy`, `lright`)", glued, len(expressions),
        "A swap of whole words leaves them, and half of the flips teach the wrong side; ours swaps them too",
    )  # fmt: skip
    just = sum(any(is_just(e.sentence, *m.span()) for m in _WORD.finditer(e.sentence)) for e in sided)
    yield Fact(
        "`right` that means `just` (`right behind`)", just, len(expressions),
        "No side: a plain swap makes nonsense of it; ours leaves it",
    )  # fmt: skip


def _single(expressions: Sequence[Expression]) -> Iterable[Fact]:
    """Sentences that can't be answered by their words, or not by all of them."""
    nothing = [e for e in expressions if e.sentence.strip() in NOTHING]
    yield Fact(
        "sentences that refer to nothing (`no`, `yes`, `sorry`)", len(nothing), len(expressions),
        "They are learnt from and judged like all others: noise, and a little off every mean", _by_split(nothing),
    )  # fmt: skip
    tokenizer = SimpleTokenizer()
    ends = 2
    # A token has a character or more, so a short sentence needn't be looked at.
    long = [e for e in expressions if len(e.sentence) + ends > TOKENS]
    cut = sum(len(tokenizer.encode(e.sentence)) + ends > TOKENS for e in long)
    yield Fact(
        f"sentences of more than {TOKENS} CLIP tokens", cut, len(expressions),
        f"EHIN and stage 2 cut them and keep the end token, TRIS loses that; LAVT cuts BERT's tokens at {TOKENS} too",
    )  # fmt: skip


def _batches(expressions: Sequence[Expression], seed: int) -> Iterable[Fact]:
    """How often a batch of refs, a sentence of each, holds equal sentences."""
    rng = np.random.default_rng(seed)
    texts = _groups(expressions)
    numbers = iter(numbered(sentence for group in texts for sentence in group))
    groups = [list(islice(numbers, len(group))) for group in texts]
    for size in BATCHES:
        if size > len(groups):
            continue
        equal = 0
        for _ in range(DRAWS):
            drawn = rng.choice(len(groups), size, replace=False)
            sentences = {groups[k][int(rng.integers(len(groups[k])))] for k in drawn.tolist()}
            equal += len(sentences) < size
        yield Fact(
            f"batches of {size} refs, a sentence of each, with equal sentences", equal, DRAWS,
            "Equal sentences are each other's negatives in eq. 4 and in TRIS's classification",
        )  # fmt: skip


def _groups(expressions: Sequence[Expression]) -> list[list[str]]:
    """The sentences of each object."""
    ordered = sorted(expressions, key=lambda e: (e.image_id, e.ann_id))
    return [[e.sentence for e in group] for _, group in groupby(ordered, key=lambda e: (e.image_id, e.ann_id))]


def _by_split(expressions: Iterable[Expression]) -> str:
    counts = Counter(e.split for e in expressions if e.split)
    return ", ".join(f"{split} {counts[split]}" for split in sorted(counts, key=_order))


def _order(split: str) -> tuple[bool, bool, str]:
    return split != "train", split != "val", split
