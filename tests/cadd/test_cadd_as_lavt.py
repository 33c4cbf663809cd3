"""How LAVT is trained: stochastic depth while it learns alone, and what `tiny` leaves as it was."""

from dataclasses import replace

import pytest
import torch

from wsris_lib.cadd import train
from wsris_lib.cadd.lavt import Lavt
from wsris_lib.cadd.muon import Muon
from wsris_lib.config.profiles import PROFILES


@pytest.fixture
def settings(tiny_zoo):
    models = {"image_model": str(tiny_zoo / "swin"), "text_model": str(tiny_zoo / "text")}
    return replace(PROFILES["tiny"].cadd, **models, image_size=64, max_tokens=8, decoder_dim=8)


def inputs():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, 64, 64, generator=generator), torch.tensor([[2, 5, 3], [2, 6, 3]])


@torch.no_grad()
def logits(model, training):
    """Two answers to the same input, everything but the Swin evaluating."""
    torch.manual_seed(1)
    model.eval().swin.train(training)
    return [model(*inputs())[0] for _ in range(2)]


def test_stochastic_depth_is_for_training_alone(tiny_zoo):
    places = (str(tiny_zoo / "swin"), str(tiny_zoo / "text"), 64)
    torch.manual_seed(0)
    dropping = Lavt(*places, drop_path=0.9)
    whole = Lavt(*places, drop_path=0.0)
    whole.load_state_dict(dropping.state_dict())
    assert not torch.equal(*logits(dropping, training=True))
    assert torch.equal(*logits(whole, training=True))
    for a, b in zip(logits(dropping, training=False), logits(whole, training=False), strict=True):
        assert torch.equal(a, b)


def stepped(settings, optimisers_of):
    """The parameters after a step of a loss, of the student that the seed makes."""
    student = train.new_modules(settings, seed=3).student.eval()
    optimisers = optimisers_of(student)
    maps, features = student(*inputs())
    (maps.square().mean() + features.square().mean()).backward()
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * group.get("lr_scale", 1.0)
        optimiser.step()
    return {name: p.detach().clone() for name, p in student.named_parameters()}


def test_a_step_of_tiny_is_that_of_the_plain_optimisers(settings):
    """All of the BERT, one weight decay, the stochastic depth of its config: as before there were LAVT's."""

    def plain(student):
        matrices = student.own_matrices()
        taken = {id(p) for p in matrices}
        own = [p for p in student.own_parameters() if id(p) not in taken]
        encoders = [*student.swin.parameters(), *student.bert.parameters()]
        groups = [{"params": own}, {"params": encoders, "lr_scale": 0.1}]
        shared = {"lr": settings.learning_rate, "weight_decay": 0.01}
        muon = Muon([{"params": matrices, "lr_scale": 2.0}], **shared, adjust_lr_fn="match_rms_adamw")
        return [torch.optim.AdamW(groups, **shared, fused=True), muon]

    expected = stepped(settings, plain)
    ours = stepped(settings, lambda student: train.optimisers_of(student, settings))
    assert all(torch.equal(ours[name], expected[name]) for name in expected)
    for changes in ({"norm_decay": False}, {"text_layers": 1}, {"weight_decay": 0.0}):
        other = replace(settings, **changes)
        changed = stepped(settings, lambda student, other=other: train.optimisers_of(student, other))
        assert not all(torch.equal(changed[name], expected[name]) for name in expected), changes
