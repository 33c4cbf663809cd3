"""The published properties of CLIP: what trains a miniature towards them, and the probes that measure them."""

import math
from dataclasses import replace

import numpy as np
import open_clip
import pytest
import torch
from torch import Tensor

from wsris_lib.frozen.clip_backbone import Backbone
from wsris_lib.miniature import captions, clip, clip_probe, training
from wsris_lib.synref import wording
from wsris_lib.synref.web import Web

PAINT = {"red": (200, 30, 30), "green": (30, 150, 40), "blue": (30, 60, 210)}
NAMES = list(wording.NOUNS)


@pytest.fixture(scope="module")
def web():
    """Grey scenes with a red, a green and a blue rectangle one below the other, in the form of the web split."""
    rng = np.random.default_rng(0)
    n, side = 8, 64
    images = np.full((n, side, side, 3), 110, np.uint8)
    ids = np.zeros((n, side, side), np.uint8)
    objects = []
    for i in range(n):
        objects.append([])
        for k, colour in enumerate(rng.permutation(list(PAINT)), 1):
            y = 4 + 20 * (k - 1)
            x = rng.integers(2, 40)
            images[i, y : y + 8, x : x + 16] = PAINT[str(colour)]
            ids[i, y : y + 8, x : x + 16] = k
            thing = dict(id=k, category=NAMES[k], colour=str(colour), material="matte", texture="plain", size="large")
            objects[-1].append(thing)
    depth = np.full((n, side, side), 5, np.float16)
    return Web(images, ids, depth, objects, ["red mug"], ["red mug"], np.zeros_like(ids))


class KnowsColours:
    """In place of a CLIP: an image's vector is the colour that it shows more of than of any other."""

    image_size = 64

    def __init__(self, *_):
        self.clip = torch.nn.Module()
        self.clip.logit_scale = torch.tensor(math.log(100))

    def dense_vectors(self, pixels: Tensor) -> Tensor:
        std = torch.tensor(captions.STD).view(3, 1, 1)
        paint = (torch.tensor(list(PAINT.values())) / 255 - torch.tensor(captions.MEAN)) / std.view(3)
        near = (pixels[:, None] - paint[None, :, :, None, None]).abs().amax(2) < 0.3
        return near.float()

    def maps(self, pixels: Tensor) -> Tensor:
        return pixels

    def image_vectors(self, pixels: Tensor) -> Tensor:
        shown = self.dense_vectors(pixels).sum((2, 3))
        return torch.where(shown.sum(1, keepdim=True) > 0, 2 * shown / shown.sum(1, keepdim=True) - 1, shown - 0.5)

    def sentences(self, sentences: list[str]) -> Tensor:
        return torch.tensor([[float(colour in sentence) for colour in PAINT] for sentence in sentences])


def test_probes_of_a_model_that_knows_colours(web, tmp_path, monkeypatch):
    monkeypatch.setattr(clip_probe, "Backbone", KnowsColours)
    judged = clip_probe.judging(tmp_path, web, 64)
    assert judged["critic at 64 px, choice"] == 1
    assert judged["critic at 64 px, empty above wrong"] == 1  # -.5 above -1
    assert judged["critic at 64 px, empty above right"] == 0
    assert judged["critic chance"] == pytest.approx(1 / 3, abs=1e-4)
    pointed = clip_probe.pointing(tmp_path, web, 64)
    assert pointed["pointing at 64 px"] == 1
    assert pointed["pointing chance"] == pytest.approx(8 * 16 / 64**2, abs=1e-4)
    assert pointed["cells of the median object at 64 px"] == 8 * 16  # a cell is a pixel here
    near = clip_probe.cosines(KnowsColours(), captions.Captioned(web))
    assert near["logit scale"] == 100
    assert near["cosine of matching pairs"] == near["cosine of other pairs, 95 %"] == 1  # the colour is right there
    assert near["cosine of other pairs, 5 %"] == -1
    assert clip_probe.sides(KnowsColours(), captions.Captioned(web))["left or right chance"] == 0.5


def test_a_scene_where_all_look_alike_has_no_sentence(web):
    same = [[thing | {"colour": "red", "category": NAMES[0]} for thing in scene] for scene in web.objects]
    alike = replace(web, objects=same)
    with pytest.raises(ValueError, match="no held-out scene has two visible things that differ"):
        clip_probe.describing(captions.Captioned(alike), KnowsColours())


def test_offset_against_a_slow_reference():
    rng = np.random.default_rng(0)
    x, y = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in rng.normal(size=(2, 6, 5)))
    true = (rng.random((6, 6)) < 0.3) | np.eye(6, dtype=bool)
    others = [x[i] @ y[j] for i in range(6) for j in range(6) if not true[i, j]]
    expected = (sum(others) / len(others) - clip.OTHER) ** 2
    assert clip.offset(*map(torch.tensor, (x, y, true))).item() == pytest.approx(expected, abs=1e-12)
    assert clip.offset(*map(torch.tensor, (x, y, np.ones((6, 6), bool)))).item() == 0


def test_the_scale_rises_to_that_of_the_real_one():
    scales = [clip.scale_at(step, 100, 20.0) for step in range(101)]
    assert scales[0] == 20 and scales[25] == pytest.approx(math.sqrt(20 * 100))
    assert scales == sorted(scales) and scales[50:] == [pytest.approx(clip.SCALE)] * 51


@pytest.fixture(scope="module")
def trained(web, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    return folder, clip.train(folder, web, steps=2, batch=8)


def test_large_images_are_seen_in_training_as_in_use(trained):
    folder, model = trained
    images = torch.randn(5, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        vectors = clip.image_vectors(model.visual, images, 2, clip.encoded)
        large = Backbone(str(folder), 128).image_vectors(images[:2])
        small = Backbone(str(folder), 64).image_vectors(torch.nn.functional.avg_pool2d(images[2:], 2))
    torch.testing.assert_close(vectors, torch.cat([large, small]), atol=5e-3, rtol=0)  # the file is in half precision


def test_position_codes_learn_from_large_images_too(trained):
    visual = open_clip.create_model(f"local-dir:{trained[0]}").visual
    clip.image_vectors(visual, torch.randn(2, 3, 128, 128), 1, clip.encoded).sum().backward()
    assert visual.positional_embedding.grad.abs().sum() > 0


def test_weights_go_on_with_another_vocabulary(trained, tmp_path):
    folder, earlier = trained
    clip.write_merges(tmp_path / "bpe.txt.gz", ["a zebra crossing", "red mug"])
    old = open_clip.SimpleTokenizer(str(folder / "bpe.txt.gz"))
    new = open_clip.SimpleTokenizer(str(tmp_path / "bpe.txt.gz"))
    text = clip.TEXT | dict(vocab_size=new.vocab_size)
    model = open_clip.CLIP(128, clip.VISION, text)
    before = model.token_embedding.weight.detach().clone()
    clip.go_on_from(folder, model, new)
    rows = model.token_embedding.weight.detach()
    for token, number in new.encoder.items():
        if token in old.encoder:
            expected = earlier.token_embedding.weight[old.encoder[token]]
            torch.testing.assert_close(rows[number], expected, atol=1e-3, rtol=1e-3)
        else:
            assert torch.equal(rows[number], before[number])
    torch.testing.assert_close(model.visual.proj, earlier.visual.proj, atol=1e-3, rtol=1e-3)


def test_a_trained_miniature_has_the_scale_of_the_real_one(trained):
    assert trained[1].logit_scale.exp().item() == pytest.approx(100, rel=1e-3)


def test_wide_windows_hold_their_object_within_the_frame(web):
    data = captions.Captioned(web)
    rows = np.arange(len(data.things)).repeat(20)
    places = data._wide(rows, np.random.default_rng(0))
    side = places[:, 2:]
    assert (places[:, :2] - side / 2 > -1e-3).all() and (places[:, :2] + side / 2 < 64 + 1e-3).all()
    assert (np.abs(places[:, :2] - data.places[rows, :2]) <= (side - data.places[rows, 2:]) / 2 + 1e-3).all()
    factor = places[:, 2] / data.places[rows, 2]
    assert factor.min() >= 1.6 - 1e-3 and factor.max() <= 4 + 1e-3


def test_all_that_a_wide_window_shows_may_be_named(web):
    data = captions.Captioned(web)
    assert data._shown(0, data.whole) == data.of_scene[0]
    x, y, side = data.places[0]
    assert data._shown(0, np.array([x, y, side])) == [0]


def test_captions_of_nothing_are_true_of_nothing_alone(web):
    data = captions.Captioned(web)
    images, sentences, true = data.batch(60, np.random.default_rng(0), wholes=0.2, wide=0.3, empty=0.4)
    empty = torch.tensor([sentence in captions.EMPTY for sentence in sentences])
    assert 10 < empty.sum() < 40
    assert torch.equal(true[empty], empty.expand(int(empty.sum()), -1))
    assert torch.equal(true[:, empty], empty[:, None].expand(-1, int(empty.sum())))
    nothing = images.flatten(1).abs().amax(1) == 0
    assert (empty | ~nothing).all() and 0 < (nothing & empty).sum() < empty.sum()


def test_a_background_shows_no_object(web):
    data = captions.Captioned(web)
    no = np.array([False])
    shown = data.cut(np.array([0]), np.array([captions.BACKGROUND]), data.whole[None], no)[0]
    is_object = torch.from_numpy(web.ids[0] > 0)
    assert shown[:, is_object].abs().max() < 1e-3  # a window's edge is a rounding off
    assert (shown[:, ~is_object].abs() > 1e-2).all()
    assert not data.cut(np.array([0]), np.array([captions.BLANK]), data.whole[None], no).any()


def test_short_trainings_are_not_compiled_and_float32_stays_where_bfloat16_is_slow(monkeypatch):
    assert training.compiled(len, 10, torch.device("cpu")) is len
    monkeypatch.setattr(training, "multiplies_bfloat16", lambda: False)
    with training.autocast(torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
    monkeypatch.setattr(training, "multiplies_bfloat16", lambda: True)
    with training.autocast(torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
