"""What a checkpoint has seen of a split, as far as declared."""

import json

import pytest
from test_refer_corpora import COCO_SPLITS, MINI, a_corpus, fails

from wsris_lib.refer.leakage import SETS, Exposure, exposure, read_declarations, shared_images
from wsris_lib.refer.reader import Refer


@pytest.fixture(scope="module")
def refer(tmp_path_factory):
    return Refer(a_corpus(tmp_path_factory.mktemp("refer")))  # images 1, 2 train, 3, 4 val, 5 to 8 tests


@pytest.fixture
def declared(tmp_path):
    def declare(*entries):
        path = tmp_path / "seen.json"
        path.write_text(json.dumps(list(entries) if len(entries) != 1 else entries[0]))
        return read_declarations(path)

    return declare


@pytest.mark.parametrize(
    ("told", "seen", "verdict"),
    [
        ({"sets": ["coco-train2017"]}, 2, "seen"),
        ({"sets": ["coco-train2014", "web"]}, 2, "seen"),
        ({"sets": ["objects365"]}, 0, "none declared"),
        ({"sets": ["coco-val2017", "coco-val2014"]}, 0, "none declared"),
        ({"sets": ["imagenet"]}, 0, "undecided"),
        ({"sets": ["lvis-train", "objects365"]}, 0, "undecided"),
        ({"images": [4, 5, 99]}, 1, "seen"),
        ({"images": []}, 0, "none declared"),
        ({"images": [1, 2, 5], "sets": ["imagenet"]}, 0, "undecided"),
        ({"all_but": [3, 4, 5, 6, 7, 8]}, 0, "none declared"),
        ({"all_but": [3]}, 1, "seen"),
        ({"all_but": [3, 4], "images": [3]}, 1, "seen"),
    ],
)
def test_images_that_were_seen_are_counted(refer, declared, told, seen, verdict):
    found = exposure(refer.evaluation_view("val"), "model", declared({"checkpoint": "model", **told}))
    assert (found.seen, found.images, found.verdict) == (seen, 2, verdict)
    assert "as far as declared" in str(found) and f"{seen} of the split's 2 images" in str(found)


def test_an_annotation_file_declares_its_images(refer, declared, tmp_path):
    (tmp_path / "lvis.json").write_text(json.dumps({"images": [{"id": 3}, {"id": 70}], "annotations": []}))
    its = declared({"checkpoint": "detector", "instances": "lvis.json"}, {"checkpoint": "other", "images": [9]})
    assert exposure(refer.training_view("val"), "detector", its).seen == 1
    assert exposure(refer.training_view("val"), "other", its).seen == 0


def test_undeclared_is_not_clean(refer, declared):
    found = exposure(refer.evaluation_view("testA"), "mystery", declared({"checkpoint": "model", "images": []}))
    assert found == Exposure("mystery", 2, None) and found.verdict == "undeclared"
    assert "nobody declared" in str(found) and "not known" in str(found) and "0 of" not in str(found)


def test_what_cannot_be_looked_up_is_said(refer, declared):
    its = declared({"checkpoint": "model", "sets": ["imagenet", "web", "objects365"], "images": [3]})
    said = str(exposure(refer.evaluation_view("val"), "model", its))
    assert "and can be looked up, it saw 1 of the split's 2 images" in said
    assert "imagenet can't be looked up" in said and "web can't" in said and "objects365" not in said
    assert "\n" not in said


def test_every_set_has_its_share_and_reason():
    assert {share for share, _ in SETS.values()} == {"all", "part", "none", "unknown"}
    assert all(reason for _, reason in SETS.values())


def test_photographs_that_are_not_cocos_have_other_ids(tmp_path, declared):
    root = a_corpus(tmp_path, "refclef", "berkeley", ("test",), lambda i: f"{i}.jpg", "images/saiapr_tc-12")
    view = Refer(root, "refclef", "berkeley").evaluation_view("test")
    its = declared({"checkpoint": "model", "sets": ["coco-train2014"]})
    fails(lambda: exposure(view, "model", its), "saiapr_tc-12", "COCO")
    assert exposure(view, "another", its).verdict == "undeclared"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", ("not valid JSON",)),
        ("\xff", ("not valid JSON",)),
        ("3", ("declaration 1", "`checkpoint`", "3")),
        ('{"images": [1]}', ("declaration 1", "`checkpoint`")),
        ('{"checkpoint": "", "images": [1]}', ("declaration 1", "`checkpoint`")),
        ('[{"checkpoint": "a", "images": []}, {"checkpoint": "b"}]', ("declaration 2", "declares nothing", "all_but")),
        (
            '[{"checkpoint": "a", "images": []}, {"checkpoint": "a", "images": [1]}]',
            ("declaration 2", "a was declared"),
        ),
        ('{"checkpoint": "a", "image": [1]}', ("'image'", "images", "instances")),
        ('{"checkpoint": "a", "images": {"9": 1}}', ("images is", "list of ids")),
        ('{"checkpoint": "a", "images": [1, "2"]}', ("images[1]", "'2'", "whole number")),
        ('{"checkpoint": "a", "all_but": [true]}', ("all_but[0]", "True")),
        ('{"checkpoint": "a", "all_but": [1.0]}', ("all_but[0]", "1.0")),
        ('{"checkpoint": "a", "sets": ["coco"]}', ("'coco'", "coco-train2017")),
        ('{"checkpoint": "a", "sets": [["coco-train2014"]]}', ("sets is", "objects365")),
        ('{"checkpoint": "a", "sets": "web"}', ("'web'", "list")),
        ('{"checkpoint": "a", "instances": 3}', ("instances is 3", "path")),
    ],
)
def test_bad_declarations(tmp_path, text, said):
    path = tmp_path / "seen.json"
    path.write_text(text, encoding="latin-1")
    fails(lambda: read_declarations(path), path, *said)


def test_missing_files(tmp_path):
    fails(lambda: read_declarations(tmp_path / "seen.json"), tmp_path / "seen.json", "can't be read")
    fails(lambda: read_declarations(tmp_path), tmp_path, "can't be read")
    (tmp_path / "seen.json").write_text('{"checkpoint": "a", "instances": "none.json"}')
    fails(lambda: read_declarations(tmp_path / "seen.json"), tmp_path / "none.json", "no such file")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[", "not valid JSON"),
        ("{}", "'images'"),
        ('{"images": [{}]}', "images[0]"),
        ('{"images": [{"id": "9"}]}', "'9'"),
    ],
)
def test_bad_annotation_files(tmp_path, content, said):
    (tmp_path / "lvis.json").write_text(content)
    (tmp_path / "seen.json").write_text('{"checkpoint": "a", "instances": "lvis.json"}')
    fails(lambda: read_declarations(tmp_path / "seen.json"), tmp_path / "lvis.json", said)


def test_corpora_that_share_images(refer, tmp_path):
    google = Refer(a_corpus(tmp_path, "refcocog", "google", ("train", "train", "val")), "refcocog", "google")
    assert shared_images(google.training_view("train"), refer.evaluation_view("val")) == [3, 4]
    assert shared_images(google.training_view("val"), refer.training_view("testA")) == [5, 6]
    views = [refer.training_view(split) for split in COCO_SPLITS]
    assert not any(shared_images(a, b) for a in views for b in views if a is not b)


def test_equal_ids_of_different_photographs_are_no_overlap(refer, tmp_path):
    root = a_corpus(tmp_path, "refclef", "unc", ("train",), lambda i: f"{i}.jpg", "images/saiapr_tc-12")
    other = Refer(root, "refclef", "unc").training_view("train")
    fails(lambda: shared_images(refer.training_view("train"), other), "image 1", "saiapr_tc-12", "can't be compared")


def test_the_real_miniature(declared):
    if not MINI.is_dir():
        pytest.skip(f"{MINI} is absent")
    mini = Refer(MINI)
    train, val = mini.training_view("train"), mini.evaluation_view("val")
    assert shared_images(train, val) == []
    its = declared(
        {"checkpoint": "detector", "sets": ["coco-train2017"]},
        {"checkpoint": "careful", "all_but": val.image_ids},
        {"checkpoint": "ours", "images": train.image_ids},
    )
    assert [exposure(val, name, its).seen for name in ("detector", "careful", "ours")] == [71, 0, 0]
    assert [exposure(train, name, its).seen for name in ("detector", "careful", "ours")] == [600, 600, 600]
