"""Stage 2's network, losses and teacher, against slow float64 versions written here and open_clip's own text."""

import math
from dataclasses import replace

import open_clip
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from wsris_lib.config.profiles import PROFILES
from wsris_lib.ehin.stage2 import PixelWordAttention, Stage2
from wsris_lib.ehin.stage2_losses import bce, ce_dice, consistency, dice
from wsris_lib.frozen.clip import encode_text, token_features
from wsris_lib.segmentation.mean_teacher import MeanTeacher, decay

TINY = PROFILES["tiny"]


@pytest.fixture
def settings(tiny_zoo):
    return replace(TINY.stage2, backbone=str(tiny_zoo / "clip_rn"), image_size=64, widths=(8, 8, 16, 16))


@pytest.fixture
def model(settings):
    torch.manual_seed(0)
    return Stage2(settings).eval()


# -- words and cells --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [20, 24])
def test_token_features_hold_what_open_clip_pools(tiny_zoo, model, length):
    clip = model.backbone.clip
    tokenizer = model.backbone.tokenizer
    sentences = ["the red mug", "a ball", "big tree behind a car"]
    theirs = open_clip.create_model(f"local-dir:{tiny_zoo / 'clip_rn'}").eval()
    tokens = tokenizer(sentences, context_length=length)
    with torch.no_grad():
        features = token_features(clip, tokens)
        assert features.shape == (3, length, 64)
        ends = torch.stack([f[t.argmax()] for f, t in zip(features, tokens)])
        expected = theirs.encode_text(tokenizer(sentences))  # all of its context
        torch.testing.assert_close(ends @ clip.text_projection, expected, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(encode_text(clip, tokens), F.normalize(expected, dim=1), atol=1e-5, rtol=1e-4)


def test_padding_knows_the_sentence_and_a_token_nothing_after_it(model):
    clip = model.backbone.clip
    tokenizer = model.backbone.tokenizer
    with torch.no_grad():
        a, b = token_features(clip, tokenizer(["the red mug", "the red car"], context_length=20))
    same = [torch.allclose(x, y, atol=1e-6) for x, y in zip(a, b)]
    assert all(same[:3]) and not any(same[-3:])


def slow_instance_norm(maps, norm):
    """maps: a list over channels of lists over cells."""
    out = []
    for channel, values in enumerate(maps):
        mean = sum(values) / len(values)
        variance = sum((v - mean) ** 2 for v in values) / len(values)
        gain = norm.weight[channel].item()
        shift = norm.bias[channel].item()
        out.append([(v - mean) / math.sqrt(variance + norm.eps) * gain + shift for v in values])
    return out


def slow_linear(layer, vector):
    rows = layer.weight.flatten(1).tolist()
    return [b + sum(w * v for w, v in zip(row, vector)) for row, b in zip(rows, layer.bias.tolist())]


def slow_attention(module, cells, words):
    """TRIS's PixelAttention of one image, a cell at a time: cells [P][C], words [L][Ct] -> [P][C]."""
    transpose = lambda table: [list(column) for column in zip(*table)]  # noqa: E731
    keys, values = ([slow_linear(layer, word) for word in words] for layer in (module.key, module.value))
    queries = [slow_linear(module.query[0], cell) for cell in cells]
    queries = transpose(slow_instance_norm(transpose(queries), module.query[1]))
    mixtures = []
    for query in queries:
        scores = [sum(q * k for q, k in zip(query, key)) / math.sqrt(len(query)) for key in keys]
        total = sum(math.exp(s) for s in scores)
        share = [math.exp(s) / total for s in scores]
        got = [sum(a * value[c] for a, value in zip(share, values)) for c in range(len(query))]
        mixtures.append(slow_linear(module.lang_proj[0], got))
    mixtures = transpose(slow_instance_norm(transpose(mixtures), module.lang_proj[1]))
    projected = [[max(0.0, v) for v in slow_linear(module.vis_proj[0], cell)] for cell in cells]
    both = [[s * h for s, h in zip(a, b)] for a, b in zip(projected, mixtures)]
    return [[max(0.0, v) for v in slow_linear(module.out[0], cell)] for cell in both]


def test_pixel_word_attention_against_a_slow_version():
    torch.manual_seed(0)
    module = PixelWordAttention(4, 3).double()
    for norm in (module.query[1], module.lang_proj[1]):
        nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.uniform_(norm.bias, -1, 1)
    cells = torch.randn(2, 4, 2, 3).double()
    words = torch.randn(2, 5, 3).double()
    fused = module(cells, words)
    assert fused.shape == cells.shape and (fused > 0).any()
    for image, sentence, got in zip(cells, words, fused):
        expected = slow_attention(module, image.flatten(1).T.tolist(), sentence.tolist())
        torch.testing.assert_close(got.flatten(1).T, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 64), (64, 128)])
def test_four_outputs_of_the_inputs_size(model, height, width):
    tokens = model.backbone.tokenizer(["the red mug", "a car"], context_length=20)
    with torch.no_grad():
        outputs = model(torch.randn(2, 3, height, width), tokens)
    assert [output.shape for output in outputs] == [(2, height, width)] * 4


@pytest.mark.parametrize(("height", "width"), [(70, 64), (64, 48), (32, 32)])
def test_another_size_of_input_is_refused(model, height, width):
    with pytest.raises(ValueError, match="expected multiples of 32, 64 or more"):
        model(torch.randn(1, 3, height, width), torch.zeros(1, 20, dtype=torch.long))


def test_a_wrong_backbone_is_refused(tiny_zoo):
    with pytest.raises(ValueError, match="70 pixels: expected a multiple of 32"):
        Stage2(replace(TINY.stage2, backbone=str(tiny_zoo / "clip_rn"), image_size=70))
    with pytest.raises(ValueError, match="choose a CLIP ResNet"):
        Stage2(replace(TINY.stage2, backbone=str(tiny_zoo / "clip"), image_size=64))


def test_the_finest_output_comes_first_and_each_knows_the_maps_below_it(model):
    maps = [m.detach().requires_grad_() for m in model.pyramid(torch.randn(1, 3, 64, 64))]
    outputs = model.decode(maps, model.backbone.tokenizer(["the red mug"], context_length=20))
    for level, output in enumerate(outputs):
        grads = torch.autograd.grad(output.square().sum(), maps, retain_graph=True, allow_unused=True)
        assert [g is not None and bool(g.abs().sum() > 0) for g in grads] == [n >= level for n in range(4)]


def test_the_widths_of_tris(tiny_zoo):
    model = Stage2(replace(TINY.stage2, backbone=str(tiny_zoo / "clip_rn"), image_size=64, widths=(64, 128, 256, 512)))
    convolutions = lambda blocks: [(b[0].in_channels, b[0].out_channels) for b in blocks]  # noqa: E731
    assert convolutions(model.merge) == [(64, 32), (128, 64), (256, 128), (512, 256)]
    assert convolutions(head[0] for head in model.heads) == [(32, 32), (64, 32), (128, 64), (256, 64)]
    assert convolutions(model.reduce) == [(32, 64), (64, 128), (128, 256), (256, 512)]  # of this small ResNet
    own = {id(p) for p in model.own_parameters()}
    assert len(own) + len(list(model.backbone.parameters())) == len(list(model.parameters()))
    assert not own & {id(p) for p in model.backbone.parameters()}


# -- losses -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    outputs = [3 * torch.randn(3, 4, 5, generator=generator, dtype=torch.float64) for _ in range(4)]
    labels = torch.rand(3, 4, 5, generator=generator, dtype=torch.float64)
    labels[0] = labels[0].round()
    return outputs, labels


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def slow_loss(outputs, labels, weight, with_dice):
    total = 0.0
    for logits in outputs:
        for n in range(len(labels)):
            pixels = list(zip(logits[n].flatten().tolist(), labels[n].flatten().tolist()))
            each = sum(-y * math.log(sigmoid(x)) - (1 - y) * math.log(1 - sigmoid(x)) for x, y in pixels) / len(pixels)
            if with_dice:
                both = sum(sigmoid(x) * y for x, y in pixels)
                each += 1 - (2 * both + 1) / (sum(sigmoid(x) for x, _ in pixels) + sum(y for _, y in pixels) + 1)
            total += weight[n] * each / len(labels)
    return total


@pytest.mark.parametrize(("loss", "with_dice"), [(bce, False), (ce_dice, True)])
def test_losses_against_a_slow_version(pair, loss, with_dice):
    outputs, labels = pair
    assert float(loss(outputs, labels)) == pytest.approx(slow_loss(outputs, labels, [1, 1, 1], with_dice), abs=1e-10)
    weight = torch.tensor([0.2, 0.0, 1.0], dtype=torch.float64)
    weighted = slow_loss(outputs, labels, weight.tolist(), with_dice)
    assert float(loss(outputs, labels, weight)) == pytest.approx(weighted, abs=1e-10)


def test_dice_is_nothing_for_a_perfect_mask_and_one_for_a_wrong_one():
    labels = torch.zeros(3, 20, 20)
    labels[0, 4:9, 3:7] = 1
    labels[1] = 1  # the third is empty
    assert torch.equal(dice(labels, labels), torch.zeros(3))
    assert (dice(1 - labels, labels) > 0.99).all()
    assert dice(torch.full((1, 20, 20), 0.5), labels[:1]).item() < 1
    logits = 1000 * (labels - 0.5)
    assert ce_dice([logits] * 4, labels).item() == 0
    assert torch.isfinite(ce_dice([-logits] * 4, labels))


def slow_consistency(student, teacher, kind):
    total = 0.0
    for ours, theirs in zip(student, teacher):
        for x, z in zip(ours.flatten().tolist(), theirs.flatten().tolist()):
            s = sigmoid(x)
            t = sigmoid(z)
            kl = t * math.log(t / s) + (1 - t) * math.log((1 - t) / (1 - s))
            total += ((s - t) ** 2 if kind == "mse" else kl) / ours.numel()
    return total


@pytest.mark.parametrize("kind", ["mse", "kl"])
def test_consistency_against_a_slow_version(pair, kind):
    student = pair[0]
    teacher = [logits.flip(0) for logits in student]
    assert float(consistency(student, teacher, kind)) == pytest.approx(slow_consistency(student, teacher, kind))
    assert consistency(student, student, kind).item() == 0
    far = [torch.full((1, 2, 2), 200.0)], [torch.full((1, 2, 2), -200.0)]
    assert torch.isfinite(consistency(*far, kind)) and consistency(*far, kind) > 0
    with pytest.raises(ValueError, match="expected one of mse, kl"):
        consistency(student, teacher, "KL")


@pytest.mark.parametrize("kind", ["mse", "kl"])
def test_consistency_moves_the_student_alone_and_towards_its_teacher(kind):
    student = torch.zeros(1, 2, 2, requires_grad=True)
    teacher = torch.full((1, 2, 2), 2.0, requires_grad=True)
    consistency([student], [teacher], kind).backward()
    assert (student.grad < 0).all() and teacher.grad is None


# -- the mean teacher -------------------------------------------------------------------------------------------------


def small():
    return nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))


def test_the_average_of_a_student_that_stands_still():
    torch.manual_seed(0)
    student = small()
    start = small()
    teacher = MeanTeacher(start)
    for _ in range(7):
        teacher.update(student, 0.9)
    for theirs, ours, first in zip(teacher.module.parameters(), student.parameters(), start.parameters()):
        expected = 0.9**7 * first.double() + (1 - 0.9**7) * ours.double()
        torch.testing.assert_close(theirs.double(), expected, atol=1e-6, rtol=1e-5)


def test_buffers_are_copied_whole_numbers_too():
    student = small()
    teacher = MeanTeacher(student)
    student.train()(torch.randn(4, 2, 5, 5))
    before = teacher.module[1].running_mean.clone()
    teacher.update(student, 0.999)
    assert not torch.equal(before, student[1].running_mean)
    for theirs, ours in zip(teacher.module.buffers(), student.buffers(), strict=True):
        assert torch.equal(theirs, ours) and theirs.dtype == ours.dtype and theirs is not ours
    assert teacher.module[1].num_batches_tracked.item() == 1


def test_a_copy_and_what_it_may_not_do():
    student = small()
    teacher = MeanTeacher(small())
    teacher.copy_from(student)
    assert all(torch.equal(a, b) for a, b in zip(teacher.module.state_dict().values(), student.state_dict().values()))
    both = nn.ModuleDict({"student": student, "teacher": teacher}).train()
    assert student.training and not any(module.training for module in teacher.modules())
    pixels = torch.randn(4, 2, 5, 5)
    out = teacher(pixels)
    assert not out.requires_grad and not any(p.requires_grad for p in teacher.parameters())
    torch.testing.assert_close(out, student.eval()(pixels))
    assert len(both.state_dict()) == 2 * len(student.state_dict())  # the student isn't in there twice
    with torch.no_grad():
        student[0].weight.add_(1)
    assert not torch.equal(teacher.module[0].weight, student[0].weight)


def test_the_horizon_is_a_share_of_the_training():
    assert decay(0.3, 1000) == pytest.approx(1 - 1 / 300)
    assert decay(0.3, 2) == 0.0  # less than one update to average over
    assert 0.9996**200 == pytest.approx(0.923, abs=1e-3)
    assert decay(0.3, 200) ** 200 < 0.04  # here a run as short forgets where it began
