"""Each peculiarity of a corpus is counted right, on sentences made for it and on the real ones where they are."""

import gzip
import json
import pickle

import pytest

from wsris_lib.infra.artefacts import REPO
from wsris_lib.refer import facts
from wsris_lib.refer.errors import DataError
from wsris_lib.refer.facts import Expression, Fact

SHARED = REPO.parent / "shared"
TEXT = SHARED / "refcoco_text" / "refcoco.jsonl.gz"


def counts(expressions):
    return {fact.name: (fact.count, fact.of, fact.parts) for fact in facts.measure(expressions)}


def corpus(*rows):
    return [Expression(*row) for row in rows]


def test_equal_words_of_two_objects_and_of_one():
    counted = counts(corpus((1, 1, "dog", "train"), (1, 2, "dog", "train"), (2, 3, "dog", "val"), (2, 3, "dog", "val")))
    assert counted["sentences said word for word of another object of the image"] == (2, 4, "train 2")
    assert counted["objects with the same sentence twice"] == (1, 3, "")
    assert counted["sentences of val that stand in train word for word"] == (2, 2, "")


def test_sides_and_what_a_flip_does_to_them():
    sentences = "left cup|right cup|leftguy|topleft|upright bear|right behind the cup|on the right behind it|lright dog"
    counted = counts(corpus(*((1, k, sentence, "") for k, sentence in enumerate(sentences.split("|")))))
    assert counted["sentences with left or right"][0] == 4
    assert counted["of these: sides swapped, said of another object of the image"][:2] == (2, 4)
    assert counted["sides glued to a word or misspelt (`leftguy`, `lright`)"][0] == 2
    assert counted["`right` that means `just` (`right behind`)"][0] == 1
    assert not any("stand in train" in name for name in counted), "without splits there is no train"


def test_sentences_of_nothing_and_those_that_are_cut():
    at_limit = " ".join(["cup"] * (facts.TOKENS - 2))
    counted = counts(corpus((1, 1, "sorry", "val"), (2, 2, at_limit, "train"), (3, 3, f"{at_limit} cup", "train")))
    assert counted["sentences that refer to nothing (`no`, `yes`, `sorry`)"] == (1, 3, "val 1")
    assert counted["sentences of more than 20 CLIP tokens"][0] == 1


def test_batches_with_equal_sentences():
    different = corpus(*((k, k, f"cup {k}", "train") for k in range(60)))
    alike = corpus(*((k, k, f"cup {k % 5}", "train") for k in range(60)))
    name = "batches of 24 refs, a sentence of each, with equal sentences"
    assert counts(different)[name][:2] == (0, facts.DRAWS)
    assert counts(alike)[name][:2] == (facts.DRAWS, facts.DRAWS)
    assert not any("batches of 200" in name for name in counts(alike)), "more than there are refs"


def test_a_fact_says_its_share():
    assert Fact("a", 0, 9, "").value == "0"
    assert Fact("a", 195, 142_210, "").value == "195 (0.137 %)"
    assert str(Fact("a", 5, 10, "That hurts", "val 5")) == "a: 5 of 10 (50.0 %); val 5. That hurts"


def test_both_kinds_of_files_are_read_alike(tmp_path):
    refs = [{"image_id": 1, "ann_id": 2, "split": "val", "sentences": [{"sent": "Red mug"}, {"sent": "mug"}]}]
    (tmp_path / "refs(unc).p").write_bytes(pickle.dumps(refs))
    rows = [{"image_id": 1, "ann_id": 2, "sent": sentence, "split": "val"} for sentence in ("Red mug", "mug")]
    (tmp_path / "lines.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    with gzip.open(tmp_path / "lines.jsonl.gz", "wt") as file:
        file.write((tmp_path / "lines.jsonl").read_text())
    expected = [Expression(1, 2, "red mug", "val"), Expression(1, 2, "mug", "val")]
    for name in ("refs(unc).p", "lines.jsonl", "lines.jsonl.gz"):
        assert facts.read(tmp_path / name) == expected


@pytest.mark.parametrize("text", ["", "[1]\n", "{\n", '{"image_id": 1}\n', '{"image_id": 1, "ann_id": 1, "sent": 3}\n'])
def test_bad_files_are_named(tmp_path, text):
    path = tmp_path / "lines.jsonl"
    path.write_text(text)
    with pytest.raises(DataError) as error:
        facts.measure(facts.read(path))
    assert str(path) in str(error.value) or "no sentence" in str(error.value)
    with pytest.raises(DataError, match="missing"):
        facts.read(tmp_path / "missing.jsonl.gz")


@pytest.mark.slow
@pytest.mark.skipif(not TEXT.is_file(), reason="RefCOCO's sentences aren't at hand")
def test_the_table_in_the_documents_is_that_of_the_real_sentences():
    rows = [line.split(" | ")[:2] for line in (REPO / "docs" / "data.md").read_text("utf-8").splitlines()]
    printed = {row[0].removeprefix("| "): row[1] for row in rows if len(row) == 2}
    for fact in facts.measure(facts.read(TEXT)):
        assert printed[fact.name] == fact.value + (f": {fact.parts}" if fact.parts else "")
