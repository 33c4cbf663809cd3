"""What a process may use: its affinity and both kinds of cgroups, as containers and schedulers have them."""

import os

import pytest

from wsris_lib.infra import machine


@pytest.fixture
def host(tmp_path, monkeypatch):
    """host(files): a machine of 64 cores and 256 GiB with these files in place of those below /."""
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**26}
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)

    def write(files: dict[str, str]) -> None:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, errors="surrogateescape")

    return write


CASES = {
    "nothing to be seen": ({}, 64, 256),
    "v2, no limit": ({"proc/self/cgroup": "0::/\n", "cpu.max": "max 100000\n", "memory.max": "max\n"}, 64, 256),
    "v2, a container": ({"proc/self/cgroup": "0::/\n", "cpu.max": "250000 100000\n", "memory.max": f"{2**33}\n"}, 3, 8),
    "v2, less than a core": ({"proc/self/cgroup": "0::/\n", "cpu.max": "50000 100000\n"}, 1, 256),
    "v2, a slice around it": (
        {"proc/self/cgroup": "0::/a.slice/b.scope\n", "a.slice/cpu.max": "400000 100000", "a.slice/memory.max": "1024"}
        | {"a.slice/b.scope/cpu.max": "max 100000", "a.slice/b.scope/memory.max": "max"},
        4,
        1024 / 2**30,
    ),
    "v2, the host's path in a container": (
        {"proc/self/cgroup": "0::/docker/0a1b\n", "cpu.max": "200000 100000", "memory.max": f"{2**32}"},
        2,
        4,
    ),
    "v2, a service that is slowed down before it is stopped": (
        {"proc/self/cgroup": "0::/a.service\n", "a.service/memory.high": f"{2**33}", "a.service/memory.max": "max"},
        64,
        8,
    ),
    "v2, a name that is no text": ({"proc/self/cgroup": "0::/\udcff:b\n", "\udcff:b/cpu.max": "200000 100000"}, 2, 256),
    "v2, a path outside of it": ({"proc/self/cgroup": "0::/../other\n", "cpu.max": "200000 100000"}, 2, 256),
    "v1, no limit": (
        {"proc/self/cgroup": "5:cpu,cpuacct:/\n4:memory:/\n", "cpu,cpuacct/cpu.cfs_quota_us": "-1"}
        | {"cpu,cpuacct/cpu.cfs_period_us": "100000", "memory/memory.limit_in_bytes": "9223372036854771712"},
        64,
        256,
    ),
    "v1, a job": (
        {"proc/self/cgroup": "9:name=systemd:/x\n5:cpuacct,cpu:/job/7\n4:memory:/job/7\n1:cpuset:/\n"}
        | {"cpu/job/7/cpu.cfs_quota_us": "800000", "cpu/job/7/cpu.cfs_period_us": "100000"}
        | {"memory/job/memory.limit_in_bytes": f"{2**34}", "memory/job/7/memory.limit_in_bytes": f"{2**36}"},
        8,
        16,
    ),
    "both, the limits in v1": (
        {"proc/self/cgroup": "4:memory:/a\n1:cpu:/\n0::/\n", "memory/a/memory.limit_in_bytes": f"{2**35}"},
        64,
        32,
    ),
    "broken files": ({"proc/self/cgroup": "0::/\nodd\n", "cpu.max": "", "memory.max": "many"}, 64, 256),
}


@pytest.mark.parametrize("case", CASES)
def test_limits_are_those_of_the_group_and_of_all_around_it(host, case):
    files, cores, gigabytes = CASES[case]
    host({name if name.startswith("proc") else f"sys/fs/cgroup/{name}": text for name, text in files.items()})
    assert machine.cores() == cores and machine.memory() == gigabytes * 2**30


def test_an_affinity_is_a_limit(host, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5})
    assert machine.cores() == 2
    monkeypatch.delattr(os, "sched_getaffinity")  # macOS
    monkeypatch.delattr(os, "sysconf")  # Windows
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert machine.cores() == 1 and machine.memory() is None


def test_here_they_are_no_more_than_the_machine_has():
    assert 1 <= machine.cores() <= os.cpu_count()
    assert machine.memory() is None or machine.memory() > 2**28


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_a_process_that_is_bound_to_one_core_has_one():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert machine.cores() == 1
    finally:
        os.sched_setaffinity(0, before)
