"""A zip unpacked once: nothing outside of its folder, no file by halves."""

import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PureWindowsPath

from tqdm import tqdm

from wsris_lib.infra.artefacts import atomic_write, file_digest, read_json, write_json
from wsris_lib.setup.download import CHUNK, enough_room


def unpacked(archive: Path, folder: Path) -> Path:
    """Unpack a zip into `folder`, unless just that has been done; returns `folder`.

    Each file appears by renaming, and at the end a stamp with the archive's digest: without it, as after a kill, or
    when a file is gone, what is lacking is unpacked. Raises ValueError for a damaged zip and, before anything is
    written, for a member that is encrypted, is a link, would lie outside of `folder`, or in the place of a file with
    another content; DownloadError where the disk is too small for what the members declare.
    """
    stamp = folder / f".{archive.name}.json"
    digest = {"sha256": file_digest(archive)}
    try:
        with zipfile.ZipFile(archive) as zipped:
            members = [info for info in zipped.infolist() if not info.is_dir()]
            for info in members:
                _refuse_unsafe(archive, info)
            absent = [info for info in members if not (folder / info.filename).exists()]
            if not absent and stamp.is_file() and read_json(stamp) == digest:
                return folder
            for info in members:
                path = folder / info.filename
                if info not in absent and zlib.crc32(path.read_bytes()) != info.CRC:
                    there = f"{path} is there and isn't the file of that name in {archive}"
                    raise ValueError(f"{there}: move one of them away; nothing was unpacked")
            enough_room(stamp, sum(info.file_size for info in absent))
            for info in tqdm(absent, desc=f"unpacking {archive.name}", unit="file"):
                with atomic_write(folder / info.filename) as temporary, zipped.open(info) as source:
                    with open(temporary, "wb") as target:
                        shutil.copyfileobj(source, target, CHUNK)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError) as why:
        raise ValueError(f"{archive}: can't be unpacked ({why}); remove it and fetch it again") from None
    write_json(stamp, digest)
    return folder


def _refuse_unsafe(archive: Path, info: zipfile.ZipInfo) -> None:
    path = PureWindowsPath(info.filename)  # which takes / and \ for separators
    if path.anchor or ".." in path.parts:
        raise ValueError(f"{archive}: its member {info.filename!r} would leave the folder; nothing was unpacked")
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG) or info.flag_bits & 1:
        raise ValueError(
            f"{archive}: its member {info.filename!r} is a link, no plain file or encrypted; nothing was unpacked"
        )
