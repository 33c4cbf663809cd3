"""Steps side by side: all are run, an error ends them, and no process outlives its parent."""

import inspect
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from children import environment

from wsris_lib.infra import parallel


@pytest.mark.parametrize(("workers", "fresh"), [(1, False), (2, False), (2, True)])
def test_every_job_is_run_once(tmp_path, workers, fresh):
    jobs = [(Path.mkdir, tmp_path / str(n)) for n in range(3)]  # a second time it would raise
    parallel.run_jobs(jobs, "folders", workers, fresh)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("threads", "cores", "memory", "workers"),
    [(8, 64, 2**40, 8), (64, 3, 2**40, 3), (64, 64, 5e9, 2), (64, 64, 1e9, 1), (4, 4, None, 4), (64, 64, None, 4)],
)
def test_workers_keep_to_the_cores_and_the_memory_that_may_be_used(monkeypatch, threads, cores, memory, workers):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(parallel.machine, "cores", lambda: cores)
    monkeypatch.setattr(parallel.machine, "memory", lambda: memory)
    assert parallel.usual_workers() == workers


@pytest.mark.parametrize(("workers", "fresh"), [(1, False), (2, False), (2, True)])
def test_the_first_error_is_raised_and_ends_the_rest(tmp_path, workers, fresh):
    start = time.monotonic()
    jobs = [(Path.rmdir, tmp_path / "missing"), (time.sleep, 0.1), *((time.sleep, 60) for _ in range(2 * workers - 2))]
    with pytest.raises(FileNotFoundError, match="missing"):
        parallel.run_jobs(jobs, "folders", workers, fresh)
    assert time.monotonic() - start < 55


def test_a_started_python_computes_with_the_kernels_of_the_tests():
    """Under --no-onednn too; else the numbers of the two can't be compared."""
    script = "import torch; print(torch.backends.mkldnn.enabled, torch.backends.cpu.get_cpu_capability())"
    ours = f"{torch.backends.mkldnn.enabled} {torch.backends.cpu.get_cpu_capability()}"
    for env in (os.environ, environment()):
        done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == ours


def test_a_worker_keeps_to_one_thread_and_ends_with_its_parent(tmp_path):
    script = tmp_path / "main.py"
    script.write_text(
        "import os, sys, time, torch\n"
        "from pathlib import Path\n"
        "from wsris_lib.infra import parallel\n"
        "def job(name):\n"
        "    threads = os.environ['OMP_NUM_THREADS'], torch.get_num_threads()\n"
        "    Path(name).write_text(f'{os.getpid()} {threads}')\n"
        "    time.sleep(120)\n"
        "if __name__ == '__main__':\n"
        "    parallel.run_jobs([(job, sys.argv[1]), (job, sys.argv[2])], 'jobs', 2)\n"
    )
    names = [tmp_path / "a", tmp_path / "b"]
    parent = subprocess.Popen([sys.executable, script, *names], env=environment(), stderr=subprocess.DEVNULL)
    texts = [_when(partial(_text, name), 60) for name in names]
    assert all("('1', 1)" in text for text in texts)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    for text in texts:
        assert _when(partial(_gone, int(text.split()[0])), 20)


def _noted(folder: Path) -> None:
    """A job: who runs it, with which threads, and what it found in memory."""
    imported = {"torch", "numpy"} & set(sys.modules)
    (folder / str(os.getpid())).write_text(f"{os.environ['OMP_NUM_THREADS']} {sorted(imported)}")


def test_a_fresh_process_has_one_job_one_thread_and_no_torch(tmp_path, monkeypatch):
    """A worker that runs a lesson has no use for it: half a gigabyte that another process needs."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    script = tmp_path / "main.py"
    noted = "\n".join(inspect.getsource(_noted).splitlines())
    script.write_text(
        "import os, sys\n"
        "from pathlib import Path\n"
        "from wsris_lib.infra import parallel\n"
        f"{noted}\n"
        "if __name__ == '__main__':\n"
        "    parallel.run_jobs([(_noted, Path(sys.argv[1]))] * 3, 'jobs', 2, fresh=True)\n"
        "    assert os.environ['OMP_NUM_THREADS'] == '2'\n"
    )
    (tmp_path / "notes").mkdir()
    done = subprocess.run(
        [sys.executable, script, tmp_path / "notes"], env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert [path.read_text() for path in (tmp_path / "notes").iterdir()] == ["1 []"] * 3


def _when(ask, seconds: float):
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.2)
    return answer


def _text(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").is_file() and Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
