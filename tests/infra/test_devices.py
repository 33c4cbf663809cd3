"""Every forward pass and loss keeps to one device: checked on a GPU that isn't there.

Fake tensors have shapes, types and a device but no content, and refuse to mix devices. Backward passes and the
optimisers' steps need a real GPU.
"""

import warnings
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from wsris_lib.cadd import train
from wsris_lib.cadd.augment import Warp, draw
from wsris_lib.cadd.losses import cadd as eq_10
from wsris_lib.config.profiles import PROFILES
from wsris_lib.ehin.network import Head, shown, soft_masks
from wsris_lib.ehin.stage2 import Stage2
from wsris_lib.ehin.stage2_losses import KINDS, bce, ce_dice, consistency
from wsris_lib.ehin.train import losses as ehin_losses
from wsris_lib.ehin.train import total as ehin_total
from wsris_lib.es3net.alignment import Alignment
from wsris_lib.es3net.losses import language_consistency, mask_contrast, own_scores
from wsris_lib.es3net.train import choice_entropy
from wsris_lib.frozen.clip_backbone import Backbone
from wsris_lib.frozen.critic import Critic
from wsris_lib.refine import affinity
from wsris_lib.refine.irnet import IRNet, channels
from wsris_lib.refine.train import augmented

TINY = PROFILES["tiny"]

GPU = torch.device("cuda", 0)


@contextmanager
def pretended():
    """Within, "cuda" can be asked for anywhere."""
    with FakeTensorMode(allow_non_fake_inputs=True), warnings.catch_warnings():
        yield


def zeros(*shape, dtype=torch.float32):
    return torch.zeros(shape, dtype=dtype, device=GPU)


def there(*tensors):
    return all(tensor.device == GPU for tensor in tensors)


def test_mixed_devices_are_refused():
    with pretended(), pytest.raises(RuntimeError, match="device"):
        zeros(2) + torch.zeros(2)


def test_es3nets_alignment():
    model = Alignment(6, 5, 8, generator=torch.Generator().manual_seed(0))
    with pretended():
        model = model.to(GPU)
        scores = model(zeros(12, 6), zeros(12, 5), zeros(12, 3), zeros(4, 8))  # B = 4, N = 3
        padded = zeros(4, 3, dtype=torch.bool)
        loss = mask_contrast(scores, zeros(4, dtype=torch.long), padded, own_negatives=False)
        again = language_consistency(own_scores(scores), own_scores(scores), padded)
        assert there(scores, loss, again, choice_entropy(scores, padded, 1.0))


def test_ehins_stage_1(tiny_zoo):
    settings = replace(
        TINY.ehin, backbone=str(tiny_zoo / "clip_rn"), critic=str(tiny_zoo / "clip"), image_size=64, width=16
    )
    backbone = Backbone(settings.backbone, 64)
    critic = Critic(settings.critic, 32)
    head = Head(backbone.channels, backbone.sentence_width, settings)
    with pretended():
        backbone = backbone.to(GPU)
        critic = critic.to(GPU)
        head = head.to(GPU)
        maps = backbone.maps(backbone.normalise(zeros(4, 3, 64, 64, dtype=torch.uint8)))
        states = zeros(4, backbone.sentence_width)
        early, late = head(maps, states[shown(4, settings.texts)])
        own = zeros(4, critic.clip.sentence_width)
        others = zeros(4, 3, critic.clip.sentence_width)
        small = backbone.normalise(zeros(4, 3, 32, 32, dtype=torch.uint8))
        words = zeros(4, dtype=torch.long)[shown(4, settings.texts)]
        terms = ehin_losses(early, late, own, others, small, critic, settings, words)
        assert len(terms) == 4 and there(early, late, *terms.values(), ehin_total(terms, settings))
        assert there(backbone.dense_vectors(maps), soft_masks(late[:, 0], 50, 70))


def test_irnet(tiny_zoo):
    backbone = Backbone(str(tiny_zoo / "clip_rn"), 64)
    model = IRNet(channels(backbone), 8)
    generator = torch.Generator().manual_seed(0)
    with pretended():
        backbone = backbone.to(GPU)
        model = model.to(GPU)
        pixels = backbone.normalise(zeros(2, 3, 64, 64, dtype=torch.uint8))
        images, labels = augmented(pixels, zeros(2, 64, 64, dtype=torch.uint8), generator)
        fields = model(backbone.pyramid(images))
        labels = labels[:, ::4, ::4][:, : fields[0].shape[1], : fields[0].shape[2]]
        assert there(images, affinity.total(affinity.losses(fields[0], fields[1], labels, 4)))


@pytest.mark.parametrize("loss", [bce, ce_dice])
def test_stage_2(tiny_zoo, loss):
    network = Stage2(replace(TINY.stage2, backbone=str(tiny_zoo / "clip_rn"), image_size=64, widths=(8, 8, 16, 16)))
    with pretended():
        network = network.to(GPU)
        pixels = network.backbone.normalise(zeros(2, 3, 64, 64, dtype=torch.uint8))
        tokens = network.backbone.tokenizer(["the red mug"] * 2, context_length=network.backbone.max_tokens).to(GPU)
        logits = network(pixels, tokens)
        both = [consistency(logits, logits, kind) for kind in KINDS]
        assert there(*logits, loss(logits, zeros(2, 64, 64)), *both)
        assert there(network.answer(torch.zeros(1, 3, 64, 64, dtype=torch.uint8), [0, 0], ["red", "blue"]))


def test_cadd(tiny_zoo):
    swin, text = (str(tiny_zoo / name) for name in ("swin", "text"))
    settings = replace(
        TINY.cadd, image_model=swin, text_model=text, image_size=64, decoder_dim=8, num_heads=2, coord_features=True
    )
    modules = train.new_modules(settings)
    warp = draw(2, torch.Generator().manual_seed(0))
    with pretended():
        modules = modules.to(GPU)
        student = modules.student
        teacher = modules.teacher
        pixels = zeros(2, 3, 64, 64, dtype=torch.uint8)
        labels = zeros(2, 64, 64, dtype=torch.uint8)
        warp = Warp(*(torch.zeros(part.shape, dtype=part.dtype) for part in vars(warp).values())).to(GPU)
        tokens = student.tokenizer(["the red mug"] * 2).to(GPU)
        ours = student(warp.image(student.normalise(warp.jitter(pixels))), tokens)
        theirs = teacher(student.normalise(pixels), tokens)
        loss = eq_10(train._floats(ours), train._floats(theirs), labels, zeros(2), warp, dice_weight=1.0)
        assert there(*ours, *theirs, loss, *train._shrunk(pixels, labels, 32))
        assert there(student.answer(torch.zeros(1, 3, 64, 64, dtype=torch.uint8), [0, 0], ["red", "blue"]))
