"""A corpus as tables: the same in memory and on disk, written once by whoever, and never wholly in memory."""

import hashlib
import json
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from children import environment, torchrun
from PIL import Image

from wsris_lib.config.profiles import PROFILES
from wsris_lib.es3net.candidates import ProposalTable, SentenceTable
from wsris_lib.es3net.predict import choose
from wsris_lib.es3net.train import train
from wsris_lib.frozen import image_cache, tables
from wsris_lib.frozen.image_cache import ImageCache, cached_per_image
from wsris_lib.infra import artefacts, distributed
from wsris_lib.infra.artefacts import CorruptArtefact
from wsris_lib.refer.masks import encode_rle

TINY = PROFILES["tiny"]

IDS = [3, 7, 20, 41]  # the second has no proposal


class Pictures:
    """What `cached_per_image` asks of a view."""

    def __init__(self, image_ids):
        self.image_ids = list(image_ids)

    def image_digest(self, image_id):
        return str(image_id)

    def image(self, image_id):
        return Image.new("RGB", (8, 8))


def of_image(image_id: int, proposals: int, width: int) -> image_cache.CacheEntry:
    g = torch.Generator().manual_seed(image_id)
    shapes = {"class_tokens": width, "embeddings": 16, "pooled_max": width, "pooled_mean": width, "geometry": 3}
    columns = {name: torch.randn(proposals, wide, generator=g) for name, wide in shapes.items()}
    masks = torch.rand(proposals, 9, 5 + image_id % 4, generator=g) > 0.5
    return columns | {"scores": torch.rand(proposals, generator=g)}, {"masks": [encode_rle(m.numpy()) for m in masks]}


def corpus(out: Path, image_ids=tuple(IDS), proposals: int = 5, width: int = 4) -> ImageCache:
    """What is kept of some images that nobody ever took."""

    def make(images):
        return [of_image(i, 0 if i == 7 else proposals + i % 3, width) for i in images]

    return cached_per_image(Pictures(image_ids), out, "features", "random", lambda: make)


def assert_same(a, b):
    assert a[0].keys() == b[0].keys() and all(torch.equal(a[0][name], b[0][name]) for name in a[0])
    assert list(a[1]) == list(b[1]) and a[2] == b[2]


def the_table(out: Path) -> Path:
    return next(out.glob("features-table-*.safetensors"))


@pytest.fixture
def out(tmp_path):
    """A folder with the images' files."""
    corpus(tmp_path / "features")
    return tmp_path / "features"


@pytest.fixture
def no_room(monkeypatch):
    monkeypatch.setattr(image_cache, "MEMORY", 0)


def test_tables_on_disk_are_those_in_memory(out, monkeypatch):
    near = tables.joined(corpus(out), out, "features")
    assert not list(out.glob("*table*")) and isinstance(near[1], list)
    assert near[2] == {3: (0, 5), 7: (5, 5), 20: (5, 12), 41: (12, 19)}
    assert torch.equal(near[0]["pooled_max"][5:12], of_image(20, 7, 4)[0]["pooled_max"])
    monkeypatch.setattr(image_cache, "MEMORY", 0)
    for _ in range(2):  # made, and read
        assert_same(tables.joined(corpus(out), out, "features"), near)
    masks = tables.joined(corpus(out), out, "features")[1]
    assert isinstance(masks, tables.LazyRleMasks) and len(masks) == 19
    assert masks[5:12] == near[1][5:12] and masks[-1] == near[1][-1] and masks[::-6] == near[1][::-6]
    with pytest.raises(IndexError):
        masks[19]


def test_what_has_no_masks_has_tables_too(tmp_path, no_room):
    def make(images):
        return [({"class_tokens": torch.full((2, 3), float(i))}, {}) for i in images]

    kept = cached_per_image(Pictures(IDS), tmp_path, "swapped", "random", lambda: make)
    columns, masks, offsets = tables.joined(kept, tmp_path, "swapped")
    assert columns.keys() == {"class_tokens"} and len(masks) == 0 and masks[:3] == [] and offsets[41] == (6, 8)
    assert columns["class_tokens"].tolist() == [[float(i)] * 3 for i in IDS for _ in range(2)]


def test_the_file_is_an_artefact_like_others_and_its_bytes_are_everyones(out, tmp_path, no_room):
    tables.joined(corpus(out), out, "features")
    tables.joined(corpus(tmp_path / "elsewhere"), tmp_path / "elsewhere", "features")
    name = the_table(out).name
    assert the_table(out).read_bytes() == (tmp_path / "elsewhere" / name).read_bytes()
    artefacts.save_tensors(
        tmp_path / "plain", *(lambda tensors, notes: (tensors,))(*artefacts.load_tensors(the_table(out)))
    )
    a = artefacts.load_tensors(tmp_path / "plain")[0]
    b = artefacts.load_tensors(the_table(out))[0]
    assert a.keys() == b.keys() and all(torch.equal(a[n], b[n]) and a[n].dtype == b[n].dtype for n in a)
    assert not list(out.glob(".*"))
    tables.joined(corpus(out, IDS[:3]), out, "features")  # other images: another table beside
    assert len(list(out.glob("*table*"))) == 2


@pytest.mark.parametrize("damage", ["cut", "flipped", "begun"])
def test_a_damaged_table_is_named_and_made_again(out, no_room, damage):
    first = tables.joined(corpus(out), out, "features")
    kept = [table.clone() for table in first[0].values()]
    path = the_table(out)
    whole = path.read_bytes()
    if damage == "flipped":
        path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    else:
        path.write_bytes(whole[: len(whole) // 2 if damage == "cut" else 0])
    with pytest.warns(UserWarning, match=rf"{path.name} can't be read.*removed.*making it again now"):
        again = tables.joined(corpus(out), out, "features")
    assert all(torch.equal(a, b) for a, b in zip(again[0].values(), kept)) and path.read_bytes() == whole


def test_an_image_that_is_damaged_while_the_table_is_written_leaves_no_table(out, no_room):
    kept = corpus(out)
    victim = kept._paths[20]
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-20])
    with pytest.raises(CorruptArtefact, match=rf"{victim.name} can't be read.*run the same command again"):
        tables.joined(kept, out, "features")
    assert not list(out.glob("*table*")) and not list(out.glob(".*"))
    tables.joined(corpus(out), out, "features")  # the same command again
    assert victim.read_bytes() == whole and the_table(out).is_file()


def test_a_process_killed_while_it_writes_leaves_no_table(out, no_room):
    """What lies there under a temporary name is taken for nothing."""
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from test_frozen_tables import corpus, image_cache, tables; image_cache.MEMORY = 0; out = Path(sys.argv[1])\n"
        "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "tables.joined(corpus(out), out, 'features')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(out)], cwd=Path(__file__).parent, env=environment(), check=False
    )
    assert done.returncode == -9
    left = list(out.glob(".*table*"))
    assert len(left) == 1 and left[0].stat().st_size > 1000 and not list(out.glob("features-table*"))
    tables.joined(corpus(out), out, "features")
    assert left[0].stat().st_size == the_table(out).stat().st_size


@pytest.mark.slow
def test_of_two_processes_one_writes(tmp_path):
    done = torchrun(tmp_path, __file__, "sharing", tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    reports = [json.loads((tmp_path / f"{n}.json").read_text()) for n in range(2)]
    assert [report["written"] for report in reports] == [1, 0]
    assert reports[0]["sums"] == reports[1]["sums"] and reports[0]["masks"] == reports[1]["masks"]
    columns, masks, _ = tables.joined(corpus(tmp_path / "one"), tmp_path / "one", "features")
    assert reports[0]["sums"] == {name: float(table.double().sum()) for name, table in columns.items()}
    assert reports[0]["masks"] == list(masks)


def sharing(folder: Path) -> None:
    """What each of the two processes above does; the second comes to the table first."""
    distributed.start()
    image_cache.MEMORY = 0
    written = []
    write = tables.save_parts

    def slowly(path, *arguments, **notes):
        written.append(path)
        time.sleep(1)
        write(path, *arguments, **notes)

    tables.save_parts = slowly
    columns, masks, _ = tables.joined(corpus(folder / "two"), folder / "two", "features")
    sums = {name: float(table.double().sum()) for name, table in columns.items()}
    report = {"written": len(written), "sums": sums, "masks": list(masks)}
    (folder / f"{distributed.rank()}.json").write_text(json.dumps(report))
    distributed.finish()


# -- memory -----------------------------------------------------------------------------------------------------------


class Watch(threading.Thread):
    """The most private memory that this process had beyond what it had at first, in MB.

    Pages of mapped files don't count: the system takes them back when it needs them.
    """

    def __init__(self):
        super().__init__(daemon=True)
        self.first = self.most = self._now()
        self.start()

    def _now(self) -> float:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) / 1000 for line in status if line.startswith("RssAnon"))

    def run(self):
        while True:
            self.most = max(self.most, self._now())
            time.sleep(0.002)

    def spent(self) -> float:
        return max(self.most, self._now()) - self.first


def large(folder: Path, room: str) -> None:
    """Everything that stage 1 of ES3Net does with a corpus of 400 images x 60 proposals: 225 MB of features."""
    from wsris_lib.pipeline import es3net  # noqa: F401  loads every library; the processes above need none of them

    image_cache.MEMORY = int(room)
    kept = corpus(folder, range(100, 500), 60, 768)
    watch = Watch()
    columns, masks, offsets = tables.joined(kept, folder, "features")
    proposals = ProposalTable(
        columns["class_tokens"], columns["embeddings"], columns["pooled_max"], columns["geometry"], offsets
    )
    g = torch.Generator().manual_seed(0)
    image_ids = [i for i in offsets for _ in range(2)]
    sentences = SentenceTable(
        image_ids, torch.randn(len(image_ids), 16, generator=g), torch.randn(len(image_ids), 8, generator=g)
    )
    digest = hashlib.sha256()
    for name in sorted(columns):
        for piece in columns[name].split(500):
            digest.update(piece.clone().numpy().tobytes())
    settings = replace(TINY.es3net, candidates_train=6, candidates_eval=9, batch=50, epochs=2)
    model, history = train(proposals, sentences, settings, seed=0)
    chosen, sure = choose(model, proposals, sentences, 9)
    outlines = sum(len(masks[n]["counts"]) for n in range(len(masks)))
    result = [
        history,
        chosen.tolist(),
        sure.tolist(),
        [p.tolist() for p in model.parameters()],
        digest.hexdigest(),
        outlines,
    ]
    print(json.dumps({"spent": watch.spent(), "size": kept.size / 1e6, "result": artefacts.content_hash(result)}))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="memory is looked up in Linux's /proc")
def test_a_corpus_larger_than_the_room_is_never_in_memory(tmp_path):
    reports = {}
    for room in (1 << 40, 20 << 20):  # the first shows that the measure tells
        run = [sys.executable, __file__, "large", str(tmp_path / "features"), str(room)]
        env = environment(OMP_NUM_THREADS=1)
        done = subprocess.run(run, env=env, capture_output=True, text=True, check=True)
        reports[room] = json.loads(done.stdout.splitlines()[-1])
    whole, bounded = reports.values()
    size = reports[1 << 40]["size"]
    assert whole["result"] == bounded["result"]
    assert size > 200 and whole["spent"] > size
    assert bounded["spent"] < 0.3 * size, reports
    shutil.rmtree(tmp_path / "features")


if __name__ == "__main__":
    {"sharing": sharing, "large": large}[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
