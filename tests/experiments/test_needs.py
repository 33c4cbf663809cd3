"""What a profile takes of memory: reckoned before its first run, measured after it; and what a waiting run lets go."""

import pytest

from wsris_lib.config import profiles
from wsris_lib.experiments import needs
from wsris_lib.pipeline.run import Run

SMOKE = profiles.PROFILES["smoke"]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("WSRIS_HOME", str(tmp_path))


def test_a_measured_figure_takes_the_place_of_the_reckoned_one():
    assert needs.memory_gb(SMOKE) == needs.USUAL_GB["smoke"]
    needs.note(SMOKE, {"features": 700_000_000, "lessons": 2_500_000_000})
    assert needs.memory_gb(SMOKE) == (2.5, "measured in its last whole run here")
    needs.note(SMOKE, {"features": 900_000_000, "lessons": 100_000_000})  # the second time nothing is made
    assert needs.memory_gb(SMOKE) == (2.5, "measured in its last whole run here")
    assert needs.memory_gb(profiles.PROFILES["tiny"]) == needs.USUAL_GB["tiny"]


def test_what_nobody_has_run_has_no_figure():
    assert needs.memory_gb(profiles.PROFILES["paper"]) is None
    assert "not known for paper" in needs.memory_line(profiles.PROFILES["paper"])


def test_the_line_has_both_numbers(monkeypatch):
    monkeypatch.setattr(needs.process_memory, "free", lambda: 6_240_000_000)
    assert needs.memory_line(SMOKE) == "memory: 3.0 GB for all processes together (reckoned); free now: 6.2 GB"
    monkeypatch.setattr(needs.process_memory, "free", lambda: None)
    assert needs.memory_line(SMOKE).endswith("free now: not known")


def test_a_run_that_waits_keeps_nothing_and_makes_it_again():
    run = Run(SMOKE)
    calls = []
    run.remember("table", lambda: calls.append(1))
    run.remember("table", lambda: calls.append(1))
    Run.make_room()
    assert Run(SMOKE) is run and calls == [1]
    run.remember("table", lambda: calls.append(1))
    assert calls == [1, 1]
