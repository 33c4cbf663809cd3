"""What a student's step does in few operations, against the plain way: the same numbers and the same gradients."""

import pytest
import torch
import torch.nn.functional as F
from transformers import SwinConfig
from transformers.models.swin.modeling_swin import SwinLayer

from wsris_lib.cadd import windows
from wsris_lib.cadd.augment import GREY, draw
from wsris_lib.cadd.lavt import Lavt
from wsris_lib.cadd.losses import CLASSES, cadd, confidence_weighted_ce, foreground
from wsris_lib.cadd.maps import enlarged, instance_norm

ROUNDING = dict(atol=1e-10, rtol=1e-10)


def seeded(number=0):
    return torch.Generator().manual_seed(number)


def assert_alike(ours, theirs, inputs):
    """Two results, and their gradients by each of the inputs."""
    torch.testing.assert_close(ours, theirs, **ROUNDING)
    upstream = torch.randn(ours.shape, generator=seeded(9), dtype=ours.dtype)
    of_ours = torch.autograd.grad(ours, inputs, upstream, retain_graph=True)
    of_theirs = torch.autograd.grad(theirs, inputs, upstream)
    for mine, plain in zip(of_ours, of_theirs, strict=True):
        torch.testing.assert_close(mine, plain, **ROUNDING)


@pytest.mark.parametrize("size", [(8, 8), (4, 4), (2, 6), (5, 7)])
@pytest.mark.parametrize("shift", [0, 2])
def test_a_block_is_transformers_own(size, shift):
    config = SwinConfig(embed_dim=8, window_size=4, initializer_range=0.5, attention_probs_dropout_prob=0.0)
    torch.manual_seed(0)
    config._attn_implementation = "sdpa"  # its "eager" one computes the softmax in float32
    layer = SwinLayer(config, 8, size, 2, shift_size=shift).double()
    torch.nn.init.normal_(layer.attention.relative_position_bias.relative_position_bias_table)
    cells = torch.randn(3, size[0] * size[1], 8, generator=seeded(), dtype=torch.float64, requires_grad=True)
    theirs = layer(cells, size, always_partition=True)[0]
    assert_alike(windows.swin_block(layer, cells, size), theirs, [cells, *layer.parameters()])


def test_a_block_drops_what_its_config_says():
    config = SwinConfig(embed_dim=8, window_size=4, attention_probs_dropout_prob=0.5)
    layer = SwinLayer(config, 8, (4, 4), 2)
    layer.attention.attention_dropout = 0.5
    cells = torch.randn(1, 16, 8, generator=seeded())
    first, second = (windows.swin_block(layer.train(), cells, (4, 4)) for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(*(windows.swin_block(layer.eval(), cells, (4, 4)) for _ in range(2)))


def test_the_instance_norm_is_torchs():
    cells = torch.randn(2, 12, 5, generator=seeded(), requires_grad=True)
    torch.testing.assert_close(instance_norm(cells), F.instance_norm(cells.mT).mT, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(("size", "finer"), [((4, 4), (16, 16)), ((3, 5), (10, 7)), ((4, 6), (4, 6))])
def test_enlarging_by_matrices_is_bilinear_interpolation(size, finer):
    maps = torch.randn(2, 3, *size, generator=seeded()).to(memory_format=torch.channels_last).requires_grad_()
    ours = enlarged(maps, *finer)
    theirs = F.interpolate(maps, finer, mode="bilinear")
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    upstream = torch.randn(ours.shape, generator=seeded(1))
    of_ours, of_theirs = (torch.autograd.grad(maps_of, maps, upstream)[0] for maps_of in (ours, theirs))
    torch.testing.assert_close(of_ours, of_theirs, atol=1e-5, rtol=1e-5)


def test_eq_7_is_torchs_cross_entropy_and_the_foreground_its_softmax():
    logits = (8 * torch.randn(3, 2, 6, 6, generator=seeded(), dtype=torch.float64)).requires_grad_()
    labels = torch.randint(0, 2, (3, 6, 6), generator=seeded(1))
    confidence = torch.tensor([1.0, 0.3, 0.6]).double()
    weight = torch.tensor(CLASSES, dtype=torch.float64)
    each = torch.stack([F.cross_entropy(logits[b : b + 1], labels[b : b + 1], weight) for b in range(3)])
    everywhere = torch.ones(3, 6, 6, dtype=torch.bool)
    ours = confidence_weighted_ce(logits, labels, confidence, everywhere)
    torch.testing.assert_close(ours, (confidence * each).mean(), **ROUNDING)
    torch.testing.assert_close(foreground(logits), logits.softmax(1)[:, 1])


def test_a_term_without_weight_is_left_out():
    student, teacher = ((torch.randn(2, 2, 8, 8), torch.randn(2, 4, 2, 2)) for _ in range(2))
    broken = (teacher[0] * torch.nan, teacher[1] * torch.nan)
    given = (torch.zeros(2, 8, 8), torch.ones(2), draw(2, seeded()))
    assert cadd(student, broken, *given, (1.0, 0.0, 0.0)) == cadd(student, teacher, *given, (1.0, 0.0, 0.0))


def test_jitter_against_one_change_after_the_other():
    warp = draw(4, seeded(), colour=0.5)
    pixels = torch.randint(0, 256, (4, 3, 5, 6), generator=seeded(1), dtype=torch.uint8)
    for b, (brightness, contrast, saturation) in enumerate(warp.colour.double()):
        grey = lambda x: sum(share * channel for share, channel in zip(GREY, x))  # noqa: E731
        x = pixels[b].double() * brightness
        x = (grey(x) + saturation * (x - grey(x))).clamp(0, 255)
        x = (grey(x).mean() + contrast * (x - grey(x).mean())).clamp(0, 255)
        torch.testing.assert_close(warp.jitter(pixels)[b].double(), x, atol=1e-3, rtol=1e-5)


def test_columns_of_padding_are_cut_and_change_no_answer(tiny_zoo):
    torch.manual_seed(0)
    config = SwinConfig(image_size=64, embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 2, 2, 4), window_size=4)
    student = Lavt(config, str(tiny_zoo / "text"), image_size=64, max_tokens=12, num_heads=2)
    pixels = torch.randn(2, 3, 64, 64, generator=seeded())
    tokens = student.tokenizer(["a red ball", "the mug left of it"])
    cut = student.trimmed(tokens)
    assert cut.shape[1] < tokens.shape[1] and (tokens[:, cut.shape[1] :] == 0).all()
    assert (cut[:, -1] != 0).any()
    for ours, theirs in zip(student(pixels, cut), student(pixels, tokens)):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
