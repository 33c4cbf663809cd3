"""benchmarks/owed_on_gpu.sh, as far as a machine without a GPU can tell, and what compares its two runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from wsris_lib.infra.artefacts import REPO

SCRIPT = REPO / "benchmarks" / "owed_on_gpu.sh"
SAME = REPO / "benchmarks" / "same_files.py"


def shell(*arguments):
    return subprocess.run(["bash", str(SCRIPT), *arguments], capture_output=True, text=True, cwd=REPO, timeout=60)


@pytest.mark.parametrize("size", [(), ("--smoke",)])
def test_a_dry_run_names_scripts_that_are_there_and_runs_none(size):
    result = shell("--dry-run", "--data", "some/where", *size)
    assert result.returncode == 0, result.stderr
    lines = [line for line in result.stdout.splitlines() if line.startswith("+ ")]
    scripts = [name for line in lines for name in re.findall(r"benchmarks/\w+\.py", line)]
    assert scripts and all((REPO / name).is_file() for name in scripts)
    assert any("--nproc_per_node 2" in line for line in lines) and len(lines) == len(result.stdout.splitlines())
    assert any("--profile paper" in line and "--data some/where" in line for line in lines) == (not size)


def test_an_unknown_option_is_refused():
    result = shell("--fast")
    assert result.returncode == 2 and "unknown option --fast" in result.stderr


def test_the_documents_hours_are_what_the_arithmetic_gives():
    script = REPO / "benchmarks" / "gpu_hours.py"
    lines = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True).stdout.splitlines()
    text = (REPO / "docs" / "paper_size.md").read_text(encoding="utf-8")
    assert len(lines) > 20 and "\n".join(lines) in text


def compared(one, other):
    words = [sys.executable, str(SAME), str(one), str(other)]
    return subprocess.run(words, capture_output=True, text=True, timeout=120)


def test_the_same_files_and_others(tmp_path):
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "board.json").write_text("{}", encoding="utf-8")
        save_file({"a": torch.ones(2), "b": torch.zeros(1)}, folder / "net.safetensors")
    whole = compared(*folders)
    assert whole.returncode == 0 and "2 of 2 files are the same" in whole.stdout
    save_file({"a": torch.ones(2), "b": torch.full((1,), 1e-9)}, folders[1] / "net.safetensors")
    (folders[0] / "more.json").write_text("{}", encoding="utf-8")
    changed = compared(*folders)
    assert changed.returncode == 1 and changed.stdout.splitlines()[1:] == ["more.json", "net.safetensors"]
    nothing = compared(tmp_path / "no", Path(tmp_path / "where"))
    assert nothing.returncode == 1 and "there is no file to compare" in nothing.stderr
