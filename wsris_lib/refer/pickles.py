"""Pickles of data, as REFER's `refs(*.p)`, without their danger: containers, text and numbers are read, no more."""

import io
import pickle
from pathlib import Path
from typing import Any

from wsris_lib.refer.errors import DataError
from wsris_lib.refer.image_kinds import stand_in

Record = dict[str, Any]  # an entry of a published file, as it lies there: a ref, an annotation, an image


class UnsafePickle(DataError):
    """The pickle names a class or a function, so loading it could run somebody's code. None of it was run."""


class _PlainUnpickler(pickle.Unpickler):
    """Refuses every global. Dict, list, tuple, str, bytes, numbers, bool and None are opcodes and need no global."""

    def find_class(self, module: str, name: str) -> object:
        raise UnsafePickle(repr(f"{module}.{name}"))


def load_refs(path: Path) -> list[Record]:
    """Read one `refs(<split_by>).p` as `load_plain` does. Raises DataError too when it is no list of dicts."""
    refs = load_plain(path)
    if not isinstance(refs, list) or not all(isinstance(ref, dict) for ref in refs):
        raise DataError(f"{path}: holds {type(refs).__name__}, expected a list of dicts, one a ref; fetch it again")
    return refs


def load_plain(path: Path) -> object:
    """Read a pickle of plain containers, text and numbers, of any protocol, written by Python 2 or 3.

    Python 2's byte strings become `str`: UTF-8 where that fits the whole file, Latin-1 otherwise.

    Raises UnsafePickle when the file names any class or function (a NumPy integer counts: it is rebuilt by a function),
    and DataError when the file is missing or damaged.
    """
    path = Path(path)
    data = b""
    try:
        data = path.read_bytes()
        return _load(data)
    except UnsafePickle as call:
        raise UnsafePickle(
            f"{path}: holds a call of {call}, and only plain containers, text and numbers are read; "
            "don't load it with pickle, get the original file or have its maker write plain lists and dicts"
        ) from None
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; put the published one there") from None
    except Exception as why:  # a damaged pickle can fail with nearly any exception
        reason = " ".join(f"{type(why).__name__}: {why}".split())
        what = stand_in(data) or f"can't be read as a pickle ({reason}); fetch it again"
        raise DataError(f"{path}: {what}") from None


def _load(data: bytes) -> object:
    try:
        return _PlainUnpickler(io.BytesIO(data), encoding="utf-8").load()
    except UnicodeDecodeError:
        return _PlainUnpickler(io.BytesIO(data), encoding="latin-1").load()
