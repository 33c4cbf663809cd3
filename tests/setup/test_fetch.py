"""What is fetched, and to where: into the places that the reader looks in, said beforehand, and never twice."""

import io
import json
import re
import zipfile
from dataclasses import replace

import pytest
from huggingface_hub import constants
from misbehaving import Reply, be_the_hub, sha

from wsris_lib.__main__ import main
from wsris_lib.config import profiles
from wsris_lib.frozen import checkpoints
from wsris_lib.refer.places import IMAGE_PLACES
from wsris_lib.refer.reader import Refer
from wsris_lib.refer.writer import write_corpus
from wsris_lib.setup import fetch
from wsris_lib.setup.download import DownloadError, RetryPolicy

QUICK = RetryPolicy(tries=2, sleep=lambda seconds: None)


def zipped(files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


@pytest.fixture
def corpus(tmp_path):
    """A corpus as REFER's zip has it, one image, one ref."""
    images = [{"id": 7, "file_name": "7.jpg", "height": 4, "width": 6}]
    annotation = {"id": 1, "image_id": 7, "category_id": 1, "iscrowd": 0, "bbox": [0, 0, 2, 2], "area": 4}
    annotation["segmentation"] = [[0, 0, 2, 0, 2, 2, 0, 2]]
    sentence = {"sent_id": 0, "sent": "a mug", "raw": "a mug", "tokens": ["a", "mug"]}
    ref = {"ref_id": 0, "ann_id": 1, "category_id": 1, "image_id": 7, "file_name": "7.jpg", "split": "train"}
    ref |= {"sent_ids": [0], "sentences": [sentence]}
    write_corpus(tmp_path / "made", "refcoco", "unc", images, [annotation], [{"id": 1, "name": "mug"}], [ref])
    folder = tmp_path / "made" / "refcoco"
    return zipped({f"refcoco/{path.name}": path.read_bytes() for path in folder.iterdir()})


@pytest.fixture
def published(server, corpus, monkeypatch):
    """The archives refcoco, refclef (of unknown digest) and coco, served from here."""
    photographs = zipped({"train2014/7.jpg": b"jpg"})
    bodies = {"/refcoco.zip": corpus, "/refclef.zip": zipped({"refclef/a": b"a"}), "/c.zip": photographs}
    server.replies |= {path: Reply(body) for path, body in bodies.items()}
    here = dict(fetch.ARCHIVES)
    urls = {"refcoco": "/refcoco.zip", "refclef": "/refclef.zip", "coco": "/c.zip"}
    for name, path in urls.items():
        body = bodies[path]
        digest = {"refcoco": sha(corpus), "coco": sha(photographs)}.get(name)
        here[name] = replace(here[name], urls=(server.url(path),), bytes=digest and len(body), sha256=digest)
    monkeypatch.setattr(fetch, "ARCHIVES", here)
    return here


@pytest.fixture
def profile(tmp_path):
    return replace(profiles.PROFILES["tiny"], data=str(tmp_path / "refer"))


def test_addresses_digests_and_places_are_well_formed():
    for name, archive in fetch.ARCHIVES.items():
        assert all(re.fullmatch(r"https?://\S+\.zip", url) for url in archive.urls) and len(archive.urls) > 1
        assert archive.sha256 is None or re.fullmatch("[0-9a-f]{64}", archive.sha256)
        assert (archive.sha256 is None) == (archive.bytes is None)
        assert archive.out.endswith(".zip") and (archive.unpack or archive.out in archive.places), name
    assert fetch.IMAGES_OF.keys() == profiles.SPLIT_BY.keys()
    assert fetch.ARCHIVES["saiapr"].out in IMAGE_PLACES["refclef"]


def test_a_corpus_with_its_photographs_is_one_that_the_reader_takes(published, profile, tmp_path, capsys):
    fetch.fetch(profile, ["refcoco"], patience=QUICK)
    assert "the photographs aren't here: fetch coco" in capsys.readouterr().out
    fetch.fetch(profile, patience=QUICK)  # the rest of what the profile needs
    stdout = capsys.readouterr().out
    assert "there, to be checked" in stdout and "aren't here" not in stdout
    refer = Refer(profile.data, "refcoco", "unc")
    assert refer.size("train") == {"refs": 1, "sentences": 1, "images": 1, "files": 1}
    fetched = json.loads((tmp_path / "refer" / "fetched.json").read_text())
    assert fetched["refcoco.zip"]["sha256"] == published["refcoco"].sha256


def test_nothing_that_is_there_comes_again(published, profile, server, tmp_path, capsys):
    fetch.fetch(profile, patience=QUICK)
    before = len(server.requests)
    fetch.fetch(profile, patience=QUICK)
    assert len(server.requests) == before and "0.0 MB to fetch" in capsys.readouterr().out
    unpacked_by_hand = replace(profile, data=str(tmp_path / "own"))
    for folder in ("refer/refcoco", "train2014"):
        (tmp_path / "own" / folder).mkdir(parents=True)
    fetch.fetch(unpacked_by_hand, patience=QUICK)
    assert len(server.requests) == before and "left as it is" in capsys.readouterr().out
    elsewhere = tmp_path / "zip" / "train2014.zip"
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(b"PK another")
    with pytest.raises(DownloadError, match=r"train2014.zip is there, but it has 10 bytes.*move it away"):
        fetch.fetch(replace(profile, data=str(elsewhere.parent)), ["coco"], patience=QUICK)
    assert elsewhere.read_bytes() == b"PK another"


def test_what_no_digest_is_known_of_must_stay_what_it_was(published, profile, server, tmp_path):
    fetch.fetch(profile, ["refclef"], patience=QUICK)
    archive = tmp_path / "refer" / "refclef.zip"
    first = json.loads((tmp_path / "refer" / "fetched.json").read_text())["refclef.zip"]
    assert first == {"sha256": sha(archive.read_bytes()), "bytes": archive.stat().st_size}
    archive.unlink()
    (tmp_path / "refer" / "refclef" / "a").unlink()
    (tmp_path / "refer" / "refclef").rmdir()
    server.replies["/refclef.zip"] = Reply(zipped({"refclef/a": b"b"}))
    with pytest.raises(DownloadError, match=r"its sha256 is .*\n.*expected is what came first, see .*fetched.json"):
        fetch.fetch(profile, ["refclef"], patience=QUICK)
    assert not archive.exists()


def test_one_failure_doesnt_keep_the_rest_away(published, profile, server, tmp_path):
    server.replies["/refcoco.zip"] = Reply(status=404)
    with pytest.raises(DownloadError, match=r"refcoco.zip could not be fetched"):
        fetch.fetch(profile, patience=QUICK)
    assert (tmp_path / "refer/images/mscoco/images/train2014.zip").is_file()


def test_a_disk_too_small_for_all_of_it(published, profile, server, monkeypatch):
    """Though each alone would fit: it is no use to learn that after the first."""
    room = type("Disk", (), {"free": published["refcoco"].bytes + 10})
    monkeypatch.setattr("wsris_lib.setup.download.shutil.disk_usage", lambda folder: room)
    with pytest.raises(DownloadError, match="free some"):
        fetch.fetch(profile, patience=QUICK)
    assert not server.requests


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def _offline(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.mark.usefixtures("_offline")
def test_a_dry_run_says_what_it_would_cost(tmp_path, capsys):
    assert main(["fetch", "--profile", "paper", "--data", str(tmp_path), "--dry-run"]) == 0
    stdout = capsys.readouterr().out
    names = {name for name in profiles.checkpoints_of(profiles.PROFILES["paper"]).values()}
    assert len(names) == 10 and all(name in stdout for name in names)
    assert f"54.0 MB -> {tmp_path}/refcoco.zip" in stdout
    assert f"13,510.6 MB -> {tmp_path}/images/mscoco/images/train2014.zip" in stdout
    assert stdout.endswith("13,564.6 MB to fetch, and 10 of unknown size\n") and not list(tmp_path.iterdir())
    assert main(["fetch", "refclef", "saiapr", "--data", str(tmp_path), "--dry-run"]) == 0
    stdout = capsys.readouterr().out
    assert stdout.count("no digest of it was ever published") == 2 and "2 of unknown size" in stdout


@pytest.mark.usefixtures("_offline")
def test_offline_it_says_so_before_it_begins(tmp_path, capsys):
    assert main(["fetch", "--profile", "paper", "--data", str(tmp_path)]) == 2
    output = capsys.readouterr()
    assert output.err == "error: HF_HUB_OFFLINE is set, so no hub may be asked; run the command with HF_HUB_OFFLINE=0\n"
    assert not list(tmp_path.iterdir())


def test_the_usual_profile_needs_nothing_and_what_is_unknown_is_named(capsys):
    assert main(["fetch", "--profile", "tiny"]) == 0
    assert capsys.readouterr().out.startswith("nothing to fetch: the profile tiny makes its data")
    assert main(["fetch", "refcok", "--dry-run"]) == 2
    stderr = capsys.readouterr().err
    assert "nothing to fetch is called refcok; choose from refcoco, refcoco+, " in stderr and "checkpoints" in stderr


def test_ctrl_c_is_no_stack_trace(monkeypatch, capsys):
    def stopped(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("wsris_lib.setup.fetch.fetch", stopped)
    assert main(["fetch", "coco"]) == 130
    assert "the same command resumes" in capsys.readouterr().err


def test_checkpoints_are_fetched_and_pinned(server, tmp_path, monkeypatch, capsys):
    commit = "1" * 40
    names = ("config.json", "model.safetensors")
    be_the_hub(monkeypatch, server.url(""), tmp_path)
    listed = [{"rfilename": name, "size": 2_000_000} for name in names]
    server.replies["/api/models/org/model"] = Reply(json.dumps({"id": "", "sha": commit, "siblings": listed}).encode())
    for name in names:
        reply = Reply(name.encode() * 2, headers={"X-Repo-Commit": commit})
        server.replies[f"/org/model/resolve/main/{name}"] = reply
    profile = replace(profiles.PROFILES["tiny"], dino="org/model", depth="org/gone")
    assert fetch.needs(profile) == ["checkpoints"]
    with pytest.raises(DownloadError, match=r"checkpoint org/gone: .*404 Not Found"):
        fetch.fetch(profile, pin=True)
    stdout = capsys.readouterr().out
    assert "4.0 MB" in stdout and "0 of 2 files are here" in stdout and "1 of unknown size" in stdout
    assert checkpoints.pins() == {"org/model": commit} and checkpoints.resolve("org/model").endswith(commit)
