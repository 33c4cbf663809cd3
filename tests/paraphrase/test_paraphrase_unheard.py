"""Wordings for tests alone: true, and none that training makes."""

import gzip
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest

from wsris_lib.infra.artefacts import REPO
from wsris_lib.paraphrase import rules, unheard
from wsris_lib.paraphrase.checker import facts_of_place, why_rejected
from wsris_lib.synref import draw, grammar, wording
from wsris_lib.synref.styles import STYLES


def synref(style: str, scenes: int = 25) -> list[grammar.Sentence]:
    """Sentences of scenes, with what they mean."""
    sentences = []
    for index in range(scenes):
        drawing = draw.draw_one((23, 0), index, 128)
        rng = np.random.default_rng(index)
        for refer in (grammar.refer_all, grammar.refer_parts):
            sentences += [s for group in refer(drawing, rng, STYLES[style]).values() for s in group if not s.noisy]
    return sentences


def real() -> list[str]:
    path = REPO.parent / "shared" / "refcoco_text" / "refcoco.jsonl.gz"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line)["sent"] for line in lines][::400]


def samples_of(sentences) -> list[SimpleNamespace]:
    return [SimpleNamespace(sentence=s) for s in sentences]


@pytest.mark.parametrize("style", ["refcoco", "refcocog"])
def test_what_is_meant_stays_the_same(style):
    """By SynRef's own record of what a sentence means, and not only by the checker."""
    sentences = synref(style)
    paraphrases = unheard.unheard(samples_of(s.text for s in sentences))
    assert np.mean([bool(other) for other in paraphrases]) > 0.9
    orders = set()
    for sentence, other in ((s, o) for s, o in zip(sentences, paraphrases) if o):
        meaning = sentence.meaning
        words = other.split()
        assert why_rejected(sentence.text, other) == "" and facts_of_place(other) == facts_of_place(sentence.text)
        synonyms = {new: old for old, new in unheard.SYNONYMS.items()}
        kept = {*words, *(synonyms.get(word, word) for word in words)}
        for fact, value in (*meaning.description.items(), *meaning.landmark.items()):
            ways = wording.NOUNS.get(value, ()) if fact == "category" else wording.WORDS.get(value, (value,))
            assert kept & {*ways, value} or value in wording.ORDINARY, (sentence.text, other)
        thing, landmark = (
            {*wording.NOUNS.get(d.get("category", ""), ())} for d in (meaning.description, meaning.landmark)
        )
        if meaning.relation and not meaning.part and thing and not thing & landmark:
            words = [synonyms.get(word, word) for word in words]
            first = [
                min((words.index(noun) for noun in nouns if noun in words), default=-1) for nouns in (thing, landmark)
            ]
            turned = re.search(r" is the ", other) is not None
            orders.add(turned)
            assert min(first) >= 0 and (first[1] < first[0]) == turned, (sentence.text, other)
    assert orders == {False, True}


def test_none_is_a_wording_that_training_makes():
    sentences = sorted({s.text for style in STYLES for s in synref(style, 8)})
    sentences += sorted(set(real())) if (REPO.parent / "shared" / "refcoco_text").is_dir() else []
    training = rules.paraphrase_each(sentences, 4)  # more than the three that are used
    for seed in range(3):
        for sentence, other in zip(sentences, unheard.unheard(samples_of(sentences), seed)):
            assert not other or (other not in training[sentence] and other != sentence)


def test_both_families_have_no_word_and_no_form_in_common():
    new = set(unheard.SYNONYMS.values())
    assert not new & {word for group in rules.SYNONYMS for word in group} and not new & {*unheard.SYNONYMS}
    forms = {
        form.format(at=at, what="{}") for places in unheard.PLACES.values() for at in places for form in unheard.PLACED
    }
    other_forms = {form for table in (rules.PLACES, rules.EXTRA) for ways in table.values() for form in ways}
    other_forms |= {
        form for few, many in wording.PLACES.values() for form in (*few, *many)
    }  # nor with SynRef's grammar
    assert not forms & {re.sub("^the ", "", form) for form in other_forms}
    relations = {way for others in unheard.RELATIONS.values() for way in others}
    theirs = {way for group in rules.RELATIONS for way in group} | {
        w for ways in wording.RELATIONS.values() for w in ways
    }
    assert not relations & theirs
    phrases = [instead.replace("\\1", "").strip() for _, instead in unheard.PHRASES]
    assert not any(phrase in instead for phrase in phrases for _, instead in rules.PHRASES)
    assert set(unheard.PLACES) == set(rules.PLACES)


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("left mug", "at the left of the picture is the mug"),
        ("the man who is eating on the right", "at the right hand side is the man who is eating"),
        ("farthest tree", "tree which is at the back"),
        ("handle of the left mug", "handle of that mug at the left of the picture"),
        ("cup left of the plate", "on the left side of the plate is the cup"),
        ("woman in a red dress", "that woman dressed in a red dress"),
        ("two dogs on the left", "at the left of the picture two dogs"),
        ("orange", "the one which is an orange"),
        ("on the left", "that one at the left of the picture"),
        ("chair behind the table", "behind the table is the seat"),
    ],
)
def test_what_it_can_say(sentence, expected):
    assert expected in {unheard.reword(sentence, np.random.default_rng(seed)) for seed in range(60)}


def test_what_it_leaves_alone():
    for sentence in ("left of the car", "man in front second from the left", "second left between the two", ""):
        assert unheard.unheard(samples_of([sentence])) == [""]


def test_real_sentences_are_reworded_too_and_alike_in_every_order():
    sentences = real()
    paraphrases = unheard.unheard(samples_of(sentences))
    assert np.mean([bool(other) for other in paraphrases]) > 0.7
    assert (
        unheard.unheard(samples_of(sentences[::-1]))
        == paraphrases[::-1]
        != unheard.unheard(samples_of(sentences[::-1]), seed=1)
    )
    assert all(why_rejected(s, o) == "" for s, o in zip(sentences, paraphrases) if o)
