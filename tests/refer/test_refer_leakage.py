"""What a checkpoint has seen of a split, as far as declared."""

import json
import re

import pytest
from test_refer_corpora import a_corpus, fails

from wsris_lib.infra.artefacts import REPO
from wsris_lib.refer.leakage import SETS, exposure, read_declarations
from wsris_lib.refer.reader import Refer
from wsris_lib.setup.doctor import DECLARED


@pytest.fixture(scope="module")
def val(tmp_path_factory):
    return Refer(a_corpus(tmp_path_factory.mktemp("refer"))).training_view("val")  # two images


@pytest.mark.parametrize(
    ("sets", "leaked", "verdict"),
    [
        (["coco-train2017"], True, "saw 2 of 2 images of val as far as declared"),
        (
            ["coco-train2014", "web"],
            True,
            "saw 2 of 2 images of val as far as declared; not to be told for web",
        ),
        (["objects365"], False, "saw 0 of 2 images of val as far as declared"),
        (["coco-val2017", "coco-val2014", "sa-1b", "sa-v"], False, "saw 0 of 2 images of val as far as declared"),
        (
            ["imagenet", "objects365", "lvis-train"],
            False,
            "saw 0 of 2 images of val as far as declared; not to be told for imagenet, lvis-train",
        ),
    ],
)
def test_what_was_seen_and_what_cannot_be_told(val, sets, leaked, verdict):
    assert exposure(val, "val", "model", {"model": sets, "other": ["web"]}) == (leaked, verdict)


def test_undeclared_is_not_clean(val):
    assert exposure(val, "val", "mystery", {"model": ["objects365"]}) == (False, "undeclared")


def test_photographs_that_are_not_cocos_are_not_judged_by_it(tmp_path):
    root = a_corpus(tmp_path, "refclef", "berkeley", ("test",), lambda i: f"{i}.jpg", "images/saiapr_tc-12")
    view = Refer(root, "refclef", "berkeley").evaluation_view("test")
    fails(lambda: exposure(view, "test", "model", {"model": ["coco-train2014"]}), "saiapr_tc-12", "COCO")
    assert exposure(view, "test", "another", {}) == (False, "undeclared")


def test_the_shipped_declarations_are_as_data_readme_has_them():
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|", (REPO / "data" / "README.md").read_text("utf-8"), re.M)
    table = {name.strip("`"): text for name, text in rows}
    declared = read_declarations(DECLARED)
    assert len(declared) == 12
    assert {name: table.get(name) for name in declared} == {name: ", ".join(sets) for name, sets in declared.items()}
    shares = {name: text for names, text in table.items() for name in names.split(", ")}
    words = {"all": ("all",), "none": ("none",), None: ("some", "not known")}
    assert all(shares[name] in words[share] for name, share in SETS.items())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", ("can't be read",)),
        ("\xff", ("can't be read",)),
        ('[{"a": ["web"]}]', ("expected {",)),
        ('{"a": []}', ("a has []", "coco-train2017")),
        ('{"a": ["coco"]}', ("'coco'", "coco-train2017")),
        ('{"a": [["coco-train2014"]]}', ("a has [[", "objects365")),
        ('{"a": "web"}', ("'web'", "list")),
    ],
)
def test_bad_declarations(tmp_path, text, message):
    path = tmp_path / "declared.json"
    path.write_text(text, encoding="latin-1")
    fails(lambda: read_declarations(path), path, *message)
    fails(lambda: read_declarations(tmp_path / "none.json"), tmp_path / "none.json", "can't be read")


def test_a_checkpoint_of_ones_own_may_be_declared(tmp_path, val):
    path = tmp_path / "declared.json"
    path.write_text(json.dumps({"me/mine": ["coco-train2017", "visual-genome"]}))
    leaked, verdict = exposure(val, "val", "me/mine", read_declarations(path))
    assert leaked and verdict.endswith("not to be told for visual-genome")
