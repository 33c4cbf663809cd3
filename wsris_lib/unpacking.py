"""A zip unpacked once: nothing outside of its folder, no file by halves."""

import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

from tqdm import tqdm

from wsris_lib.artefacts import file_digest, read_json, replacing, write_json
from wsris_lib.downloads import CHUNK, enough_room


def unpacked(archive: Path, folder: Path) -> Path:
    """Unpack a zip into `folder`, unless just that has been done; returns `folder`.

    Each file appears by renaming, and at the end a stamp with the archive's digest: without it, as after a kill, or
    when a file is gone, what is lacking is unpacked. Raises ValueError for a damaged zip and, before anything is
    written, for a member that is encrypted, is a link, would lie outside of `folder`, or in the place of a file with
    another content; NotFetched where the disk is too small for what the members declare.
    """
    stamp, made_of = folder / f".{archive.name}.json", {"sha256": file_digest(archive)}
    try:
        with zipfile.ZipFile(archive) as zipped:
            members = [info for info in zipped.infolist() if not info.is_dir()]
            for info in members:
                _refuse_unsafe(archive, info)
            absent = [info for info in members if not (folder / info.filename).exists()]
            if not absent and stamp.is_file() and read_json(stamp) == made_of:
                return folder
            for info in members:
                if info not in absent and _crc(folder / info.filename) != info.CRC:
                    there = f"{folder / info.filename} is there and isn't the file of that name in {archive}"
                    raise ValueError(f"{there}: move one of them away; nothing was unpacked")
            enough_room(stamp, sum(info.file_size for info in absent))
            for info in tqdm(absent, desc=f"unpacking {archive.name}", unit="file"):
                with replacing(folder / info.filename) as temporary, zipped.open(info) as source:
                    with open(temporary, "wb") as target:
                        shutil.copyfileobj(source, target, CHUNK)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError) as why:
        raise ValueError(f"{archive}: can't be unpacked ({why}); remove it and fetch it again") from None
    write_json(stamp, made_of)
    return folder


def _crc(path: Path) -> int:
    crc = 0
    with open(path, "rb") as f:
        while chunk := f.read(CHUNK):
            crc = zlib.crc32(chunk, crc)
    return crc


def _refuse_unsafe(archive: Path, info: zipfile.ZipInfo) -> None:
    name = info.filename
    windows, kind = PureWindowsPath(name), stat.S_IFMT(info.external_attr >> 16)
    leaves = name.startswith("/") or windows.drive or windows.root or ".." in windows.parts
    if leaves or ".." in PurePosixPath(name).parts:
        raise ValueError(f"{archive}: its member {name!r} would leave the folder; nothing was unpacked")
    if kind not in (0, stat.S_IFREG) or info.flag_bits & 1:
        raise ValueError(f"{archive}: its member {name!r} is a link, no plain file or encrypted; nothing was unpacked")
