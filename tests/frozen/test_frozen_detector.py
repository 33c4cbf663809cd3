"""Boxes of any kind of object, and the masks that SAM2 makes of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image

from wsris_lib.config import profiles
from wsris_lib.frozen.detector import Detector
from wsris_lib.frozen.extractor import Proposer
from wsris_lib.frozen.sam2 import Sam2Proposer

TINY = profiles.PROFILES["tiny"]


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    coarse = [Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)) for _ in range(3)]
    return [image.resize(size, Image.Resampling.BICUBIC) for image, size in zip(coarse, ((90, 60), (64, 64), (40, 70)))]


def yolos(folder):
    config = hf.YolosConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=[64, 64],
        patch_size=16,
        num_detection_tokens=7,
        num_labels=4,
    )
    hf.YolosForObjectDetection(config).save_pretrained(folder)
    hf.YolosImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)


def checkpoints(tiny_zoo, tmp_path):
    torch.manual_seed(0)
    yolos(tmp_path / "yolos")
    return [str(tiny_zoo / "detector"), str(tmp_path / "yolos")]


def test_the_same_boxes_as_the_pipeline_but_for_their_names(tiny_zoo, tmp_path, images):
    for checkpoint in checkpoints(tiny_zoo, tmp_path):  # two architectures, one class-agnostic reading
        theirs = hf.pipeline("object-detection", model=checkpoint, dtype=torch.float32)
        (ours,) = Detector(checkpoint, threshold=0.0, nms_iou=1.0, limit=1000)(images[:1])
        expected = theirs(images[0], threshold=0.0)
        assert len(ours.scores) >= len({tuple(entry["box"].values()) for entry in expected}) > 0
        for entry in expected:
            box = torch.tensor([float(entry["box"][side]) for side in ("xmin", "ymin", "xmax", "ymax")])
            limits = torch.tensor([images[0].width, images[0].height] * 2)
            distance = (ours.boxes - torch.minimum(box.clamp(min=0), limits)).abs().amax(1)
            assert distance.min() < 1.01  # the pipeline cuts off fractions of a pixel


def test_a_batch_is_its_images_one_by_one(tiny_zoo, images):
    detector = Detector(str(tiny_zoo / "detector"), threshold=0.0)
    for image, together in zip(images, detector(images)):
        (alone,) = detector([image])
        torch.testing.assert_close(alone.boxes, together.boxes, atol=0.02, rtol=0)
        assert (together.scores.diff() <= 0).all() and len(together.scores) >= 1
        assert (together.boxes >= 0).all() and (together.boxes[:, 2] <= image.width).all()


def test_the_best_box_stays_where_none_passes(tiny_zoo, images):
    everything = Detector(str(tiny_zoo / "detector"), threshold=0.0)(images)
    for whole, one in zip(everything, Detector(str(tiny_zoo / "detector"), threshold=1.0)(images)):
        assert torch.equal(one.boxes, whole.boxes[:1])
    assert all(len(one.scores) == 2 for one in Detector(str(tiny_zoo / "detector"), threshold=0.0, limit=2)(images))


def test_one_object_under_two_names_is_one(tiny_zoo, images):
    detector = Detector(str(tiny_zoo / "detector"), nms_iou=0.8)
    boxes = torch.tensor([[0.0, 0, 20, 20], [0, 0, 20, 21], [30, 30, 50, 50]])
    chosen = detector._choose(boxes, torch.tensor([0.5, 0.9, 0.2]), images[0])
    assert chosen.boxes.tolist() == [[0, 0, 20, 21], [30, 30, 50, 50]] and chosen.scores.tolist() == pytest.approx(
        [0.9, 0.2]
    )


@pytest.fixture
def profile(tiny_zoo):
    places = {name: str(tiny_zoo / name) for name in ("clip", "dino", "depth", "sam2", "text", "detector")}
    proposals = replace(
        TINY.proposals, mode="boxes", box_score=0.0, points_per_side=3, predicted_iou=0, stability=0, limit=5
    )
    return profiles.load("smoke", **places, proposals=proposals)


def test_boxes_become_masks_in_the_order_of_their_scores(profile, images):
    answers = Proposer(profile)(images)
    detected = Detector(profile.detector, threshold=0.0, limit=5)(images)
    by_hand = Sam2Proposer(profile.sam2, nms_iou=2.0).boxes(images, [one.boxes for one in detected])
    for image, proposals, whole in zip(images, answers, by_hand):
        assert 1 <= len(proposals.masks) <= 5 and proposals.masks.shape[1:] == (image.height, image.width)
        assert proposals.masks.flatten(1).any(1).all()
        rows = [next(k for k, mask in enumerate(whole.masks) if torch.equal(mask, one)) for one in proposals.masks]
        assert rows == sorted(rows)  # a sublist: near duplicates of an earlier mask are gone


def test_an_unknown_mode_is_named(profile):
    with pytest.raises(ValueError, match=r"'grid'.*everything.*boxes"):
        Proposer(replace(profile, proposals=replace(profile.proposals, mode="grid")))
