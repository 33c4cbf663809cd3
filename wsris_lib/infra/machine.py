"""How much of the machine this process may use, which in a container or under a scheduler is less than the host has.

It knows nothing of torch, which SynRef's worker processes do without.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")


def cores() -> int:
    """Cores that the scheduler gives this process: its affinity, and no more than its cgroups' quotas pay for."""
    quotas = [math.ceil(quota / period) for quota, period in _quotas() if period > 0]
    return max(1, min([visible_cores(), *quotas]))


def visible_cores() -> int:
    """Those that this process may be put on, whatever its quota pays for: a library counts these."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> int | None:
    """Bytes of memory that this process and those beside it in its cgroup may take; None where that can't be known."""
    limits = [limit for (limit,) in _limits("memory", ("memory.max",), ("memory.limit_in_bytes",))]
    limits += [limit for (limit,) in _limits("memory", ("memory.high",), ())]  # above it a process hardly moves
    if hasattr(os, "sysconf"):
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min(limits, default=None)


def _quotas() -> Iterator[tuple[int, int]]:
    for limit in _limits("cpu", ("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        if len(limit) == 2:
            yield limit[0], limit[1]


def _limits(controller: str, unified: tuple[str, ...], legacy: tuple[str, ...]) -> Iterator[list[int]]:
    """The numbers in the files of a controller, of this process's cgroup and of each that it is in; unlimited ones not.

    unified, legacy: the files of cgroups v2 and v1; both may be there at once. A container may see the host's path of
    its own cgroup, which isn't there, and its limits at the root.
    """
    try:
        groups = (ROOT / "proc/self/cgroup").read_text(errors="surrogateescape").splitlines()  # any bytes make a name
    except OSError:  # no Linux, or nothing to be seen
        return
    for group in groups:
        controllers, _, path = group.partition(":")[2].partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        names = legacy if controllers else unified
        for mount in (controllers, controller) if controllers else ("", "unified"):
            top = ROOT / "sys/fs/cgroup" / mount
            own = top / path.lstrip("/") if ".." not in path else top
            for folder in [place for place in (own, *own.parents) if place.is_relative_to(top)]:
                numbers = [number for name in names for number in _numbers(folder / name)]
                if numbers and min(numbers) >= 0:
                    yield numbers


def _numbers(file: Path) -> list[int]:
    """[-1] for "max"; [] where the file isn't there."""
    try:
        return [int(word) if word.lstrip("-").isdecimal() else -1 for word in file.read_text().split()]
    except OSError:
        return []
