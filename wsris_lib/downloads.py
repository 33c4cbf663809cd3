"""One file over HTTP: whole and right, or not there at all.

With urllib: beyond a request all of this is a loop and a few headers, which no other client would have spared.
"""

import http.client
import os
import re
import shutil
import socket
import ssl
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

from tqdm import tqdm

from wsris_lib.artefacts import CorruptArtefact, file_digest, read_json, write_json

CHUNK = 1 << 20  # bytes read at once
PASSING = (408, 425, 429)  # and all of 500 to 599: the same request may well be answered later


class NotFetched(RuntimeError):
    """Something can't be had, or not now. The message says from where it was tried, what happened, and what to do."""


@dataclass(frozen=True)
class Patience:
    """How long a download bears with a server, in seconds.

    After `tries` in a row that brought nothing new it goes to the next mirror. Pauses double from `pause` to `longest`;
    one that the server asks for (Retry-After) is kept up to `asked`. `stall`: without a byte, a try is over.
    """

    tries: int = 6
    pause: float = 1.0
    longest: float = 60.0
    asked: float = 600.0
    stall: float = 60.0
    sleep: Callable[[float], None] = time.sleep


PATIENCE = Patience()


class _Useless(Exception):
    """This mirror won't do."""


class _Again(Exception):
    """This try failed, another may not. `wait`: seconds that the server asked for."""

    def __init__(self, why: str, wait: float = 0.0):
        super().__init__(why)
        self.wait = wait


class _Part:
    """What has come so far, `.NAME.part`; in a json beside it the server's tag of the file that it is a part of."""

    def __init__(self, out: Path):
        self.path = out.with_name(f".{out.name}.part")
        self.note = out.with_name(f".{out.name}.part.json")

    @property
    def length(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def tag(self) -> str:
        try:
            return read_json(self.note)["tag"] if self.path.is_file() else ""
        except (FileNotFoundError, CorruptArtefact):
            return ""

    def begin(self, tag: str) -> None:
        self.drop()  # first: what is there must never get another file's tag
        write_json(self.note, {"tag": tag})

    def drop(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def download(
    urls: Sequence[str],
    out: Path,
    sha256: str | None = None,
    bytes: int | None = None,
    patience: Patience = PATIENCE,
) -> Path:
    """The file `out`, from the first of `urls` that has it; nothing is asked for when it is there already.

    What comes is kept in `.NAME.part` beside it, through errors and kills, and a later call asks only for the rest if
    the server says that it is still the same file. `out` appears by renaming, after its size `bytes`, its digest
    `sha256` and, for a .zip, its index were checked, as far as they are known. Raises NotFetched, with all that was
    tried, also when the disk is too small (before it begins) and when `out` is there but is another file (it stays).
    """
    if out.is_file():
        if fault := _fault(out, sha256, bytes):
            raise NotFetched(f"{out} is there, but {fault}: move it away and run the same command again")
        return out
    out.parent.mkdir(parents=True, exist_ok=True)
    part, failures = _Part(out), []
    enough_room(out, (bytes or 0) - part.length)
    for url in urls:
        try:
            _whole(url, part, out, sha256, bytes, patience)
        except _Useless as why:
            failures.append(f"  {url}: {why}")
        else:
            os.replace(part.path, out)
            part.drop()
            return out
    kept = f" ({part.length / 1e6:,.1f} MB are kept)" if part.length else ""
    raise NotFetched(
        "\n".join([f"{out} could not be fetched:", *failures])
        + f"\nRun the same command again later{kept}, or get the file by hand, put it there and run it then"
    )


def _whole(url: str, part: _Part, out: Path, sha256: str | None, size: int | None, patience: Patience) -> None:
    """Make `part` the whole and right file, in as many requests as it takes. Raises _Useless."""
    idle, most, mended = 0, part.length, False
    while True:
        before = part.length
        try:
            _request(url, part, out, sha256, size, patience.stall)
        except _Again as why:
            if part.length > most:
                idle, most = 0, part.length
            else:
                idle += 1
            if idle >= patience.tries:
                raise _Useless(f"{why} ({patience.tries} times)") from None
            pause = min(patience.pause * 2 ** max(idle - 1, 0), patience.longest)
            pause = max(pause, min(why.wait, patience.asked))
            tqdm.write(f"{out.name}: {why}; again in {pause:.0f} s", file=sys.stderr)
            patience.sleep(pause)
            continue
        fault = _fault(part.path, sha256, size, out.suffix)
        if not fault:
            return
        part.drop()
        if mended or not before:
            raise _Useless(fault)
        mended, most = True, 0  # pieces of two files may have come together: once more, from the start


def _request(url: str, part: _Part, out: Path, sha256: str | None, size: int | None, stall: float) -> None:
    """Ask for what is lacking and append it. Returns when all is there that the server has."""
    have, tag = part.length, part.tag
    headers = {"User-Agent": "wsris", "Accept-Encoding": "identity"}
    if have and (tag or sha256):  # with neither, nothing could tell whether the rest is of the same file
        headers |= {"Range": f"bytes={have}-"} | ({"If-Range": tag} if tag else {})
    else:
        have = 0
    with _answer(urllib.request.Request(url, headers=headers), stall) as answer:
        placed = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", answer.headers.get("Content-Range", ""))
        total = int(placed[2]) if placed and placed[2] != "*" else None
        if answer.status == 416:  # nothing lies behind what is here
            if have and have in (total, size):
                return
            part.drop()
            raise _Again(f"has no byte {have:,}")
        if answer.status == 206:
            another = (tag and _strong_tag(answer.headers) not in ("", tag)) or (size and total not in (None, size))
            if another or not placed or int(placed[1] or -1) != have:
                part.drop()
                said = f"{answer.headers.get('Content-Range')} of {'another' if another else 'the'} file"
                raise _Again(f"answered with {said}, asked for byte {have:,} on")
        else:  # 200: the server knows no ranges, or the file has changed
            have, length = 0, answer.headers.get("Content-Length", "")
            total = int(length) if length.isdigit() else None
            if size and total not in (None, size):
                raise _Useless(f"has a file of {total:,} bytes, expected {size:,}")
        chunks = _chunks(answer)
        first = next(chunks, b"")
        if not have:
            if out.suffix == ".zip" and not first.startswith(b"PK"):
                kind = answer.headers.get_content_type()
                if first:
                    raise _Useless(f"answered with no zip but {kind}, beginning {first[:20]!r}")
            part.begin(_strong_tag(answer.headers))
        whole = total or size
        enough_room(out, (whole or 0) - have)
        _append(part, first, chunks, whole, out.name)
    if whole and part.length < whole:
        raise _Again(f"the connection ended after {part.length:,} of {whole:,} bytes")


def _append(part: _Part, first: bytes, chunks: Iterator[bytes], whole: int | None, name: str) -> None:
    have = part.length
    with (
        open(part.path, "ab") as f,
        tqdm(total=whole, initial=have, desc=name, unit="B", unit_scale=True) as bar,
    ):
        while first:
            first = first[: whole - have] if whole else first
            try:
                f.write(first)
            except OSError as why:
                raise NotFetched(f"{part.path}: can't be written ({why.strerror}); what is there is kept") from None
            have += len(first)
            bar.update(len(first))
            first = next(chunks, b"") if have != whole else b""


def _answer(request: urllib.request.Request, stall: float) -> http.client.HTTPResponse | urllib.error.HTTPError:
    try:
        return urllib.request.urlopen(request, timeout=stall)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            return error
        error.close()
        said = f"HTTP {error.code} {error.reason}"
        if error.code in PASSING or error.code >= 500:
            raise _Again(said, _seconds(error.headers.get("Retry-After", ""))) from None
        raise _Useless(said) from None
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "reason", error)
        if isinstance(why, ssl.SSLCertVerificationError) or getattr(why, "errno", 0) == socket.EAI_NONAME:
            raise _Useless(str(why)) from None
        raise _Again(f"{type(why).__name__}: {why}") from None


def _chunks(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while chunk := answer.read1(CHUNK):  # not read(): it would lose what came before a stall
            yield chunk
    except (OSError, http.client.HTTPException) as error:
        raise _Again(f"{type(error).__name__}: {error}") from None


def _strong_tag(headers: http.client.HTTPMessage) -> str:
    """What If-Range takes to say which file is meant; a weak tag may stand for other bytes."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified", "")


def _seconds(retry_after: str) -> float:
    if retry_after.isdigit():
        return float(retry_after)
    try:
        return (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError):
        return 0.0


def _fault(path: Path, sha256: str | None, size: int | None, suffix: str = "") -> str:
    """What is wrong with a file, or ""."""
    found = path.stat().st_size
    if size and found != size:
        return f"it has {found:,} bytes, expected {size:,}"
    if sha256 and (digest := file_digest(path)) != sha256:
        return f"its sha256 is {digest}, expected {sha256}"
    if (suffix or path.suffix) == ".zip" and not zipfile.is_zipfile(path):
        return "it is no zip, or one cut short"
    return ""


def enough_room(place: Path, needed: int) -> None:
    """Raise NotFetched when the disk under `place` has fewer than `needed` bytes free."""
    folder = next(folder for folder in place.absolute().parents if folder.is_dir())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise NotFetched(
            f"{place}: needs {needed / 1e9:,.2f} GB more, {folder} has {free / 1e9:,.2f} GB free; "
            "free some, or choose a folder on a larger disk"
        )
