"""IRNet's network and training, the refinements' common form, and the steps that keep what they made."""

import re
import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from wsris_lib.config import profiles
from wsris_lib.ehin.network import soft_masks
from wsris_lib.frozen.clip_backbone import Backbone
from wsris_lib.frozen.working_size import PIXELS, shrunk
from wsris_lib.infra import artefacts, distributed
from wsris_lib.metrics import measure, summarise
from wsris_lib.pipeline import answers, ehin, pseudo_labels, refine, stage2
from wsris_lib.pipeline.run import Run
from wsris_lib.refer.labels import PseudoLabel
from wsris_lib.refer.masks import decode_rle, encode_rle
from wsris_lib.refer.reader import Refer
from wsris_lib.refine.irnet import IRNet, channels
from wsris_lib.refine.refiner import _strongest, by_crf, by_walk, confidence, fields, for_crf, in_turn, kept
from wsris_lib.refine.train import Affinities, augmented, train

TINY = profiles.PROFILES["tiny"]


@pytest.fixture(scope="module")
def backbone(tiny_zoo):
    return Backbone(str(tiny_zoo / "clip_rn"), 64).requires_grad_(False)


SETTINGS = replace(TINY.refine, image_size=64, width=8, radius_train=4, radius_walk=4, epochs=2, batch=4, doublings=3)


def scenes(n=12, seed=0):
    """Bright squares on dark ground and their labels, uint8 [n, 3, 64, 64] and [n, 64, 64]."""
    rng = np.random.default_rng(seed)
    pixels = torch.full((n, 3, 64, 64), 40, dtype=torch.uint8)
    labels = torch.zeros(n, 64, 64, dtype=torch.uint8)
    for k in range(n):
        y, x, side = (int(v) for v in rng.integers((6, 6, 20), (24, 24, 34)))
        pixels[k, :, y : y + side, x : x + side] = torch.tensor([230, 60, 60], dtype=torch.uint8)[:, None, None]
        labels[k, y : y + side, x : x + side] = 1
    return pixels, labels


def fitted(backbone, out, settings=SETTINGS, seed=0):
    torch.manual_seed(99)
    return train(backbone, affinities(*scenes()), settings, seed, out)


def affinities(pixels, labels):
    return Affinities(
        {i: ({"pixels": image}, {}) for i, image in enumerate(pixels)}, range(len(labels)), labels.numpy()
    )


def test_maps_come_back_as_they_were(backbone):
    """0, 1 and 255, through run lengths; two of one image."""
    rng = np.random.default_rng(0)
    maps = rng.choice([0, 1, 255], size=(3, 64, 64)).astype(np.uint8)
    pixels = torch.from_numpy(rng.integers(0, 256, (2, 3, 64, 64), dtype=np.uint8))
    data = Affinities({7: ({"pixels": pixels[0]}, {}), 9: ({"pixels": pixels[1]}, {})}, [9, 7, 9], iter(maps))
    images, labels = data.batch([2, 0, 1])
    assert len(data) == 3 and labels.dtype == torch.uint8
    assert torch.equal(labels, torch.from_numpy(maps[[2, 0, 1]])) and torch.equal(images, pixels[[1, 1, 0]])
    other = Affinities(data._images, [9, 7, 9], np.where(maps == 255, 1, maps))
    assert data.digest() != other.digest()


def same(a, b):
    a = a.state_dict()
    b = b.state_dict()
    return all(torch.equal(a[name], b[name]) for name in a)


def test_the_pyramid_has_the_strides_that_irnet_needs(backbone):
    maps = backbone.pyramid(torch.randn(2, 3, 64, 64))
    assert [64 // m.shape[2] for m in maps] == [4, 4, 8, 16, 32] and [m.shape[1] for m in maps] == channels(backbone)
    torch.testing.assert_close(maps[-1], backbone.maps(torch.randn(2, 3, 64, 64)) * 0 + maps[-1])
    edge, displacement = IRNet(channels(backbone), 8)(maps)
    assert edge.shape == (2, 16, 16) and displacement.shape == (2, 2, 16, 16)
    assert 0 < edge.min() and edge.max() < 1


def test_a_vit_has_no_pyramid(tiny_zoo):
    with pytest.raises(ValueError, match="choose a ResNet"):
        Backbone(str(tiny_zoo / "clip"), 32).pyramid(torch.zeros(1, 3, 32, 32))


def test_the_two_heads_share_no_parameter_and_the_drift_is_taken_off_after_training(backbone):
    model = IRNet(channels(backbone), 8)
    edge, displacement = model.parts()
    assert len(edge) + len(displacement) == len(list(model.parameters()))
    maps = backbone.pyramid(torch.randn(1, 3, 64, 64))
    learning = model.train()(maps)[1]
    model.drift.fill_(2.0)
    torch.testing.assert_close(model.train()(maps)[1], learning)
    torch.testing.assert_close(model.eval()(maps)[1], learning - 2)


def test_image_and_label_are_moved_alike_and_what_comes_in_is_unknown():
    pixels, labels = scenes(20)
    moved, moved_labels = augmented(pixels.float(), labels, torch.Generator().manual_seed(0))
    red = moved[:, 0]
    assert set(moved_labels.unique().tolist()) <= {0, 1, 255}
    inside = (moved.sum(1) - (230 + 60 + 60)).abs() < 1  # surely the square
    assert (moved_labels[inside] == 1).float().mean() > 0.99
    assert (moved_labels[(red - 40).abs() < 1] == 0).float().mean() > 0.97
    assert (moved_labels[red == 0] == 255).float().mean() > 0.97 and (moved_labels == 255).any()
    again = augmented(pixels.float(), labels, torch.Generator().manual_seed(0))
    assert torch.equal(again[0], moved) and torch.equal(again[1], moved_labels)


def test_the_same_seed_gives_the_same_weights_and_a_killed_run_ends_in_them(backbone, tmp_path, kill_and_go_on):
    whole, curve = fitted(backbone, tmp_path / "a")
    assert same(whole, fitted(backbone, tmp_path / "b")[0])
    assert not same(whole, fitted(backbone, tmp_path / "c", seed=1)[0])
    (again, resumed_curve), steps = kill_and_go_on(lambda: fitted(backbone, tmp_path / "d"), at=4)
    assert same(whole, again) and resumed_curve == curve and steps == [0, 1, 2, 3, 4, 4, 5]
    with pytest.raises(ValueError, match="no label to learn"):
        train(backbone, Affinities({}, [], []), SETTINGS, 0, tmp_path / "e")


@pytest.mark.slow
def test_edges_are_learnt_and_the_walk_fills_the_object(backbone, tmp_path, learning):
    settings = replace(SETTINGS, epochs=60, learning_rate=1e-2)
    model, curve = fitted(backbone, tmp_path / "edges", settings, learning.seed)
    learning.below(curve[-1][1], 0.9 * curve[0][1], "last loss, of the first")
    pixels, labels = scenes(6, seed=5 + learning.seed)
    before = []
    after = []
    for picture, label in zip(pixels, labels.numpy() == 1):
        image = Image.fromarray(picture.permute(1, 2, 0).numpy())
        seed = np.zeros((64, 64))
        rows, columns = label.nonzero()
        seed[rows.min() + 4 : rows.min() + 12, columns.min() + 4 : columns.min() + 12] = 1
        walked = by_walk(model, backbone, settings)(image, seed[None])[0] > 0.5
        for masks, mask in ((before, seed > 0.5), (after, walked)):
            masks.append((mask & label).sum() / (mask | label).sum())
        edge, _ = fields(model, backbone, image)
        assert edge.shape == (16, 16)
    learning.above(np.mean(after), 1.2 * np.mean(before), "IoU after the walk, of that before")


def test_refinements_keep_their_form_and_lose_nothing(backbone, tmp_path):
    model, _ = fitted(backbone, tmp_path / "form")
    pixels, labels = scenes(1)
    image = Image.fromarray(pixels[0].permute(1, 2, 0).numpy())
    mask = labels[0].numpy().astype(float)
    speck = np.zeros((64, 64))
    speck[0, 0] = 1  # a dense CRF takes it away
    soft = np.stack([mask, speck, np.zeros((64, 64)), 0.75 * mask])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        crf = by_crf(SETTINGS)(image, soft)
    walked = by_walk(model, backbone, SETTINGS)(image, soft)
    for refined in (crf, walked):
        assert refined.shape == soft.shape and refined.min() >= 0 and refined.max() <= 1 + 1e-6
        assert ((kept(refined, soft) > 0.5).any((1, 2)) == [True, True, False, True]).all()
    assert not (crf[1] > 0.5).any() and (kept(crf, soft)[1] == speck).all()
    assert (confidence(soft, crf)[1:3] == 0).all() and confidence(soft, walked)[2] == 0
    np.testing.assert_allclose(walked[0], walked[3], atol=1e-5)  # only a map's shape counts, not its height
    assert in_turn()(image, soft) is soft
    one = in_turn(by_walk(model, backbone, SETTINGS), lambda i, s: s * 0.5)(image, soft)
    np.testing.assert_allclose(one, walked * 0.5)
    erasing = in_turn(lambda i, s: 0 * s, lambda i, s: s)
    np.testing.assert_array_equal(erasing(image, soft[:2]), soft[:2])  # what the first erases the second gets as it was


def test_a_large_image_is_shrunk_for_the_crf_and_its_mask_brought_back():
    pixels, labels = scenes(1)
    large = Image.fromarray(pixels[0].permute(1, 2, 0).numpy()).resize((192, 128), Image.Resampling.NEAREST)
    mask = labels[0].numpy().astype(float).repeat(2, 0).repeat(3, 1)
    assert shrunk(large, 64).size == (64, 43) and shrunk(large, 0) is large and shrunk(large, 192) is large
    coarse = by_crf(replace(SETTINGS, side=64))(large, mask[None])[0]
    fine = by_crf(replace(SETTINGS, side=0))(large, mask[None])[0]
    assert coarse.shape == fine.shape == (128, 192)
    for refined in (coarse, fine):
        assert ((refined > 0.5) & (mask > 0.5)).sum() > 0.8 * ((refined > 0.5) | (mask > 0.5)).sum()


def test_confidence_is_the_agreement_with_what_was_given():
    before = np.zeros((3, 8, 8))
    after = np.zeros((3, 8, 8))
    before[:2, :4] = 1
    after[0, :4] = 1
    after[1, 2:6] = 1
    np.testing.assert_allclose(confidence(before, after), [1, 1 / 3, 0])


def plain_disc(share, side=320):
    """A grey picture and a disc over a `share` of it, float [1, side, side]."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    disc = x**2 + y**2 < share * side**2 / np.pi
    return Image.new("RGB", (side, side), (128,) * 3), disc[None].astype(np.float32)


def test_a_mask_that_the_crf_erases_is_no_sure_label():
    """The paper's constants: outlines shrink by their curvature, and a plain disc of 30 % is gone."""
    settings = replace(profiles.PROFILES["paper"].refine, side=0)
    image, disc = plain_disc(0.3)
    after = by_crf(settings)(image, disc)
    assert not (after > 0.5).any() and confidence(disc, after) == 0
    assert (kept(after, disc) == disc).all()
    image, larger = plain_disc(0.4)
    shrunken = by_crf(settings)(image, larger)
    assert 0 < confidence(larger, shrunken)[0] < 1  # which is surer than what is gone


@pytest.mark.parametrize("how", ["crf", "irnet + crf"])
def test_erased_masks_stay_at_confidence_0_and_are_counted(profile, how, monkeypatch, tmp_path):
    monkeypatch.setenv("WSRIS_HOME", str(tmp_path))
    samples, R = ehin.responses(Run(profile), 0, "val")
    there = torch.where(torch.arange(len(R))[:, None, None] % 2 == 0, R.abs() + 0.1, -R.abs() - 0.1)
    monkeypatch.setattr(ehin, "responses", lambda *_: (samples, there))
    monkeypatch.setattr(refine, "refiner", lambda *_: lambda image, soft: 0 * soft)
    full = sum(n % 2 == 0 for n in range(len(samples)))
    with pytest.warns(UserWarning, match=f"{re.escape(how)} left nothing of {full} of {len(samples)} masks of val"):
        labels = refine.masks(Run(profile), 0, "val", how)
    assert [label.confidence for label in labels] == [0.0] * len(labels)
    assert [decode_rle(label.mask).all() for label in labels] == [n % 2 == 0 for n in range(len(samples))]


def test_maps_whose_object_the_crf_made_ground_are_counted(monkeypatch):
    image, _ = plain_disc(0.1, 64)
    R = torch.full((8, 8), -1.0)
    R[3:5, 3:5] = 1.0
    monkeypatch.setattr(refine, "affinity_labels", lambda *_: np.zeros((64, 64), np.uint8))
    with pytest.warns(UserWarning, match="the CRF left nothing of 2 of 3 maps"):
        labels = list(refine._all_affinities([(image, R), (image, -R.abs()), (image, R)], None, SETTINGS))
    assert len(labels) == 3 and not np.any(labels)


@pytest.fixture(scope="module")
def profile(tiny_zoo, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WSRIS_HOME", str(tmp_path_factory.mktemp("home")))
        size = profiles.SynRefSize(train=6, val=2, test_a=0, test_b=0, image_size=64)
        rn = str(tiny_zoo / "clip_rn")
        vit = str(tiny_zoo / "clip")
        yield profiles.load(
            "smoke",
            synref=size,
            clip=vit,
            dino=str(tiny_zoo / "dino"),
            depth=str(tiny_zoo / "depth"),
            sam2=str(tiny_zoo / "sam2"),
            text=str(tiny_zoo / "text"),
            detector=str(tiny_zoo / "detector"),
            ehin=replace(
                TINY.ehin, backbone=rn, critic=vit, image_size=64, critic_image_size=32, width=16, negatives=2, batch=4
            ),
            refine=replace(SETTINGS, backbone=rn, labels=8),
            cadd=replace(
                TINY.cadd,
                image_model=str(tiny_zoo / "swin"),
                text_model=str(tiny_zoo / "text"),
                image_size=64,
                decoder_dim=8,
                batch=8,
            ),
            stage2=replace(TINY.stage2, backbone=rn, image_size=64, widths=(8, 8, 8, 8), batch=8, epochs=1),
        )


@pytest.mark.parametrize("how", refine.HOW)
def test_masks_are_made_once_and_found_again(profile, how, monkeypatch):
    labels = refine.masks(Run(profile), 0, "val", how)
    samples, _ = ehin.responses(Run(profile), 0, "val")
    assert [label.sent_id for label in labels] == [sample.sent_id for sample in samples]
    assert 0 <= summarise(pseudo_labels.judge(Run(profile), "val", labels))["mIoU"] <= 1
    monkeypatch.setattr(refine, "refiner", lambda *_: pytest.fail("made again"))
    assert refine.masks(Run(profile), 0, "val", how) == labels
    with pytest.raises(KeyError, match="choose one of raw"):
        refine.masks(Run(profile), 0, "val", "magic")


def test_a_process_without_an_image_trains_with_the_others(profile, monkeypatch):
    """Fewer batches of images than processes: a training in several pieces would wait for it."""
    monkeypatch.setattr(refine, "cached_per_image", lambda *_: {})
    trained = []
    for processes in (1, 2):
        monkeypatch.setattr(distributed, "world", lambda processes=processes: processes)
        refine.each_mask(
            Run(profile), "val", "irnet", "", [], None, lambda processes=processes: trained.append(processes)
        )
    assert trained == [2]


def test_the_crf_goes_on_from_the_walks_masks(profile):
    """As one refinement after the other in one go: the CRF looks at hard masks alone."""
    samples, R = ehin.responses(Run(profile), 0, "val")
    both = in_turn(
        by_walk(refine.irnet(Run(profile), 0).model, refine.backbone(Run(profile)), profile.refine),
        by_crf(profile.refine),
    )
    view = Run(profile).corpus.training_view("val")
    walks = {label.sent_id: label.mask for label in refine.masks(Run(profile), 0, "val", "irnet")}
    for label, sample, response in zip(refine.masks(Run(profile), 0, "val", "irnet + crf"), samples, R):
        image = view.image(sample.image_id)
        soft = soft_masks(response[None], image.height, image.width).numpy()
        after = both(image, soft)
        walked = decode_rle(walks[sample.sent_id])[None]
        assert label.mask == encode_rle(kept(after, walked)[0] > 0.5)
        assert label.confidence == pytest.approx(confidence(soft, after)[0])


def test_labels_are_of_train_in_the_common_form(profile):
    own = pseudo_labels.from_responses(Run(profile), 0)
    assert own.supervision == "ST" and own.provenance["kind"] == "irnet + crf"
    assert len({label.ref_id for label in own}) == len(own)  # one sentence of each ref
    assert pseudo_labels.from_responses(Run(profile), 0, "raw", "best of group").supervision == "MT"
    every = replace(profile, refine=replace(profile.refine, sentences=0))
    shared = pseudo_labels.from_responses(Run(every), 0, "raw", "best of group")
    masks = {}
    for label in shared:
        masks.setdefault(label.ref_id, set()).add(label.mask["counts"])
    assert len(shared) > len(own) and all(len(of_ref) == 1 for of_ref in masks.values())
    with pytest.raises(KeyError, match="choose one of own"):
        ehin.responses(Run(profile), 0, "val", "worst")


def test_a_profile_may_ask_for_the_groups_best_on_train_and_nowhere_else(profile, monkeypatch):
    """As the profile paper does: of val each sentence answers for itself, by the IRNet that the shared maps taught."""
    shared = replace(profile, refine=replace(profile.refine, select="best of group", sentences=0))
    labels = pseudo_labels.from_responses(Run(shared), 0, "raw")
    assert (
        labels.supervision == pseudo_labels.supervision(Run(shared)) == "MT" != pseudo_labels.supervision(Run(profile))
    )
    of_ref = {}
    for label in refine.masks(Run(shared), 0, "train", "raw"):
        of_ref.setdefault(label.ref_id, set()).add(label.mask["counts"])
    assert all(len(masks) == 1 for masks in of_ref.values())
    assert refine.masks(Run(shared), 0, "val", "raw") == refine.masks(Run(profile), 0, "val", "raw")
    sizes = []
    monkeypatch.setattr(refine, "Affinities", lambda *given: sizes.append(len(given[1])) or Affinities(*given))
    calls = []
    refiner = refine.refiner
    monkeypatch.setattr(refine, "refiner", lambda *given: calls.append(given[3]) or refiner(*given))
    every = replace(shared, refine=replace(shared.refine, labels=0))
    refine.masks(Run(every), 0, "val", "irnet")
    refine.masks(Run(every), 0, "train", "irnet + crf")
    assert set(calls) == {"best of group"}
    assert sizes == [len(of_ref)]  # a shared map is learnt from once
    own = replace(every, refine=replace(every.refine, select="own"))
    refine.masks(Run(own), 0, "train", "irnet")
    assert sizes[1:] == [len(ehin.responses(Run(own), 0, "train")[0])]


def test_negatives_of_the_same_image_make_labels_mt(profile):
    run = Run(profile).changed(ehin={"negatives_from": "topped_up"})
    assert ehin.supervision(run) == pseudo_labels.supervision(run) == "MT" != ehin.supervision(Run(profile))
    assert pseudo_labels.from_responses(run, 0, "raw").supervision == "MT"


@pytest.mark.parametrize("how", ["crf", "irnet + crf"])
def test_anybodys_labels_can_be_refined_too(profile, how, monkeypatch):
    given = pseudo_labels.from_responses(Run(profile), 0, "raw")
    given = replace(given, labels=[replace(label, confidence=0.5) for label in given])
    labels = pseudo_labels.refined(Run(profile), 0, given, how)
    assert [label.sent_id for label in labels] == [label.sent_id for label in given]
    assert all(0 <= label.confidence <= 0.5 for label in labels)
    assert (labels.supervision, labels.source) == ("ST", f"ehin stage 1, refined by {how}")
    own = refine.masks(Run(profile), 0, "train", how)  # the same masks, refined as EHIN's own
    if how == "crf":  # the walk starts from a map's heights, which a hard mask doesn't have
        assert [label.mask for label in labels] == [label.mask for label in own]
    monkeypatch.setattr(refine, "refiner", lambda *_: pytest.fail("made again"))
    assert pseudo_labels.refined(Run(profile), 0, given, how) == labels
    with pytest.raises(KeyError, match="choose one of raw"):
        pseudo_labels.refined(Run(profile), 0, given, "magic")


def test_another_round_trains_another_network(profile, monkeypatch, tmp_path):
    """On maps with something in them: the random head's may be negative everywhere."""
    monkeypatch.setenv("WSRIS_HOME", str(tmp_path))
    samples, _ = ehin.responses(Run(profile), 0, "train")
    R = torch.randn(len(samples), 2, 2, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(ehin, "responses", lambda *_: (samples, R))
    once = refine.irnet(Run(profile), 0).model
    twice = refine.irnet(Run(replace(profile, refine=replace(profile.refine, rounds=2))), 0).model
    assert not same(once, twice)
    assert same(once, refine.irnet(Run(profile), 0).model)


def test_stage_2_learns_from_labels_and_its_answers_are_kept(profile, monkeypatch):
    samples, measures = stage2.judged(Run(profile), 0, "val")
    assert len(samples) == len(measures) > 0
    hard = stage2.judged(Run(profile), 0, "val", hard=True)[1]
    assert [m.iou for m in hard] == [m.iou for m in measures]  # another point and the same mask
    monkeypatch.setattr(answers, "predict", lambda *_: pytest.fail("asked again"))
    monkeypatch.setattr(stage2, "fit", lambda *_: pytest.fail("trained again"))
    assert stage2.judged(Run(profile), 0, "val", hard=True)[1] == hard
    again, kept = stage2.judged(Run(profile), 0, "val")
    assert kept == measures and [s.sent_id for s in again] == [s.sent_id for s in samples]


def test_a_mask_and_the_map_it_is_of_are_judged_and_kept_apart(profile, monkeypatch):
    model = stage2.train(Run(profile), 0).student
    kinds = []
    monkeypatch.setattr(answers, "measure", lambda soft, truth: kinds.append(soft.dtype) or measure(soft, truth))
    for hard in (False, True, False, True):
        answers.answered(Run(profile), "val", lambda: model, "anybody", "a stage", hard)
    assert kinds == [np.float32] * (len(kinds) // 2) + [np.bool_] * (len(kinds) // 2)


def test_no_annotation_takes_part_in_a_label(profile, monkeypatch):
    """Contract 1: with the evaluation's view out of reach the same labels come out."""
    expected = pseudo_labels.from_responses(Run(profile), 0, "irnet + crf")
    monkeypatch.setenv("WSRIS_HOME", str(artefacts.runs_dir().parent / "elsewhere"))
    monkeypatch.setattr(Refer, "evaluation_view", lambda *_: pytest.fail("looked at the truth"))
    assert pseudo_labels.from_responses(Run(profile), 0, "irnet + crf") == expected


def test_large_photographs_are_refined_small_and_their_masks_brought_back(tmp_path):
    """Few sentences at a time, too: so memory grows with neither."""
    large = Image.new("RGB", (2400, 2000))
    masks = np.zeros((6, 2000, 2400), bool)
    masks[:, 400:1600, 600:1800] = True
    labels = [PseudoLabel(7, 1, n, encode_rle(mask), 1.0) for n, mask in enumerate(masks)]
    calls = []

    def whole(image, soft):
        calls.append(len(soft))
        assert image.width * image.height <= PIXELS * 1.01 and soft.shape[1:] == (image.height, image.width)
        return soft

    view = SimpleNamespace(image_ids=[7], image=lambda _: large, image_digest=lambda _: "digest")
    corpus = SimpleNamespace(training_view=lambda _: view)
    run = SimpleNamespace(corpus=corpus, cache=tmp_path)
    after = refine.each_mask(run, "train", "crf", "key", labels, refine.stacked(labels), lambda: whole)
    assert sum(calls) == 6 and max(calls) < 5 and len(after) == 6
    for rle, agreement in after.values():
        mask = decode_rle(rle)
        assert mask.shape == (2000, 2400) and agreement == 1
        assert (mask ^ masks[0]).sum() < 0.01 * masks[0].sum()
    assert max(for_crf(large, SETTINGS).size) <= 1200 and for_crf(large, replace(SETTINGS, side=64)).width == 64


def test_a_pixel_takes_the_strongest_instance():
    maps = np.random.default_rng(0).random((5, 8, 6)).astype(np.float32)
    whole = F.interpolate(torch.from_numpy(maps)[None], (31, 23), mode="bilinear", align_corners=False)
    assert (_strongest(maps, (31, 23)) == whole[0].amax(0).numpy()).all()
    assert not _strongest(maps[:0], (31, 23)).any()
