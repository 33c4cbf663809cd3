import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import pipeline

from wsris_lib.frozen.sam2 import Sam2Proposer, boxes_around, suppress

SIDE = 5  # points per side


def picture(height, width, seed=0):
    """Smooth enough that masks of random weights have some shape."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def checkpoint(tiny_zoo):
    return str(tiny_zoo / "sam2")


@pytest.fixture(scope="module")
def generator(checkpoint):
    return pipeline("mask-generation", model=checkpoint, dtype=torch.float32)


def no_thresholds(checkpoint, **changes):
    loose = {"iou_threshold": 0.0, "stability_threshold": 0.0, "nms_iou": 1.0, "max_proposals": 10**6}
    return Sam2Proposer(checkpoint, **{"points_per_side": SIDE, **loose, **changes})


def candidates(proposer, image):
    side = (torch.arange(SIDE) + 0.5) / SIDE
    points = torch.tensor([(x, y) for y in side for x in side])
    with torch.inference_mode():
        logits, scores = proposer.decode(proposer.embed([image]), points=points[None])
    return logits[0], scores[0], points  # [P, 3, h, w], [P, 3], [P, 2]


def test_candidates_are_those_of_transformers_pipeline(checkpoint, generator):
    image = picture(100, 100)
    logits, scores, _ = candidates(no_thresholds(checkpoint), image)
    theirs = []
    for chunk in generator.preprocess(image, points_per_batch=7, points_per_crop=SIDE):
        inputs = {name: chunk[name] for name in ("image_embeddings", "input_points", "input_labels")}
        with torch.inference_mode():
            theirs.append(generator.model(**inputs))
    torch.testing.assert_close(logits, torch.cat([t.pred_masks[0] for t in theirs]), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(scores, torch.cat([t.iou_scores[0] for t in theirs]), atol=1e-4, rtol=1e-4)


def test_without_thresholds_the_masks_are_the_pipelines(checkpoint, generator):
    image = picture(90, 90, seed=1)
    (ours,) = no_thresholds(checkpoint).everything([image])
    out = generator(image, points_per_crop=SIDE, pred_iou_thresh=0, stability_score_thresh=0, crops_nms_thresh=1.0)
    theirs = torch.tensor(np.stack(out["masks"]))
    theirs = theirs[theirs.flatten(1).any(1)].flatten(1).double()
    mine = ours.masks.flatten(1).double()
    assert len(mine) == len(theirs)
    inter = mine @ theirs.T
    iou = inter / (mine.sum(1)[:, None] + theirs.sum(1) - inter)
    assert iou.amax(1).min() > 0.99 and iou.amax(0).min() > 0.99  # a pixel on the threshold may fall on either side


def test_prompts_follow_the_squash_of_a_frame_that_is_not_square(checkpoint):
    # transformers' own generator scales points by the longer side while its processor squashes, so no comparison here.
    proposer = no_thresholds(checkpoint)
    wide = picture(32, 96)
    squashed = wide.resize((64, 64), Image.Resampling.BILINEAR)
    torch.testing.assert_close(candidates(proposer, wide)[0], candidates(proposer, squashed)[0], atol=0.02, rtol=0.02)
    (proposals,) = proposer.everything([wide])
    steps = (torch.arange(SIDE) + 0.5) / SIDE
    grid = {(float(y), float(x)) for y in steps * 32 for x in steps * 96}
    assert {tuple(point) for point in proposals.points.tolist()} <= grid
    assert (
        proposals.masks.shape[1:] == (32, 96)
        and proposals.points[:, 0].max() > 16
        and proposals.points[:, 1].max() > 48
    )


def test_every_threshold_is_obeyed(checkpoint):
    image = picture(64, 64, seed=2)
    logits, scores, points = candidates(no_thresholds(checkpoint), image)
    logits = logits.flatten(0, 1).double()
    scores = scores.flatten()
    stability = (logits > 1).sum((1, 2)) / (logits > -1).sum((1, 2))
    area = (logits > 0).sum((1, 2))
    at_iou = float(scores.median())
    at_stability = float(stability.nanmedian())
    proposer = no_thresholds(
        checkpoint, iou_threshold=at_iou, stability_threshold=at_stability, nms_iou=0.7, max_proposals=6, batch=8
    )
    (proposals,) = proposer.everything([image])
    passing = ((scores >= at_iou) & (stability >= at_stability) & (area > 0)).nonzero().flatten().tolist()
    expected = []
    for k in sorted(passing, key=lambda k: -scores[k]):
        masks = [(logits[k] > 0), *(logits[e] > 0 for e in expected)]
        if all((masks[0] & m).sum() / (masks[0] | m).sum() <= 0.7 for m in masks[1:]):
            expected.append(k)
    assert 0 < len(expected)
    torch.testing.assert_close(proposals.scores, scores[expected[:6]], atol=1e-5, rtol=0)
    torch.testing.assert_close(proposals.points, points[[k // 3 for k in expected[:6]]].flip(1) * 64)
    assert proposals.masks.flatten(1).any(1).all()


def test_the_best_candidate_survives_thresholds_that_nothing_passes(checkpoint):
    image = picture(64, 64)
    logits, scores, _ = candidates(no_thresholds(checkpoint), image)
    (proposals,) = no_thresholds(checkpoint, iou_threshold=1.1, batch=4).everything([image])
    assert len(proposals.scores) == 1
    best = scores.flatten().masked_fill((logits > 0).flatten(0, 1).sum((1, 2)) == 0, -1).max()
    torch.testing.assert_close(proposals.scores[0], best, atol=1e-5, rtol=0)


def test_the_last_resort_is_not_an_empty_mask(checkpoint):
    image = picture(16, 16)  # SAM2's own low resolution, at which nothing vanishes any more
    logits, scores, _ = candidates(no_thresholds(checkpoint), image)
    tops = logits.flatten(0, 1).amax((1, 2))
    high = float(tops.sort().values[-3:].mean())  # a threshold above which all but two or so candidates are empty
    (proposals,) = no_thresholds(checkpoint, mask_threshold=high, iou_threshold=1.1, batch=1).everything([image])
    expected = scores.flatten()[tops > high].max()
    torch.testing.assert_close(proposals.scores, expected[None], atol=1e-5, rtol=0)


def test_a_frame_in_which_sam2_sees_nothing_is_its_own_proposal(checkpoint):
    (proposals,) = no_thresholds(checkpoint, mask_threshold=1e9).everything([picture(20, 30)])
    assert proposals.masks.shape == (1, 20, 30) and proposals.masks.all() and proposals.scores.tolist() == [0.0]
    assert proposals.boxes.tolist() == [[0, 0, 30, 20]]


def test_a_batch_gives_what_single_images_give(checkpoint):
    images = [picture(40, 60, 3), picture(64, 64, 4), picture(70, 30, 5)]
    proposer = Sam2Proposer(checkpoint, points_per_side=SIDE, iou_threshold=0.0, stability_threshold=0.0)
    for image, together in zip(images, proposer.everything(images)):
        (alone,) = proposer.everything([image])
        torch.testing.assert_close(together.scores, alone.scores, atol=1e-5, rtol=0)
        assert together.masks.shape[1:] == (image.height, image.width)
        assert (together.masks ^ alone.masks).float().mean() < 1e-3


@pytest.mark.parametrize("batch", [2, 128])
def test_boxes_of_several_images_are_those_of_each(checkpoint, batch):
    """Whichever prompts share a batch."""
    rng = np.random.default_rng(3)
    images = [Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8)) for h, w in ((64, 64), (40, 72))]
    boxes = [torch.tensor([[4.0, 6, 30, 40], [10, 0, 60, 20], [0, 0, 64, 64]]), torch.tensor([[8.0, 8, 50, 30]])]
    together = no_thresholds(checkpoint, batch=batch).boxes(images, boxes)
    for image, own, one in zip(images, boxes, together, strict=True):
        (alone,) = no_thresholds(checkpoint).boxes([image], [own])
        assert (alone.masks != one.masks).float().mean() < 1e-3
        torch.testing.assert_close(alone.scores, one.scores, atol=1e-5, rtol=1e-5)


def test_box_prompts_keep_their_order_and_never_come_back_empty(checkpoint):
    boxes = torch.tensor([[3.0, 4, 20, 30], [0, 0, 80, 60], [10, 10, 12, 13]])
    image = picture(60, 80)
    (proposals,) = no_thresholds(checkpoint).boxes([image], [boxes])
    assert proposals.masks.shape == (3, 60, 80) and proposals.points[0].tolist() == [17.0, 11.5]
    with torch.inference_mode():  # transformers' own processor scales the same boxes
        from transformers import Sam2Model, Sam2Processor

        model = Sam2Model.from_pretrained(checkpoint, dtype=torch.float32).eval()
        inputs = Sam2Processor.from_pretrained(checkpoint)(image, input_boxes=[boxes.tolist()], return_tensors="pt")
        out = model(**{k: v for k, v in inputs.items() if k != "original_sizes"}, multimask_output=False)
    torch.testing.assert_close(proposals.scores, out.iou_scores[0, :, 0], atol=1e-4, rtol=0)
    (empty,) = no_thresholds(checkpoint, mask_threshold=1e9).boxes([image], [boxes])
    assert empty.boxes.tolist() == boxes.tolist() and int(empty.masks[2].sum()) == 6


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.floats(0.05, 0.95), st.integers(1, 12), st.integers(0, 2**16))
def test_suppression_against_a_slow_reference(count, nms_iou, limit, seed):
    masks = np.random.default_rng(seed).random((count, 4, 5)) < 0.5
    masks[:, 0, 0] = True
    kept = []
    for k in range(count):
        ious = [(masks[k] & masks[j]).sum() / (masks[k] | masks[j]).sum() for j in kept]
        if len(kept) < limit and all(iou <= nms_iou for iou in ious):
            kept.append(k)
    assert suppress(torch.tensor(masks), nms_iou, limit).tolist() == kept


def test_boxes_around_single_pixels_and_edges():
    masks = torch.zeros(3, 6, 9, dtype=torch.bool)
    masks[0, 2, 3] = True
    masks[1, 0, 0] = masks[1, 5, 8] = True
    masks[2, 4, 2:7] = True
    assert boxes_around(masks).tolist() == [[3, 2, 4, 3], [0, 0, 9, 6], [2, 4, 7, 5]]
