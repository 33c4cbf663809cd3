import copy
import gc
import json
import pickle
import types
import warnings

import numpy as np
import pytest
from PIL import Image

from wsris_lib.refer.errors import DataError, DataWarning
from wsris_lib.refer.masks import encode_rle
from wsris_lib.refer.pickles import UnsafePickle
from wsris_lib.refer.reader import Refer
from wsris_lib.refer.writer import IMAGES, write_corpus

H = 24
W = 32


def ref(ref_id, image_id, split, *sentences, **extra):
    return {
        "ref_id": ref_id,
        "ann_id": 100 + ref_id,
        "category_id": 7,
        "image_id": image_id,
        "file_name": f"COCO_{image_id}_{100 + ref_id}.jpg",  # REFER's: names no file
        "split": split,
        "sent_ids": [10 * ref_id + n for n in range(len(sentences))],
        "sentences": [
            {"sent_id": 10 * ref_id + n, "sent": sent, "raw": sent.upper(), "tokens": sent.split(), **extra}
            for n, sent in enumerate(sentences)
        ],
    }


class Corpus:
    """A small corpus on disk, in pieces that a test can spoil before it writes them again."""

    def __init__(self, root):
        self.root = root
        self.images = [{"id": i, "file_name": f"{i}.jpg", "height": H, "width": W} for i in (1, 2, 3)]
        self.refs = [
            ref(1, 1, "train", "red cup", "the cup on the left"),
            ref(2, 1, "train", "blue cup"),
            ref(3, 2, "train", "dog"),
            ref(4, 3, "val", "cat", "left cat", position_dependent=True),
            ref(5, 3, "testA", "man"),
        ]
        self.annotations = []
        for n, entry in enumerate(self.refs):
            mask = np.zeros((H, W), bool)
            mask[2 : 10 + n, 4:12] = True
            self.annotations.append(
                {
                    "id": entry["ann_id"],
                    "image_id": entry["image_id"],
                    "category_id": 7,
                    "bbox": [4, 2, 8, 8 + n],
                    "segmentation": encode_rle(mask),
                    "area": int(mask.sum()),
                    "iscrowd": 0,
                }
            )
        self.categories = [{"id": 7, "name": "thing of category seven"}]
        (root / IMAGES).mkdir(parents=True)
        rng = np.random.default_rng(0)
        for image in self.images:
            pixels = rng.integers(0, 256, (H, W, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / IMAGES / image["file_name"])

    def write(self):
        write_corpus(self.root, "refcoco", "unc", self.images, self.annotations, self.categories, self.refs)
        return self

    def edit_instances(self, change):
        path = self.root / "refcoco" / "instances.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))


@pytest.fixture
def corpus(tmp_path):
    return Corpus(tmp_path / "data").write()


def fails(call, *parts):
    """`call` raises a DataError of one line that holds every one of `said`."""
    with pytest.raises(DataError) as error:
        call()
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert str(part) in message


def one_warning(call, *parts):
    with pytest.warns(DataWarning) as caught:
        result = call()
    assert len(caught) == 1 and caught[0].filename == __file__  # it points at whoever asked for the view
    for part in parts:
        assert str(part) in str(caught[0].message)
    return result


def quietly(call):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return call()


@pytest.mark.parametrize("layout", ["refer", "tris", "mixed"])
def test_both_directory_conventions_read_the_same(corpus, layout):
    before = quietly(lambda: Refer(corpus.root).training_view("train"))
    if layout != "refer":
        (corpus.root / IMAGES).rename(corpus.root / "train2014")
    if layout == "tris":
        (corpus.root / "refer").mkdir()
        (corpus.root / "refcoco").rename(corpus.root / "refer" / "refcoco")
    after = quietly(lambda: Refer(corpus.root).training_view("train"))
    assert list(before) == list(after) and after.image_path(1).is_file()


def test_a_training_view_holds_sentences_images_and_sizes(corpus):
    view = Refer(corpus.root).training_view("train")
    rows = [(s.image_id, s.ref_id, s.sent_id, s.sentence) for s in view]
    assert rows == [(1, 1, 10, "red cup"), (1, 1, 11, "the cup on the left"), (1, 2, 20, "blue cup"), (2, 3, 30, "dog")]
    assert len(view) == 4 and view.image_ids == [1, 2] and view.image_size(2) == (H, W)
    assert view.image(2).mode == "RGB" and view.image(2).size == (W, H)


def test_grey_images_come_as_rgb(corpus):
    Image.new("L", (W, H), 77).save(corpus.root / IMAGES / "2.jpg")
    assert Refer(corpus.root).training_view("train").image(2).getpixel((0, 0)) == (77, 77, 77)


def test_an_evaluation_view_adds_masks_boxes_and_categories(corpus):
    view = Refer(corpus.root).evaluation_view("val")
    assert [s.sentence for s in view] == ["cat", "left cat"]
    sample = view[0]
    assert (sample.ann_id, sample.category, sample.box) == (104, "thing of category seven", (4, 2, 8, 11))
    assert sample.position_dependent is True
    assert view.mask(104).sum() == 8 * 11 and view.mask(104).shape == (H, W)
    assert Refer(corpus.root).evaluation_view("testA")[0].position_dependent is None  # as in real data


def test_the_truths_of_samples_come_one_at_a_time(corpus, monkeypatch):
    view = Refer(corpus.root).evaluation_view("val")
    samples = [view[0], *view]  # an object twice in a row, or more often
    expected = [view.mask(sample.ann_id) for sample in samples]
    drawn = []
    draw = view.mask
    monkeypatch.setattr(view, "mask", lambda ann_id: drawn.append(ann_id) or draw(ann_id))
    truths = view.truths(samples)
    first = next(truths)
    assert drawn == [samples[0].ann_id]  # none before it's asked for
    assert all(np.array_equal(a, b) for a, b in zip([first, *truths], expected, strict=True))
    assert len(drawn) < len(samples)


def test_the_legacy_rule_reaches_the_mask(corpus):
    corpus.annotations[3]["segmentation"] = [[0, 0, 10, 0, 10, 10, 0, 10], [5, 5, 15, 5, 15, 15, 5, 15]]
    view = Refer(corpus.write().root).evaluation_view("val")
    assert view.mask(104).sum() == 175 and view.mask(104, legacy_eq1=True).sum() == 150


def reachable(start):
    """Everything that can be got from an object by following references, short of code."""
    things = {}
    todo = [start]
    while todo:
        thing = todo.pop()
        if id(thing) in things or isinstance(thing, type | types.ModuleType | types.FunctionType):
            continue
        things[id(thing)] = thing
        todo += gc.get_referents(thing)
        if isinstance(thing, dict):
            todo += thing  # the collector passes over keys that are all text
    return things.values()


def test_no_mask_box_or_category_can_be_reached_from_a_training_view(corpus):
    def secrets(view):
        things = [thing for thing in reachable(view) if isinstance(thing, str | tuple)]
        rles = {a["segmentation"]["counts"] for a in corpus.annotations}
        names = {"thing of category seven", "segmentation", "bbox", "ann_id", "category_id", *rles}
        boxes = [tuple(a["bbox"]) for a in corpus.annotations]
        return [thing for thing in things if (isinstance(thing, str) and thing in names) or thing in boxes]

    refer = Refer(corpus.root)
    assert secrets(refer.evaluation_view("val"))  # the search does find them where they are
    refer.evaluation_view("train")  # and an evaluation view made before leaves nothing behind
    assert not secrets(refer.training_view("train"))


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.pop("annotations"),
        lambda c: c.pop("categories"),
        lambda c: c.update(annotations="nothing that could be an annotation"),
        lambda c: [a.pop("segmentation") for a in c["annotations"]],
        lambda c: c.update(annotations=[{"id": 101}]),
    ],
)
def test_training_does_not_care_about_annotations(corpus, change):
    whole = list(Refer(corpus.root).training_view("train"))
    corpus.edit_instances(change)
    assert list(quietly(lambda: Refer(corpus.root).training_view("train"))) == whole


def test_an_annotation_is_not_even_looked_at_for_training(corpus, monkeypatch):
    class Guarded(dict):
        def get(self, name, default=None):
            assert name == "images"
            return super().get(name, default)

        def __getitem__(self, name):
            assert name == "images"
            return super().__getitem__(name)

    read = json.loads
    monkeypatch.setattr(json, "loads", lambda text: Guarded(read(text)))
    refer = Refer(corpus.root)
    assert len(refer.training_view("train")) == 4
    with pytest.raises(AssertionError):
        refer.evaluation_view("val")


def test_splits_go_by_exact_name(corpus):
    refer = Refer(corpus.root)
    assert refer.splits == {"train": 3, "val": 1, "testA": 1}
    for view in (refer.training_view, refer.evaluation_view):
        fails(lambda view=view: view("test"), refer.refs_path, "'test'", "'train', 'val', 'testA'")


def test_wrong_roots_corpora_and_split_by_say_what_is_there(corpus, tmp_path):
    fails(lambda: Refer(tmp_path / "nowhere"), tmp_path / "nowhere", "refer/refcoco")
    fails(lambda: Refer(corpus.root, "refcocog"), corpus.root, "refcocog")
    fails(lambda: Refer(corpus.root, split_by="google"), "refs(google).p", "refs(unc).p")
    (corpus.root / "images").rename(corpus.root / "pictures")
    fails(lambda: Refer(corpus.root), corpus.root, IMAGES, "train2014")


# Bad input: evaluation stops with one line, training skips with one counted warning.


def test_missing_images(corpus):
    (corpus.root / IMAGES / "1.jpg").unlink()
    (corpus.root / IMAGES / "3.jpg").unlink()
    refer = Refer(corpus.root)
    parts = ("3 sentence(s)", "no image file", "sent_id 10 of ref 1, image 1")
    view = one_warning(lambda: refer.training_view("train"), refer.refs_path, *parts)
    assert [s.sentence for s in view] == ["dog"] and view.image_ids == [2]
    fails(lambda: refer.evaluation_view("val"), corpus.root / IMAGES, "ref 4 needs 3.jpg", "isn't there", "fetch the")


@pytest.mark.parametrize("keep", [0, 0.1, 0.6])
def test_a_truncated_jpeg_is_found_when_it_is_opened(corpus, keep):
    path = corpus.root / IMAGES / "2.jpg"
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))])
    view = quietly(lambda: Refer(corpus.root).training_view("train"))
    fails(lambda: view.image(2), path, "copy it again")
    assert view.image(1).size == (W, H)


def test_an_image_that_vanishes_later_is_named(corpus):
    view = Refer(corpus.root).training_view("train")
    (corpus.root / IMAGES / "2.jpg").unlink()
    fails(lambda: view.image(2), corpus.root / IMAGES / "2.jpg")


def test_an_image_of_another_size_is_named(corpus):
    Image.new("RGB", (W, H + 1)).save(corpus.root / IMAGES / "2.jpg")
    view = Refer(corpus.root).training_view("train")
    fails(lambda: view.image(2), corpus.root / IMAGES / "2.jpg", f"{H + 1} x {W}", f"{H} x {W}")


def test_code_in_the_pickle(corpus):
    path = corpus.root / "refcoco" / "refs(unc).p"
    path.write_bytes(pickle.dumps([print], protocol=2))
    with pytest.raises(UnsafePickle, match="print"):
        Refer(corpus.root)


def test_a_ref_without_its_annotation(corpus):
    corpus.annotations = [a for a in corpus.annotations if a["id"] not in (101, 104)]
    refer = Refer(corpus.write().root)
    fails(lambda: refer.evaluation_view("val"), refer.refs_path, "ref 4", "ann_id 104", refer.instances_path, "remove")
    assert len(quietly(lambda: refer.training_view("train"))) == 4  # training needs no annotation


def test_an_annotation_on_another_image(corpus):
    corpus.annotations[3]["image_id"] = 2
    refer = Refer(corpus.write().root)
    fails(lambda: refer.evaluation_view("val"), refer.refs_path, "ref 4", "image 3", "image 2")


def test_an_annotation_of_an_unlisted_category(corpus):
    corpus.annotations[3]["category_id"] = 8
    refer = Refer(corpus.write().root)
    fails(lambda: refer.evaluation_view("val"), refer.instances_path, "annotation 104", "category_id 8")


def test_a_ref_on_an_unlisted_image(corpus):
    corpus.refs[2]["image_id"] = corpus.refs[3]["image_id"] = 99
    refer = Refer(corpus.write().root)
    view = one_warning(lambda: refer.training_view("train"), "1 sentence(s)", refer.instances_path, "image 99")
    assert len(view) == 3
    fails(lambda: refer.evaluation_view("val"), refer.refs_path, "image_id 99", refer.instances_path)


def test_empty_sentences(corpus):
    for entry in (corpus.refs[0], corpus.refs[3]):
        entry["sentences"][0]["sent"] = " "
    refer = Refer(corpus.write().root)
    view = one_warning(lambda: refer.training_view("train"), refer.refs_path, "1 sentence(s)", "empty", "sent_id 10")
    assert len(view) == 3
    fails(lambda: refer.evaluation_view("val"), refer.refs_path, "empty sentence", "sent_id 40")


def test_each_reason_has_its_own_warning(corpus):
    (corpus.root / IMAGES / "2.jpg").unlink()
    corpus.refs[0]["sentences"][0]["sent"] = ""
    refer = Refer(corpus.write().root)
    with pytest.warns(DataWarning) as caught:
        assert len(refer.training_view("train")) == 2
    for reason in (
        "1 sentence(s) skipped because they are empty",
        "1 sentence(s) skipped because they have no image file",
    ):
        assert [reason in str(warning.message) for warning in caught].count(True) == 1
    assert len(caught) == 2


def test_nothing_left_to_train_on(corpus):
    (corpus.root / IMAGES / "1.jpg").unlink()
    (corpus.root / IMAGES / "2.jpg").unlink()
    refer = Refer(corpus.root)
    with pytest.warns(DataWarning):
        fails(lambda: refer.training_view("train"), refer.refs_path, "'train'")


@pytest.mark.parametrize(
    ("segmentation", "problem"),
    [
        ({"size": [H, W], "counts": [5, 1, H * W - 6]}, "1 pixel"),
        ([[1.2, 1.2, 1.3, 1.2, 1.3, 1.3]], "0 pixel"),
        ([[1, 1, 5, 5]], "3 or more"),
        ({"size": [W, H], "counts": [H * W]}, "the image 24 x 32"),
        (None, "expected polygons or RLE"),
    ],
)
def test_masks_that_cannot_judge(corpus, segmentation, problem):
    corpus.annotations[3]["segmentation"] = segmentation
    view = Refer(corpus.write().root).evaluation_view("val")
    for legacy in (False, True):
        parts = ("instances.json", "annotation 104", problem, "remove its ref")
        fails(lambda legacy=legacy: view.mask(104, legacy_eq1=legacy), *parts)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("image_id", lambda r: r.pop("image_id")),
        ("sentences", lambda r: r.pop("sentences")),
        ("sent_id", lambda r: r["sentences"][0].pop("sent_id")),
        ("sent", lambda r: r["sentences"][0].update(sent=b"cat")),
        ("sent", lambda r: r.update(sentences=["cat"])),
    ],
)
def test_refs_without_a_field(corpus, field, change):
    refs = copy.deepcopy(corpus.refs)
    change(refs[1])
    path = corpus.root / "refcoco" / "refs(unc).p"
    path.write_bytes(pickle.dumps(refs, protocol=3))
    fails(lambda: Refer(corpus.root), path, field)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_text(path.read_text()[:200]),
        lambda path: path.write_text("[]"),
        lambda path: path.write_text('{"images": [{"id": 1}]}'),
        lambda path: path.write_bytes(b"\xff\xfe"),
        lambda path: path.unlink(),
    ],
)
def test_spoilt_instances(corpus, spoil):
    path = corpus.root / "refcoco" / "instances.json"
    spoil(path)
    fails(lambda: Refer(corpus.root), path)


def test_evaluation_without_annotations_says_so(corpus):
    corpus.edit_instances(lambda c: c.pop("annotations"))
    fails(lambda: Refer(corpus.root).evaluation_view("val"), "instances.json", "'annotations'")


def test_the_writer_refuses_what_the_reader_would(corpus):
    path = corpus.root / "refcoco" / "refs(unc).p"
    before = path.read_bytes()
    corpus.refs[0]["ref_id"] = np.int64(1)
    with pytest.raises(UnsafePickle, match="numpy"):
        corpus.write()
    assert path.read_bytes() == before
    assert sorted(p.name for p in path.parent.iterdir()) == ["instances.json", "refs(unc).p"]


def test_the_garbage_collector_is_left_as_it_was(corpus):
    gc.disable()
    try:
        Refer(corpus.root)
        assert not gc.isenabled()
    finally:
        gc.enable()
    fails(lambda: Refer(corpus.root).training_view("nowhere"), "no split")
    assert gc.isenabled()
