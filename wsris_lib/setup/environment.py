"""Which torch `make setup` installs: where there is no NVIDIA GPU, the build for CPUs, without CUDA's libraries.

Run with the new environment's Python, which has nothing but uv yet; so only the standard library is imported here.
The lock stays one file. torch's index for CPUs has the same versions as builds without CUDA; of the lock's lines those
in CUDA are left out then, and all is installed without dependencies, which would bring them back.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

KINDS = ("auto", "cpu", "cuda")
CUDA = ("nvidia-", "cuda-", "triton")  # how the names of torch's own packages for NVIDIA GPUs begin
# Of these the ones that torch's build with CUDA computes without on a CPU, torch.compile included; it is linked with
# the others and can't be imported without.
SPARE = (
    *("triton", "cuda-bindings", "cuda-pathfinder"),
    *("nvidia-cusolver", "nvidia-nvjitlink", "nvidia-cuda-cupti", "nvidia-cuda-cccl", "nvidia-nvtx"),
)
GIGABYTES = {"cuda": 6.7, "cpu": 2.0, "spare": 5.1}  # of .venv on Linux, see docs/troubleshooting.md
LOCK = Path("requirements-lock.txt")


def kind(asked_for: str, system: str = sys.platform) -> str:
    """ "cpu" or "cuda"; elsewhere than on Linux the usual packages have no CUDA, and nothing is to be left out."""
    if system != "linux":
        return "cuda"
    return asked_for if asked_for != "auto" else "cuda" if nvidia_gpu() else "cpu"


def nvidia_gpu(root: Path = Path("/")) -> bool:
    """Whether the system has an NVIDIA GPU with its driver; WSL has no such folder, but the tool."""
    driver = root / "proc/driver/nvidia/gpus"
    if driver.is_dir() and any(driver.iterdir()):
        return True
    tool = shutil.which("nvidia-smi")
    if not tool:
        return False
    listed = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False)
    return listed.returncode == 0 and "GPU" in listed.stdout


def without(lines: Sequence[str], names: Sequence[str]) -> Iterator[str]:
    """The lines of a lock but those of packages whose names begin so, and comments."""
    for line in lines:
        name = re.split(r"[=<>!~ ;\[]", line.strip(), maxsplit=1)[0]
        if name and not name.startswith("#") and not name.startswith(tuple(names)):
            yield line


def install(which: str, folder: Path) -> str:
    """Install the lock into the environment `folder`; returns what is there then, a key of GIGABYTES.

    Raises SystemExit with uv's status where it can't be done.
    """
    lines = LOCK.read_text(encoding="utf-8").splitlines()
    reduced = folder / "requirements.txt"
    if which == "cpu":
        reduced.write_text("\n".join(without(lines, CUDA)) + "\n", encoding="utf-8")
        if _uv(folder, "--no-deps", "--torch-backend", "cpu", "-r", str(reduced), quiet=True) == 0:
            return "cpu"
        print(
            "PyTorch's index of builds for the CPU can't be reached, or lacks this version: its build with CUDA is "
            f"taken, without what it doesn't need on a CPU: about {GIGABYTES['spare']} GB."
        )
        reduced.write_text("\n".join(without(lines, SPARE)) + "\n", encoding="utf-8")
        status = _uv(folder, "--no-deps", "-r", str(reduced))
        which = "spare"
    else:
        status = _uv(folder, "-r", str(LOCK))
    if status:
        raise SystemExit(status)
    return which


def _uv(folder: Path, *arguments: str, quiet: bool = False) -> int:
    """uv's status. It compiles nothing unless told to, and where PYTHONDONTWRITEBYTECODE is set every process would
    compile torch and transformers anew: 17 s of a core instead of 8."""
    python = folder / "bin" / "python"
    command = [str(python.with_name("uv")), "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python)]
    away = subprocess.DEVNULL if quiet else None
    return subprocess.run([*command, *arguments], stderr=away, env=os.environ, check=False).returncode


def size(folder: Path) -> float:
    """GB on disk, of a file with several names once."""
    files = {}
    for path in folder.rglob("*"):
        if not path.is_symlink() and path.is_file():
            status = path.stat()
            files[status.st_dev, status.st_ino] = status.st_size
    return sum(files.values()) / 1e9


def main(words: Sequence[str] | None = None) -> None:
    """Say what is going to be installed and how large it is, install it, and say how large it is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--torch", choices=KINDS, default="auto")
    asked_for = parser.parse_args(words).torch
    which = kind(asked_for)
    if sys.platform == "linux":
        why = "as TORCH says" if asked_for != "auto" else f"{'an' if which == 'cuda' else 'no'} NVIDIA GPU is here"
        other = {"cpu": "cuda", "cuda": "cpu"}[which]
        print(f"torch for {which} ({why}; make setup TORCH={other} for the other): {GIGABYTES[which]} GB of disk.")
    folder = Path(sys.prefix)
    install(which, folder)
    print(f"{folder.name} has {size(folder):.1f} GB now.")


if __name__ == "__main__":
    main()
