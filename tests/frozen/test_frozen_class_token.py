"""A ViT's class token without the rest of its last layer, and the critic that reads it, against open_clip's own."""

import copy

import open_clip
import pytest
import torch
import torch.nn.functional as F

from wsris_lib.frozen import class_token
from wsris_lib.frozen.clip_backbone import Backbone
from wsris_lib.frozen.critic import Critic
from wsris_lib.infra.device import multiplies_bfloat16


def gradient(answer, pixels):
    """What the answer [B, E], each channel weighted otherwise, says of the pixels."""
    weights = torch.linspace(-1, 1, answer.shape[1])
    return torch.autograd.grad((answer * weights).sum(), pixels)[0]


@pytest.mark.parametrize("size", [32, 64])
def test_the_class_token_is_what_open_clip_pools(tiny_zoo, size):
    visual = Backbone(str(tiny_zoo / "clip"), size).clip.visual
    assert class_token.readable(visual)
    pixels = torch.randn(3, 3, size, size, requires_grad=True)
    theirs = visual(pixels)[0]
    ours = class_token.class_vectors(visual, pixels)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(gradient(ours, pixels), gradient(theirs, pixels), atol=1e-5, rtol=1e-3)


def test_a_model_of_another_kind_goes_its_own_way(tiny_zoo):
    resnet = Backbone(str(tiny_zoo / "clip_rn"), 64)
    assert not class_token.readable(resnet.clip.visual)
    other = copy.deepcopy(Backbone(str(tiny_zoo / "clip"), 32).clip.visual)
    other.pool_type = "avg"
    assert not class_token.readable(other)
    scaled = open_clip.transformer.VisionTransformer(32, 8, 32, 2, 2, 4.0, ls_init_value=0.1, output_dim=16)
    assert not class_token.readable(scaled)
    pixels = torch.randn(2, 3, 64, 64)
    judge = Critic(str(tiny_zoo / "clip_rn"), 64)
    torch.testing.assert_close(judge.image_vectors(pixels), resnet.image_vectors(pixels))


def test_bfloat16_is_near_and_the_cosines_are_in_float32(tiny_zoo):
    judge = Critic(str(tiny_zoo / "clip"), 32)
    pixels = torch.randn(2, 3, 32, 32)
    masks = torch.rand(2, 4, 4)
    sentences = F.normalize(torch.randn(2, 3, 48), dim=2)
    exact = judge(pixels, masks, sentences)
    with torch.autocast("cpu", torch.bfloat16):
        half = judge(pixels, masks, sentences)
    assert half.dtype == torch.float32 and not torch.equal(half, exact)
    torch.testing.assert_close(half, exact, atol=0.03, rtol=0)


def test_the_processor_can_be_asked():
    assert isinstance(multiplies_bfloat16(), bool)
