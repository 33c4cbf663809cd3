"""A download against servers that misbehave: what comes is the file or nothing, and nothing comes twice."""

import email.utils
import io
import os
import re
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections import namedtuple
from datetime import UTC, datetime, timedelta

import pytest
from misbehaving import Reply, serving, sha

from wsris_lib.setup import download as downloads
from wsris_lib.setup.download import DownloadError, RetryPolicy, download

FILE = bytes(range(256)) * 4000  # 1,024,000 bytes
OTHER = FILE[::-1]
CUT = 400_000


@pytest.fixture
def patience():
    """Patience that waits for nobody; `waited` has the pauses that it would have made."""
    waited = []
    policy = RetryPolicy(tries=3, pause=1.0, stall=0.4, sleep=waited.append)
    object.__setattr__(policy, "waited", waited)
    return policy


@pytest.fixture
def get(server, patience, tmp_path):
    """get(replies, ...) -> the path that was downloaded from a server that answers so."""

    def run(*replies, out="file", mirrors=("/file",), **known):
        if replies:
            server.replies["/file"] = list(replies)
        return download([server.url(path) for path in mirrors], tmp_path / out, patience=patience, **known)

    return run


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_comes_whole_and_alone_and_once(get, server, tmp_path):
    path = get(Reply(FILE), sha256=sha(FILE), bytes=len(FILE))
    assert path.read_bytes() == FILE and left(tmp_path) == ["file"]
    assert get(sha256=sha(FILE)) == path and len(server.requests) == 1


@pytest.mark.parametrize("known", [{}, {"sha256": sha(FILE)}])
def test_a_cut_connection_is_gone_on_with(get, server, patience, known):
    assert get(Reply(FILE, cut=CUT), Reply(FILE, cut=CUT), Reply(FILE), **known).read_bytes() == FILE
    assert server.sent == [CUT, CUT, len(FILE) - 2 * CUT], "bytes were sent twice"
    assert [headers.get("Range") for headers in server.requests] == [None, f"bytes={CUT}-", f"bytes={2 * CUT}-"]
    assert patience.waited == [1.0, 1.0], "a try that brought something starts the pauses anew"


def test_a_server_without_ranges_gives_all_again(get, server):
    assert get(Reply(FILE, cut=CUT), Reply(FILE, ranges=False)).read_bytes() == FILE
    assert server.requests[1]["Range"] == f"bytes={CUT}-" and server.sent == [CUT, len(FILE)]


@pytest.mark.parametrize("heeds", [True, False])
def test_a_file_that_changed_meanwhile_is_begun_anew(get, heeds):
    """With one that ignores If-Range and sends the rest of another file, its tag says so."""
    assert get(Reply(FILE, cut=CUT), Reply(OTHER, heeds_if_range=heeds)).read_bytes() == OTHER


def test_without_a_tag_only_a_digest_makes_a_rest_worth_having(get, server, tmp_path):
    assert get(Reply(FILE, cut=CUT, tagged=False), Reply(OTHER, tagged=False)).read_bytes() == OTHER
    assert "Range" not in server.requests[1]
    (tmp_path / "file").unlink()
    replies = Reply(FILE, cut=CUT, tagged=False), Reply(OTHER, tagged=False), Reply(OTHER, tagged=False)
    assert get(*replies, sha256=sha(OTHER)).read_bytes() == OTHER, "two files' pieces were taken for one"
    assert "Range" in server.requests[-2] and "Range" not in server.requests[-1]
    (tmp_path / "file").unlink()
    weak = {"ETag": 'W/"1"', "Last-Modified": "Tue, 01 Jan 2019 00:00:00 GMT"}
    get(Reply(FILE, cut=CUT, headers=weak), Reply(FILE, headers=weak))
    assert server.requests[-1]["If-Range"] == weak["Last-Modified"], "a weak tag may stand for other bytes"


def test_a_length_that_is_a_lie(get, server, patience):
    assert get(Reply(FILE[:CUT], claim=len(FILE)), Reply(FILE), bytes=len(FILE)).read_bytes() == FILE
    before = len(server.requests)
    waited = list(patience.waited)
    with pytest.raises(DownloadError, match=r"has a file of 5 bytes, expected 1,024,000"):
        get(Reply(FILE, claim=5), out="short", bytes=len(FILE))
    assert patience.waited == waited and len(server.requests) == before + 1
    with pytest.raises(DownloadError, match=f"its sha256 is {sha(FILE[:5])}, expected {sha(FILE)}"):
        get(Reply(FILE, claim=5), out="short", sha256=sha(FILE))
    forever = Reply(FILE[:CUT], tagged=False, claim=len(FILE))
    with pytest.raises(DownloadError, match=r"ended after 400,000 of 1,024,000 bytes \(3 times\)"):
        get(forever, out="long")


def test_a_body_of_unknown_length(get, tmp_path):
    stream = Reply(FILE, measured=False)
    assert get(stream).read_bytes() == FILE
    assert get(Reply(FILE, measured=False, cut=CUT), stream, out="b", bytes=len(FILE)).read_bytes() == FILE
    longer = Reply(FILE + OTHER, measured=False)
    assert get(longer, out="c", bytes=len(FILE), sha256=sha(FILE)).read_bytes() == FILE, "no more than is expected"


def test_busy_servers_are_asked_again_ever_later(get, patience):
    assert get(Reply(status=503), Reply(status=503), Reply(FILE)).read_bytes() == FILE
    assert patience.waited == [1.0, 2.0]
    with pytest.raises(DownloadError, match=r"HTTP 500 Internal Server Error \(3 times\)"):
        get(Reply(status=500), out="never")


def test_the_pause_that_a_server_asks_for_is_kept(get, patience):
    at = email.utils.format_datetime(datetime.now(UTC) + timedelta(seconds=120), usegmt=True)
    replies = [Reply(status=429, headers={"Retry-After": after}) for after in ("30", at)]
    get(*replies, Reply(FILE))
    assert patience.waited[0] == 30 and 100 < patience.waited[1] <= 120
    get(Reply(status=503, headers={"Retry-After": "99999"}), Reply(FILE), out="other")
    assert patience.waited[2] == patience.max_retry_after


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_what_a_mirror_hasnt_is_asked_of_the_next_at_once(get, server, patience, status):
    server.replies["/mirror"] = Reply(FILE)
    assert get(Reply(status=status), mirrors=("/file", "/mirror")).read_bytes() == FILE
    assert not patience.waited and len(server.requests) == 2


def test_a_second_mirror_goes_on_with_the_same_file(get, server):
    server.replies["/mirror"] = Reply(FILE)
    replies = Reply(FILE, cut=CUT), Reply(status=404)
    assert get(*replies, mirrors=("/file", "/mirror")).read_bytes() == FILE
    assert server.sent == [CUT, 0, len(FILE) - CUT]


def test_a_server_that_falls_silent(get, server):
    start = time.perf_counter()
    assert get(Reply(FILE, cut=CUT, hang=True), Reply(FILE)).read_bytes() == FILE
    assert time.perf_counter() - start < 5 and server.sent[1:] == [len(FILE) - CUT], "what came before was lost"


def test_a_dead_server_and_all_that_was_tried(server, patience, tmp_path):
    with serving() as gone:
        dead = gone.url()
    with pytest.raises(DownloadError) as error:
        download([dead, server.url("/none")], tmp_path / "file", patience=patience)
    assert re.search(rf"{dead}: ConnectionRefusedError: .*\(3 times\)\n", str(error.value))
    assert f"{server.url('/none')}: HTTP 404 Not Found\n" in str(error.value)
    assert "get the file by hand, put it there" in str(error.value) and str(tmp_path / "file") in str(error.value)
    assert not left(tmp_path)


def test_a_name_that_no_host_has_is_not_asked_for_twice(patience, tmp_path, monkeypatch):
    def unknown(*args, **options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(DownloadError, match="not known"):
        download(["http://nowhere.invalid/file"], tmp_path / "file", patience=patience)
    assert not patience.waited


def test_a_redirect_is_followed_but_not_for_ever(get, server, patience):
    server.replies["/mirror"] = Reply(FILE)
    assert get(Reply(status=302, headers={"Location": "/mirror"})).read_bytes() == FILE
    with pytest.raises(DownloadError, match="redirects"):
        get(Reply(status=302, headers={"Location": "/file"}), out="round")
    assert not patience.waited, "it was tried again"


def test_a_place_that_cant_be_written_to_is_named(get, server, patience, tmp_path):
    (tmp_path / ".file.part").mkdir()
    with pytest.raises(DownloadError, match=r"\.file\.part: can't be written \(.+\)"):
        get(Reply(FILE))
    assert len(server.requests) == 1 and not patience.waited, "no other server would help"


def test_another_content_is_never_kept(get, server, patience, tmp_path):
    server.replies["/mirror"] = Reply(FILE)
    both = {"mirrors": ("/file", "/mirror"), "sha256": sha(FILE)}
    assert get(Reply(OTHER), **both).read_bytes() == FILE and not patience.waited
    (tmp_path / "file").unlink()
    server.replies["/mirror"] = Reply(OTHER)
    with pytest.raises(DownloadError, match=f"its sha256 is {sha(OTHER)}, expected {sha(FILE)}"):
        get(Reply(OTHER), **both)
    assert not left(tmp_path)


def test_a_part_that_was_damaged_is_begun_anew_at_the_same_mirror(get, server, tmp_path):
    with pytest.raises(DownloadError):
        get(Reply(FILE, cut=CUT), Reply(status=404))
    part = tmp_path / ".file.part"
    part.write_bytes(b"\1" + part.read_bytes()[1:])
    assert get(Reply(FILE), sha256=sha(FILE)).read_bytes() == FILE
    assert server.sent[-2:] == [len(FILE) - CUT, len(FILE)]
    again = len(server.requests)
    (tmp_path / "file").unlink()
    with pytest.raises(DownloadError):
        get(Reply(OTHER, cut=CUT), Reply(OTHER), Reply(OTHER, cut=CUT), Reply(OTHER), sha256=sha(FILE))
    assert len(server.requests) == again + 4, "once more from the start, then no more"


def test_a_part_that_lacks_nothing_is_asked_for_nothing(get, server, tmp_path):
    (tmp_path / ".file.part").write_bytes(FILE)
    assert get(Reply(FILE), sha256=sha(FILE)).read_bytes() == FILE
    assert server.sent == [0] and server.requests[0]["Range"] == f"bytes={len(FILE)}-"  # 416
    (tmp_path / ".other.part").write_bytes(FILE + b"more")
    assert get(Reply(FILE), out="other", sha256=sha(FILE)).read_bytes() == FILE
    assert left(tmp_path) == ["file", "other"]


def test_a_file_that_is_there_and_another_stays(get, server, tmp_path):
    (tmp_path / "file").write_bytes(OTHER)
    with pytest.raises(DownloadError, match=f"file is there, but its sha256 is {sha(OTHER)}.*move it away"):
        get(Reply(FILE), sha256=sha(FILE))
    assert (tmp_path / "file").read_bytes() == OTHER and not server.requests


def zipped():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a/b.txt", "text")
    return content.getvalue()


def test_a_page_in_place_of_a_zip(get, server, patience, tmp_path):
    page = Reply(b"<!doctype html><html>Sorry</html>", headers={"Content-Type": "text/html; charset=utf-8"})
    server.replies["/mirror"] = Reply(zipped())
    assert zipfile.is_zipfile(get(page, out="a.zip", mirrors=("/file", "/mirror"))) and not patience.waited
    with pytest.raises(DownloadError, match="no zip but text/html, beginning b'<!doctype html>"):
        get(page, out="b.zip")
    with pytest.raises(DownloadError, match="it is no zip, or one cut short"):
        get(Reply(zipped()[:-5], measured=False), out="b.zip")
    (tmp_path / ".c.zip.part").write_bytes(zipped()[:20])
    with pytest.raises(DownloadError):
        get(page, out="c.zip")
    assert (tmp_path / ".c.zip.part").stat().st_size == 20, "a page cost what had come"


Disk = namedtuple("Disk", "free")


def test_a_disk_too_small_is_noticed_before_anything_comes(get, server, monkeypatch, tmp_path):
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda folder: Disk(1_000_000))
    with pytest.raises(DownloadError, match=r"needs 0.00 GB more, .* has 0.00 GB free"):
        get(Reply(FILE), bytes=len(FILE))
    assert not server.requests
    with pytest.raises(DownloadError, match=r"file: needs"):  # by the length that the server gives
        get(Reply(FILE))
    assert len(server.requests) == 1
    (tmp_path / ".file.part").write_bytes(FILE[:CUT])  # with what has come there is room
    assert get(Reply(FILE), sha256=sha(FILE), bytes=len(FILE)).read_bytes() == FILE


def start_child(url, out):
    code = "import signal, sys; from pathlib import Path; from wsris_lib.setup.download import download\n"
    code += "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background ignores it
    code += "download([sys.argv[1]], Path(sys.argv[2]))"
    return subprocess.Popen([sys.executable, "-c", code, url, out], stderr=subprocess.DEVNULL)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_download_that_is_killed_transfers_the_rest_alone(get, server, tmp_path, how):
    server.replies["/file"] = [Reply(FILE, cut=CUT, hang=True), Reply(FILE)]
    child = start_child(server.url(), tmp_path / "file")
    part = tmp_path / ".file.part"
    deadline = time.monotonic() + 30
    while not (part.is_file() and part.stat().st_size >= CUT - 300_000):
        assert time.monotonic() < deadline and child.poll() is None
        time.sleep(0.02)
    time.sleep(0.2)
    os.kill(child.pid, how)
    assert child.wait(20) != 0
    have = part.stat().st_size
    assert CUT - 300_000 <= have <= CUT and not (tmp_path / "file").exists()
    assert get().read_bytes() == FILE
    assert server.sent[1:] == [len(FILE) - have]
