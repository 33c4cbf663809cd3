"""The bytes of a photograph: from a file in a folder, or straight from a zip that was never unpacked."""

import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from wsris_lib.refer.errors import DataError

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


@dataclass(frozen=True, slots=True)
class ZippedPhoto:
    """A photograph inside a zip, with what is needed here of a `Path` to a file."""

    archive: Path
    member: str

    def __str__(self) -> str:
        return f"{self.archive}/{self.member}"

    @property
    def name(self) -> str:
        """The photograph's own name, without folders."""
        return self.member.rpartition("/")[2]

    def is_file(self) -> bool:
        """True: the zip's index has it."""
        return True

    def read_bytes(self) -> bytes:
        """The photograph's bytes, those that unpacking would give. Raises DataError that names zip and member."""
        try:
            return _opened(self.archive).read(self.member)
        except Exception as why:  # zipfile's, the system's, or any of the decompressors'
            what = f"the member {self.member} can't be read ({type(why).__name__}: {why})"
            raise DataError(f"{self.archive}: {what}; fetch the zip again") from None


Photo = Path | ZippedPhoto


def photos(place: Path) -> Callable[[str], Photo]:
    """How to find the photographs by file name in a folder, or in a zip with or without a folder of the zip's name.

    A name that the zip doesn't hold gives a path that is no file. Raises DataError when the zip is damaged (one that
    was cut short has no index); so does the function that is returned, when a member is encrypted or packed in a way
    that Python can't read.
    """
    if place.is_dir():
        return lambda name: place / name
    try:
        index = {info.filename: info for info in _opened(place).infolist()}
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as why:
        raise DataError(f"{place}: can't be read as a zip ({why}); it may be cut short, fetch it again") from None

    def find(name: str) -> Photo:
        info = index.get(f"{place.stem}/{name}") or index.get(name)
        if info is None:
            return place / name
        if info.flag_bits & 1 or info.compress_type not in METHODS:
            how = "encrypted" if info.flag_bits & 1 else f"packed by method {info.compress_type}"
            raise DataError(f"{place}: the member {info.filename} is {how}; unpack it into {place.with_suffix('')}")
        return ZippedPhoto(place, info.filename)

    return find


def _opened(archive: Path) -> zipfile.ZipFile:
    """The zip, opened once a process: threads may share its handle, a forked process would move its place.

    Reading the index of COCO's 82,783 photographs takes a second or two; a zip that has changed is opened anew.
    """
    now = archive.stat()
    return _open(archive, now.st_size, now.st_mtime_ns, os.getpid())


@lru_cache(maxsize=4)
def _open(archive: Path, *_: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(archive)
