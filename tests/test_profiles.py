"""Profiles as lists of differences, and how their settings are changed."""

import json
from dataclasses import replace

import pytest

from wsris_lib import differences, profiles
from wsris_lib.changes import changed, described, fits, kinds, settings_of
from wsris_lib.profiles import PROFILES, Profile
from wsris_lib.settings import Aligning

# -- lists of differences ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", differences.BASES)
def test_a_profile_is_its_base_but_for_what_it_lists(name):
    base, listed = differences.BASES[name]
    own, theirs = settings_of(PROFILES[name]), settings_of(PROFILES[base])
    assert {setting for setting in own if own[setting] != theirs[setting]} - {"name"} == set(listed)
    assert all(own[setting] == value and reason.strip() for setting, (value, reason) in listed.items())


def test_sizes_that_others_rely_on():
    """Of each profile a few numbers, by hand: a line that is lost from a list shows here."""
    tiny, smoke, long, colab = (PROFILES[name] for name in ("tiny", "smoke", "long", "colab"))
    assert (tiny.data, tiny.synref.train, tiny.aligning.epochs, tiny.grounding.pixels) == ("synref", 1200, 12, 256)
    assert (tiny.aligning.centroid, tiny.refining.select, tiny.distilling.optimiser) == ("frame", "own", "muon")
    assert (smoke.synref.train, smoke.distilling.pieces, smoke.seeds, smoke.aligning) == (48, 2, (0,), tiny.aligning)
    assert (long.distilling.pixels, long.distilling.epochs, long.grounding) == (160, 20, tiny.grounding)
    assert (colab.images, colab.gpu, colab.distilling.alpha, colab.aligning) == (2_000, True, 0.0, Aligning())
    assert colab.distilling.optimiser == "adamw" and colab.students == ("greedy", "truth")


def test_reasons_are_those_of_the_list_that_makes_the_difference():
    assert differences.reason("aligning.epochs", "tiny") == differences.TINY["aligning.epochs"][1]
    assert differences.reason("distilling.pixels", "smoke") == differences.TINY["distilling.pixels"][1]
    assert differences.reason("distilling.pixels", "long") == differences.LONG["distilling.pixels"][1]
    assert (
        differences.reason("distilling.pixels", "tiny", "long") == f"long: {differences.LONG['distilling.pixels'][1]}"
    )
    assert differences.reason("seeds", "tiny", "smoke") == "smoke: time" and not differences.reason("seeds", "tiny")


# -- changes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "own", "value"),
    [
        ("images", 2_000, 0),
        ("seeds", (0,), ()),
        ("detector", "ustc-community/dfine-small-obj365", ""),
        ("gpu", True, False),
        ("dino_pixels", 448, 0),
        ("distilling.text_model", "google-bert/bert-base-uncased", ""),
        ("distilling.drop_path", 0.3, None),
        ("aligning.consistency", 1.0, 0.0),
        ("distilling.confidence", True, False),
    ],
)
def test_a_change_to_nothing_is_a_change(name, own, value):
    assert settings_of(PROFILES["colab"])[name] == own
    loaded = settings_of(profiles.load("colab", device="cpu", **{name: value}))
    assert loaded[name] == value and type(loaded[name]) is type(value)


def test_none_keeps_what_the_profile_has():
    assert profiles.load("smoke", images=None, data=None, seeds=None, aligning=None) == PROFILES["smoke"]
    with pytest.raises(ValueError, match="data is empty; give a folder, or None"):
        profiles.load("smoke", data="")


def test_sections_settings_and_fields_change_in_their_order():
    whole = replace(Aligning(), epochs=3)
    loaded = profiles.load("tiny", aligning=whole, images=5, **{"aligning.batch": 7, "synref.seed": 2})
    assert loaded.aligning == replace(whole, batch=7) and (loaded.images, loaded.synref.seed) == (5, 2)
    assert replace(loaded, aligning=PROFILES["tiny"].aligning, images=0, synref=Profile().synref) == PROFILES["tiny"]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"image": 3}, KeyError, "no setting 'image'; did you mean images?"),
        ({"aligning.bach": 3}, KeyError, "no setting 'aligning.bach'; did you mean aligning.batch?"),
        ({"zzz": 3}, KeyError, "no setting 'zzz'; `python -m wsris_lib profile` lists them all"),
        ({"images": "many"}, ValueError, "images takes a whole number, not 'many'"),
        ({"images": 2.5}, ValueError, "images takes a whole number, not 2.5"),
        ({"images": True}, ValueError, "images takes a whole number, not True"),
        ({"gpu": 1}, ValueError, "gpu takes True or False, not 1"),
        ({"seeds": 0}, ValueError, "seeds takes some whole numbers, not 0"),
        ({"seeds": ("a",)}, ValueError, "seeds takes some whole numbers, not ('a',)"),
        ({"aligning.pooling": None}, ValueError, "aligning.pooling takes a word, not None"),
        ({"distilling.zoom": (1.0,)}, ValueError, "distilling.zoom takes 2 numbers, not (1.0,)"),
        ({"distilling.drop_path": "x"}, ValueError, "distilling.drop_path takes a number or None, not 'x'"),
        ({"aligning": {"batch": 3}}, ValueError, "aligning takes a Aligning, not {'batch': 3}"),
    ],
)
def test_a_wrong_change_is_one_line(change, error, message):
    with pytest.raises(error) as raised:
        profiles.load("tiny", **change)
    assert raised.value.args == (message,)


def test_every_default_is_of_its_declared_type():
    types = kinds(Profile)
    for profile in PROFILES.values():
        assert [name for name, value in settings_of(profile).items() if not fits(value, types[name])] == []
    assert all(described(kind) for kind in types.values()) and len(types) > 100


def test_lists_become_tuples():
    assert changed(PROFILES["tiny"], {"seeds": [4, 5], "distilling.zoom": [1, 2.0]}).seeds == (4, 5)


# -- settings of the shell --------------------------------------------------------------------------------------------


def test_settings_of_the_shell_reach_every_load_and_name_the_run(monkeypatch):
    """As a lesson's kernel loads its profile: by the name that its parent's has."""
    monkeypatch.setenv("WSRIS_SETTINGS", "")
    assert profiles.load("smoke") == PROFILES["smoke"]
    given = {"aligning.batch": 100, "seeds": [1], "device": "cpu"}
    monkeypatch.setenv("WSRIS_SETTINGS", json.dumps(given))
    loaded = profiles.load("smoke")
    assert (loaded.aligning.batch, loaded.seeds) == (100, (1,)) and loaded.name.startswith("smoke+")
    assert profiles.load(loaded.name) == loaded and profiles.load("smoke", images=3).name == loaded.name
    assert profiles.load("smoke", **{"aligning.batch": 5}).aligning.batch == 5  # a caller's own word is the last
    monkeypatch.setenv("WSRIS_SETTINGS", json.dumps({"aligning.batch": 101, "seeds": [1]}))
    assert profiles.load("smoke").name != loaded.name
    with pytest.raises(KeyError, match=r"is smoke with other settings than those given now"):
        profiles.load(loaded.name)
    monkeypatch.setenv("WSRIS_SETTINGS", json.dumps({"device": "cpu"}))
    assert profiles.load("smoke") == PROFILES["smoke"]  # where it runs is no part of what comes out


@pytest.mark.parametrize("wrong", ["{", "[1]", "images=3"])
def test_settings_of_the_shell_that_cannot_be_read_are_named(wrong, monkeypatch):
    monkeypatch.setenv("WSRIS_SETTINGS", wrong)
    with pytest.raises(ValueError, match="it takes a JSON object like"):
        profiles.load("smoke")
