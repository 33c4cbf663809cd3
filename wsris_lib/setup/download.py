"""One file over HTTP: whole and right, or not there at all.

`requests` does the asking. Resuming is done here: pooch and requests don't, and huggingface_hub's `http_get` appends
whatever comes without asking whether it is still the same file.
"""

import re
import shutil
import socket
import ssl
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import requests
from tqdm import tqdm
from urllib3 import Retry
from urllib3.exceptions import HTTPError

from wsris_lib.infra.artefacts import file_digest
from wsris_lib.infra.errors import UserError

CHUNK = 1 << 20  # bytes read at once
RETRYABLE = (408, 425, 429, *range(500, 600))  # the same request may well be answered later


class DownloadError(UserError):
    """Something can't be had, or not now. The message says from where it was tried, what happened, and what to do."""


@dataclass(frozen=True)
class RetryPolicy:
    """How long to wait for a server, in seconds.

    After `tries` in a row that brought nothing new, the next mirror is tried. Pauses double from `pause` to
    `max_pause`; a server's own Retry-After is kept up to `max_retry_after`. `stall`: without a byte, a try is over.
    """

    tries: int = 6
    pause: float = 1.0
    max_pause: float = 60.0
    max_retry_after: float = 600.0
    stall: float = 60.0
    sleep: Callable[[float], None] = time.sleep


RETRIES = RetryPolicy()


class _Permanent(Exception):
    """This mirror won't do."""


class _Transient(Exception):
    """This try failed, another may not. Arguments: why, and the seconds that the server asks to wait."""


def download(
    urls: Sequence[str],
    out: Path,
    sha256: str | None = None,
    bytes: int | None = None,
    patience: RetryPolicy = RETRIES,
) -> Path:
    """The file `out`, from the first of `urls` that has it; no request is made when it is there already.

    What comes is kept in `.NAME.part` beside it, through errors and kills, and a later call asks only for the rest if
    the server says that it is still the same file. `out` appears by renaming, after its size `bytes`, its digest
    `sha256` and, for a .zip, its index were checked, as far as they are known. Raises DownloadError, with all that was
    tried, also when the disk is too small (before it begins) and when `out` is there but is another file (it stays).
    """
    if out.is_file():
        if fault := _fault(out, sha256, bytes):
            raise DownloadError(f"{out} is there, but {fault}: move it away and run the same command again")
        return out
    transfer = _Transfer(out, sha256, bytes, patience)
    enough_room(out, (bytes or 0) - transfer.length)
    failures = [f"{out} could not be fetched:"]
    for url in urls:
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            transfer.from_mirror(url)
            transfer.part.replace(out)
            transfer.drop()
            return out
        except _Permanent as why:
            failures.append(f"  {url}: {why}")
        except OSError as why:
            raise DownloadError(f"{transfer.part}: can't be written ({why.strerror}); what is there is kept") from None
    kept = f" ({transfer.length / 1e6:,.1f} MB are kept)" if transfer.length else ""
    advice = f"Run the same command again later{kept}, or get the file by hand, put it there and run it then"
    raise DownloadError("\n".join([*failures, advice]))


class _Transfer:
    """What has come so far of `out`, and in a file beside it the server's tag of the file that it is a part of."""

    def __init__(self, out: Path, sha256: str | None, size: int | None, patience: RetryPolicy):
        self.out = out
        self.part = out.with_name(f".{out.name}.part")
        self.tag = out.with_name(f".{out.name}.part.tag")
        self.sha256 = sha256
        self.size = size
        self.patience = patience

    @property
    def length(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def drop(self) -> None:
        self.part.unlink(missing_ok=True)  # first: what is there must never get another file's tag
        self.tag.unlink(missing_ok=True)

    def from_mirror(self, url: str, restarted: bool = False) -> None:
        """Make the part whole and right, in as many requests as it takes. Raises _Permanent."""
        fruitless = 0  # tries in a row
        most = self.length
        while True:
            resumed = self.length > 0
            try:
                self._request(url)
                break
            except _Transient as failure:
                why, retry_after = failure.args
            fruitless = 0 if self.length > most else fruitless + 1
            most = max(most, self.length)
            if fruitless >= self.patience.tries:
                raise _Permanent(f"{why} ({fruitless} times)")
            pause = min(self.patience.pause * 2 ** max(fruitless - 1, 0), self.patience.max_pause)
            pause = max(pause, min(retry_after, self.patience.max_retry_after))
            tqdm.write(f"{self.out.name}: {why}; again in {pause:.0f} s", file=sys.stderr)
            self.patience.sleep(pause)
        if fault := _fault(self.part, self.sha256, self.size):
            self.drop()
            if restarted or not resumed:
                raise _Permanent(fault)
            self.from_mirror(url, restarted=True)  # pieces of two files may have come together: once more, from 0

    def _request(self, url: str) -> None:
        """Ask for what is lacking and append it. Returns when all is there that the server has."""
        tag = self.tag.read_text("latin-1") if self.tag.is_file() else ""
        start = self.length if tag or self.sha256 else 0  # with neither, the rest may be another file's
        headers = {"User-Agent": "wsris", "Accept-Encoding": "identity"}
        if start:
            headers |= {"Range": f"bytes={start}-"} | ({"If-Range": tag} if tag else {})
        try:
            with requests.get(url, headers=headers, stream=True, timeout=self.patience.stall) as response:
                self._receive(response, start, tag)
        except (requests.RequestException, HTTPError) as error:
            cause: BaseException = error
            while inner := cause.__cause__ or cause.__context__:  # the socket's own words, without four wrappings
                cause = inner
            unknown_host = getattr(cause, "errno", 0) == socket.EAI_NONAME
            if unknown_host or isinstance(cause, ssl.SSLCertVerificationError | requests.TooManyRedirects):
                raise _Permanent(str(cause)) from None
            raise _Transient(f"{type(cause).__name__}: {cause}", 0.0) from None

    def _receive(self, response: requests.Response, start: int, tag: str) -> None:
        """Append a response's body to the part, or begin the part anew with it."""
        status = response.status_code
        content_range = response.headers.get("Content-Range", "")
        match = re.fullmatch(r"bytes (\d+|\*)(?:-\d+)?/(\d+|\*)", content_range)
        first_byte, total = (int(n) if n.isdigit() else None for n in match.groups()) if match else (None, None)
        if status == 416 and start and start in (total, self.size):  # nothing lies behind what is here
            return
        if status in (206, 416):
            # Some servers ignore If-Range and send the rest of another file.
            another = (tag and _strong_tag(response) not in ("", tag)) or (self.size and total not in (None, self.size))
            if another or first_byte != start:
                self.drop()
                raise _Transient(f"HTTP {status}, {content_range or 'no range'}, for byte {start:,} on", 0.0)
        elif status in RETRYABLE:
            raise _Transient(f"HTTP {status} {response.reason}", Retry().get_retry_after(response.raw) or 0.0)
        elif status >= 300:
            raise _Permanent(f"HTTP {status} {response.reason}")
        else:  # 200: the server knows no ranges, or the file has changed
            start = 0
            total = response.raw.length_remaining
            if self.size and total not in (None, self.size):
                raise _Permanent(f"has a file of {total:,} bytes, expected {self.size:,}")
        total = total or self.size
        enough_room(self.out, (total or 0) - start)
        response.raw.enforce_content_length = False  # compared below, whoever knows the length
        left = total - start if total else sys.maxsize
        chunk = response.raw.read1(min(CHUNK, left))  # read and iter_content would lose what came before a stall
        if not start:
            if self.out.suffix == ".zip" and not b"PK".startswith(chunk[:2]):
                kind = response.headers.get("Content-Type", "").partition(";")[0]
                raise _Permanent(f"answered with no zip but {kind}, beginning {chunk[:20]!r}")
            self.drop()
            self.tag.write_text(_strong_tag(response), "latin-1")
        bar = tqdm(total=total, initial=start, desc=self.out.name, unit="B", unit_scale=True)
        with bar, open(self.part, "ab") as file:
            while chunk:
                file.write(chunk)
                bar.update(len(chunk))
                left -= len(chunk)
                chunk = response.raw.read1(min(CHUNK, left))
        if total and self.length < total:
            raise _Transient(f"the connection ended after {self.length:,} of {total:,} bytes", 0.0)


def _strong_tag(response: requests.Response) -> str:
    """What If-Range takes to say which file is meant; a weak tag may stand for other bytes."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _fault(path: Path, sha256: str | None, size: int | None) -> str:
    """What is wrong with a file, or ""."""
    length = path.stat().st_size
    if size and length != size:
        return f"it has {length:,} bytes, expected {size:,}"
    if sha256 and (digest := file_digest(path)) != sha256:
        return f"its sha256 is {digest}, expected {sha256}"
    if ".zip" in path.suffixes and not zipfile.is_zipfile(path):  # NAME.zip and .NAME.zip.part
        return "it is no zip, or one cut short"
    return ""


def enough_room(place: Path, needed: int) -> None:
    """Raise DownloadError when the disk under `place` has fewer than `needed` bytes free."""
    folder = next(folder for folder in place.absolute().parents if folder.is_dir())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DownloadError(
            f"{place}: needs {needed / 1e9:,.2f} GB more, {folder} has {free / 1e9:,.2f} GB free; "
            "free some, or choose a folder on a larger disk"
        )
