"""The published corpora in all their layouts, with folders and zips of images, and how much of each is at hand."""

import multiprocessing
import pickle
import shutil
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from wsris_lib.__main__ import main
from wsris_lib.frozen import image_cache
from wsris_lib.infra.artefacts import REPO, file_digest
from wsris_lib.refer.errors import DataError, DataWarning
from wsris_lib.refer.masks import encode_rle
from wsris_lib.refer.pickles import UnsafePickle
from wsris_lib.refer.published import PUBLISHED, REFCLEF, Count, compare
from wsris_lib.refer.reader import Refer
from wsris_lib.refer.referit import convert
from wsris_lib.refer.writer import IMAGES, write_corpus

H = 24
W = 32
MINI = REPO.parent / "shared" / "refcoco_mini"
COCO_SPLITS = ("train", "val", "testA", "testB")


def coco_name(image_id):
    return f"COCO_train2014_{image_id:012d}.jpg"


def a_corpus(root, corpus="refcoco", split_by="unc", splits=COCO_SPLITS, name=coco_name, place=IMAGES, rle=False):
    """Two refs with two sentences each on every image, two images a split; ids from 1 on."""
    images = []
    annotations = []
    refs = []
    mask = np.zeros((H, W), bool)
    mask[4:12, 6:20] = True
    rng = np.random.default_rng(0)
    for n, split in enumerate(sorted(2 * splits, key=splits.index)):
        image_id = n + 1
        images.append({"id": image_id, "file_name": name(image_id), "height": H, "width": W})
        path = root / place / name(image_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (H, W, 3), dtype=np.uint8)).save(path)
        for k in range(2):
            ref_id = 2 * n + k
            shape = [encode_rle(mask)] if rle else [[6, 4, 20, 4, 20, 12, 6, 12]]
            whose = {"image_id": image_id, "category_id": 3}
            box = {"bbox": [6, 4, 14, 8], "area": 112, "iscrowd": 0}
            annotations.append({"id": 100 + ref_id, **whose, **box, "segmentation": shape})
            numbered = [(2 * ref_id + j, f"thing {ref_id} {j}") for j in range(2)]
            sentences = [{"sent_id": i, "sent": sent, "raw": sent, "tokens": sent.split()} for i, sent in numbered]
            ids = {"ref_id": ref_id, "ann_id": 100 + ref_id, "sent_ids": [i for i, _ in numbered], "split": split}
            refs.append({**ids, **whose, "file_name": "names_no_file.jpg", "sentences": sentences})
    write_corpus(root, corpus, split_by, images, annotations, [{"id": 3, "name": "thing"}], refs)
    return root


def zipped(root, place=IMAGES, method=zipfile.ZIP_DEFLATED, inner="train2014/"):
    """The folder of images made into a zip beside it, and removed."""
    folder = root / place
    with zipfile.ZipFile(folder.with_suffix(".zip"), "w", method) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.write(path, inner + path.relative_to(folder).as_posix())
    shutil.rmtree(folder)
    return folder.with_suffix(".zip")


def fails(call, *parts):
    with pytest.raises(DataError) as error:
        call()
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert str(part) in message


@pytest.fixture
def both(tmp_path):
    """The same corpus twice: (with a folder of images, with a zip)."""
    folder = a_corpus(tmp_path / "folder")
    shutil.copytree(folder, tmp_path / "zip")
    zipped(tmp_path / "zip")
    return Refer(folder), Refer(tmp_path / "zip")


# The corpora.


def test_refs_of_two_tests_of_refclef_are_counted_in_both_as_refer_does(tmp_path):
    splits = ("train", "val", "testA", "testB", "testC", "testAB", "testBC")
    refer = Refer(a_corpus(tmp_path, "refclef", "unc", splits), "refclef", "unc", most={"testC": 3})
    four = dict.fromkeys(("train", "val", "testAB", "testBC"), 4)
    assert refer.splits == {
        **four,
        "testBC": refer.splits["testBC"],
        "testA": 8,
        "testB": 4 + 4 + refer.splits["testBC"],
        "testC": 6,
        "test": 8 + 4 + 6,
    }
    assert {s.ref_id for s in refer.training_view("testAB")} < {s.ref_id for s in refer.training_view("testA")}
    assert len(refer.evaluation_view("test")) == 2 * refer.splits["test"]


def test_splits_of_other_corpora_go_by_their_own_name_alone(tmp_path):
    refer = Refer(a_corpus(tmp_path, splits=("train", "testA", "testAB")))
    assert refer.splits == {"train": 4, "testA": 4, "testAB": 4}


@pytest.mark.parametrize(("corpus", "split_by"), PUBLISHED)
def test_the_corpora_on_coco_have_all_their_splits(tmp_path, corpus, split_by):
    splits = tuple(PUBLISHED[corpus, split_by])
    refer = Refer(a_corpus(tmp_path, corpus, split_by, splits), corpus, split_by)
    assert refer.splits == dict.fromkeys(splits, 4)
    for split in splits:
        view = refer.evaluation_view(split)
        assert len(view) == len(refer.training_view(split)) == 8
        assert view.mask(view[0].ann_id).sum() == 14 * 8


@pytest.mark.parametrize("split_by", REFCLEF)
@pytest.mark.parametrize("rle", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_refclef_has_its_own_photographs_below_folders(tmp_path, split_by, rle, packed):
    splits = REFCLEF[split_by]
    place = "images/saiapr_tc-12"
    a_corpus(tmp_path, "refclef", split_by, splits, lambda i: f"{i % 3:02d}/images/{i}.jpg", place, rle)
    (tmp_path / IMAGES).mkdir(parents=True)  # COCO's are there too, for the other corpora
    if packed:
        zipped(tmp_path, place, inner="saiapr_tc-12/")
    refer = Refer(tmp_path, "refclef", split_by)
    assert tuple(refer.splits) == (splits if split_by == "berkeley" else (*splits, "test"))
    for split in splits:
        view = refer.evaluation_view(split)
        assert {view.image(i).size for i in view.image_ids} == {(W, H)}
        assert view.mask(view[0].ann_id).sum() == 14 * 8


def test_a_gif_under_the_name_of_a_jpeg_is_read(tmp_path):
    """As 19579.jpg and two others of refclef's photographs are."""
    root = a_corpus(tmp_path, "refclef", "unc", ("train",), lambda i: f"{i}.jpg", "images/saiapr_tc-12")
    Image.new("P", (W, H), 7).save(root / "images/saiapr_tc-12" / "1.jpg", format="GIF")
    assert Refer(root, "refclef", "unc").training_view("train").image(1).mode == "RGB"


# Images in a zip.


@pytest.mark.parametrize("place", [IMAGES, "train2014"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("inner", ["train2014/", ""])
def test_a_zip_gives_what_its_folder_gave(tmp_path, place, method, inner):
    folder = Refer(a_corpus(tmp_path / "folder", place=place)).evaluation_view("val")
    shutil.copytree(tmp_path / "folder", tmp_path / "zip")
    archive = zipped(tmp_path / "zip", place, method, inner)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refer = Refer(tmp_path / "zip")
        view = refer.evaluation_view("val")
        assert list(refer.training_view("val"))
    assert refer.image_folder == archive and list(view) == list(folder)
    for image_id in view.image_ids:
        assert np.array_equal(np.asarray(view.image(image_id)), np.asarray(folder.image(image_id)))
        assert view.image_digest(image_id) == folder.image_digest(image_id) is not None
        assert folder.image_digest(image_id) == file_digest(folder.image_path(image_id))
        assert str(view.image_path(image_id)) == f"{archive}/{inner}{coco_name(image_id)}"


def test_a_folder_counts_where_a_zip_is_too(tmp_path):
    a_corpus(tmp_path, place="train2014")
    (tmp_path / IMAGES).parent.mkdir(parents=True)
    (tmp_path / f"{IMAGES}.zip").write_bytes(b"not looked at")
    assert Refer(tmp_path).image_folder == tmp_path / "train2014"


def test_features_of_a_folder_are_those_of_its_zip(both, tmp_path):
    def mean_colours(images):
        return [({"mean": torch.tensor(np.asarray(i, dtype=np.float32)).mean((0, 1))}, {}) for i in images.values()]

    def another():
        raise AssertionError("all of them are there")

    views = [refer.training_view("train") for refer in both]
    kept = image_cache.cached_per_image(views[0], tmp_path / "out", "mean", "a setting", lambda: mean_colours)
    read = image_cache.cached_per_image(views[1], tmp_path / "out", "mean", "a setting", another)
    assert list(kept) == list(read) == [1, 2]
    assert all(torch.equal(kept[i][0]["mean"], read[i][0]["mean"]) for i in kept)


def test_an_image_that_the_zip_lacks_is_missing(both):
    _, refer = both
    with zipfile.ZipFile(refer.image_folder, "w") as archive:
        archive.writestr(f"train2014/{coco_name(1)}", b"no image")
    refer = Refer(refer.root)
    assert refer.size("train") == {"refs": 4, "sentences": 8, "images": 2, "files": 1}
    with pytest.warns(
        DataWarning, match=r"4 sentence\(s\) skipped because they have no image file in .*train2014\.zip"
    ):
        view = refer.training_view("train")
    fails(lambda: view.image(1), refer.image_folder, coco_name(1), "image")
    with pytest.raises(DataError, match=r"train2014.zip: 4 ref\(s\) whose image isn't there") as error:
        refer.evaluation_view("val")
    assert coco_name(3) in str(error.value)


def spoil(archive, image_id, offset, byte):
    """Change a byte `offset` bytes behind the beginning of a member's header."""
    with zipfile.ZipFile(archive) as index:
        start = next(i.header_offset for i in index.infolist() if i.filename.endswith(coco_name(image_id)))
    data = bytearray(archive.read_bytes())
    data[start + offset] ^= byte
    archive.write_bytes(data)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("offset", [0, 27, 200, 400])  # magic, length of the name, data
def test_a_damaged_member_is_named_and_left_out(tmp_path, method, offset):
    archive = zipped(a_corpus(tmp_path), method=method)
    spoil(archive, 1, offset, 0b1010)
    view = Refer(tmp_path).training_view("train")
    fails(lambda: view.image(1), archive, f"train2014/{coco_name(1)}", "fetch the zip again")
    assert view.image_digest(1) is None
    assert view.image(2).size == (W, H)

    def ones(images):
        return [({"one": torch.ones(1)}, {}) for _ in images]

    with pytest.warns(DataWarning, match=f"1 of 2 images can't be opened .*{coco_name(1)}"):
        assert list(image_cache.cached_per_image(view, tmp_path / "out", "one", 1, lambda: ones)) == [2]


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_a_zip_that_was_cut_short(both, keep):
    _, refer = both
    data = refer.image_folder.read_bytes()
    refer.image_folder.write_bytes(data[: int(keep * len(data))])
    fails(lambda: Refer(refer.root), refer.image_folder, "zip", "cut short", "fetch it again")


def test_a_zip_that_is_cut_short_or_goes_while_it_is_used(both):
    _, refer = both
    view = refer.training_view("train")
    refer.image_folder.write_bytes(refer.image_folder.read_bytes()[:100])
    fails(lambda: view.image(2), refer.image_folder, coco_name(2))
    refer.image_folder.unlink()
    fails(lambda: view.image(1), refer.image_folder, coco_name(1))


@pytest.mark.parametrize(("field", "value", "how"), [(10, 9, "method 9"), (8, 1, "encrypted")])
def test_a_packing_that_is_not_read_here(tmp_path, field, value, how):
    archive = zipped(a_corpus(tmp_path))
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\1\2") + field] = value  # of the first entry of the zip's index
    archive.write_bytes(data)
    fails(lambda: Refer(tmp_path), archive, coco_name(1), how, "unpack")


@pytest.mark.parametrize("way", ["fork", "spawn"])
def test_processes_and_threads_read_one_zip_at_once(both, way):
    folder, view = (refer.training_view("train") for refer in both)
    ids = folder.image_ids * 200
    expected = [folder.image_digest(i) for i in ids]
    assert view.image_digest(1) == expected[0]  # read here too, before the processes begin
    with multiprocessing.get_context(way).Pool(2) as pool, ThreadPoolExecutor(4) as threads:
        running = pool.map_async(view.image_digest, ids, 20)
        assert list(threads.map(view.image_digest, ids)) == expected
        assert running.get(60) == expected


# Counts.


def test_a_part_of_a_corpus_is_told_from_all_of_it(tmp_path):
    root = a_corpus(tmp_path, splits=("train", "val", "testA", "mine"))
    (root / IMAGES / coco_name(1)).unlink()
    counts = {(count.split, count.what): count for count in compare(Refer(root))}
    assert len(counts) == 5 * 4
    assert counts["train", "refs"] == Count("train", "refs", 4, 42_404)
    assert counts["train", "sentences"] == Count("train", "sentences", 8, 120_624)
    assert counts["train", "files"].actual == 1 and counts["train", "images"].actual == 2
    assert counts["testB", "images"] == Count("testB", "images", 0, 750)
    assert counts["mine", "refs"] == Count("mine", "refs", 4, None)
    assert counts["mine", "refs"].complete is None and counts["val", "refs"].complete is False


def test_refclef_is_counted_by_what_is_known_of_it(tmp_path):
    root = a_corpus(tmp_path, "refclef", "unc", ("train", "testC"))
    counts = compare(Refer(root, "refclef", "unc"))
    assert counts[-1] == Count("", "images", 4, 19_997)
    assert [count.split for count in counts[::4]] == ["train", "val", "testA", "testB", "testC", "test", ""]
    assert all(count.complete is None for count in counts[:-1])


@pytest.mark.parametrize(
    ("corpora", "refs", "sentences"),
    [
        ([("refcoco", "unc")], 50_000, 142_210),
        ([("refcoco+", "unc")], 49_856, 141_564),
        ([("refcocog", "umd"), ("refcocog", "google")], 49_822, 95_010),
    ],
)
def test_the_published_splits_add_up(corpora, refs, sentences):
    for each in corpora:
        totals = np.array(list(PUBLISHED[each].values())).sum(0)
        assert list(totals[:2]) == [refs, sentences]


def test_the_real_miniature_is_a_part(tmp_path):
    if not MINI.is_dir():
        pytest.skip(f"{MINI} is absent")
    counts = {(count.split, count.what): count for count in compare(Refer(MINI))}
    assert counts["val", "images"].actual == counts["val", "files"].actual == 71
    assert counts["train", "sentences"].actual == 1714 and not counts["train", "sentences"].complete
    for name in ("refcoco", "images/mscoco/images/train2014"):
        shutil.copytree(MINI / name, tmp_path / name)
    zipped(tmp_path)
    views = [Refer(root).evaluation_view("val") for root in (MINI, tmp_path)]
    assert all(views[0].image_digest(i) == views[1].image_digest(i) is not None for i in views[0].image_ids)


# ReferIt in pickles.


def pickled(root, change=lambda content: None):
    """ReferIt as pickles: in `train` two sentences of one object and one of another, in `test` one of two parts."""
    masks = [np.zeros((H, W), bool) for _ in range(3)]
    for n, mask in enumerate(masks):
        mask[2 : 8 + n, 3 + 4 * n : 10 + 4 * n] = True
    rles = [encode_rle(mask) for mask in masks]
    sky = {"image_id": 7, "bbox": [[3, 2, 10, 8]], "segmentation": [rles[0]], "category": {12}}
    tree = {"image_id": 7, "bbox": [[7, 2, 14, 9]], "segmentation": [rles[1]]}
    men = {"image_id": 8, "bbox": [[3, 2, 10, 8], [11, 2, 18, 10]], "segmentation": [rles[0], rles[2]]}
    annotations = [{**sky, "query": "Sky "}, {**tree, "query": "tree"}, {**sky, "query": "up"}]
    content = {
        "train": {"7": {"annotations": annotations}},
        "test": {"8": {"annotations": [{**men, "query": "both men"}], "size": (H, W, 3)}},
    }
    change(content)
    for name in ("annotations", "images"):
        (root / name).mkdir(parents=True)
    for split, entries in content.items():
        (root / "annotations" / f"{split}.pickle").write_bytes(pickle.dumps(entries, protocol=4))
    for image_id in (7, 8):
        Image.new("RGB", (W, H), "green").save(root / "images" / f"{image_id}.jpg")
    return root, masks


def test_referit_of_pickles_reads_as_any_corpus(tmp_path):
    root, masks = pickled(tmp_path)
    assert convert(root) == {"train": 3, "test": 1}
    refer = Refer(root, "referit", "pickle")
    train = refer.training_view("train")
    assert [(s.image_id, s.ref_id, s.sentence) for s in train] == [(7, 0, "sky"), (7, 0, "up"), (7, 1, "tree")]
    assert len({s.sent_id for s in train}) == 3 and train.image(7).size == (W, H)
    test = refer.evaluation_view("test")
    assert np.array_equal(test.mask(test[0].ann_id), masks[0] | masks[2])
    assert test[0].box == (3, 2, 15, 8) and test[0].category == "unknown"
    assert all(count.expected is None for count in compare(refer))


def in_bytes(content):
    for annotation in content["train"]["7"]["annotations"]:
        annotation["segmentation"] = [{**rle, "counts": rle["counts"].encode()} for rle in annotation["segmentation"]]


def test_referit_with_run_lengths_in_bytes(tmp_path):
    root, masks = pickled(tmp_path, in_bytes)
    convert(root)
    view = Refer(root, "referit", "pickle").evaluation_view("train")
    assert np.array_equal(view.mask(view[0].ann_id), masks[0])


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda c: c["test"]["8"]["annotations"][0].pop("query"), ("test.pickle", "'8'", "annotation 0", "'query'")),
        (lambda c: c["test"]["8"]["annotations"][0].update(bbox=[[1, 2, 3]]), ("test.pickle", "'8'", "four numbers")),
        (lambda c: c["test"]["8"]["annotations"][0].update(bbox=[[1, 2, None, 3]]), ("test.pickle", "four numbers")),
        (lambda c: c["test"]["8"]["annotations"][0].update(segmentation=[[1, 2, 3]]), ("test.pickle", "'8'", "RLE")),
        (
            lambda c: c["test"]["8"]["annotations"][0].update(
                image_id=7, segmentation=[{"size": [2, 2], "counts": "4"}]
            ),
            ("test.pickle", "image 7 is 2 x 2"),
        ),
        (lambda c: c["test"].update({"8": []}), ("test.pickle", "'8'", "`annotations`")),
        (lambda c: c.update(test=[1]), ("test.pickle", "list", "dict")),
    ],
)
def test_pickles_that_are_not_referit_write_nothing(tmp_path, change, parts):
    root, _ = pickled(tmp_path, change)
    fails(lambda: convert(root), *parts)
    assert not (root / "referit").exists()


def test_code_in_referits_pickles(tmp_path):
    root, _ = pickled(tmp_path, lambda content: content["test"].update({"9": print}))
    with pytest.raises(UnsafePickle, match="print"):
        convert(root)
    assert not (root / "referit").exists()


def test_no_pickles_at_all(tmp_path):
    fails(lambda: convert(tmp_path), tmp_path / "annotations", "train.pickle")


def test_the_command_converts_and_says_how_to_go_on(tmp_path, capsys):
    root, _ = pickled(tmp_path)
    assert main(["convert", str(root)]) == 0
    stdout = capsys.readouterr().out
    assert "3 sentences of train, 1 sentences of test" in stdout and f"--data {root} --corpus referit" in stdout
    assert len(Refer(root, "referit", "pickle").training_view("train")) == 3
    assert main(["convert", str(tmp_path / "elsewhere")]) == 2
    assert "train.pickle" in capsys.readouterr().err
