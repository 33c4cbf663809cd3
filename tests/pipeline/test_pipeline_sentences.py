"""Sentences as people type them: what becomes of marks, and which words a run's models can read."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsris_lib.pipeline.sentences import WORD, Words, plain


def words(*trained: str) -> Words:
    view = [SimpleNamespace(sentence=sentence) for sentence in trained]
    corpus = SimpleNamespace(training_view=lambda split: view)
    return Words(SimpleNamespace(profile=SimpleNamespace(text="zoo:text", train_split="train"), corpus=corpus))


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("the “red” mug’s handle", 'the "red" mug\'s handle'),
        ("the left–most mug", "the left-most mug"),
        ("the\u00a0red\tmug\r\n on the left ", "the red mug on the left"),
        ("ｍｕｇ ２", "mug 2"),
        ("the \u200bred\u200d mug\ufeff", "the red mug"),
        ("the ﬁrst mug…", "the first mug..."),
        ("the mug \udce9", "the mug �"),
    ],
)
def test_marks_are_made_plain(typed, read):
    assert plain(typed) == read


@pytest.mark.parametrize("typed", ["", " \n", "?!", "🙂", "“”", "___", "\u200b", "…"])
def test_a_sentence_without_a_word_is_refused(typed):
    with pytest.raises(ValueError, match=r"the sentence (is empty|has no word).*say which object is meant"):
        plain(typed)


@given(st.text())
def test_what_is_plain_stays_so_and_has_a_word(typed):
    try:
        read = plain(typed)
    except ValueError:
        return
    assert plain(read) == read and WORD.search(read) and "\n" not in read


@pytest.mark.parametrize(
    ("sentence", "unread"),
    [
        ("the red mug on the left", []),
        ("The RED Mug!", []),
        ("the mugs on the left", []),  # "mug" and an ending
        ("the person on the left", ["person"]),
        ("the red mug 🙂 → left", ["🙂", "→"]),
        ("the red кружка", ["кружка"]),
        ("the red 杯子", ["杯子"]),
        ("the mug xyzzy", ["xyzzy"]),
    ],
)
def test_what_a_miniature_cannot_read_is_named(sentence, unread):
    text, missed = words().read(sentence)
    assert missed == unread and text == sentence


@pytest.mark.parametrize(
    "sentence", ["the person", "asdf qwerty", "красная кружка слева", "红色的杯子", "the 🙂 of a zebra"]
)
def test_a_sentence_of_which_no_word_is_known_is_refused(sentence):
    with pytest.raises(ValueError, match=r"knows no word of .* it learnt from sentences like 'a green cone'"):
        words("a green cone").read(sentence)


def test_what_was_trained_on_is_known_in_any_script():
    own = words("красная кружка", "红色的杯子", "the zebra")
    for sentence in ("кружка", "杯子", "the Zebra"):
        assert own.read(sentence)[1] == []
    assert own.read("the zebra кот")[1] == ["кот"]  # its letters: к, т, а, but no о
