"""Whether two folders hold the same files, bit for bit: `python benchmarks/same_files.py ONE OTHER`; exits 1 if not.

Of safetensors the tensors are compared, as their metadata may be written in another order.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file


def differing(one: Path, other: Path) -> tuple[int, list[str]]:
    """How many files there are in either, and those that differ or are in one alone. Raises ValueError for none."""
    names = {path.relative_to(folder) for folder in (one, other) for path in folder.rglob("*") if path.is_file()}
    if not names:
        raise ValueError(f"{one} and {other}: there is no file to compare")
    return len(names), sorted(str(name) for name in names if not same(one / name, other / name))


def same(a: Path, b: Path) -> bool:
    """Whether both are there and hold the same."""
    if not (a.is_file() and b.is_file()):
        return False
    if a.suffix != ".safetensors":
        return a.read_bytes() == b.read_bytes()
    first = load_file(a)
    second = load_file(b)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


if __name__ == "__main__":
    count, names = differing(*map(Path, sys.argv[1:]))
    print(f"{count - len(names)} of {count} files are the same, bit for bit")
    print("\n".join(names[:20]))
    sys.exit(bool(names))
