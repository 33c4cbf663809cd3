"""The reader on real RefCOCO: a few hundred photographs, and all the sentences."""

import importlib.util
import warnings

import numpy as np
import pytest
from pycocotools.coco import COCO

from wsris_lib.infra.artefacts import REPO
from wsris_lib.refer.checks import check_judged, check_trained
from wsris_lib.refer.published import compare
from wsris_lib.refer.reader import Refer

MINI = REPO.parent / "shared" / "refcoco_mini"
SENTENCES = REPO.parent / "shared" / "refcoco_text" / "refcoco.jsonl.gz"


@pytest.fixture(scope="module")
def mini():
    if not MINI.is_dir():
        pytest.skip(f"{MINI} is absent")
    return Refer(MINI)


def test_training_view_takes_every_sentence_and_every_photograph(mini):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        view = mini.training_view("train")
    assert len(view) == 1714 and len(view.image_ids) == 600
    assert len({sample.sent_id for sample in view}) == len(view)


def test_masks_are_those_of_pycocotools_and_fit_box_and_image(mini):
    view = mini.evaluation_view("val")
    coco = COCO(mini.instances_path)
    boxes = {sample.ann_id: sample.box for sample in view}
    assert len(boxes) == 71
    for ann_id, (x, y, w, h) in boxes.items():
        annotation = coco.anns[ann_id]
        mask = view.mask(ann_id)
        assert mask.any() and mask.dtype == bool
        assert np.array_equal(mask, coco.annToMask(annotation).astype(bool))  # its merge is a union
        assert not (view.mask(ann_id, legacy_eq1=True) & ~mask).any()

        image = view.image(annotation["image_id"])
        assert mask.shape == (image.height, image.width) == view.image_size(annotation["image_id"])
        rows = np.flatnonzero(mask.any(axis=1))
        columns = np.flatnonzero(mask.any(axis=0))
        edges = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
        assert np.abs(edges - [x, y, x + w, y + h]).max() <= 1.5  # pixels; boxes are not rounded


def test_nothing_is_wrong_with_real_refs_masks_and_photographs(mini):
    assert check_judged(mini, "val") + check_trained(mini, "train") == []


@pytest.mark.slow
def test_all_of_refcoco_is_indexed(tmp_path):
    if not SENTENCES.is_file():
        pytest.skip(f"{SENTENCES} is absent")
    spec = importlib.util.spec_from_file_location("refer_index", REPO / "benchmarks" / "refer_index.py")
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    assert benchmark.convert(SENTENCES, tmp_path) == 142_210

    refer = Refer(tmp_path)
    assert all(count.actual == count.expected for count in compare(refer))
    views = [refer.training_view(split) for split in refer.splits]
    assert sum(map(len, views)) == 142_210
    assert len({image_id for view in views for image_id in view.image_ids}) == 19_994
    assert sum(len(refer.evaluation_view(split)) for split in ("val", "testA", "testB")) == 10_834 + 5_657 + 5_095
