"""The shell's side of the settings: options, help, and the table of a profile."""

import json
import os
import runpy
import sys

import pytest

from wsris_lib import __main__ as program
from wsris_lib import commands
from wsris_lib.config import options, profiles
from wsris_lib.config.differences import TINY

main = program.main


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    monkeypatch.setenv("WSRIS_SETTINGS", "")  # the command sets it, for lessons' kernels
    monkeypatch.setenv("WSRIS_PROFILE", "")


@pytest.fixture
def profiles_run(monkeypatch):
    """The profiles that `scoreboard` is called with."""
    profiles_run = []
    monkeypatch.setattr(commands, "scoreboard", profiles_run.append)
    return profiles_run


def test_every_setting_is_an_option(profiles_run):
    words = ["--profile", "smoke", "--es3net.batch", "100", "--ehin.learning-rate", "1e-3", "--seeds", "4", "5"]
    words += ["--es3net.own_negatives", "False", "--ehin.reuse", "1", "2", "--cadd.drop_path", "0.2"]
    words += ["--images", "0", "--cadd.zoom", "1", "1.5", "--text", "a b"]
    assert main(["scoreboard", *words]) == 0
    profile = profiles_run[0]
    assert (profile.es3net.batch, profile.ehin.learning_rate, profile.es3net.own_negatives) == (
        100,
        1e-3,
        False,
    )
    assert (profile.ehin.reuse, profile.seeds, profile.cadd.drop_path) == ((1, 2), (4, 5), 0.2)
    assert (profile.ehin.learning_rate, profile.cadd.zoom, profile.text) == (1e-3, (1.0, 1.5), "a b")
    assert profiles.load(profile.name) == profile  # as a lesson does


def test_nothing_given_changes_nothing(profiles_run):
    assert main(["scoreboard", "--profile", "smoke"]) == 0 and profiles_run == [profiles.PROFILES["smoke"]]
    assert not os.environ["WSRIS_SETTINGS"]


def test_an_empty_list_and_none_are_values(profiles_run):
    assert main(["scoreboard", "--profile", "smoke", "--ehin.reuse", "None", "--seeds"]) == 0
    assert profiles_run[0].seeds == () and profiles_run[0].ehin.reuse is None


def test_options_add_to_the_settings_of_the_shell(profiles_run, monkeypatch):
    monkeypatch.setenv("WSRIS_SETTINGS", json.dumps({"es3net.batch": 3, "es3net.epochs": 4}))
    assert main(["scoreboard", "--profile", "smoke", "--es3net.batch", "5"]) == 0
    assert (profiles_run[0].es3net.batch, profiles_run[0].es3net.epochs) == (5, 4)


def test_every_setting_of_every_profile_can_be_said_again():
    """All options, in the words of the table: none is missing, and none changes what it says."""
    for profile in profiles.PROFILES.values():
        values = {name: value for name, value in options.settings_of(profile).items() if name in options.SETTINGS}
        words = {n: [str(part) for part in (v if isinstance(v, tuple) else [v])] for n, v in values.items()}
        assert options.read(words) == values


def test_a_commands_own_arguments_mix_with_settings(monkeypatch):
    calls = []
    monkeypatch.setattr(commands, "predict", lambda profile, **own: calls.append((profile.es3net.batch, own)))
    line = [
        "--profile",
        "smoke",
        "--es3net.batch",
        "9",
        "a.png",
        "--cadd.coord_features",
        "False",
        "a mug",
        "--seed",
        "1",
    ]
    assert main(["predict", *line]) == 0
    assert calls[0][0] == 9 and (str(calls[0][1]["image"]), calls[0][1]["sentences"]) == ("a.png", ["a mug"])
    assert calls[0][1]["seed"] == 1


def test_the_claims_seeds_and_students_stay_its_own(monkeypatch):
    calls = []
    monkeypatch.setattr(commands, "claims", lambda profile, **own: calls.append((profile.seeds, own)))
    assert (
        main(["claims", "--profile", "smoke", "--seeds", "2", "--students", "long", "--segmenter_seeds", "3", "4"]) == 0
    )
    seeds, own = calls[0]
    assert seeds == (0,) and (own["seeds"], own["students"]) == (2, "long")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--es3net.batch", "five"], "--es3net.batch takes a whole number, not five"),
        (["--es3net.batch", "2.5"], "--es3net.batch takes a whole number, not 2.5"),
        (["--cadd.coord_features", "perhaps"], "--cadd.coord_features takes True or False, not perhaps"),
        (["--cadd.zoom", "1"], "--cadd.zoom takes 2 numbers, not 1"),
        (["--seeds", "0", "x"], "--seeds takes some whole numbers, not 0 x"),
        (["--ehin.reuse", "None", "1"], "--ehin.reuse takes some whole numbers or None, not None 1"),
    ],
)
def test_a_wrong_value_is_one_line(words, message, capsys):
    assert main(["scoreboard", "--profile", "smoke", *words]) == 2
    assert capsys.readouterr().err == f"error: {message}\n"


@pytest.mark.parametrize("word", ["--es3net.bach", "--es3net.bach=5", "--es3net.Batch"])
def test_a_misspelt_setting_is_one_line(word, capsys):
    with pytest.raises(SystemExit) as raised:
        main(["scoreboard", word, "5"])
    assert raised.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: no setting 'es3net.") and printed.endswith("did you mean es3net.batch?\n")


def test_commands_help_is_short_and_leads_to_the_settings(capsys):
    with pytest.raises(SystemExit):
        main(["reproduce", "--help"])
    short = capsys.readouterr().out
    assert "--help-settings" in short and "--es3net.learning" not in short and short.count("\n") < 60
    printed = []
    for words in (["reproduce", "--help-settings"], ["--help-settings"], ["--help-settings", "reproduce"]):
        with pytest.raises(SystemExit) as raised:
            main(words)
        assert raised.value.code == 0
        printed.append(" ".join(capsys.readouterr().out.split()))
    long, first, before = printed
    assert first == before == long.replace("wsris_lib reproduce", "wsris_lib", 1)
    assert all(f"--{name} " in long for name in options.SETTINGS)
    assert not [name for name in options.COMMANDS_OWN if f"--{name} " in long]
    assert "--clip STR 4.1 (default: ViT-B-16-quickgelu:openai)" in long  # the source is the comment beside the field
    assert "N, 4.1 (default: 10)" in long and "of eq. 11, C.3" in long and "Traceback" not in long


def test_the_table_of_differences_is_aligned_and_says_why(capsys):
    assert main(["profile", "tiny", "--diff", "paper"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["setting", "tiny", "paper", "why"] and len(rows) == len(TINY)
    starts = [head.index(f"  {column}") + 2 for column in ("tiny", "paper", "why")]
    assert all(row[start - 2 : start] == "  " and row[start] != " " for row in rows for start in starts)
    reasons = {row.split()[0]: row[starts[2] :] for row in rows}
    assert reasons == {setting: reason for setting, (_, reason) in TINY.items()}


def test_the_table_of_a_profile_has_every_setting(capsys):
    assert main(["profile", "smoke", "--es3net.batch", "7"]) == 0
    rows = {row.split()[0]: row for row in capsys.readouterr().out.splitlines()}
    assert [*rows] == ["setting", *(name for name in options.settings_of(profiles.Profile()) if name != "name")]
    assert rows["es3net.batch"].split(maxsplit=2)[1:] == ["7", "given now"]
    assert rows["es3net.temperature"].split()[1:] == ["1.0"]  # the paper's needs no reason
    assert rows["seeds"].split()[1:] == ["0", "time"]


def test_profile_alone_is_the_default_one_and_a_profile_beside_itself_has_no_row(capsys):
    assert main(["profile"]) == 0
    assert capsys.readouterr().out.split()[:3] == ["setting", "tiny", "why"]
    assert main(["profile", "paper", "--diff", "paper"]) == 0
    assert capsys.readouterr().out.split() == ["setting", "paper", "paper", "why"]


@pytest.mark.parametrize("words", [["huge"], ["tiny", "--diff", "huge"]])
def test_an_unknown_profile_is_one_line(words, capsys):
    assert main(["profile", *words]) == 2
    assert capsys.readouterr().err == "error: no profile 'huge'; choose one of paper, tiny, smoke, long, colab\n"


def test_tyro_is_imported_only_for_a_setting(profiles_run, monkeypatch, capsys):
    """It takes a fifth of a second, which help and commands without a setting don't wait for."""
    monkeypatch.setitem(sys.modules, "tyro", None)  # importing it raises
    monkeypatch.delitem(sys.modules, "wsris_lib.config.options")
    runpy.run_module("wsris_lib.config.options")
    with pytest.raises(SystemExit):
        main(["--help"])
    assert main(["scoreboard", "--profile", "smoke"]) == 0 and main(["profile", "tiny"]) == 0
    with pytest.raises(ImportError):
        main(["scoreboard", "--profile", "smoke", "--es3net.batch", "5"])
