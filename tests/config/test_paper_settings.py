"""data/papers/settings.csv: each setting of the profile `paper` beside what a paper, or the code it refers to, says."""

import csv
import json
import re

import pytest

from wsris_lib.config import profiles
from wsris_lib.config.changes import settings_of
from wsris_lib.experiments.papers import FOLDER
from wsris_lib.infra.artefacts import REPO

TEXTS = {"ES3Net": "000_9dfda1806d6fbcae.txt", "EHIN": "002_a8ce23baa347b070.txt"}
SHARED = REPO.parent / "shared" / "papers"
with open(FOLDER / "settings.csv", encoding="utf-8", newline="") as _lines:
    ROWS = {row["setting"]: row for row in csv.DictReader(_lines)}
STATED = {name: row for name, row in ROWS.items() if row["source"] != "neither"}
PAPERS = {name: row for name, row in STATED.items() if row["source"].startswith(tuple(TEXTS))}


@pytest.fixture(scope="module")
def paper():
    """The profile as a user gets it, on the CPU."""
    return settings_of(profiles.load("paper", device="cpu"))


def test_every_setting_has_its_row_and_no_row_is_of_another(paper):
    assert list(ROWS) == list(paper)


@pytest.mark.parametrize("name", ROWS)
def test_the_row_has_the_profiles_value(paper, name):
    assert json.loads(ROWS[name]["ours"]) == json.loads(json.dumps(paper[name]))


def departures(rows):
    """The settings that aren't what is printed, and give no reason."""
    return [
        name
        for name, row in rows.items()
        if json.loads(row["paper"]) != json.loads(row["ours"]) and len(row["why"].split()) < 5
    ]


def test_where_ours_is_otherwise_a_reason_is_written():
    assert not departures(STATED)
    assert departures({"es3net.batch": STATED["es3net.batch"] | {"ours": "100"}}) == ["es3net.batch"]


def test_what_nobody_states_has_a_reason_and_no_value():
    for name in ROWS.keys() - STATED.keys():
        assert ROWS[name]["why"] and not ROWS[name]["paper"] and not ROWS[name]["printed"], name


def test_what_a_paper_states_names_its_place_and_what_stands_there():
    assert len(PAPERS) > 50
    for name, row in PAPERS.items():
        assert row["printed"] and re.search(r"^\w+ (eq\. |Fig\. |[A-D1-5]\.)\d[\d.]*, line \d+$", row["source"]), name
    for name in STATED.keys() - PAPERS.keys():
        assert not STATED[name]["printed"] and " code" in STATED[name]["source"], name


@pytest.mark.parametrize("name", PAPERS)
def test_the_line_holds_what_is_said_to_be_printed(name):
    row = PAPERS[name]
    path = SHARED / TEXTS[row["source"].split()[0]]
    if not path.is_file():
        pytest.skip("the papers' text isn't beside the project: ../shared/papers")
    line = path.read_text(encoding="utf-8").split("\n")[int(row["source"].rsplit(" ", 1)[1]) - 1]
    assert row["printed"] in line


WORDS = {"cadd.power", "ehin.classify"}  # 0 for what is printed in words: a rate that stays, a term that isn't there
NUMBERS = [
    name
    for name, row in PAPERS.items()
    if re.search(r"\d", row["printed"]) and re.fullmatch(r"[\d.e-]+", row["paper"]) and name not in WORDS
]


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_is_the_one_that_is_printed(name):
    """In whatever notation; d / D by its d, D being 768."""
    digits = re.findall(r"\d+(?:\.\d+)?(?:e-?\d+)?", PAPERS[name]["printed"])
    value = json.loads(PAPERS[name]["paper"]) * (768 if name == "es3net.cls_fraction" else 1)
    assert value in [float(number) for number in digits]
