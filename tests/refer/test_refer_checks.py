"""What would end a run after its trainings is known before the first one, all of it in one list."""

import struct

import pytest
import small_corpus
from PIL import Image
from small_corpus import COCO, OUTLINE, H, W, coco_name

from wsris_lib.refer.checks import check_apart, check_judged, check_masks, check_trained
from wsris_lib.refer.errors import DataError, DataWarning
from wsris_lib.refer.reader import Refer

VAL = 2  # the position of val's image, annotation and ref
TWO_POINTS = [10, 5, 20, 5]
TURNED = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"  # orientation 6
# A resolution that is text beside it, as some scanners write it.
ODD = b"Exif\0\0II*\0\x08\0\0\0\x02\0" + struct.pack("<HHIIHHI4s", 0x112, 3, 1, 6, 0x11A, 2, 4, b"72/1") + b"\0\0\0\0"


def faults_of(root, *, split="val"):
    refer = Refer(root)
    return [*check_judged(refer, split), *check_trained(refer, "train")]


def only(faults, *parts, stops):
    assert len(faults) == 1, [str(fault) for fault in faults]
    assert faults[0].stops is stops
    assert all(part in str(faults[0]) for part in parts), str(faults[0])


def shaped(segmentation):
    return lambda instances, refs: instances["annotations"][VAL].update(segmentation=segmentation)


def test_a_corpus_without_fault_is_called_so(tmp_path):
    assert faults_of(small_corpus.write(tmp_path)) == []
    assert check_masks(Refer(tmp_path), "train") == []


@pytest.mark.parametrize(
    ("segmentation", "why"),
    [
        ([TWO_POINTS], "polygon is [10, 5, 20, 5], expected a list of 3 or more x, y pairs"),
        ([], "segmentation is [], expected polygons or RLE"),
        ([[]], "polygon is []"),
        ([TWO_POINTS, []], "polygon is [10, 5, 20, 5]"),
        ([[[6, 4], [20, 4], [20, 12], [6, 12]]], "polygon is [[6, 4], [20, 4]"),
        ([[6, 4, 20, 4, 20, 12 * H]], "further beyond the image, 24 x 32"),
        ({"size": [H, W], "counts": [-5, 100, H * W - 95]}, "RLE has a run of -5"),
        ({"size": [H, W], "counts": [0.5, H * W - 0.5]}, "RLE has a run of 0.5"),
        ({"size": [H, W], "counts": ""}, "not an RLE (ValueError: counts are empty or cut short)"),
        ({"size": [W, H], "counts": [0, H * W]}, "RLE is 32 x 24, the image 24 x 32"),
        ({"counts": [0, H * W]}, "RLE is of size None, the image 24 x 32"),
        ([6, 4, 20, 4, 20, 12, 6, 12], "expected a list of polygons, each a list of numbers"),
        ("[[6, 4, 20, 4, 20, 12]]", "expected polygons or RLE"),
    ],
)
def test_a_mask_that_cannot_be_drawn_stops_before_any_training(tmp_path, segmentation, why):
    root = small_corpus.write(tmp_path, shaped(segmentation))
    parts = (str(root / "refcoco" / "instances.json"), "1 mask(s) of split 'val'", "annotation 30 of image 3", why)
    only(faults_of(root), *parts, "remove its ref", stops=True)


def test_a_degenerate_polygon_beside_a_good_one_is_dropped_and_counted(tmp_path):
    plain = Refer(small_corpus.write(tmp_path / "plain")).evaluation_view("val").mask(30)
    root = small_corpus.write(tmp_path / "more", shaped([TWO_POINTS, *OUTLINE, []]))
    parts = ("1 annotation(s) with a polygon of fewer than 3 points beside good ones", "annotation 30")
    only(faults_of(root), *parts, stops=False)
    with pytest.warns(DataWarning, match="fewer than 3 points"):
        view = Refer(root).evaluation_view("val")
    assert (view.mask(30) == plain).all() and (view.mask(30, legacy_eq1=True) == plain).all()


def test_images_that_are_learnt_from_and_judged_are_counted(tmp_path):
    def share(instances, refs):
        refs[0] |= {"image_id": 3, "ann_id": 30}

    refer = Refer(small_corpus.write(tmp_path, share))
    (fault,) = check_apart(refer, "val", "train")
    assert "1 image(s) of split 'val' that are in split 'train', too" in str(fault) and not fault.stops
    assert coco_name(3) in str(fault)
    assert not check_apart(refer, "testA", "train") and not check_apart(refer, "val", "val")


def test_a_ref_without_a_sentence_is_named(tmp_path):
    root = small_corpus.write(tmp_path, lambda instances, refs: refs[VAL].update(sentences=[]))
    named, nothing = faults_of(root)
    assert "1 ref(s) of split 'val' without any sentence" in str(named) and "ref 3" in str(named) and not named.stops
    assert "1 split(s) without a sentence to judge: val" in str(nothing) and nothing.stops
    with (
        pytest.warns(DataWarning, match="without any sentence"),
        pytest.raises(DataError, match="no sentence of split"),
    ):
        Refer(root).evaluation_view("val")


def test_sentences_without_a_word_are_counted(tmp_path):
    def spoil(instances, refs):
        for ref, sentence in zip(refs, ("???", "!", "...", "?")):
            ref["sentences"][0]["sent"] = sentence

    judged, trained = faults_of(small_corpus.write(tmp_path, spoil))
    assert "1 sentence(s) of split 'val' without any word: sent_id 6 of ref 3: '...'" in str(judged)
    assert "2 sentence(s) of split 'train' without any word" in str(trained)
    assert not judged.stops and not trained.stops


def test_an_image_that_exif_turns_into_the_size_is_called_so(tmp_path):
    root = small_corpus.write(tmp_path, lambda instances, refs: instances["images"][VAL].update(height=W, width=H))
    path = root / COCO / coco_name(3)
    for exif in (TURNED, ODD):
        small_corpus.photograph(3).save(path, exif=exif)
        parts = (coco_name(3), "24 x 32 pixels", "says 32 x 24", "its EXIF (orientation 6) turns it into that")
        only(faults_of(root), *parts, "store it turned, without that tag", stops=True)
    small_corpus.photograph(3).save(path)
    only(faults_of(root), coco_name(3), "says 32 x 24", "fetch the original image", stops=True)


def test_an_image_of_the_right_size_that_exif_would_turn_is_said(tmp_path):
    root = small_corpus.write(tmp_path)
    small_corpus.photograph(3).save(root / COCO / coco_name(3), exif=TURNED)
    only(faults_of(root), "EXIF would turn", f"{coco_name(3)} (orientation 6)", stops=False)


@pytest.mark.parametrize("name", ["3", "1"])
@pytest.mark.parametrize(
    ("data", "why"), [(b"", "empty (0 bytes)"), (b"<!DOCTYPE html><html>404</html>", "a web page")]
)
def test_what_is_no_image_stops_where_it_is_judged_and_is_left_out_where_it_is_learnt_from(tmp_path, name, data, why):
    root = small_corpus.write(tmp_path)
    (root / COCO / coco_name(int(name))).write_bytes(data)
    judged = name == "3"
    what = "1 image(s) of split 'val' that can't be used" if judged else "1 image(s) of split 'train' that are left out"
    only(faults_of(root), what, coco_name(int(name)), why, stops=judged)


def test_a_judged_image_is_read_to_its_end(tmp_path):
    root = small_corpus.write(tmp_path)
    for image_id in (1, 3):
        path = root / COCO / coco_name(image_id)
        path.write_bytes(path.read_bytes()[:-200])
    only(faults_of(root), "1 image(s) of split 'val'", coco_name(3), "a JPEG, cut off after", stops=True)


def test_all_faults_come_in_one_list_with_counts_and_the_first_few(tmp_path):
    def spoil(instances, refs):
        for position in (1, 2, 3):
            refs[position]["split"] = "val"
            instances["annotations"][position]["segmentation"] = [TWO_POINTS]
        refs[3]["sentences"][0]["sent"] = " "
        refs[0]["ann_id"] = 11

    root = small_corpus.write(tmp_path, spoil)
    (root / COCO / coco_name(2)).write_bytes(b"")
    faults = [*faults_of(root), *check_masks(Refer(root), "train")]
    text = "\n".join(map(str, faults))
    assert "1 ref(s) with an empty sentence: ref 4, sent_id 8; remove that sentence" in text
    assert "1 image(s) of split 'val' that can't be used" in text and coco_name(2) in text
    assert "2 mask(s) of split 'val' that can't be drawn\n" in text, "but that of the ref which can't be judged anyway"
    assert "ref 1 has ann_id 11" in text and "(--students)" in text
    with pytest.raises(DataError, match="empty sentence"):
        Refer(root).evaluation_view("val")


def test_nothing_left_to_learn_from_stops(tmp_path):
    root = small_corpus.write(tmp_path)
    for image_id in (1, 2):
        Image.new("RGB", (W + 1, H)).save(root / COCO / coco_name(image_id))
    left_out, nothing = faults_of(root)
    assert "2 image(s) of split 'train' that are left out" in str(left_out) and not left_out.stops
    assert "1 split(s) without a sentence to learn from: train" in str(nothing) and nothing.stops


def test_a_split_that_is_not_there(tmp_path):
    refer = Refer(small_corpus.write(tmp_path))
    for check in (check_judged, check_trained, check_masks):
        with pytest.raises(DataError, match="no split 'tset'; it has 'train', 'val', 'testA'"):
            check(refer, "tset")
