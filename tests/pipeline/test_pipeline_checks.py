"""`reproduce` starts nothing on a corpus that it couldn't judge, and `doctor` says the same lines before."""

import pytest
import small_corpus

from wsris_lib.__main__ import main
from wsris_lib.config import profiles
from wsris_lib.pipeline.checks import check_lengths
from wsris_lib.pipeline.run import Run
from wsris_lib.refer.reader import Refer


@pytest.fixture
def faulty(tmp_path, monkeypatch):
    """A corpus with two faults and something to be said; nothing may be made of it."""

    def spoil(instances, refs):
        instances["annotations"][2]["segmentation"] = [[10, 5, 20, 5]]
        refs[2]["sentences"][0]["sent"] = " "
        refs[2]["sentences"][1]["sent"] = "?"
        refs[3] |= {"split": "val", "ann_id": 40}

    monkeypatch.setattr(Run, "evaluation", lambda *_: pytest.fail("features were made"))
    monkeypatch.setenv("WSRIS_HOME", str(tmp_path / "home"))
    small_corpus.write(tmp_path / "data", spoil)
    return ["--profile", "smoke", "--data", str(tmp_path / "data")]


def test_reproduce_and_doctor_refuse_the_same(faulty, capsys):
    assert main(["reproduce", *faulty]) == 2
    streams = capsys.readouterr()
    assert "error: " in streams.err and "Traceback" not in streams.err
    assert main(["doctor", *faulty]) == 1
    report = capsys.readouterr().out
    line = "1 ref(s) with an empty sentence: ref 3, sent_id 6"
    assert line in streams.err and line in report


@pytest.mark.parametrize("command", [["reproduce"], ["claims"], ["ablate", "table2"]])
def test_whatever_trains_for_hours_refuses_before(faulty, capsys, command):
    assert main([*command, *faulty]) == 2
    assert "1 ref(s) with an empty sentence" in capsys.readouterr().err


def test_what_stops_nothing_is_said(tmp_path, capsys, monkeypatch):
    def spoil(instances, refs):
        refs[0]["sentences"][0]["sent"] = "?"

    monkeypatch.setenv("WSRIS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(Run, "evaluation", lambda *_: 1 / 0)
    root = small_corpus.write(tmp_path / "data", spoil)
    with pytest.raises(ZeroDivisionError):
        main(["reproduce", "--profile", "smoke", "--data", str(root)])
    assert (
        "note: " in (stdout := capsys.readouterr().out) and "1 sentence(s) of split 'train' without any word" in stdout
    )


def test_sentences_that_a_network_cuts_are_counted(tmp_path):
    def spoil(instances, refs):
        refs[0]["sentences"][0]["sent"] = " ".join(["mug"] * 18)  # 20 tokens with the start and the end
        refs[0]["sentences"][1]["sent"] = " ".join(["mug"] * 19)
        refs[2]["sentences"][0]["sent"] = " ".join(["mug"] * 40)

    profile = profiles.load("smoke")
    faults = check_lengths(profile, Refer(small_corpus.write(tmp_path, spoil)))
    assert all(not fault.stops for fault in faults)
    counts = {fault.what: fault.count for fault in faults}
    assert counts["sentence(s) of more than the 20 tokens that EHIN and stage 2 can hear"] == 2
    assert counts["sentence(s) of more than the 20 tokens that CADD's students can hear"] == 2
    assert counts["sentence(s) of more than the 32 tokens that ES3Net's CLIP can hear"] == 1
    assert "sent_id 3: 'mug mug" in str(faults[-1])
