"""From pairs to the REFER layout and back, and labels as files that annotation tools open."""

import json
import sys

import numpy as np
import pytest
import small_corpus
from PIL import Image
from pycocotools.coco import COCO
from scipy import ndimage
from test_refer_pairs import ROWS, folder, read, table  # noqa: F401  the same small folder
from test_refer_reader import Corpus

from wsris_lib.__main__ import main
from wsris_lib.refer.coco import polygons, write_coco
from wsris_lib.refer.errors import DataError
from wsris_lib.refer.exchange import to_pairs, to_refer
from wsris_lib.refer.labels import PseudoLabel
from wsris_lib.refer.masks import annotation_mask, encode_rle
from wsris_lib.refer.pairs import Pairs
from wsris_lib.refer.reader import Refer


def contents(corpus, split):
    """All that training sees of a split, photographs by their bytes."""
    view = corpus.training_view(split)
    return list(view), [(i, view.image_digest(i), view.image_size(i)) for i in view.image_ids]


def test_pairs_become_the_refer_layout_with_the_same_ids(folder, tmp_path):  # noqa: F811
    pairs = Pairs(table(folder))
    assert to_refer(pairs, tmp_path / "refer") == {"train": 3, "val": 2}
    refer = Refer(tmp_path / "refer", "pairs", "table")
    for split in ("train", "val"):
        assert contents(refer, split) == contents(pairs, split)
    assert (refer.masked("train"), refer.masked("val")) == (0, 1)
    ours, theirs = (corpus.evaluation_view("val") for corpus in (pairs, refer))
    assert [(s.sentence, s.box, s.category) for s in ours] == [(s.sentence, s.box, s.category) for s in theirs]
    assert np.array_equal(ours.mask(ours[0].ann_id), theirs.mask(theirs[0].ann_id))


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_the_refer_layout_becomes_pairs_that_train_the_same(tmp_path, suffix):
    """Images keep their ids where refs don't come in their order: else another order of images, and other weights."""
    if suffix == ".parquet":
        pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    corpus = Corpus(tmp_path / "data")
    corpus.refs = [corpus.refs[i] for i in (2, 0, 1, 3, 4)]
    refer = Refer(corpus.write().root)
    out = tmp_path / "out" / f"pairs{suffix}"
    assert to_pairs(refer, out, masks=True) == {"train": 4, "val": 2, "testA": 1}
    pairs = Pairs(out)
    for split in refer.splits:
        before, after = (contents(c, split) for c in (refer, pairs))
        assert [(s.image_id, s.sentence) for s in before[0]] == [(s.image_id, s.sentence) for s in after[0]]
        assert before[1] == after[1]
    truths = [list(c.evaluation_view("val").truths(list(c.evaluation_view("val")))) for c in (refer, pairs)]
    assert np.array_equal(*truths)
    assert to_pairs(refer, tmp_path / "bare" / "pairs.csv", masks=False)
    assert not (tmp_path / "bare" / "masks").exists() and Pairs(tmp_path / "bare").masked("val") == 0


def test_a_photograph_that_its_exif_turns_is_stored_turned(folder, tmp_path):  # noqa: F811
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.effect_noise((30, 20), 50).convert("RGB").save(folder / "photos" / "a.png", exif=exif)
    pairs = Pairs(table(folder))
    to_refer(pairs, tmp_path / "refer")
    views = [c.training_view("train") for c in (pairs, Refer(tmp_path / "refer", "pairs", "table"))]
    assert views[0].image_size(1) == views[1].image_size(1) == (30, 20)
    assert np.array_equal(*(np.asarray(view.image(1)) for view in views))


def test_the_commands_go_both_ways(folder, tmp_path, capsys):  # noqa: F811
    path = table(folder)
    assert main(["convert", str(path), "-o", str(tmp_path / "refer")]) == 0
    shown = capsys.readouterr().out
    assert "3 sentences of train, 2 sentences of val" in shown
    assert f"reproduce --data {tmp_path / 'refer'} --corpus pairs --split-by table" in shown
    back = tmp_path / "back" / "p.csv"
    assert main(["convert", str(tmp_path / "refer"), "--corpus", "pairs", "--split-by", "table", "-o", str(back)]) == 0
    assert f"reproduce --pairs {back}" in capsys.readouterr().out
    assert read(back) == read(path)
    assert main(["convert", str(path), "-o", str(tmp_path / "x.csv")]) == 2
    assert "the REFER layout is a folder" in capsys.readouterr().err
    assert (
        main(["convert", str(tmp_path / "refer"), "--corpus", "pairs", "--split-by", "table", "-o", str(folder)]) == 2
    )
    assert "end it in one of .csv" in capsys.readouterr().err


def test_ids_of_images_may_begin_at_0(tmp_path):
    def count_from_0(instances, refs):
        for image in instances["images"]:
            image["id"] -= 1
        for entry in (*instances["annotations"], *refs):
            entry["image_id"] -= 1

    refer = Refer(small_corpus.write(tmp_path / "data", count_from_0))
    to_pairs(refer, tmp_path / "pairs.csv", masks=False)
    after = Pairs(tmp_path / "pairs.csv")
    assert [s.image_id for s in after.training_view("train")] == [s.image_id for s in refer.training_view("train")]


def test_nothing_that_was_there_is_written_over_or_hidden(folder, tmp_path):  # noqa: F811
    """A table in a corpus's own folder would be read in its place from then on."""
    refer = Refer(small_corpus.write(tmp_path / "data"))
    with pytest.raises(DataError, match=r"own.csv: lies in the corpus's own folder; name another"):
        to_pairs(refer, tmp_path / "data" / "own.csv", masks=False)
    mine = table(folder)
    before = mine.read_bytes()
    with pytest.raises(DataError, match=r"pairs.csv: is there already; name another"):
        to_pairs(refer, mine, masks=False)
    assert mine.read_bytes() == before


def test_what_cannot_be_written_is_known_before_images_are_copied(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    refer = small_corpus.write(tmp_path / "data")
    assert main(["convert", str(refer), "-o", str(tmp_path / "out" / "p.parquet")]) == 2
    assert "Parquet needs pyarrow" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_where_to_is_asked_for(folder, tmp_path, capsys):  # noqa: F811
    for source in (table(folder), small_corpus.write(tmp_path / "data")):
        assert main(["convert", str(source)]) == 2
        assert "to be written where? Say by -o" in capsys.readouterr().err


def test_a_folders_name_may_have_a_dot(folder, tmp_path):  # noqa: F811
    assert to_refer(Pairs(table(folder)), tmp_path / "refer-1.0") == {"train": 3, "val": 2}


def test_labels_behind_a_link_name_their_images(folder, tmp_path):  # noqa: F811
    """A home folder that leads to another disk: ".." is counted from where it leads to."""
    view = Pairs(table(folder)).training_view("train")
    (tmp_path / "disk" / "of" / "mine").mkdir(parents=True)
    (folder / "scratch").symlink_to(tmp_path / "disk" / "of" / "mine")
    write_coco(folder / "scratch" / "labels", view, [], "train", "a test")
    assert list(Pairs(folder / "scratch" / "labels").training_view("train")) == list(view)


def blob(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return ndimage.gaussian_filter(rng.normal(size=(40, 55)), 2) > 0.1


def test_polygons_draw_the_very_same_mask_or_are_none():
    outlines = [(mask, polygons(mask)) for mask in map(blob, range(40))]
    outlines += [(m, polygons(m)) for m in (ndimage.binary_fill_holes(mask) for mask, _ in outlines)]
    whole = [(mask, shapes) for mask, shapes in outlines if shapes]
    assert len(whole) >= 40  # all without holes
    for mask, shapes in whole:
        assert np.array_equal(annotation_mask(shapes, *mask.shape), mask)
    ring = np.zeros((9, 9), bool)
    ring[1:8, 1:8] = True
    assert len(polygons(ring)[0]) == 16  # eight corners and nothing between them
    ring[4, 4] = False
    assert polygons(ring) == [] and polygons(np.zeros((9, 9), bool)) == []
    assert polygons(np.ones((3, 4), bool))


def test_labels_become_files_that_cocos_own_reader_opens(folder, tmp_path):  # noqa: F811
    pairs = Pairs(table(folder, [row | {"mask": ""} for row in ROWS]))
    view = pairs.training_view("train")
    mask = np.zeros((20, 30), bool)
    mask[3:9, 4:12] = True
    other = np.zeros_like(mask)
    other[0:2, 0:2] = True
    empty = np.zeros_like(mask)
    labels = [
        PseudoLabel(1, 1, 1, encode_rle(other), 0.3),
        PseudoLabel(1, 1, 2, encode_rle(mask), 0.8),
        PseudoLabel(1, 2, 3, encode_rle(empty), 0.5),
    ]
    out = tmp_path / "out"
    assert write_coco(out, view, labels, "train", "a test") == 1
    opened = COCO(str(out / "instances.json"))
    (annotation,) = opened.loadAnns(opened.getAnnIds())
    assert np.array_equal(opened.annToMask(annotation).astype(bool), mask)
    assert annotation["bbox"] == [4, 3, 8, 6] and annotation["area"] == 48 and annotation["score"] == 0.8
    assert annotation["sentences"] == ["the red mug, left", "red one"] and annotation["iscrowd"] == 0
    assert [image["file_name"] for image in opened.loadImgs(opened.getImgIds())] == ["a.png"]
    (png,) = (out / "masks").iterdir()
    assert np.array_equal(np.asarray(Image.open(png)), mask * np.uint8(255))
    again = Pairs(out)  # the folder is a corpus itself
    assert list(again.training_view("train")) == list(view) and again.masked("train") == 1
    content = json.loads((out / "instances.json").read_text())
    assert content.keys() == {"info", "images", "annotations", "categories"}


def test_a_mask_with_a_hole_stays_exact(folder, tmp_path):  # noqa: F811
    mask = np.zeros((20, 30), bool)
    mask[3:12, 4:15] = True
    mask[6:8, 7:9] = False
    view = Pairs(table(folder)).training_view("val")
    write_coco(tmp_path / "out", view, [PseudoLabel(2, 3, 4, encode_rle(mask), 1.0)], "val", "a test")
    opened = COCO(str(tmp_path / "out" / "instances.json"))
    (annotation,) = opened.loadAnns(opened.getAnnIds())
    assert annotation["ref_id"] == 3 and annotation["id"] == 1  # a 0 would never be matched by COCO's evaluation
    assert isinstance(annotation["segmentation"], dict)
    assert np.array_equal(opened.annToMask(annotation).astype(bool), mask)


def test_a_split_with_some_masks_is_refused_when_it_is_judged(folder):  # noqa: F811
    rows = [*ROWS, ROWS[3] | {"object": "2", "mask": ""}]
    pairs = Pairs(table(folder, rows))
    assert pairs.masked("val") == 1
    with pytest.raises(DataError, match=r"1 object\(s\) of split 'val' without a mask to judge by: \"the dog\""):
        pairs.evaluation_view("val")
