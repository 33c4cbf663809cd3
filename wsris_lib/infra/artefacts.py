"""Files that outlive a run: written whole or not at all, keyed by what they were made from, never unpickled.

Every stage of the project stores its result through these few functions, so that an interrupted run resumes where it
stopped and a damaged file is named, removed and made again.
"""

import hashlib
import json
import math
import os
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import TYPE_CHECKING, Any

from wsris_lib.infra.errors import UserError

if TYPE_CHECKING:  # imported where it is used: SynRef's worker processes come through here and need no torch
    import torch

REPO = Path(__file__).resolve().parents[2]


class CorruptArtefact(UserError):
    """A stored file that can't be read back. It has been removed; running the same command again makes it anew."""

    def __init__(self, path: Path, why: object):
        super().__init__(f"{path} can't be read ({why}); it was removed, run the same command again to make it anew")
        self.path = path


def runs_dir() -> Path:
    """The folder that all runs write to: `$WSRIS_HOME`, else `runs/` of the checkout, else `~/.cache/wsris`."""
    if folder := os.environ.get("WSRIS_HOME"):  # empty is none: it would be the working folder
        return Path(folder).expanduser().resolve()
    return REPO / "runs" if (REPO / "pyproject.toml").is_file() else Path.home() / ".cache" / "wsris"


def content_hash(*parts: object) -> str:
    """Sixteen hex digits that change whenever one of `parts` (anything JSON can hold, or a path's content) changes."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(
            file_digest(part).encode() if isinstance(part, Path) else json.dumps(part, sort_keys=True).encode()
        )
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def file_digest(path: Path) -> str:
    """SHA-256 of a file, or of every file below a folder together with its relative name."""
    if path.is_file():
        with open(path, "rb") as f:
            return hashlib.file_digest(f, "sha256").hexdigest()
    files = sorted(p for p in path.rglob("*") if p.is_file())
    if not files:
        raise FileNotFoundError(f"{path} is neither a file nor a folder with files in it")
    return hashlib.sha256("".join(f"{p.relative_to(path)}:{file_digest(p)}\n" for p in files).encode()).hexdigest()


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; on a clean exit it becomes `path` in one step, otherwise it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Machines that share a disk may have processes of the same number.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def check_folder(folder: Path) -> None:
    """Raises OSError for a folder that can't be written to, or made: before a training, not after it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as why:
        raise OSError(f"{folder}: can't be written to ({why.strerror}); name a place elsewhere by -o") from None


def write_json(path: Path, value: object) -> None:
    """Write anything JSON can hold."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """What a file of JSON holds. Raises CorruptArtefact (and removes the file) when it holds no valid JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as why:
        path.unlink(missing_ok=True)  # another process may have been faster
        raise CorruptArtefact(path, why) from None


def save_tensors(path: Path, tensors: "dict[str, torch.Tensor]", **notes: object) -> None:
    """Write tensors and JSON-able `notes` as one safetensors file, with a checksum of the tensors."""
    from safetensors.torch import save_file

    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_write(path) as temporary:
        # one entry only: safetensors writes several in random order, and the same content must give the same bytes
        save_file(whole, temporary, metadata={"wsris": json.dumps([_checksum(whole), notes], sort_keys=True)})


def save_parts(path: Path, parts: "Callable[[], Iterable[dict[str, torch.Tensor]]]", **notes: object) -> None:
    """Write what `save_tensors` would of all parts, one below the other, while no more than one is in memory.

    Args:
        parts: gives them, in the same order each time; called twice, to measure and to write. All have tensors of the
            same names and types, and of the same shapes but for the first dimension. They are joined on the disk of
            `path`, which needs room for them twice.
    """
    import torch

    empty = {}
    rows = defaultdict(int)
    for part in parts():
        for name, tensor in part.items():
            empty[name] = tensor[:0]
            rows[name] += len(tensor)
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {}
    with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.", ignore_cleanup_errors=True) as folder:
        for name, like in empty.items():
            shape = (rows[name], *like.shape[1:])
            size = math.prod(shape)
            mapped = torch.from_file(f"{folder}/{name}", True, size, dtype=like.dtype) if size else like
            whole[name] = mapped.view(shape)
    place = dict.fromkeys(whole, 0)  # the files have no name any more: whatever happens, none is left behind
    for part in parts():
        for name, tensor in part.items():
            whole[name][place[name] : place[name] + len(tensor)] = tensor
            place[name] += len(tensor)
    save_tensors(path, whole, **notes)


def load_tensors(path: Path) -> "tuple[dict[str, torch.Tensor], dict]":
    """Return (tensors, notes). Raises CorruptArtefact (and removes the file) when a bit of it is not as written.

    The tensors are mapped, not read: what hasn't been changed the system can take out of memory and fetch again.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as f:
            tensors = {name: f.get_tensor(name) for name in f.keys()}
            checksum, notes = json.loads((f.metadata() or {}).get("wsris", "[null, null]"))
        if checksum != _checksum(tensors):
            raise ValueError("its content doesn't fit its checksum")
        return tensors, notes
    except (SafetensorError, ValueError) as why:
        path.unlink(missing_ok=True)  # another process may have been faster
        raise CorruptArtefact(path, why) from None


def try_load_tensors(path: Path) -> "tuple[dict[str, torch.Tensor], dict] | None":
    """Like `load_tensors`, but None where there is no file, or where a damaged one was removed (with a warning)."""
    if not path.is_file():
        return None
    try:
        return load_tensors(path)
    except CorruptArtefact as damage:
        warnings.warn(f"{damage}; making it again now", stacklevel=3)
        return None


def _checksum(tensors: "dict[str, torch.Tensor]") -> str:
    """safetensors itself notices a damaged header and a file cut short, but no flipped bit."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(tensors[name].numpy().data)
    return digest.hexdigest()
