"""A sentence as people type or paste it: marks made plain, and the words that a run's models can't read named."""

import re
import unicodedata
from functools import cached_property

from transformers import AutoTokenizer

from wsris_lib.frozen.loading import beside
from wsris_lib.pipeline.run import Run

PLAIN = str.maketrans(dict.fromkeys("‘’‚‛′`´", "'") | dict.fromkeys("“”„‟″«»", '"') | dict.fromkeys("‐‑‒–—―−", "-"))
EMPTY = frozenset("a an the of".split())  # words that mean no thing, place or quality
WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
LETTERS = 2  # of a word to each of its pieces; fewer, and the word is spelt out: "p ##e ##r ##s ##o ##n"
MARKS = {"So", "Sk", "Sm", "Sc"}  # kinds of characters: emoji, arrows, currencies


def plain(sentence: str) -> str:
    """The sentence in one line, quotes and dashes straight, full-width letters and ligatures as plain ones.

    Raises ValueError for one without a letter or a digit, of which every network makes something.
    """
    printed = "".join(_printed(letter) for letter in sentence).translate(PLAIN)
    text = unicodedata.normalize("NFKC", printed).translate(PLAIN)
    if not WORD.search(text):
        what = f"has no word: {sentence.strip()!r:.40}" if sentence.strip() else "is empty"
        raise ValueError(f'the sentence {what}; say which object is meant, e.g. "the mug on the left"')
    return " ".join(text.split())


def _printed(letter: str) -> str:
    """Line breaks as spaces, nothing for what has no width, a mark for half of a character."""
    kind = unicodedata.category(letter)
    return " " if letter.isspace() else "�" if kind == "Cs" else "" if kind in ("Cc", "Cf") else letter


class Words:
    """Which words the models of a run can read: those of its training sentences, and of the sentence encoder.

    A word that falls apart into its letters, a mark and a script that neither has mean nothing to them.
    """

    def __init__(self, run: Run):
        self._run = run
        self._tokenizer = beside(AutoTokenizer, run.profile.text)

    def read(self, sentence: str) -> tuple[str, list[str]]:
        """The sentence made `plain`, and what of it can't be read: words, marks, emoji.

        Raises ValueError for a sentence of which no word can be read; articles don't count.
        """
        text = plain(sentence)
        words = dict.fromkeys(WORD.findall(text.lower()))
        unread = [word for word in words if not self.knows(word)]
        if words.keys() <= EMPTY.union(unread):
            like = next((sample.sentence for sample in self._view()), "the mug on the left")
            raise ValueError(f"the network knows no word of {text!r:.60}; it learnt from sentences like {like!r}")
        return text, unread + [c for c in dict.fromkeys(text) if unicodedata.category(c) in MARKS]

    def knows(self, word: str) -> bool:
        """Whether a word, in lower case, is one of the vocabulary, a few pieces of it, or was trained on."""
        if all(unicodedata.name(letter, "").startswith(("LATIN", "DIGIT", "APOSTROPHE")) for letter in word):
            ids = self._tokenizer(word, add_special_tokens=False)["input_ids"]
            whole = len(ids) == 1 or word.isdecimal() or len(word) >= LETTERS * len(ids)
            if whole and self._tokenizer.unk_token_id not in ids:
                return True
        words, letters = self._trained
        return word in words or (not word.isascii() and set(word) <= letters)

    @cached_property
    def _trained(self) -> tuple[set[str], set[str]]:
        """The words of the training sentences, and their letters: some scripts have no spaces."""
        sentences = " ".join(sample.sentence.lower() for sample in self._view())
        return set(WORD.findall(sentences)), set(sentences)

    def _view(self):
        return self._run.corpus.training_view(self._run.profile.train_split)
