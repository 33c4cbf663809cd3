"""A zip is unpacked once, whole, inside its folder, and over nobody's work."""

import io
import os
import signal
import stat
import subprocess
import sys
import time
import zipfile
from collections import namedtuple

import pytest

from wsris_lib.setup import download
from wsris_lib.setup.archive import unpacked
from wsris_lib.setup.download import DownloadError

FILES = {"corpus/instances.json": b"{}", "corpus/refs(unc).p": b"refs" * 1000, "corpus/more/deep.txt": b"deep"}


def make(path, members):
    """Members are name or ZipInfo -> bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def archive(tmp_path):
    return make(tmp_path / "corpus.zip", {"corpus/": b"", **FILES})


def content(folder):
    files = [path for path in folder.rglob("*") if path.is_file() and path.name[0] != "."]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_all_of_it_and_only_once(archive, tmp_path):
    folder = unpacked(archive, tmp_path / "out")
    assert folder == tmp_path / "out" and content(folder) == FILES
    os.utime(folder / "corpus/instances.json", (1, 1))
    unpacked(archive, folder)
    assert (folder / "corpus/instances.json").stat().st_mtime == 1


def test_what_a_kill_left_out_is_made_up(archive, tmp_path):
    folder = unpacked(archive, tmp_path / "out")
    (folder / ".corpus.zip.json").unlink()
    (folder / "corpus/refs(unc).p").unlink()
    assert content(unpacked(archive, folder)) == FILES
    (folder / "corpus/more/deep.txt").unlink()  # though its stamp says that all was done
    assert content(unpacked(archive, folder)) == FILES


def test_an_unpacking_that_is_killed_leaves_no_half_file(tmp_path):
    large = {f"corpus/{n}": os.urandom(3_000_000) for n in range(12)}
    archive = make(tmp_path / "corpus.zip", large)
    folder = tmp_path / "out"
    code = "import sys; from pathlib import Path; from wsris_lib.setup.archive import unpacked\n"
    code += "unpacked(Path(sys.argv[1]), Path(sys.argv[2]))"
    child = subprocess.Popen([sys.executable, "-c", code, archive, folder], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not content(folder):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    child.send_signal(signal.SIGKILL)
    child.wait(20)
    files = content(folder)
    assert all(large[name] == data for name, data in files.items())
    assert content(unpacked(archive, folder)) == large


def test_another_content_in_a_place_is_not_overwritten(archive, tmp_path):
    mine = tmp_path / "out" / "corpus" / "instances.json"
    mine.parent.mkdir(parents=True)
    mine.write_text('{"mine": 1}')
    with pytest.raises(ValueError, match=r"instances.json is there and isn't the file of that name .* move one"):
        unpacked(archive, tmp_path / "out")
    assert content(tmp_path / "out") == {"corpus/instances.json": b'{"mine": 1}'}


@pytest.mark.parametrize("name", ["../out.txt", "/etc/out.txt", "a/../../out.txt", "C:\\out.txt", "a\\..\\..\\out.txt"])
def test_no_member_leaves_the_folder(tmp_path, name):
    archive = make(tmp_path / "slip.zip", {"good.txt": b"good", name: b"bad"})
    with pytest.raises(ValueError, match="would leave the folder; nothing was unpacked"):
        unpacked(archive, tmp_path / "a" / "b")
    assert [path.name for path in tmp_path.rglob("*")] == ["slip.zip"]


def test_no_link_and_nothing_encrypted(archive, tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(ValueError, match="its member 'link' is a link"):
        unpacked(make(tmp_path / "link.zip", {link: b"/etc/passwd"}), tmp_path / "out")
    data = bytearray(archive.read_bytes())
    entry = data.rindex(b"PK\1\2")
    data[entry + 8] |= 1  # the flag of an encrypted member, in the index
    archive.write_bytes(data)
    with pytest.raises(ValueError, match="or encrypted"):
        unpacked(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_zip_is_named(archive, tmp_path):
    data = bytearray(archive.read_bytes())
    data[data.index(b"refs(unc).p") + 20] ^= 255  # in the packed bytes
    archive.write_bytes(data)
    with pytest.raises(ValueError, match=r"corpus.zip: can't be unpacked .* fetch it again"):
        unpacked(archive, tmp_path / "out")
    assert "corpus/refs(unc).p" not in content(tmp_path / "out")
    archive.write_bytes(io.BytesIO(data).getvalue()[:-10])
    with pytest.raises(ValueError, match="can't be unpacked"):
        unpacked(archive, tmp_path / "out")


def test_more_than_the_disk_holds_is_refused(archive, tmp_path, monkeypatch):
    monkeypatch.setattr(download.shutil, "disk_usage", lambda folder: namedtuple("Disk", "free")(4000))
    with pytest.raises(DownloadError, match="free some"):
        unpacked(archive, tmp_path / "out")
    assert not content(tmp_path / "out")
