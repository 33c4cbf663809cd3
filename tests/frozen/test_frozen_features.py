import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from children import environment
from PIL import Image

from wsris_lib.config import profiles
from wsris_lib.frozen import features, image_cache
from wsris_lib.frozen.clip import ClipEncoder
from wsris_lib.frozen.depth import DepthEstimator
from wsris_lib.frozen.dino import DinoEncoder
from wsris_lib.frozen.pooling import cell_geometry, geometry, pool_patches
from wsris_lib.frozen.sentence_encoder import SentenceEncoder
from wsris_lib.infra.artefacts import CorruptArtefact, file_digest
from wsris_lib.refer.errors import DataError, DataWarning
from wsris_lib.refer.masks import decode_rle

TINY = profiles.PROFILES["tiny"]

TABLES = ("class_tokens", "embeddings", "pooled_max", "pooled_mean", "geometry", "cells", "scores")


class Folder:
    """The four things of a refer view that `extract` uses, over a folder of ID.png."""

    def __init__(self, root):
        self.root = root
        self.image_ids = sorted(int(path.stem) for path in root.glob("*.png"))

    def image_path(self, image_id):
        return self.root / f"{image_id}.png"

    def image_digest(self, image_id):
        return file_digest(self.image_path(image_id))

    def image(self, image_id):
        try:
            with Image.open(self.image_path(image_id)) as file:
                return file.convert("RGB")
        except OSError as why:
            raise DataError(f"{self.image_path(image_id)}: {why}") from None


def paint(root, count):
    root.mkdir()
    rng = np.random.default_rng(0)
    for n in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        coarse.resize((56 + 8 * (n % 2), 48), Image.Resampling.BICUBIC).save(root / f"{10 * n + 7}.png")
    return Folder(root)


def tiny(zoo):
    proposing = replace(TINY.proposals, mode="everything", points_per_side=3, predicted_iou=0.0, stability=0.0, limit=5)
    places = {name: str(zoo / name) for name in ("clip", "dino", "depth", "sam2", "text")}
    return profiles.load("smoke", **places, dino_image_size=48, depth_image_size=48, proposals=proposing)


@pytest.fixture(scope="module")
def profile(tiny_zoo):
    return tiny(tiny_zoo)


@pytest.fixture(scope="module")
def view(tmp_path_factory):
    return paint(tmp_path_factory.mktemp("data") / "images", 7)


@pytest.fixture(autouse=True, scope="module")
def small_batches():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_cache, "BATCH", 2)
        yield


@pytest.fixture(scope="module")
def extracted(view, profile, tmp_path_factory, small_batches):
    out = tmp_path_factory.mktemp("features")
    return features.extract(view, profile, out), out


def contents(out):
    return {path.name: path.read_bytes() for path in out.glob("*.safetensors")}


def assert_same(a, b):
    assert a.offsets == b.offsets and list(a.masks) == list(b.masks)
    for name in TABLES:
        assert torch.equal(getattr(a, name), getattr(b, name)), name


def test_the_tables_are_what_each_model_says_of_each_image(view, profile, extracted):
    stored, _ = extracted
    assert list(stored.offsets) == view.image_ids
    assert len(stored.masks) == max(stop for _, stop in stored.offsets.values())
    clip = ClipEncoder(profile.clip)
    dino = DinoEncoder(profile.dino, 48)
    depth = DepthEstimator(profile.depth, 48)
    for image_id, (start, stop) in stored.offsets.items():
        assert 1 <= stop - start <= 5
        image = view.image(image_id)
        masks = torch.tensor(np.stack([decode_rle(rle) for rle in stored.masks[start:stop]]))
        assert masks.shape[1:] == (image.height, image.width)
        patches = dino.patches([image])[0]
        tokens, embeddings = clip.crops(image, masks)
        expected = {
            "class_tokens": tokens,
            "embeddings": embeddings,
            "pooled_max": pool_patches(patches, masks, "max"),
            "pooled_mean": pool_patches(patches, masks, "mean"),
            "geometry": geometry(masks, depth.inverse_depth([image])[0]),
        }
        for name, table in expected.items():
            torch.testing.assert_close(getattr(stored, name)[start:stop], table, atol=1e-4, rtol=1e-4, msg=name)


def test_a_second_call_reads_and_loads_no_model(view, profile, extracted, monkeypatch):
    stored, out = extracted
    monkeypatch.setattr(features, "Extractor", None)
    assert_same(features.extract(view, profile, out), stored)


def test_a_run_that_failed_half_way_ends_in_the_same_bytes(view, profile, extracted, tmp_path, monkeypatch):
    class Dying(features.Extractor):
        calls = 0

        def __call__(self, images):
            Dying.calls += 1
            if Dying.calls == 3:
                raise KeyboardInterrupt
            return super().__call__(images)

    with monkeypatch.context() as patch:
        patch.setattr(features, "Extractor", Dying)
        with pytest.raises(KeyboardInterrupt):
            features.extract(view, profile, tmp_path)
    assert 0 < len(contents(tmp_path)) < 7
    features.extract(view, profile, tmp_path)
    assert contents(tmp_path) == contents(extracted[1])


@pytest.mark.slow
def test_a_run_that_was_killed_ends_in_the_same_bytes(tiny_zoo, profile, tmp_path):
    view = paint(tmp_path / "images", 60)
    script = (
        "import sys; from pathlib import Path\n"
        "from test_frozen_features import Folder, tiny; from wsris_lib.frozen import features, image_cache\n"
        "images, zoo, out = map(Path, sys.argv[1:])\n"
        "image_cache.BATCH = 2; features.extract(Folder(images), tiny(zoo), out)\n"
    )
    killed = tmp_path / "killed"
    whole = tmp_path / "whole"
    command = [sys.executable, "-c", script, *map(str, (view.root, tiny_zoo, killed))]
    run = subprocess.Popen(command, cwd=Path(__file__).parent, env=environment(), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(contents(killed)) < 3 and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    assert 3 <= len(contents(killed)) < 60
    features.extract(view, profile, killed)
    features.extract(view, profile, whole)
    assert contents(killed) == contents(whole)


def test_a_damaged_file_is_named_and_made_again(view, profile, extracted, tmp_path):
    stored, out = extracted
    shutil.copytree(out, tmp_path / "copy")
    victim = sorted((tmp_path / "copy").glob("*.safetensors"))[1]
    os.truncate(victim, victim.stat().st_size - 100)
    with pytest.warns(UserWarning, match=f"{victim.name}.*removed.*making it again now"):
        again = features.extract(view, profile, tmp_path / "copy")
    assert_same(again, stored)
    assert contents(tmp_path / "copy") == contents(out)


@pytest.mark.parametrize("room", [0, 20_000])
def test_what_does_not_fit_into_memory_is_read_again(view, profile, extracted, tmp_path, monkeypatch, room):
    """All of it, or all but the first few images; the tables are the same, and a damaged file says so later too.

    The tables don't fit either and lie on disk.
    """
    out = shutil.copytree(extracted[1], tmp_path / "out")
    monkeypatch.setattr(image_cache, "MEMORY", room)
    stored = features.extract(view, profile, out)
    assert_same(stored, extracted[0])
    swapped, theirs = (features.extract_swapped(view, profile, f, out) for f in (stored, extracted[0]))
    assert swapped.keys() == theirs.keys() and all(torch.equal(swapped[name], theirs[name]) for name in theirs)
    assert len(list(out.glob("features-table-*"))) == len(list(out.glob("swapped-table-*"))) == 1
    kept = image_cache.cached_per_image(
        view, out, "features", features.made_from(profile), lambda: pytest.fail("made anew")
    )
    assert list(kept) == sorted(view.image_ids) and len(kept) == len(view.image_ids) and -1 not in kept
    held = sum(tensor.nbytes for stored in kept._stored.values() if stored for tensor in stored[0].values())
    on_disk = [image_id for image_id, stored in kept._stored.items() if not stored]
    assert held <= room and on_disk
    last = max(on_disk)
    kept._paths[last].write_bytes(b"cut short")
    with pytest.raises(CorruptArtefact, match=r"features-.*can't be read"):
        kept[last]


def test_images_that_cannot_be_opened_are_counted_and_left_out(view, profile, extracted, tmp_path, monkeypatch):
    shutil.copytree(view.root, tmp_path / "images")
    (tmp_path / "images" / "27.png").write_bytes(b"not a picture")
    (tmp_path / "images" / "37.png").write_bytes(b"")  # both of the second batch
    broken = Folder(tmp_path / "images")
    for _ in range(2):  # made, and read again
        with pytest.warns(DataWarning, match=r"2 of 7 images can't be opened and are left out, e\.g\. .*27\.png"):
            stored = features.extract(broken, profile, tmp_path / "out")
    assert sorted(stored.offsets) == [7, 17, 47, 57, 67]
    start, stop = stored.offsets[67]
    whole_start, whole_stop = extracted[0].offsets[67]
    assert torch.equal(stored.class_tokens[start:stop], extracted[0].class_tokens[whole_start:whole_stop])
    monkeypatch.setattr(broken, "image", view.image)  # the same files, but now they open: a disk that is back
    assert_same(features.extract(broken, profile, tmp_path / "out"), extracted[0])
    monkeypatch.undo()
    broken.image_ids = [27]
    with pytest.raises(DataError, match=r"1 of 1 images can't be opened, e\.g\."):
        features.extract(broken, profile, tmp_path / "empty")


def test_what_the_features_were_made_from_is_in_their_names(view, profile, extracted, tmp_path):
    _, out = extracted
    images = tmp_path / "images"
    shutil.copytree(view.root, images)
    Image.new("RGB", (56, 48), "red").save(images / "7.png")
    copy = tmp_path / "out"
    shutil.copytree(out, copy)
    features.extract(Folder(images), profile, copy)
    assert len(contents(copy)) == len(contents(out)) + 1  # only that image's file is new
    other = replace(profile, proposals=replace(profile.proposals, limit=4))
    features.extract(view, other, copy)
    assert len(contents(copy)) == 2 * len(contents(out)) + 1


def test_another_list_of_the_same_images_reads_what_is_there(view, profile, extracted, monkeypatch):
    """As RefCOCO+ after RefCOCO: not the same images, in another company, under their own ids."""
    stored, out = extracted
    monkeypatch.setattr(features, "Extractor", None)
    fewer = Folder(view.root)
    fewer.image_ids = view.image_ids[1::2]
    again = features.extract(fewer, profile, out)
    assert list(again.offsets) == fewer.image_ids
    for image_id, (start, stop) in again.offsets.items():
        of_all = slice(*stored.offsets[image_id])
        assert again.masks[start:stop] == stored.masks[of_all]
        assert torch.equal(again.pooled_max[start:stop], stored.pooled_max[of_all])


def test_what_table_3_swaps_in(view, profile, extracted, monkeypatch):
    stored, out = extracted
    swapped = features.extract_swapped(view, profile, stored, out)
    clip = ClipEncoder(profile.clip)
    dino = DinoEncoder(profile.dino, 48)
    for image_id, (start, stop) in stored.offsets.items():
        image = view.image(image_id)
        masks = torch.tensor(np.stack([decode_rle(rle) for rle in stored.masks[start:stop]]))
        patches = clip.patches([image])[0]
        expected = {
            "class_tokens": dino.crops(image, masks, clip.size),
            "pooled_max": pool_patches(patches, masks, "max"),
            "pooled_mean": pool_patches(patches, masks, "mean"),
        }
        for name, table in expected.items():
            torch.testing.assert_close(swapped[name][start:stop], table, atol=1e-4, rtol=1e-4, msg=name)
    monkeypatch.setattr(features, "Table3Extractor", None)  # read, not made
    again = features.extract_swapped(view, profile, stored, out)
    assert all(torch.equal(again[name], swapped[name]) for name in swapped)


def test_eq_2_as_printed_is_of_the_same_masks(extracted):
    stored, _ = extracted
    assert stored.cells.shape == stored.geometry.shape
    for start, stop in stored.offsets.values():
        masks = torch.tensor(np.stack([decode_rle(rle) for rle in stored.masks[start:stop]]))
        expected = cell_geometry(masks, stored.geometry[start:stop, 2], 6)  # 48 pixels in patches of 8
        torch.testing.assert_close(stored.cells[start:stop], expected)


def test_sentences_are_encoded_once_and_come_back_in_order(profile, tmp_path, monkeypatch):
    sentences = ["the red mug", "tree", "the red mug", "a small blue car on the right"]
    clip, text = features.sentence_features(sentences, profile, tmp_path)
    torch.testing.assert_close(clip, ClipEncoder(profile.clip).sentences(sentences), atol=1e-5, rtol=0)
    torch.testing.assert_close(text, SentenceEncoder(profile.text).sentences(sentences), atol=1e-5, rtol=0)
    monkeypatch.setattr(features, "ClipEncoder", None)
    again = features.sentence_features(sentences[::-1], profile, tmp_path)  # the same set: read, not made
    assert torch.equal(again[0], clip.flip(0)) and torch.equal(again[1], text.flip(0))


def test_the_time_is_said_before_a_long_run(view, profile, extracted, tmp_path, capsys):
    features.extract(view, profile, extracted[1])
    assert capsys.readouterr().out == ""  # nothing to wait for
    features.extract(view, profile, tmp_path)
    assert capsys.readouterr().out.startswith("features of 7 images: about ")
