"""Profiles as lists of differences, and how their settings are changed."""

import json
from dataclasses import replace

import pytest

from wsris_lib.config import differences, profiles
from wsris_lib.config.changes import changed, described, fits, kinds, settings_of
from wsris_lib.config.profiles import PROFILES, Profile
from wsris_lib.config.settings import Es3netConfig

# -- lists of differences ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", differences.BASES)
def test_a_profile_is_its_base_but_for_what_it_lists(name):
    base, listed = differences.BASES[name]
    own = settings_of(PROFILES[name])
    theirs = settings_of(PROFILES[base])
    assert {setting for setting in own if own[setting] != theirs[setting]} - {"name"} == set(listed)
    assert all(own[setting] == value and reason.strip() for setting, (value, reason) in listed.items())


def test_sizes_that_others_rely_on():
    """Of each profile a few numbers, by hand: a line that is lost from a list shows here."""
    tiny, smoke, long, colab = (PROFILES[name] for name in ("tiny", "smoke", "long", "colab"))
    assert (tiny.data, tiny.synref.train, tiny.es3net.epochs, tiny.ehin.image_size) == ("synref", 1200, 12, 384)
    assert (tiny.es3net.centroid, tiny.refine.select, tiny.cadd.optimiser) == ("frame", "own", "muon")
    assert (smoke.synref.train, smoke.cadd.grad_accum_steps, smoke.seeds, smoke.es3net) == (48, 2, (0,), tiny.es3net)
    assert (long.cadd.image_size, long.cadd.epochs, long.stage2) == (160, 20, tiny.stage2)
    assert (long.ehin.finetune, long.ehin.epochs, tiny.ehin.finetune) == (True, 3, False)
    assert (colab.images, colab.gpu, colab.cadd.alpha, colab.es3net) == (2_000, True, 0.0, Es3netConfig())
    assert colab.cadd.optimiser == "adamw" and colab.students == ("greedy", "truth")


def test_reasons_are_those_of_the_list_that_makes_the_difference():
    assert differences.reason("es3net.epochs", "tiny") == differences.TINY["es3net.epochs"][1]
    assert differences.reason("cadd.image_size", "smoke") == differences.TINY["cadd.image_size"][1]
    assert differences.reason("cadd.image_size", "long") == differences.LONG["cadd.image_size"][1]
    assert differences.reason("cadd.image_size", "tiny", "long") == f"long: {differences.LONG['cadd.image_size'][1]}"
    assert differences.reason("seeds", "tiny", "smoke") == "smoke: time" and not differences.reason("seeds", "tiny")


# -- changes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "own", "value"),
    [
        ("images", 2_000, 0),
        ("seeds", (0,), ()),
        ("detector", "ustc-community/dfine-small-obj365", ""),
        ("gpu", True, False),
        ("dino_image_size", 448, 0),
        ("cadd.text_model", "google-bert/bert-base-uncased", ""),
        ("cadd.drop_path", 0.3, None),
        ("es3net.consistency", 1.0, 0.0),
        ("cadd.confidence", True, False),
    ],
)
def test_a_change_to_nothing_is_a_change(name, own, value):
    assert settings_of(PROFILES["colab"])[name] == own
    loaded = settings_of(profiles.load("colab", device="cpu", **{name: value}))
    assert loaded[name] == value and type(loaded[name]) is type(value)


def test_none_keeps_what_the_profile_has():
    assert profiles.load("smoke", images=None, data=None, seeds=None, es3net=None) == PROFILES["smoke"]
    with pytest.raises(ValueError, match="data is empty; give a folder, or None"):
        profiles.load("smoke", data="")


def test_sections_settings_and_fields_change_in_their_order():
    whole = replace(Es3netConfig(), epochs=3)
    loaded = profiles.load("tiny", es3net=whole, images=5, **{"es3net.batch": 7, "synref.seed": 2})
    assert loaded.es3net == replace(whole, batch=7) and (loaded.images, loaded.synref.seed) == (5, 2)
    assert replace(loaded, es3net=PROFILES["tiny"].es3net, images=0, synref=Profile().synref) == PROFILES["tiny"]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"image": 3}, KeyError, "no setting 'image'; did you mean images?"),
        ({"es3net.bach": 3}, KeyError, "no setting 'es3net.bach'; did you mean es3net.batch?"),
        ({"zzz": 3}, KeyError, "no setting 'zzz'; `python -m wsris_lib profile` lists them all"),
        ({"images": "many"}, ValueError, "images takes a whole number, not 'many'"),
        ({"images": 2.5}, ValueError, "images takes a whole number, not 2.5"),
        ({"images": True}, ValueError, "images takes a whole number, not True"),
        ({"gpu": 1}, ValueError, "gpu takes True or False, not 1"),
        ({"seeds": 0}, ValueError, "seeds takes some whole numbers, not 0"),
        ({"seeds": ("a",)}, ValueError, "seeds takes some whole numbers, not ('a',)"),
        ({"es3net.pooling": None}, ValueError, "es3net.pooling takes a word, not None"),
        ({"cadd.zoom": (1.0,)}, ValueError, "cadd.zoom takes 2 numbers, not (1.0,)"),
        ({"cadd.drop_path": "x"}, ValueError, "cadd.drop_path takes a number or None, not 'x'"),
        ({"es3net": {"batch": 3}}, ValueError, "es3net takes a Es3netConfig, not {'batch': 3}"),
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
    assert changed(PROFILES["tiny"], {"seeds": [4, 5], "cadd.zoom": [1, 2.0]}).seeds == (4, 5)


# -- settings of the shell --------------------------------------------------------------------------------------------


def test_settings_of_the_shell_reach_every_load_and_name_the_run(monkeypatch):
    """As a lesson's kernel loads its profile: by the name that its parent's has."""
    monkeypatch.setenv("WSRIS_SETTINGS", "")
    assert profiles.load("smoke") == PROFILES["smoke"]
    given = {"es3net.batch": 100, "seeds": [1], "device": "cpu"}
    monkeypatch.setenv("WSRIS_SETTINGS", json.dumps(given))
    loaded = profiles.load("smoke")
    assert (loaded.es3net.batch, loaded.seeds) == (100, (1,)) and loaded.name.startswith("smoke+")
    assert profiles.load(loaded.name) == loaded and profiles.load("smoke", images=3).name == loaded.name
    assert profiles.load("smoke", **{"es3net.batch": 5}).es3net.batch == 5  # a caller's own word is the last
    monkeypatch.setenv("WSRIS_SETTINGS", json.dumps({"es3net.batch": 101, "seeds": [1]}))
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
