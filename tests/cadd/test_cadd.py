"""CADD's training, on two drawn images, a random BERT and a very small random Swin."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from wsris_lib.cadd import train
from wsris_lib.config.profiles import PROFILES
from wsris_lib.refer.labels import PseudoLabel
from wsris_lib.refer.masks import encode_rle
from wsris_lib.refer.views import ImageFile, Sample, TrainingView
from wsris_lib.segmentation.dataset import PseudoLabelDataset
from wsris_lib.segmentation.mean_teacher import MeanTeacher

TINY = PROFILES["tiny"]

SIDE = 48
HALVES = {"left": slice(4, 20), "right": slice(28, 44)}  # columns of the two squares


@pytest.fixture
def settings(tiny_zoo):
    return replace(
        TINY.cadd,
        image_model=str(tiny_zoo / "swin"),
        text_model=str(tiny_zoo / "text"),
        image_size=64,
        max_tokens=8,
        decoder_dim=8,
        batch=4,
        burn_in=2,
        epochs=2,
        learning_rate=3e-3,
    )


@pytest.fixture
def view(tmp_path):
    """Two images, each with a red and a blue square on either side, and a sentence for each of the four."""
    samples = []
    files = {}
    for image_id, colours in enumerate((("red", "blue"), ("blue", "red"))):
        pixels = np.full((SIDE, SIDE, 3), 90, np.uint8)
        for ref, (side, colour) in enumerate(zip(HALVES, colours)):
            pixels[16:32, HALVES[side]] = {"red": (230, 20, 20), "blue": (20, 20, 230)}[colour]
            n = 2 * image_id + ref
            samples.append(Sample(image_id, n, n, f"the {colour} ball on the {side}"))
        path = tmp_path / f"{image_id}.png"
        Image.fromarray(pixels).save(path)
        files[image_id] = ImageFile(path, SIDE, SIDE)
    return TrainingView(samples, files)


def half(n):
    mask = np.zeros((SIDE, SIDE), bool)
    mask[16:32, list(HALVES.values())[n % 2]] = True
    return mask


def distilled(view, settings, out, seed=0, confidence=(0.9, 0.9, 0.9, 0.9), reworded=None):
    torch.manual_seed(99)  # nobody else's random numbers matter
    labels = [
        PseudoLabel(s.image_id, s.ref_id, s.sent_id, encode_rle(half(s.ref_id)), c) for s, c in zip(view, confidence)
    ]
    data = PseudoLabelDataset(view, labels, train.new_modules(settings).student)
    sentences = [s.sentence for s in view]
    reworded = reworded or [[text.replace("ball", "mug"), ""] for text in sentences]
    out.mkdir(exist_ok=True)
    return train.distil(data, sentences, reworded, settings, seed, out / "cadd")


def same(a, b):
    a = a.state_dict()
    b = b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_the_same_seed_gives_the_same_weights_and_a_killed_run_ends_in_them(view, settings, tmp_path, kill_and_go_on):
    whole, curve = distilled(view, settings, tmp_path / "one")
    assert same(whole, distilled(view, settings, tmp_path / "two")[0])
    assert not same(whole, distilled(view, settings, tmp_path / "three", seed=1)[0])
    for at in (1, 3):  # in the burn-in, and beside the teacher
        folder = tmp_path / f"killed in {at}"
        (again, resumed_curve), steps = kill_and_go_on(lambda folder=folder: distilled(view, settings, folder), at=at)
        assert same(whole, again) and resumed_curve == curve and steps == [*range(at + 1), *range(at, 4)]
    assert same(train.stored_modules(settings, whole.state_dict()), whole)


def test_the_teacher_is_a_copy_after_the_burn_in_and_then_follows(view, settings, tmp_path, monkeypatch):
    calls = []

    def watched(student, teacher, labels, confidence, warp, weights, dice):
        calls.append((weights, student[0].detach(), teacher[0].detach(), teacher[0].requires_grad))
        return cadd_loss(student, teacher, labels, confidence, warp, weights, dice)

    cadd_loss = train.cadd
    monkeypatch.setattr(train, "cadd", watched)
    modules, _ = distilled(view, replace(settings, augment=False, horizon=2.0), tmp_path / "run")
    assert [weights for weights, *_ in calls] == [(1.0, 0.0, 0.0)] * 2 + [(1.0, 0.5, 0.05)] * 2
    assert not any(gradient for *_, gradient in calls[2:])
    student = modules.student
    teacher = modules.teacher.module
    ours, theirs = (torch.cat([p.flatten() for p in m.parameters()]) for m in (student, teacher))
    assert 0 < (ours - theirs).norm() < 0.1 * ours.norm()


@pytest.mark.parametrize(
    "changes",
    [
        {"confidence": False},
        {"augment": False},
        {"masks": 0.0},
        {"features": 0.0},
        {"dice": 0.0},
        {"text_lr_scale": 1.0},
        {"image_lr_scale": 0.5},
        {"num_heads": 2},
        {"coord_features": False},
        {"optimiser": "adamw"},
        {"muon_lr_scale": 1.0},
        {"augment_burn_in": False},
        {"zoom": (0.8, 1.0)},
        {"alpha": 0.5},
        {"text_layers": 1},
        {"drop_path": 0.5},
        {"norm_decay": False},
        {"clip": 0.0},
    ],
)
def test_every_switch_changes_what_is_learnt(view, settings, tmp_path, changes):
    usual = distilled(view, settings, tmp_path / "a")[0]
    assert not same(usual, distilled(view, replace(settings, **changes), tmp_path / "b")[0])


def test_the_last_steps_see_whole_images_and_those_before_smaller_ones(view, settings, tmp_path, monkeypatch):
    calls = []

    def watched(student, teacher, labels, *others):
        calls.append((student[0].shape[2:], teacher[0].shape[2:], labels.shape[1:], labels.float().mean()))
        return cadd_loss(student, teacher, labels, *others)

    cadd_loss = train.cadd
    monkeypatch.setattr(train, "cadd", watched)
    distilled(view, replace(settings, image_size=128, early_image_size=64, late=0.25), tmp_path / "run")
    assert [{height for shape in sizes for height in shape} for *sizes, _ in calls] == [{64}, {64}, {64}, {128}]
    shares = [float(share) for *_, share in calls]  # of the labels: the squares fill 16 x 16 of 48 x 48
    assert np.mean(shares[:3]) == pytest.approx(shares[3], rel=0.2) == pytest.approx(1 / 9, rel=0.05)


def test_what_is_trusted_and_what_is_said_matter(view, settings, tmp_path):
    usual = distilled(view, settings, tmp_path / "a")[0]
    assert not same(usual, distilled(view, settings, tmp_path / "b", confidence=(0.9, 0.1, 0.9, 0.1))[0])
    assert not same(usual, distilled(view, settings, tmp_path / "c", reworded=[[]] * 4)[0])
    with pytest.raises(ValueError, match="4 labels, but 4 sentences and 1 wordings"):
        distilled(view, settings, tmp_path / "d", reworded=[[""]])


@pytest.mark.parametrize("optimiser", train.OPTIMISERS)
def test_each_parameter_has_one_optimiser(settings, optimiser):
    student = train.new_modules(settings).student
    settings = replace(settings, optimiser=optimiser, muon_lr_scale=3.0, image_lr_scale=0.3)
    optimisers = train.optimisers_of(student, settings)
    groups = [group for one in optimisers for group in one.param_groups]
    taken = [id(p) for group in groups for p in group["params"]]
    assert len(taken) == len(set(taken)) and set(taken) == {id(p) for p in student.parameters()}
    assert [type(one).__name__ for one in optimisers] == ["AdamW", "Muon"][: 1 + (optimiser == "muon")]
    if optimiser == "muon":
        (group,) = optimisers[1].param_groups
        names = {name.split(".")[0] for name, p in student.named_parameters() if any(p is q for q in group["params"])}
        assert names == {"pwam", "gates"} and group["lr_scale"] == 3.0


def test_in_the_papers_burn_in_nothing_is_augmented(view, settings, tmp_path, monkeypatch):
    drawn = []
    words = []

    def watched(batch, generator, **options):
        drawn.append(options)
        return draw(batch, generator, **options)

    draw = train.draw
    another = train._another
    monkeypatch.setattr(train, "draw", watched)
    monkeypatch.setattr(train, "_another", lambda *args: words.append(len(drawn)) or another(*args))
    distilled(view, replace(settings, augment_burn_in=False, zoom=(0.7, 1.0)), tmp_path / "run")
    assert drawn == [train.STILL] * 2 + [{"zoom": (0.7, 1.0)}] * 2  # two steps of burn-in, two beside the teacher
    assert words == [3] * 4 + [4] * 4  # four sentences each


def test_alpha_is_eq_11s_and_else_of_the_horizon(view, settings, tmp_path, monkeypatch):
    used = []
    update = MeanTeacher.update
    monkeypatch.setattr(MeanTeacher, "update", lambda self, s, alpha: used.append(alpha) or update(self, s, alpha))
    for alpha, expected in ((0.9996, 0.9996), (0.0, train.decay(settings.horizon, 2))):
        used.clear()
        distilled(view, replace(settings, alpha=alpha), tmp_path / str(alpha))
        assert used == [0.0, expected, expected]  # a copy, and then a mean


def test_gradients_are_cut_where_that_is_asked_for(view, settings, tmp_path, monkeypatch):
    norms = []
    step = train.Trainer.optimizer_step
    monkeypatch.setattr(
        train.Trainer, "optimizer_step", lambda self, lr, clip: norms.append(clip) or step(self, lr, clip)
    )
    for clip in (0.0, 0.3):
        distilled(view, replace(settings, clip=clip), tmp_path / str(clip))
    assert norms == [float("inf")] * 4 + [0.3] * 4


def test_lavts_decay_and_layers(view, settings, tmp_path):
    """No decay for what LAVT's code finds by these words in its encoder's names; of BERT the first layers learn."""
    settings = replace(settings, optimiser="adamw", norm_decay=False, text_layers=1, weight_decay=0.02, drop_path=0.4)
    modules = train.new_modules(settings)
    student = modules.student
    before = {n: p.clone() for n, p in modules.student.named_parameters()}
    assert student.swin.config.drop_path_rate == 0.4
    (adamw,) = train.optimisers_of(student, settings)
    decay = {id(p): group["weight_decay"] for group in adamw.param_groups for p in group["params"]}
    for name, parameter in student.named_parameters():
        encoder = not name.startswith(("bert.", "decoder."))
        exempt = encoder and ("norm" in name or "relative_position_bias_table" in name)
        if name.startswith("bert.") and not name.startswith("bert.encoder.layer.0."):
            assert id(parameter) not in decay and not parameter.requires_grad
        else:
            assert decay[id(parameter)] == (0.0 if exempt else 0.02), name
    assert {0.0, 0.02} == set(decay.values())
    after = dict(distilled(view, settings, tmp_path / "run")[0].student.named_parameters())
    moved = {
        name.split("layer.")[1][0] for name in after if ".layer." in name and not torch.equal(after[name], before[name])
    }
    assert moved == {"0"} and torch.equal(*(d["bert.embeddings.word_embeddings.weight"] for d in (after, before)))
    with pytest.raises(ValueError, match="text_layers is 3; the BERT has 2"):
        train.optimisers_of(student, replace(settings, text_layers=3))


def test_an_unknown_optimiser_is_refused(settings):
    with pytest.raises(ValueError, match="optimiser 'sgd': expected one of adamw, muon"):
        train.optimisers_of(train.new_modules(settings).student, replace(settings, optimiser="sgd"))


@pytest.mark.slow
def test_student_and_teacher_learn_which_half_is_meant(view, settings, tmp_path, learning):
    settings = replace(settings, burn_in=80, epochs=80, augment=False, image_lr_scale=1.0, text_lr_scale=1.0)
    modules, curve = distilled(view, settings, tmp_path / "run", learning.seed)
    learning.below(curve[-1][1], 0.6 * curve[0][1], "last loss, of the first")
    student = modules.student
    pixels = student.normalise(torch.stack([student.prepare(view.image(s.image_id)) for s in view]))
    tokens = student.tokenizer([s.sentence for s in view])
    for model in (student, modules.teacher):
        with torch.no_grad():
            masks = model(pixels, tokens)[0].argmax(1).numpy() == 1
        for n, mask in enumerate(masks):
            truth = np.asarray(Image.fromarray(half(n)).resize((64, 64)))
            learning.above((mask & truth).sum() / (mask | truth).sum(), 0.5, "IoU with the half that is meant")
