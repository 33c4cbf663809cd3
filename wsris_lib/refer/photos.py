"""The bytes of a photograph: from a file in a folder, or straight from a zip that was never unpacked."""

import os
import re
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import IO, Literal

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

    def open(self, mode: Literal["rb"] = "rb") -> IO[bytes]:
        """The photograph to be read from its beginning, whose header takes no more. Raises as zipfile does."""
        return _opened(self.archive).open(self.member)

    def read_bytes(self) -> bytes:
        """The photograph's bytes, those that unpacking would give. Raises DataError that names zip and member."""
        try:
            return _opened(self.archive).read(self.member)
        except Exception as why:  # zipfile's, the system's, or any of the decompressors'
            what = f"the member {self.member} can't be read ({type(why).__name__}: {why})"
            raise DataError(f"{self.archive}: {what}; fetch the zip again") from None


Photo = Path | ZippedPhoto
_OF_COCO = re.compile(r"coco_(?:train|val)2014_(?=\d{12}\.)")  # the same photographs have no such prefix since 2017


def photos(place: Path) -> Callable[[str], Photo]:
    """How to find the photographs by file name in a folder, or in a zip that was never unpacked.

    A file of just that name counts; else the only one that ends in it, in whatever folder below `place`, in capitals or
    not, by COCO's name of 2014 or of 2017. A name that fits none, or several, gives a path that is no file. Raises
    DataError when the zip is damaged (one that was cut short has no index); so does the function that is returned, when
    a member is encrypted or packed in a way that Python can't read.
    """
    return _in_folder(place) if place.is_dir() else _in_zip(place)


def _in_folder(place: Path) -> Callable[[str], Photo]:
    @cache
    def endings() -> dict[str, str | None]:
        """Made when a file isn't where it is expected: it takes a walk through all folders."""
        return _endings(path.relative_to(place).as_posix() for path in _below(place))

    def find(name: str) -> Path:
        path = place / name
        other = None if path.is_file() else endings().get(_key(name, place.name))
        return place / other if other else path

    return find


def _below(place: Path) -> Iterator[Path]:
    """The files in all folders, those behind links, too, each folder once."""
    been = set()
    for folder, inner, names in os.walk(place, followlinks=True):
        if (real := os.path.realpath(folder)) in been:
            inner.clear()  # not to go in circles
        else:
            been.add(real)
            yield from (Path(folder, name) for name in names)


def _in_zip(place: Path) -> Callable[[str], Photo]:
    try:
        index = {info.filename: info for info in _opened(place).infolist() if not info.is_dir()}
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as why:
        raise DataError(f"{place}: can't be read as a zip ({why}); it may be cut short, fetch it again") from None

    @cache
    def endings() -> dict[str, str | None]:
        return _endings(index)

    def find(name: str) -> Photo:
        info = index.get(f"{place.stem}/{name}") or index.get(name)
        if info is None and (member := endings().get(_key(name, place.stem))):
            info = index[member]
        if info is None:
            return place / name
        if info.flag_bits & 1 or info.compress_type not in METHODS:
            how = "encrypted" if info.flag_bits & 1 else f"packed by method {info.compress_type}"
            raise DataError(f"{place}: the member {info.filename} is {how}; unpack it into {place.with_suffix('')}")
        return ZippedPhoto(place, info.filename)

    return find


def _key(name: str, folder: str = "") -> str:
    """What a photograph's name says whichever way it is written; `folder`: where it lies, which it may repeat."""
    key = plain(name).replace("\\", "/").removeprefix(f"{plain(folder)}/").removeprefix("./")
    return _OF_COCO.sub("", key).replace(".jpeg", ".jpg")


def plain(name: str) -> str:
    """A name in small letters and one spelling of accents, of which a Mac's disks have another than the rest."""
    return unicodedata.normalize("NFC", name).lower()


def _endings(paths: Iterable[str]) -> dict[str, str | None]:
    """Key of every ending of a path ("a/b.jpg", "b.jpg") -> the path; None where several end so."""
    ending: dict[str, str | None] = {}
    for path in paths:
        parts = _key(path).split("/")
        for start in range(len(parts)):
            key = "/".join(parts[start:])
            ending[key] = None if key in ending else path
    return ending


def _opened(archive: Path) -> zipfile.ZipFile:
    """The zip, opened once a process: threads may share its handle, a forked process would move its place.

    Reading the index of COCO's 82,783 photographs takes a second or two; a zip that has changed is opened anew.
    """
    now = archive.stat()
    return _open(archive, now.st_size, now.st_mtime_ns, os.getpid())


@lru_cache(maxsize=4)
def _open(archive: Path, *_: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(archive)
