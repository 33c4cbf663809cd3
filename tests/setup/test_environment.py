"""Which torch `make setup` installs, and that what it leaves out of the lock is CUDA's and nothing else's."""

import re
import subprocess
import sys

import pytest
from children import environment as child_environment

from wsris_lib.infra.artefacts import REPO
from wsris_lib.setup import environment

LINES = (REPO / "requirements-lock.txt").read_text().splitlines()


def names(lines) -> set[str]:
    return {re.match(r"[\w.-]+", line)[0] for line in lines if re.match(r"\w", line)}


def test_it_needs_nothing_that_it_is_about_to_install():
    code = "import sys; from wsris_lib.setup import environment; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    run = [sys.executable, "-S", "-c", code]  # without site-packages
    done = subprocess.run(run, env=child_environment(), capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) - set(sys.stdlib_module_names) <= {"wsris_lib", "__main__"}


def test_for_a_cpu_all_of_cuda_and_nothing_else_is_left_out():
    left = names(LINES) - names(environment.without(LINES, environment.CUDA))
    assert {"triton", "cuda-toolkit", "nvidia-cudnn-cu13", "nvidia-nccl-cu13"} < left
    assert all(name.startswith(("nvidia-", "cuda-", "triton")) for name in left)
    assert {"torch", "torchvision", "transformers", "numpy"} < names(environment.without(LINES, environment.CUDA))


def test_the_packages_that_torch_can_spare_are_in_the_lock():
    """Else a newer torch calls them otherwise, and they come back unseen."""
    assert set(environment.SPARE) <= names(LINES)
    assert names(LINES) - names(environment.without(LINES, environment.SPARE)) == set(environment.SPARE)


def test_markers_and_versions_stay_as_they_are():
    lock = [
        "# a comment",
        "nvidia-x==1 ; sys_platform == 'linux'",
        "torch==2 ; python_version > '3'",
        "    # via torch",
    ]
    assert list(environment.without(lock, environment.CUDA)) == ["torch==2 ; python_version > '3'"]


@pytest.mark.parametrize(
    ("asked_for", "system", "gpu", "which"),
    [
        ("auto", "linux", True, "cuda"),
        ("auto", "linux", False, "cpu"),
        ("cuda", "linux", False, "cuda"),
        ("cpu", "linux", True, "cpu"),
        ("cpu", "darwin", False, "cuda"),  # one build for all there, without CUDA
    ],
)
def test_a_gpu_decides_unless_the_user_does(monkeypatch, asked_for, system, gpu, which):
    monkeypatch.setattr(environment, "nvidia_gpu", lambda: gpu)
    assert environment.kind(asked_for, system) == which


def test_a_gpu_is_where_its_driver_lists_one(tmp_path, monkeypatch):
    monkeypatch.setattr(environment.shutil, "which", lambda name: None)
    assert not environment.nvidia_gpu(tmp_path)
    (tmp_path / "proc/driver/nvidia/gpus").mkdir(parents=True)
    assert not environment.nvidia_gpu(tmp_path)  # a driver and no card
    (tmp_path / "proc/driver/nvidia/gpus/0000:01:00.0").mkdir()
    assert environment.nvidia_gpu(tmp_path)


@pytest.mark.parametrize(("answers", "which", "calls"), [([0], "cpu", 1), ([1, 0], "spare", 2)])
def test_an_index_without_that_build_is_no_end(tmp_path, monkeypatch, capsys, answers, which, calls):
    given = []
    statuses = iter(answers)

    def uv(folder, *arguments, quiet=False):
        given.append((arguments, (tmp_path / "requirements.txt").read_text()))
        return next(statuses)

    monkeypatch.chdir(REPO)
    monkeypatch.setattr(environment, "_uv", uv)
    assert environment.install("cpu", tmp_path) == which and len(given) == calls
    assert "--torch-backend" in given[0][0] and "nvidia-" not in given[0][1] and "triton" not in given[0][1]
    if which == "spare":
        assert "nvidia-cudnn" in given[1][1] and "triton" not in given[1][1]
        assert "can't be reached" in capsys.readouterr().out


def test_an_installation_that_fails_ends_with_uvs_status(tmp_path, monkeypatch):
    monkeypatch.chdir(REPO)
    monkeypatch.setattr(environment, "_uv", lambda *_, **__: 2)
    with pytest.raises(SystemExit, match="2"):
        environment.install("cuda", tmp_path)


def test_a_file_with_two_names_is_counted_once(tmp_path):
    (tmp_path / "a").write_bytes(bytes(3000))
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    (tmp_path / "c").symlink_to(tmp_path / "a")
    assert environment.size(tmp_path) == 3e-6
