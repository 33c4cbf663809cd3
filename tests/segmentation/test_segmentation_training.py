"""Stage 2's data, training and predictions, on a random CLIP, drawn images and a small SynRef."""

import json
import shutil
from collections import Counter
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from wsris_lib.config.profiles import PROFILES
from wsris_lib.config.settings import SynRefSize
from wsris_lib.ehin.stage2_train import stored_modules, train
from wsris_lib.frozen.clip_backbone import Backbone
from wsris_lib.refer.errors import DataError, DataWarning
from wsris_lib.refer.labels import PseudoLabel
from wsris_lib.refer.masks import encode_rle
from wsris_lib.refer.reader import Refer
from wsris_lib.refer.views import ImageFile, Sample, TrainingView
from wsris_lib.segmentation.dataset import PseudoLabelDataset
from wsris_lib.segmentation.predict import predict
from wsris_lib.synref.make import make_synref

TINY = PROFILES["tiny"]

H = 60
W = 90
SQUARES = {0: (slice(10, 40), slice(5, 35)), 1: (slice(20, 50), slice(50, 85))}  # of every image: rows, columns
COLOURS = {"red": (230, 20, 20), "blue": (20, 20, 230), "green": (20, 200, 20), "white": (250, 250, 250)}
SCENES = [("red", "blue"), ("green", "white")]


@pytest.fixture
def settings(tiny_zoo):
    return replace(
        TINY.stage2,
        backbone=str(tiny_zoo / "clip_rn"),
        image_size=64,
        widths=(8, 8, 16, 16),
        batch=2,
        epochs=3,
        learning_rate=1e-3,
        backbone_lr_scale=0.1,
    )


@pytest.fixture
def view(tmp_path):
    """Two images with two squares each, and two sentences about each square."""
    samples = []
    files = {}
    for image_id, colours in enumerate(SCENES):
        pixels = np.full((H, W, 3), 90, np.uint8)
        for side, colour in enumerate(colours):
            pixels[SQUARES[side]] = COLOURS[colour]
            for n, sentence in enumerate((f"the {colour} car", f"{colour} one")):
                ref_id = 2 * image_id + side
                samples.append(Sample(image_id, ref_id, 2 * ref_id + n, sentence))
        path = tmp_path / f"{image_id}.png"
        Image.fromarray(pixels).save(path)
        files[image_id] = ImageFile(path, H, W)
    return TrainingView(samples, files)


def square(ref_id):
    mask = np.zeros((H, W), bool)
    mask[SQUARES[ref_id % 2]] = True
    return mask


@pytest.fixture
def labels(view):
    return [PseudoLabel(s.image_id, s.ref_id, s.sent_id, encode_rle(square(s.ref_id)), 0.5) for s in view]


def labelled(view, labels, settings):
    return PseudoLabelDataset(view, labels, Backbone(settings.backbone, settings.image_size, settings.max_tokens))


def fitted(view, labels, settings, out, seed=0):
    torch.manual_seed(99)  # nobody else's random numbers matter
    return train(labelled(view, labels, settings), settings, seed, out / "stage2")


def same(a, b):
    a = a.state_dict()
    b = b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# -- data -------------------------------------------------------------------------------------------------------------


def test_a_batch_is_what_the_labels_say(view, labels, settings):
    data = labelled(view, labels[1:], settings)  # not every sentence has a label
    assert data.groups == [[0], [1, 2], [3, 4], [5, 6]]
    pixels, tokens, masks, confidence = data.batch([0, 4, 5])
    assert pixels.shape == (3, 3, 64, 64) and pixels.dtype == torch.uint8
    assert masks.shape == (3, 64, 64) and masks.dtype == torch.uint8 and confidence.tolist() == [0.5] * 3
    backbone = Backbone(settings.backbone, 64)
    assert torch.equal(tokens, backbone.tokenizer(["red one", "green one", "the white car"], context_length=20))
    assert torch.equal(pixels[1], backbone.prepare(view.image(1)))
    for mask, row in zip(masks, (0, 4, 5)):
        full = square(data.labels[row].ref_id)
        y, x = ((np.arange(64) + 0.5) * side / 64 for side in (H, W))  # the pixel under each centre
        expected = torch.from_numpy(full[y.astype(int)][:, x.astype(int)])
        assert torch.equal(mask.bool(), expected)


def test_labels_of_other_sentences_are_refused(view, labels, settings):
    good = labels[0]
    cases = {
        "sentence 77 .*the split has no such sentence": replace(good, sent_id=77),
        "the split has this sentence for ref 0, image 0": replace(good, ref_id=1),
        "this sentence for ref 0, image 0; make the labels anew": replace(good, image_id=1),
        r"of size \(90, 60\), its image of \(60, 90\)": replace(good, mask=encode_rle(square(0).T)),
        "not an RLE .*make the labels anew": replace(good, mask={"size": [H, W], "counts": good.mask["counts"][:-1]}),
    }
    for message, bad in cases.items():
        with pytest.raises(DataError, match=message):
            labelled(view, [*labels[1:], bad], settings)
    with pytest.raises(DataError, match="there is no label"):
        labelled(view, [], settings)


def test_an_image_that_cant_be_read_is_left_out(view, labels, settings):
    view.image_path(0).write_bytes(b"no image")
    with pytest.warns(DataWarning, match="1 of 2 images can't be opened and are left out") as caught:
        data = labelled(view, labels, settings)
    assert sum(issubclass(w.category, DataWarning) for w in caught) == 1
    assert {label.image_id for label in data.labels} == {1}
    assert data.groups == [[0, 1], [2, 3]] and data.batch([3])[0].shape == (1, 3, 64, 64)
    view.image_path(1).unlink()
    with pytest.raises(DataError, match="2 of 2 images can't be opened"):
        labelled(view, labels, settings)


def test_the_digest_changes_with_whatever_is_learnt_from(view, labels, settings):
    digest = labelled(view, labels, settings).digest()
    assert labelled(view, labels, settings).digest() == digest
    surer = [replace(labels[0], confidence=0.6), *labels[1:]]
    moved = [replace(labels[0], mask=labels[2].mask), *labels[1:]]
    others = [labelled(view, changed, settings).digest() for changed in (surer, moved, labels[1:])]
    Image.new("RGB", (W, H)).save(view.image_path(0))
    others.append(labelled(view, labels, settings).digest())
    assert len({digest, *others}) == 5


# -- training ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("teacher", [False, True])
def test_the_same_seed_gives_the_same_weights_and_a_killed_run_ends_in_them(
    view, labels, settings, tmp_path, teacher, kill_and_go_on
):
    settings = replace(settings, teacher=teacher, consistency="kl")
    whole, curve = fitted(view, labels, settings, tmp_path / "one")
    assert same(whole, fitted(view, labels, settings, tmp_path / "two")[0])
    assert not same(whole, fitted(view, labels, settings, tmp_path / "three", seed=1)[0])
    (again, curve_again), calls = kill_and_go_on(lambda: fitted(view, labels, settings, tmp_path / "four"), at=3)
    assert calls[:5] == [0, 1, 2, 3, 3] and same(whole, again)
    assert curve == curve_again and curve[-1][0] == len(calls) - 1 == 6  # 3 epochs over 4 refs, 2 to a step
    assert not list((tmp_path / "four").iterdir())  # the checkpoint is gone
    stored = stored_modules(settings, whole.state_dict())
    assert same(stored, whole) and not stored.training and (whole.teacher is not None) == teacher


def test_everything_learns_at_its_share_and_the_teacher_follows(view, labels, settings, tmp_path):
    still = replace(settings, backbone_lr_scale=0.0, teacher=True, horizon=0.5)
    modules, _ = fitted(view, labels, still, tmp_path)
    untouched = Backbone(settings.backbone, settings.image_size, settings.max_tokens)
    for (name, now), before in zip(modules.student.backbone.named_parameters(), untouched.parameters()):
        assert torch.equal(now, before), name
    moved, _ = fitted(view, labels, replace(still, backbone_lr_scale=0.1), tmp_path)
    names = ("clip.visual.layer4.0.conv1.weight", "clip.token_embedding.weight", "clip.positional_embedding")
    for name in names:
        assert not torch.equal(moved.student.backbone.get_parameter(name), untouched.get_parameter(name)), name
    student = modules.student.reduce[0][0].weight
    teacher = modules.teacher.module.reduce[0][0].weight
    assert not torch.equal(student, teacher)
    torch.testing.assert_close(student, teacher, atol=0.01, rtol=0)  # 6 steps of 1e-3 at most
    assert torch.equal(modules.student.reduce[0][1].running_mean, modules.teacher.module.reduce[0][1].running_mean)


def test_every_switch_changes_what_is_learnt(view, labels, settings, tmp_path):
    settings = replace(settings, epochs=1)
    weights = []
    for changes in ({}, {"loss": "bce"}, {"teacher": True}, {"teacher": True, "consistency": "kl"}):
        modules, _ = fitted(view, labels, replace(settings, **changes), tmp_path)
        weights.append(modules.student.heads[0][0][0].weight)
    assert not any(torch.equal(a, b) for a, b in combinations(weights, 2))


def test_settings_that_dont_fit_are_refused(view, labels, settings, tmp_path):
    data = labelled(view, labels, settings)
    for changes, message in [
        ({"loss": "dice"}, "loss 'dice': expected one of bce, ce_dice"),
        ({"consistency": "KL"}, "consistency 'KL': expected one of mse, kl"),
        ({"image_size": 96}, "prepared at 64 pixels, the settings say 96"),
    ]:
        with pytest.raises(ValueError, match=message):
            train(data, replace(settings, **changes), 0, tmp_path / "stage2")


def test_it_learns_which_of_two_things_a_sentence_means(view, labels, settings, tmp_path, learning):
    """And without the sentence it can't: both squares of an image are labels of the same words."""
    longer = replace(settings, epochs=100, batch=4, learning_rate=1e-2)
    modules, curve = fitted(view, labels, longer, tmp_path, learning.seed)
    mute = TrainingView([replace(s, sentence="a car") for s in view], {i: view._files[i] for i in view.image_ids})
    _, blind = fitted(mute, labels, longer, tmp_path, learning.seed)
    learning.below(curve[-1][1], 0.6 * blind[-1][1], "loss, of that without the sentence")
    overlaps = []
    for sample, soft in zip(view, predict(modules.student, view, list(view)), strict=True):
        meant, other = (soft.numpy()[square(ref_id)].mean() for ref_id in (sample.ref_id, sample.ref_id + 1))
        learning.above(meant, 2 * other, "soft mask on what is meant, of twice that on the other square")
        overlaps.append(meant)
    learning.above(np.mean(overlaps), 0.5, "soft mask on what is meant")


def test_nothing_is_learnt_from_a_mask(settings, tmp_path, monkeypatch):
    """Contract 1: without annotations on disk the same weights come out."""
    monkeypatch.setenv("WSRIS_HOME", str(tmp_path))
    data = make_synref(SynRefSize(train=4, val=1, test_a=0, test_b=0, image_size=64), workers=1)
    bare = shutil.copytree(data, tmp_path / "bare")
    path = bare / "refcoco" / "instances.json"
    instances = json.loads(path.read_text())
    del instances["annotations"], instances["categories"]
    path.write_text(json.dumps(instances))
    results = []
    for folder in (data, bare):
        view = Refer(folder, "refcoco", "unc").training_view("train")
        masks = np.zeros((64, 64), bool)
        masks[20:40, 10:30] = True
        labels = [PseudoLabel(s.image_id, s.ref_id, s.sent_id, encode_rle(masks), 1.0) for s in view]
        results.append(fitted(view, labels, replace(settings, epochs=1, batch=4), tmp_path / folder.name)[0])
    assert same(*results)


# -- prediction -------------------------------------------------------------------------------------------------------


def test_soft_masks_have_the_images_size_and_the_samples_order(view, labels, settings, tmp_path, monkeypatch):
    model = fitted(view, labels, settings, tmp_path)[0].student
    samples = [view[n] for n in (5, 0, 7, 2, 1)]
    opened = []
    image = TrainingView.image
    monkeypatch.setattr(TrainingView, "image", lambda self, i: opened.append(i) or image(self, i))
    together = list(predict(model, view, samples, batch=2))
    assert Counter(opened) == {0: 1, 1: 1}
    for sample, soft in zip(samples, together, strict=True):
        assert soft.shape == (H, W) and soft.dtype == torch.float32 and 0 <= soft.min() <= soft.max() <= 1
        backbone = model.backbone
        pixels = backbone.normalise(backbone.prepare(view.image(sample.image_id))[None])
        with torch.no_grad():
            logits = model(pixels, backbone.tokenizer([sample.sentence], context_length=20))[0]
        resized = F.interpolate(logits[None], (H, W), mode="bilinear", align_corners=False)[0, 0]
        torch.testing.assert_close(soft, resized.sigmoid(), atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="in training mode"):
        next(predict(model.train(), view, samples))


def test_a_map_of_negative_logits_is_an_empty_mask(view, settings, labels, tmp_path):
    model = fitted(view, labels, settings, tmp_path)[0].student
    logit = -torch.rand(1, 64, 64) - 0.5
    model.decode = lambda maps, tokens: [logit.expand(len(tokens), -1, -1)]
    (soft,) = predict(model, view, view[:1])
    assert not (soft > 0.5).any() and soft.argmax() == F.interpolate(logit[None], (H, W), mode="bilinear").argmax()
    assert ((logit / logit.max()) > 0).all()  # divided by the maximum, as TRIS does, all of it would be the object
