"""EHIN's backbone, critic and training, on random checkpoints in the public formats and a small SynRef."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from wsris_lib.config.profiles import PROFILES
from wsris_lib.config.settings import SynRefSize
from wsris_lib.ehin import train as training
from wsris_lib.ehin.gradients import at_projections, cosine, shares
from wsris_lib.ehin.inputs import Images, sentence_vectors
from wsris_lib.ehin.losses import FORMS
from wsris_lib.ehin.network import new_head, shown
from wsris_lib.ehin.predict import clip_maps, response_maps, seen_under
from wsris_lib.frozen.clip_backbone import Backbone
from wsris_lib.frozen.critic import Critic
from wsris_lib.refer.reader import Refer
from wsris_lib.synref.make import make_synref

TINY = PROFILES["tiny"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WSRIS_HOME", str(home))
        return make_synref(SynRefSize(train=8, val=3, test_a=0, test_b=0, image_size=64), workers=1)


@pytest.fixture
def settings(tiny_zoo):
    return replace(
        TINY.ehin,
        backbone=str(tiny_zoo / "clip_rn"),
        critic=str(tiny_zoo / "clip"),
        image_size=64,
        critic_image_size=32,
        width=16,
        negatives=3,
        batch=4,
        epochs=2,
        learning_rate=1e-3,
    )


def fitted(data, settings, out, seed=0, chosen=list, watch=None):
    torch.manual_seed(99)  # nobody else's random numbers matter
    view = Refer(data, "refcoco", "unc").training_view("train")
    backbone = Backbone(settings.backbone, settings.image_size, settings.max_tokens).eval()
    critic = Critic(settings.critic, settings.critic_image_size, settings.max_tokens)
    images = Images(view, backbone, settings, out / "maps")
    return training.train(images, chosen(view), critic, settings, seed, out / "ehin", watch), images, view


def one_of_each_image(view):
    return list({sample.image_id: sample for sample in view}.values())


def same(a, b):
    a = a.state_dict()
    b = b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# -- backbone and critic ----------------------------------------------------------------------------------------------


def test_a_resnets_map_is_what_its_attention_pool_is_given(tiny_zoo):
    backbone = Backbone(str(tiny_zoo / "clip_rn"), 64).eval()
    theirs = open_clip.create_model(f"local-dir:{tiny_zoo / 'clip_rn'}").eval()
    given = []
    theirs.visual.attnpool.register_forward_hook(lambda module, args, out: given.append(args[0]))
    pixels = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        vectors = theirs.encode_image(pixels, normalize=True)
        torch.testing.assert_close(backbone.maps(pixels), given[0])
        torch.testing.assert_close(backbone.image_vectors(pixels), vectors)
    assert backbone.channels == given[0].shape[1] == 256 and backbone.sentence_width == 48


@pytest.mark.parametrize(("kind", "pixels", "cells"), [("clip_rn", 96, 3), ("clip", 64, 8), ("clip", 32, 4)])
def test_another_size_of_input_makes_another_map(tiny_zoo, kind, pixels, cells):
    backbone = Backbone(str(tiny_zoo / kind), pixels).eval()
    image = Image.new("RGB", (50, 80), (10, 200, 30))
    prepared = backbone.prepare(image)[None]
    assert prepared.shape == (1, 3, pixels, pixels) and prepared.dtype == torch.uint8
    normal = backbone.normalise(prepared)
    expected = [(v / 255 - m) / s for v, m, s in zip((10, 200, 30), backbone.mean, backbone.std)]
    torch.testing.assert_close(normal[0, :, 0, 0], torch.tensor(expected))
    with torch.no_grad():
        maps = backbone.maps(normal)
        dense = backbone.dense_vectors(maps)
        assert maps.shape == (1, backbone.channels, cells, cells) and dense.shape == (1, 48, cells, cells)
        torch.testing.assert_close(dense.norm(dim=1), torch.ones(1, cells, cells))
    with pytest.raises(ValueError, match="expected a multiple of"):
        Backbone(str(tiny_zoo / kind), pixels + 4)


def test_position_codes_are_resized_as_open_clip_does(tiny_zoo):
    backbone = Backbone(str(tiny_zoo / "clip"), 64)
    plain = open_clip.create_model(f"local-dir:{tiny_zoo / 'clip'}")
    state = {name: tensor.float() for name, tensor in plain.state_dict().items()}
    plain.visual.grid_size = (8, 8)
    open_clip.model.resize_pos_embed(state, plain)
    torch.testing.assert_close(backbone.clip.visual.positional_embedding.detach(), state["visual.positional_embedding"])


def test_a_long_sentence_keeps_its_end(tiny_zoo):
    backbone = Backbone(str(tiny_zoo / "clip"), 32, max_tokens=8).eval()
    long = "the red mug on the left of the car"
    longer = "the red mug on the left of the car behind a big tree"
    a, b, short = sentence_vectors(backbone, [long, longer, "the red mug"])
    torch.testing.assert_close(a, b)  # cut after the same words, and pooled at the end of text
    whole = open_clip.create_model(f"local-dir:{tiny_zoo / 'clip'}").eval()
    tokenizer = open_clip.get_tokenizer(
        f"local-dir:{tiny_zoo / 'clip'}", bpe_path=str(tiny_zoo / "clip" / "bpe.txt.gz")
    )
    with torch.no_grad():
        expected = whole.encode_text(tokenizer(["the red mug"]), normalize=True)[0]
    tokens = backbone.tokenizer(["the red mug"], context_length=8)[0]
    if len(tokens.nonzero()) <= 8 and (tokens == tokens.max()).nonzero()[0] < 7:  # it fits in 8 tokens
        torch.testing.assert_close(short, expected, atol=1e-5, rtol=1e-4)


def test_the_critic_sees_what_the_mask_leaves_and_learns_nothing(tiny_zoo):
    critic = Critic(str(tiny_zoo / "clip"), 32)
    pixels = torch.randn(2, 3, 32, 32)
    sentences = F.normalize(torch.randn(2, 4, 48), dim=2)
    whole = critic(pixels, torch.ones(2, 4, 4), sentences)
    with torch.no_grad():
        vectors = critic.clip.image_vectors(pixels)
    for b in range(2):
        torch.testing.assert_close(whole[b], sentences[b] @ vectors[b])
    nothing = critic(pixels, torch.zeros(2, 4, 4), sentences)
    torch.testing.assert_close(nothing[0], sentences[0] @ critic.clip.image_vectors(torch.zeros(1, 3, 32, 32))[0])
    R = torch.randn(2, 4, 4, requires_grad=True)
    critic(pixels, R.sigmoid(), sentences).sum().backward()
    assert R.grad.abs().sum() > 0 and all(p.grad is None for p in critic.parameters())


# -- training ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("finetune", [False, True])
def test_the_same_seed_gives_the_same_weights_and_a_killed_run_ends_in_them(
    data, settings, tmp_path, finetune, kill_and_go_on
):
    settings = replace(settings, finetune=finetune)
    whole, curve = fitted(data, settings, tmp_path / "one")[0]
    assert same(whole, fitted(data, settings, tmp_path / "two")[0][0])
    assert not same(whole, fitted(data, settings, tmp_path / "three", seed=1)[0][0])
    (((again, _), _, _), calls) = kill_and_go_on(lambda: fitted(data, settings, tmp_path / "four"), at=2)
    assert calls[:4] == [0, 1, 2, 2] and same(whole, again)
    assert curve[-1][0] == len(calls) - 1
    stored = training.stored_modules(Backbone(settings.backbone, 64), settings, whole.state_dict())
    assert same(stored, whole) and ("backbone" in whole) == finetune


def test_nothing_is_learnt_from_a_mask(data, settings, tmp_path):
    """Contract 1: without annotations on disk the same weights come out."""
    bare = shutil.copytree(data, tmp_path / "bare")
    path = bare / "refcoco" / "instances.json"
    instances = json.loads(path.read_text())
    del instances["annotations"], instances["categories"]
    path.write_text(json.dumps(instances))
    assert same(fitted(data, settings, tmp_path / "a")[0][0], fitted(bare, settings, tmp_path / "b")[0][0])


@pytest.mark.parametrize(
    "changes",
    [
        {"layers": 1, "contrast": 0.0},  # TRIS
        {"contrast_on": "late"},
        {"classify": 0.0, "foreground": 5.0, "contrast": 2.0, "background": 1.0, "reduction": "K_sum"},
        {"form": "eq. 8-13", "visual_softmax": "cells", "texts": 2},
        {"form": "eq. 1-2"},
        {"reuse": (1,)},
        {"negatives_from": "same_image", "grad_accum_steps": 2},
        {"negatives_from": "topped_up"},
        {"layers": 0, "foreground": 0.0, "background": 0.0},
        {"foreground_form": "relative"},
    ],
)
def test_every_switch_changes_what_is_learnt(data, settings, tmp_path, changes):
    usual = fitted(data, settings, tmp_path)[0][0]["head"].sentence
    changed = fitted(data, replace(settings, **changes), tmp_path)[0][0]["head"].sentence
    assert not torch.equal(usual.weight, changed.weight)


def random_terms(settings, critic, form, **changes):
    """The losses of random maps and sentences, and all that went into them: early, late, own, others, pixels."""
    generator = torch.Generator().manual_seed(5)
    early, late = torch.randn(2, 3, 3, 2, 2, generator=generator)
    vectors = F.normalize(torch.randn(3, 4, 48, generator=generator), dim=2)
    pixels = torch.randn(3, 3, 32, 32, generator=generator)
    changed = replace(settings, foreground_form=form, **changes)
    words = torch.arange(9).view(3, 3)
    parts = (early, late, vectors[:, 0], vectors[:, 1:], pixels)
    return training.losses(*parts, critic, changed, words), parts


def test_the_shortened_critic_gives_the_same_losses(tiny_zoo, settings, monkeypatch):
    """To 1e-5 in float32, as open_clip's own forward pass does."""
    critic = Critic(settings.critic, 32)
    for form in FORMS:
        ours, _ = random_terms(settings, critic, form)
        with monkeypatch.context() as patch:
            patch.setattr(Critic, "image_vectors", lambda self, pixels: self.clip.image_vectors(pixels))
            theirs, _ = random_terms(settings, critic, form)
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            assert value.item() == pytest.approx(theirs[name].item(), rel=1e-5), (form, name)


def test_a_relative_foreground_sees_sharp_masks_and_their_complements(settings):
    """Of the map that each loss is asked of, by plain loops in float64."""
    critic = Critic(settings.critic, 32).double()

    def S(R, pixels, sentence):
        wide = F.interpolate((1 / (1 + torch.exp(-R)))[None, None], (32, 32), mode="bilinear")
        picture = critic.clip.image_vectors(pixels * wide)[0]
        return sum(float(a) * float(b) for a, b in zip(picture, sentence))

    terms, parts = random_terms(settings, critic.float(), "relative")
    early, late, own, others, pixels = (part.double() for part in parts)
    critic.double()
    expected = {}
    for name, R in (("foreground", late[:, 0]), ("contrast", early[:, 0])):
        gaps = [S(4 * R[b], pixels[b : b + 1], own[b]) - S(-4 * R[b], pixels[b : b + 1], own[b]) for b in range(3)]
        expected[name] = sum(math.log(1 + math.exp(-gap / 0.1)) for gap in gaps) / 3
        cosines = [S(4 * R[b], pixels[b : b + 1], others[b, k]) for b in range(3) for k in range(3)]
        bg = sum(-math.log(1 - max(s, 1e-4)) for s in cosines) / 9
        expected |= {"background": bg} if name == "foreground" else {"contrast": expected["contrast"] + bg}
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value, rel=1e-3), name
    alone, _ = random_terms(settings, critic.float(), "relative", foreground=0.0, contrast=0.0)
    assert alone["background"].item() == pytest.approx(terms["background"].item())


def test_each_losss_gradient_at_the_projections(tiny_zoo, settings):
    """Against finite differences in float64 of each weighted loss along one direction; and shares of their norms."""
    head = new_head(8, 48, settings, 0).double()
    critic = Critic(settings.critic, 32).double()
    draw = lambda *shape: torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape))).double()  # noqa: E731
    maps = draw(3, 8, 2, 2)
    sentences = draw(3, 48)[shown(3, 0)]
    own, others, pixels = F.normalize(draw(3, 48), dim=1), F.normalize(draw(3, 2, 48), dim=2), draw(3, 3, 32, 32)

    def terms():
        return training.losses(*head(maps, sentences), own, others, pixels, critic, settings, shown(3, 0))

    gradients = at_projections(terms(), settings, head)
    assert set(gradients) == {"classify", "foreground", "background", "contrast"}
    assert all(parameter.grad is None for parameter in head.parameters())
    shared = [*head.image.parameters(), *head.sentence.parameters()]
    direction = [draw(*part.shape) for part in shared]

    def moved(step):
        with torch.no_grad():
            for part, way in zip(shared, direction):
                part += step * way
            value = {name: getattr(settings, name) * term.item() for name, term in terms().items()}
            for part, way in zip(shared, direction):
                part -= step * way
        return value

    up, down = moved(1e-6), moved(-1e-6)
    along = torch.cat([way.flatten() for way in direction])
    for name, gradient in gradients.items():
        assert float(gradient.double() @ along) == pytest.approx((up[name] - down[name]) / 2e-6, rel=1e-2, abs=1e-4)
    parts = shares(gradients)
    assert sum(parts.values()) == pytest.approx(1)
    norms = {name: math.sqrt(sum(float(x) ** 2 for x in gradient)) for name, gradient in gradients.items()}
    assert parts["contrast"] == pytest.approx(norms["contrast"] / sum(norms.values()), rel=1e-4)
    assert cosine(gradients, "classify", "classify") == pytest.approx(1, abs=1e-5)
    inner = sum(float(a) * float(b) for a, b in zip(gradients["classify"], gradients["foreground"]))
    assert cosine(gradients, "classify", "foreground") == pytest.approx(
        inner / norms["classify"] / norms["foreground"], rel=1e-3, abs=1e-6
    )
    without = at_projections(terms(), replace(settings, contrast=0.0), head)
    assert set(without) == {"classify", "foreground", "background"}
    assert shares({"classify": torch.zeros(3)}) == {"classify": 0.0}


def test_a_watch_sees_every_step_and_changes_nothing(data, settings, tmp_path):
    plain = fitted(data, settings, tmp_path / "a")[0]
    steps = []

    def watch(step, terms, head):
        steps.append(step)
        at_projections(terms, settings, head)

    watched = fitted(data, settings, tmp_path / "b", watch=watch)[0]
    assert steps == list(range(plain.curve[-1].step)) and same(plain.model, watched.model)


def test_bfloat16_is_where_the_setting_and_the_processor_say_so(data, settings, tmp_path, monkeypatch):
    exact = fitted(data, replace(settings, precision="float32"), tmp_path / "exact")[0]
    for able in (False, True):
        monkeypatch.setattr(training, "multiplies_bfloat16", lambda able=able: able)
        assert training.is_mixed("auto", "cpu") == able
        assert not training.is_mixed("float32", "cpu") and training.is_mixed("float32", "cuda")
        auto = fitted(data, replace(settings, precision="auto"), tmp_path / str(able))[0]
        assert same(exact.model, auto.model) != able
        assert all(part.dtype == torch.float32 for part in auto.model.parameters())
        assert auto.curve[0].loss == pytest.approx(exact.curve[0].loss, rel=0.02)
    with pytest.raises(ValueError, match="precision is 'half'; choose one of float32, auto"):
        fitted(data, replace(settings, precision="half"), tmp_path / "half")


def test_an_unknown_form_of_the_foreground_is_refused(data, settings, tmp_path):
    with pytest.raises(ValueError, match="foreground_form is 'ratio'; choose one of log, relative"):
        fitted(data, replace(settings, foreground_form="ratio"), tmp_path)


def test_sentences_in_the_same_words_are_classified_only_where_the_switch_says_so(settings):
    late = torch.randn(2, 2, 3, 3)
    alone = replace(settings, foreground=0.0, background=0.0, contrast=0.0)
    nothing = torch.empty(0)

    def loss(words, same_words_negatives):
        switched = replace(alone, same_words_negatives=same_words_negatives)
        return training.losses(late, late, nothing, nothing, nothing, None, switched, torch.tensor(words))["classify"]

    assert torch.equal(loss([[0, 0], [0, 0]], True), loss([[0, 1], [1, 0]], True))
    assert torch.equal(loss([[0, 1], [1, 0]], False), loss([[0, 1], [1, 0]], True))
    own = torch.nn.functional.softplus(-training.image_score(late)[:, 0])
    torch.testing.assert_close(loss([[0, 0], [0, 0]], False), own.mean() / 2)


def test_a_loss_alone_moves_what_it_should(data, settings, tmp_path, learning):
    """By classification alone each image's own sentence comes to score above the others.

    A network without the images can't know whose a sentence is; its best is the entropy of that coin.
    """
    alone = replace(settings, foreground=0.0, background=0.0, contrast=0.0, epochs=300, learning_rate=1e-2)
    (_, curve), _, _ = fitted(data, alone, tmp_path, learning.seed, one_of_each_image)
    share = 1 / settings.batch
    constant = -share * math.log(share) - (1 - share) * math.log(1 - share)
    learning.below(np.mean([loss for _, loss in curve[-5:]]), 0.5 * alone.classify * constant, "loss, of a constant's")


def test_a_sentence_is_answered_alone(data, settings, tmp_path):
    (modules, _), images, view = fitted(data, settings, tmp_path)
    samples = list(view)
    together = response_maps(modules, images, samples, batch=5)
    assert together.shape == (len(samples), 2, 2)
    for row in (0, 3, 7):
        torch.testing.assert_close(response_maps(modules, images, samples[row : row + 1])[0], together[row])


def test_clips_own_map_is_cut_half_way_from_its_mean_to_its_maximum(data, settings, tmp_path):
    view = Refer(data, "refcoco", "unc").training_view("train")
    backbone = Backbone(settings.backbone, settings.image_size, settings.max_tokens).eval()
    images = Images(view, backbone, settings, tmp_path)
    samples = list(view)
    maps = {cut: clip_maps(images, samples, 5, cut) for cut in (0.0, 0.5)}
    assert torch.equal(clip_maps(images, samples, 5), maps[0.5])
    for row, sample in enumerate(samples):
        with torch.no_grad():
            cells = backbone.dense_vectors(images.maps([sample.image_id]))[0].flatten(1).double().numpy()  # [E, hw]
            vector = backbone.sentences([sample.sentence])[0].double().numpy()
        cosines = [float(vector @ cells[:, i]) for i in range(cells.shape[1])]
        mean = sum(cosines) / len(cosines)
        top = max(cosines)
        for cut, R in maps.items():
            expected = [cosine - mean - cut * (top - mean) for cosine in cosines]
            np.testing.assert_allclose(R[row].flatten(), expected, atol=1e-5)


def test_what_the_critic_sees_under_a_mask(data, settings, tmp_path):
    view = Refer(data, "refcoco", "unc").training_view("train")
    images = Images(view, Backbone(settings.backbone, settings.image_size), settings, tmp_path)
    critic = Critic(settings.critic, settings.critic_image_size, settings.max_tokens)
    samples = list(view)
    masks = torch.rand(len(samples), 2, 2, generator=torch.Generator().manual_seed(0))
    S = seen_under(critic, images, samples, masks, batch=5)
    assert S.shape == (len(samples),) and S.abs().max() <= 1 + 1e-5
    for row in (0, 4, 9):
        wide = F.interpolate(masks[row][None, None], (32, 32), mode="bilinear")
        with torch.no_grad():
            picture = critic.clip.image_vectors(images.small([samples[row].image_id]) * wide)[0]
            words = critic.clip.sentences([samples[row].sentence])[0]
        assert S[row].item() == pytest.approx(sum(float(a) * float(b) for a, b in zip(picture, words)), abs=1e-5)


def test_frozen_maps_are_made_once_and_are_the_backbones(data, settings, tmp_path, monkeypatch):
    view = Refer(data, "refcoco", "unc").training_view("train")
    backbone = Backbone(settings.backbone, settings.image_size).eval()
    images = Images(view, backbone, settings, tmp_path)
    ids = images.ids[:3]
    pixels = torch.stack([backbone.prepare(view.image(i)) for i in ids])
    with torch.no_grad():
        expected = backbone.maps(backbone.normalise(pixels))
    torch.testing.assert_close(images.maps(ids), expected, atol=5e-3, rtol=5e-3)  # kept in half precision
    live = Images(view, backbone, replace(settings, finetune=True), tmp_path)
    torch.testing.assert_close(live.maps(ids), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(live.small(ids), images.small(ids))
    monkeypatch.setattr(Images, "_make", None)
    assert torch.equal(Images(view, backbone, settings, tmp_path).maps(ids), images.maps(ids))
