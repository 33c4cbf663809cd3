"""How much memory a process and all that it has started take together, at most and stage by stage; what is free.

Linux says by /proc what each process's share of its pages is (PSS), so that what several map is counted once.
Elsewhere, and where that is not to be read, resident sets are added, which counts it several times.
"""

import ctypes
import gc
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wsris_lib.infra import machine

PROC = Path("/proc")
EVERY_S = 2.0  # between two looks; a peak that is shorter may be missed


class PeakMemory:
    """Looks every two seconds while it is open.

    with PeakMemory() as memory:
        with memory.stage("training"):
            ...
    memory.peaks  # {"training": bytes}; empty where nothing can be read
    """

    def __init__(self) -> None:
        self.peaks: dict[str, int] = {}
        self._stage = ""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """What is measured inside is noted under this name."""
        self._stage = name
        self._look()
        try:
            yield
        finally:
            self._look()
            self._stage = ""

    @property
    def highest(self) -> int:
        """Bytes, of all stages; 0 where nothing can be read."""
        return max(self.peaks.values(), default=0)

    def _watch(self) -> None:
        while not self._over.wait(EVERY_S):
            self._look()

    def _look(self) -> None:
        stage = self._stage
        if stage and (taken := tree_bytes(os.getpid())):
            self.peaks[stage] = max(taken, self.peaks.get(stage, 0))


def tree_bytes(root: int) -> int:
    """Bytes that a process and its descendants take, each shared page once; 0 where that can't be read."""
    return sum(_bytes(process) for process in _tree(root))


def _tree(root: int) -> set[int]:
    """A process and all that descend from it."""
    parents = {}
    for folder in PROC.glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):  # it may have ended
            text = (folder / "stat").read_text(errors="replace")
            parents[int(folder.name)] = int(text.rpartition(")")[2].split()[1])  # a name may have any letters
    tree = {root} & parents.keys()
    while more := {process for process, parent in parents.items() if parent in tree} - tree:
        tree |= more
    return tree


def _bytes(process: int) -> int:
    """The share of one process; 0 where it has ended."""
    with suppress(OSError):
        for line in (PROC / str(process) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    with suppress(OSError, ValueError, IndexError):
        pages = int((PROC / str(process) / "statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return 0


def free() -> int | None:
    """Bytes that may still be taken: what the system has available, and no more than its limit; None if unknown."""
    with suppress(OSError, ValueError, IndexError):
        lines = (PROC / "meminfo").read_text().splitlines()
        available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
        return min(available, machine.memory() or available)
    return machine.memory()


def give_back() -> None:
    """Return to the system what the process holds and doesn't use; glibc keeps what was freed below what wasn't."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
