"""Entries of the wrong kind: which, how many, what they are and what was expected, all of them at once."""

import json
import math
import pickle

import pytest
import small_corpus

from wsris_lib.refer.errors import DataError
from wsris_lib.refer.pairs import Pairs
from wsris_lib.refer.reader import Refer

VAL = 2  # the position of val's image, annotation and ref


def message(call):
    with pytest.raises(DataError) as error:
        call()
    return str(error.value)


def each(name, value):
    """A change of one field of every ref."""
    return lambda instances, refs: [ref.update({name: value(ref)}) for ref in refs]


def of(part, **fields):
    """A change of val's entry in instances.json."""
    return lambda instances, refs: instances[part][VAL].update(fields)


def of_ref(**fields):
    return lambda instances, refs: refs[VAL].update(fields)


def again(part):
    """Val's entry once more."""
    return lambda instances, refs: instances[part].append(dict(instances[part][VAL], height=7))


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (
            each("ann_id", lambda ref: str(ref["ann_id"])),
            ("4 ref(s) whose ann_id is text", "ref 1: '10'", "and 1 more"),
        ),
        (each("ref_id", lambda ref: float(ref["ref_id"])), ("4 ref(s) whose ref_id is a number with a fraction",)),
        (of_ref(image_id=None), ("1 ref(s) whose image_id is empty, expected a whole number: ref 3: None",)),
        (of_ref(split=["val"]), ("1 ref(s) whose split is a list, expected text: ref 3",)),
        (of_ref(ref_id=True), ("1 ref(s) whose ref_id is true or false",)),
        (of_ref(ref_id=1), ("1 ref_id(s) used more than once: 1 (2 times)", "each needs its own")),
        (of_ref(sentences=[{"sent_id": 2, "sent": "mug"}]), ("1 sent_id(s) used more than once: 2 (2 times)",)),
        (of_ref(sentences=[{"sent_id": "6", "sent": "mug"}]), ("1 sentence(s) whose sent_id is text", "ref 3: '6'")),
        (of_ref(sentences=[{"sent_id": 6, "sent": "mug \ud83d"}]), ("1 sentence(s) with half a character", "ref 3")),
        (of_ref(ref_id=10**30), ("1 ref(s) whose ref_id is a number of more than 64 bits",)),
        (of_ref(sentences="the mug"), ("1 ref(s) without a list 'sentences': ref 3: 'the mug'",)),
        (of("images", height="24"), ("1 image(s) whose height is text, expected a whole number: image 3: '24'",)),
        (of("images", width=32.5), ("1 image(s) whose width is a number with a fraction",)),
        (of("images", width=0), ("1 image(s) whose width is no size: image 3: 0",)),
        (of("images", file_name=3), ("1 image(s) whose file_name is a number, expected text: image 3: 3",)),
        (of("images", file_name="a" * 300), ("1 image(s) whose file_name no disk can hold: image 3: 'aaa",)),
        (of("images", file_name="a\0"), (r"1 image(s) whose file_name no disk can hold: image 3: 'a\x00'",)),
        (
            of("images", height=10**9, width=10**9),
            ("1 image(s) of more than the 178,956,970 pixels that are read: image 3: 1000000000 x 1000000000",),
        ),
        (of("annotations", bbox=[10**400, 2, 3, 4]), ("annotation 30: [1000",)),
        (again("images"), ("1 image id(s) used more than once: 3 (2 times)",)),
        (again("annotations"), ("1 annotation id(s) used more than once: 30 (2 times)",)),
        (of("annotations", id="30"), ("1 annotation(s) whose id is text",)),
        (of("annotations", category_id=[3]), ("1 annotation(s) whose category_id is a list",)),
        (
            of("annotations", bbox=None),
            ("1 annotation(s) whose bbox isn't [x, y, width, height]", "annotation 30: None"),
        ),
        (of("annotations", bbox=[1, 2, 3]), ("annotation 30: [1, 2, 3]",)),
        (of("annotations", bbox=[1, 2, "3", 4]), ("annotation 30: [1, 2, '3', 4]",)),
        (of("annotations", bbox=[1, 2, math.nan, 4]), ("annotation 30: [1, 2, nan, 4]",)),
    ],
)
def test_an_entry_of_the_wrong_kind_is_named(tmp_path, change, parts):
    root = small_corpus.write(tmp_path, change)
    text = message(lambda: Refer(root).evaluation_view("val"))
    assert text.startswith(str(root / "refcoco"))
    assert all(part in text for part in parts), text


@pytest.mark.parametrize("fields", [dict(ann_id=[30, 20]), dict(ann_id=[-1], no_target=True)])
def test_grefcoco_is_called_by_its_name(tmp_path, fields):
    root = small_corpus.write(tmp_path, of_ref(**fields))
    text = message(lambda: Refer(root))
    assert "\n" not in text
    assert "this is gRefCOCO: 1 of 4 refs mean several objects or none" in text and "--corpus refcoco" in text


def test_grefcoco_is_known_by_its_file(tmp_path):
    root = small_corpus.write(tmp_path, corpus="grefcoco")
    (root / "grefcoco" / "refs(unc).p").rename(root / "grefcoco" / "grefs(unc).json")
    text = message(lambda: Refer(root, "grefcoco"))
    assert "grefs(unc).json" in text and "this is gRefCOCO" in text and "\n" not in text


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    def spoil(instances, refs):
        refs[0]["split"] = 7
        refs[1].pop("image_id")
        refs[2]["ref_id"] = 4
        for ref in refs:
            ref["sentences"][0].pop("sent")
        instances["images"][0]["width"] = "32"

    text = message(lambda: Refer(small_corpus.write(tmp_path, spoil)))
    lines = text.splitlines()
    assert sum("refs(unc).p: " in line for line in lines) == 4, text
    assert "instances.json: 1 image(s) whose width is text" in text, "another file's, too"
    assert "1 ref(s) without 'image_id': ref 2" in text and "4 sentence(s) without 'sent'" in text
    assert "    and 1 more" in lines, "three examples of four"


def test_training_needs_no_annotation_id(tmp_path):
    root = small_corpus.write(tmp_path, lambda instances, refs: [ref.pop("ann_id") for ref in refs])
    assert len(Refer(root).training_view("train")) == 4
    assert "ref 3 has ann_id None" in message(lambda: Refer(root).evaluation_view("val"))


def test_a_file_with_a_mark_of_its_encoding_is_read(tmp_path):
    path = small_corpus.write(tmp_path) / "refcoco" / "instances.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(Refer(tmp_path).evaluation_view("val")) == 2


def test_entries_that_lack_a_field_are_counted(tmp_path):
    path = small_corpus.write(tmp_path) / "refcoco" / "instances.json"
    content = json.loads(path.read_text())
    for annotation in content["annotations"]:
        del annotation["bbox"]
    path.write_text(json.dumps(content))
    assert "4 entries of 'annotations' that lack one of id, image_id" in message(
        lambda: Refer(tmp_path).evaluation_view("val")
    )


def test_a_pickle_of_something_else_is_named(tmp_path):
    path = small_corpus.write(tmp_path) / "refcoco" / "refs(unc).p"
    path.write_bytes(pickle.dumps({"train": []}, protocol=2))
    assert "holds dict, expected a list of dicts" in message(lambda: Refer(tmp_path))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n",
            "get the file itself by `git lfs pull`",
        ),
        (b"<!DOCTYPE html><html>", "a web page; download the file itself"),
    ],
)
@pytest.mark.parametrize("name", ["refcoco/refs(unc).p", "refcoco/instances.json", "pairs.csv"])
def test_what_lies_in_place_of_a_file_is_named(tmp_path, name, data, message):
    root = small_corpus.write(tmp_path)
    (root / name).write_bytes(data)
    assert message in cause(root / name)


def cause(path):
    return message(lambda: Pairs(path) if path.suffix == ".csv" else Refer(path.parents[1]))


def test_refs_that_are_no_pickle_are_not_another_split(tmp_path):
    root = small_corpus.write(tmp_path)
    (root / "refcoco" / "refs(unc).p").rename(root / "refcoco" / "refs(unc).json")
    text = message(lambda: Refer(root))
    assert "has refs(unc).json; write a pickle" in text and "--split-by" not in text


def test_a_name_with_folders_is_shown_with_them(tmp_path):
    """Of an image that another machine had elsewhere."""
    root = small_corpus.write(tmp_path, of("images", file_name="/elsewhere/COCO_train2014_000000000003.jpg"))
    assert "needs /elsewhere/COCO_" in message(lambda: Refer(root).evaluation_view("val"))
