"""The memory of a process and of all that it starts: seen while it lasts, a shared page counted once."""

import os
import subprocess
import sys
import time

import pytest

from wsris_lib.infra import machine, memory

HOLDS = "import sys, time; held = bytearray(200_000_000); held[::4096] = b'1' * len(held[::4096]); print(flush=True); "
HOLDS += "time.sleep(60)"
linux = pytest.mark.skipif(not memory.PROC.is_dir(), reason="no /proc here")


@linux
def test_what_a_child_and_its_child_hold_is_seen_in_their_stage_alone():
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOLDS!r}])"
    with memory.PeakMemory() as peak:
        with peak.stage("alone"):
            pass
        with peak.stage("with a grandchild"):
            child = subprocess.Popen([sys.executable, "-c", nested], stdout=subprocess.PIPE, start_new_session=True)
            try:
                child.stdout.readline()
                grandchildren = memory._tree(child.pid) - {child.pid}
                held = memory.tree_bytes(child.pid)
                memory.PeakMemory._look(peak)
            finally:
                for process in {child.pid, *memory._tree(child.pid)}:
                    os.kill(process, 9)
                child.wait()
    assert len(grandchildren) == 1 and 200e6 < held < 300e6
    assert 190e6 < peak.peaks["with a grandchild"] - peak.peaks["alone"] < 300e6
    assert peak.highest == peak.peaks["with a grandchild"]


@linux
def test_a_page_that_a_fork_shares_is_counted_once():
    held = bytearray(200_000_000)
    held[::4096] = b"1" * len(held[::4096])
    before = memory.tree_bytes(os.getpid())
    child = os.fork()
    if not child:
        time.sleep(60)
        os._exit(0)
    try:
        assert memory.tree_bytes(os.getpid()) - before < 100e6
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_a_process_that_has_ended_takes_nothing():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert memory.tree_bytes(child.pid) == 0


def test_where_nothing_can_be_read_nothing_is_stated(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "PROC", tmp_path)
    with memory.PeakMemory() as peak, peak.stage("any"):
        pass
    assert peak.peaks == {} and peak.highest == 0


def test_without_shares_resident_sets_are_added(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "PROC", tmp_path)
    for process, parent in ((5, 1), (6, 5), (7, 6), (8, 1)):
        (tmp_path / str(process)).mkdir()
        (tmp_path / str(process) / "stat").write_text(f"{process} (a name) of (two) S {parent} 0 0")
        (tmp_path / str(process) / "statm").write_text("900 10 5 1 0 1 0")
    assert memory.tree_bytes(5) == 3 * 10 * os.sysconf("SC_PAGE_SIZE")


def test_free_is_no_more_than_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "PROC", tmp_path)
    (tmp_path / "meminfo").write_text("MemTotal:  8000000 kB\nMemAvailable:  5000000 kB\n")
    monkeypatch.setattr(machine, "memory", lambda: 2**40)
    assert memory.free() == 5_000_000 * 1024
    monkeypatch.setattr(machine, "memory", lambda: 2**31)
    assert memory.free() == 2**31
    (tmp_path / "meminfo").unlink()
    monkeypatch.setattr(machine, "memory", lambda: None)
    assert memory.free() is None


def test_giving_back_harms_nothing():
    memory.give_back()
