"""LAVT, the student's warp and CADD's losses, against slow float64 versions written here and transformers' own Swin."""

import math

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from transformers import SwinBackbone, SwinConfig, SwinModel

from wsris_lib.cadd.augment import Warp, draw
from wsris_lib.cadd.lavt import Decoder, Lavt, Pwam
from wsris_lib.cadd.losses import (
    CLASSES,
    cadd,
    confidence_weighted_ce,
    feature_agreement,
    mask_agreement,
    weighted_dice,
)
from wsris_lib.refer.labels import PseudoLabel
from wsris_lib.refer.masks import encode_rle
from wsris_lib.refer.views import ImageFile, Sample, TrainingView
from wsris_lib.segmentation.dataset import PseudoLabelDataset
from wsris_lib.segmentation.mean_teacher import MeanTeacher

SIZES = dict(embed_dim=8, depths=(2, 1, 2, 1), num_heads=(1, 2, 2, 4), window_size=4, patch_size=4)
STAGES = ["stage1", "stage2", "stage3", "stage4"]


@pytest.fixture
def config():
    return SwinConfig(image_size=64, **SIZES, drop_path_rate=0.0, initializer_range=0.2)


@pytest.fixture
def model(tiny_zoo, config):
    torch.manual_seed(0)
    return Lavt(config, str(tiny_zoo / "text"), image_size=64, max_tokens=12)


def seeded(number=0):
    return torch.Generator().manual_seed(number)


# -- pixel-word attention ---------------------------------------------------------------------------------------------


def slow_linear(weight, bias, vector):
    return [b + sum(w * v for w, v in zip(row, vector)) for row, b in zip(weight.tolist(), bias.tolist())]


def slow_norm(cells):
    """Each channel to mean 0 and variance 1 over the cells: cells [N][C]."""
    columns = []
    for values in zip(*cells):
        mean = sum(values) / len(values)
        variance = sum((v - mean) ** 2 for v in values) / len(values)
        columns.append([(v - mean) / math.sqrt(variance + 1e-5) for v in values])
    return [list(row) for row in zip(*columns)]


def gelu(x):
    return x * (1 + math.erf(x / math.sqrt(2))) / 2


def slow_pwam(weights, biases, cells, words, real, heads):
    """LAVT's, with all of its biases: cells [N][C], words [L][Ct], real [L] -> [N][C]."""
    of = lambda name, vector: slow_linear(weights[name], biases[name], vector)  # noqa: E731
    keys, values = ([of(name, word) for word in words] for name in ("key", "value"))
    mixtures = []
    each = len(cells[0]) // heads
    for query in slow_norm([of("query", cell) for cell in cells]):
        mixed = []
        for channels in (range(head * each, (head + 1) * each) for head in range(heads)):
            scores = [sum(query[c] * key[c] for c in channels) / math.sqrt(each) for key in keys]
            shares = [math.exp(s) if yes else 0.0 for s, yes in zip(scores, real)]
            mixed += [sum(a * v[c] for a, v in zip(shares, values)) / sum(shares) for c in channels]
        mixtures.append(of("lang_proj", mixed))
    fused = []
    for cell, mixture in zip(cells, slow_norm(mixtures)):
        both = [gelu(v) * s for v, s in zip(of("vis_proj", cell), mixture)]
        fused.append([gelu(v) for v in of("out", both)])
    return fused


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_pwam_against_a_slow_version_that_has_every_bias_of_lavt(heads):
    torch.manual_seed(0)
    module = Pwam(4, 3, heads).double()
    cells = torch.randn(2, 6, 4).double()
    words = torch.randn(2, 5, 3).double()
    real = torch.tensor([[True] * 5, [True, True, True, False, False]])
    fused = module(cells, words, real)
    layers = dict(module.named_children())
    weights = {name: layer.weight for name, layer in layers.items()}
    biases = {name: torch.randn(4).double() if layer.bias is None else layer.bias for name, layer in layers.items()}
    assert [name for name, layer in layers.items() if layer.bias is None] == ["key", "value", "query", "lang_proj"]
    for n in range(2):
        expected = slow_pwam(weights, biases, cells[n].tolist(), words[n].tolist(), real[n].tolist(), heads)
        torch.testing.assert_close(fused[n], torch.tensor(expected, dtype=torch.float64))


def test_heads_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match="4 channels of a cell can't be shared by 3 heads"):
        Pwam(4, 3, heads=3)


def test_padding_words_get_no_share_and_no_gradient():
    torch.manual_seed(0)
    module = Pwam(4, 3)
    cells = torch.randn(1, 6, 4)
    words = torch.randn(1, 5, 3, requires_grad=True)
    real = torch.tensor([[True, True, True, False, False]])
    module(cells, words, real).square().sum().backward()
    assert (words.grad[0, :3].abs().sum(1) > 0).all() and not words.grad[0, 3:].any()


# -- the network ------------------------------------------------------------------------------------------------------


def cells_of_each_stage(model, pixels, tokens):
    """What comes out of each stage's blocks, before the words: [B, N, C] of four stages."""
    cells = []
    hooks = [pwam.register_forward_pre_hook(lambda _, args: cells.append(args[0])) for pwam in model.pwam]
    with torch.no_grad():
        model(pixels, tokens)
    for hook in hooks:
        hook.remove()
    return cells


@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 128)])  # the last stage: within a window, and beyond it
def test_with_closed_gates_the_swin_is_transformers_own(model, config, height, width):
    pixels = torch.randn(2, 3, height, width)
    tokens = model.tokenizer(["the red mug", "a ball"])
    config.set_output_features_output_indices(out_features=STAGES, out_indices=None)
    theirs = SwinBackbone(config).eval()
    left = theirs.swin.load_state_dict(model.swin.state_dict(), strict=False)
    assert set(left.missing_keys) == {"layernorm.weight", "layernorm.bias"} and not left.unexpected_keys
    with torch.no_grad():
        expected = theirs(pixels).feature_maps
    opened = cells_of_each_stage(model, pixels, tokens)
    for gate in model.gates:
        nn.init.zeros_(gate.outer.weight)
    closed = cells_of_each_stage(model, pixels, tokens)
    for n, (cells, features) in enumerate(zip(closed, expected, strict=True)):
        normed = F.layer_norm(cells, cells.shape[2:]).mT.unflatten(2, features.shape[2:])  # as SwinBackbone hands out
        torch.testing.assert_close(normed, features, atol=1e-5, rtol=1e-4)
        assert torch.equal(cells, opened[n]) == (n == 0)  # with open gates words reach all stages but the first


def test_a_cell_is_told_where_its_centre_is(tiny_zoo, config):
    torch.manual_seed(0)
    model = Lavt(config, str(tiny_zoo / "text"), image_size=64, coord_features=True)
    centres = []
    for linear in model.places:
        linear.register_forward_hook(lambda _, args, __: centres.append(args[0]))
    asking = cells_of_each_stage(model, torch.zeros(1, 3, 64, 128), model.tokenizer(["a ball"]))
    assert [len(places) for places in centres] == [16 * 32, 8 * 16, 4 * 8, 2 * 4] and len(asking) == 4
    x, y = centres[-1].T.tolist()
    assert x == [-0.75, -0.25, 0.25, 0.75] * 2 and y == [-0.5] * 4 + [0.5] * 4  # edge to edge, as a warp's frame
    model.places = None
    without = cells_of_each_stage(model, torch.zeros(1, 3, 64, 128), model.tokenizer(["a ball"]))
    assert (asking[0] - without[0]).abs().max() > 0.1  # what asks the words, not what goes on in the Swin


def test_a_network_that_is_told_nothing_sees_two_places_alike(tiny_zoo, config):
    """A thing on an even ground gives the same answer wherever its whole windows are; told its place, another."""
    pixels = torch.zeros(2, 3, 128, 128)
    pixels[0, 0, 40:56, 24:40] = pixels[1, 0, 40:56, 88:104] = 2.0  # four windows apart, none of them at an edge
    for places in (False, True):
        torch.manual_seed(0)
        model = Lavt(config, str(tiny_zoo / "text"), image_size=128, coord_features=places)
        answers = []
        model.pwam[0].register_forward_hook(lambda _, __, fused, answers=answers: answers.append(fused))
        with torch.no_grad():
            model(pixels, model.tokenizer(["the left one"] * 2))
        left, right = answers[0].unflatten(1, (32, 32))
        same = torch.allclose(left[10:14, 6:10], right[10:14, 22:26], atol=1e-5)
        assert same != places


def test_a_swin_checkpoint_and_its_config_are_one_path(tiny_zoo, tmp_path, config):
    torch.manual_seed(0)
    stored = SwinModel(config)
    stored.half().save_pretrained(tmp_path)
    model = Lavt(str(tmp_path), str(tiny_zoo / "text"), image_size=64, drop_path=0.3)
    ours = model.swin.state_dict()
    theirs = stored.state_dict()
    assert all(torch.equal(tensor, theirs[name].float()) for name, tensor in ours.items())
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert model.swin.config.drop_path_rate == 0.3 and not model.training
    assert [pwam.query.in_features for pwam in model.pwam] == [8, 16, 32, 64]
    assert model.decoder.logits.in_channels == 32  # half of the coarsest


@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 64)])
def test_logits_of_the_inputs_size_and_features_of_the_last_stage(model, height, width):
    with torch.no_grad():
        logits, features = model(torch.randn(2, 3, height, width), model.tokenizer(["the red mug", "a ball"]))
    assert logits.shape == (2, 2, height, width)
    assert features.shape == (2, 64, height // 32, width // 32)
    torch.testing.assert_close(features.mean(1), torch.zeros(2, height // 32, width // 32), atol=1e-5, rtol=0)  # normed


@pytest.mark.parametrize(("height", "width"), [(70, 64), (64, 32), (32, 32)])
def test_another_size_of_input_is_refused(model, height, width):
    with pytest.raises(ValueError, match="expected multiples of 32, 64 or more"):
        model(torch.randn(1, 3, height, width), model.tokenizer(["a ball"]))


def test_padding_tokens_change_nothing_and_words_do(model):
    pixels = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        short, long = (model(pixels, model.tokenizer(["the red mug"], length)) for length in (6, 16))
        other = model(pixels, model.tokenizer(["the blue mug"], 6))
    for a, b, c in zip(short, long, other):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
        assert (a - c).abs().max() > 2e-3


def test_a_sentence_that_is_too_long_keeps_its_end(model):
    tokens = model.tokenizer(["the red mug on the left of the big blue ball behind a car", "a ball"])
    assert tokens.shape == (2, 12) and tokens.dtype == torch.long
    assert tokens[0, -1] == model._tokenizer.sep_token_id and tokens[1, -1] == model._tokenizer.pad_token_id


def test_labelled_takes_it_for_a_backbone(model, tmp_path):
    Image.new("RGB", (90, 60), (124, 116, 104)).save(tmp_path / "0.png")  # ImageNet's mean colour
    view = TrainingView([Sample(0, 0, 0, "the red mug")], {0: ImageFile(tmp_path / "0.png", 60, 90)})
    mask = torch.zeros(60, 90, dtype=torch.bool)
    mask[:, :45] = True
    data = PseudoLabelDataset(view, [PseudoLabel(0, 0, 0, encode_rle(mask.numpy()), 0.5)], model)
    pixels, tokens, masks, _ = data.batch([0])
    assert (
        torch.equal(tokens, model.tokenizer(["the red mug"])) and masks[0, :, :32].all() and not masks[0, :, 32:].any()
    )
    assert pixels.dtype == torch.uint8 and model.normalise(pixels).abs().max() < 0.02


def test_every_parameter_learns_as_the_last_stage_has_no_gate(model):
    assert len(model.gates) == 3 and len(model.pwam) == 4
    logits, _ = model.train()(torch.randn(2, 3, 64, 64), model.tokenizer(["the red mug", "a ball"]))
    logits.square().mean().backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None]
    own = {id(p) for p in model.own_parameters()}
    theirs = {id(p) for part in (model.swin, model.bert) for p in part.parameters()}
    assert not own & theirs and len(own | theirs) == len(list(model.parameters()))


def test_gates_are_recorded_while_asked_for(model):
    pixels = model.normalise(torch.rand(2, 3, 64, 64) * 255)
    tokens = model.tokenizer(["a mug", "the chair"])
    with torch.no_grad():
        for gate in model.gates:
            torch.nn.init.normal_(gate.outer.weight)
    given = []
    hooks = [
        gate.register_forward_hook(lambda _, inputs, output: given.append((inputs[0], output))) for gate in model.gates
    ]
    with model.recorded_gates() as values:
        model(pixels, tokens)
        model(pixels, tokens)
    assert len(values) == len(given) == 2 * len(model.gates)
    for value, (fused, output) in zip(values, given):
        assert torch.equal(value * fused, output) and value.abs().max() <= 1 and not value.requires_grad
    [hook.remove() for hook in hooks]
    model(pixels, tokens)
    assert len(values) == 2 * len(model.gates) and not any(gate._forward_hooks for gate in model.gates)


def test_the_decoder_joins_each_finer_map(model):
    torch.manual_seed(0)
    decoder = Decoder([4, 8, 16, 32], 16).eval()
    assert [(level[0].in_channels, level[0].out_channels) for level in decoder.levels] == [(48, 16), (24, 16), (20, 16)]
    maps = [torch.randn(1, c, s, s, requires_grad=True) for c, s in ((4, 16), (8, 8), (16, 4), (32, 2))]
    logits = decoder(maps)
    assert logits.shape == (1, 2, 16, 16)
    assert all(g.abs().sum() > 0 for g in torch.autograd.grad(logits.square().sum(), maps))


def test_a_wrong_checkpoint_is_named_with_what_was_expected(tiny_zoo, tmp_path, config):
    text = str(tiny_zoo / "text")
    with pytest.raises(ValueError, match="found a model of the type 'dinov2'; expected a 'swin'"):
        Lavt(str(tiny_zoo / "dino"), text, 64)
    with pytest.raises(ValueError, match="found a model of the type 'dinov2'; expected a 'bert'"):
        Lavt(config, str(tiny_zoo / "dino"), 64)
    with pytest.raises(ValueError, match="transformers finds no config it can read; expected a 'swin'"):
        Lavt(str(tiny_zoo / "clip"), text, 64)
    with pytest.raises(FileNotFoundError, match="zoo:NAME"):
        Lavt(str(tmp_path / "mistyped"), text, 64)


def test_a_small_one_learns_which_of_two_squares_is_meant(tiny_zoo, learning):
    torch.manual_seed(learning.seed)
    sizes = SIZES | {"embed_dim": 16, "depths": (1, 1, 2, 1), "num_heads": (1, 2, 4, 8)}
    swin = SwinConfig(image_size=64, **sizes, drop_path_rate=0.0, initializer_range=0.08)
    model = Lavt(swin, str(tiny_zoo / "text"), image_size=64, width=16).train()
    pixels = torch.zeros(2, 3, 64, 64)
    masks = torch.zeros(2, 64, 64, dtype=torch.long)
    pixels[:, 0, 24:44, 4:24] = 2  # red on the left
    pixels[:, 2, 24:44, 40:60] = 2  # blue on the right
    masks[0, 24:44, 4:24] = 1
    masks[1, 24:44, 40:60] = 1
    tokens = model.tokenizer(["the red ball", "the blue ball"])
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(80):
        loss = F.cross_entropy(model(pixels, tokens)[0], masks)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    predicted = model(pixels, tokens)[0].argmax(1)
    for iou in (predicted & masks).sum((1, 2)) / (predicted | masks).sum((1, 2)):
        learning.above(iou, 0.6, "IoU with the square that is meant")


# -- the warp ---------------------------------------------------------------------------------------------------------


def mirror(batch):
    return draw(batch, seeded(), flip=1.0, zoom=(1.0, 1.0), colour=0.0)


def test_a_warp_against_pixels_moved_one_by_one():
    warp = draw(6, seeded(1), zoom=(0.6, 1.4))
    labels = torch.randint(0, 200, (6, 9, 12), generator=seeded(), dtype=torch.uint8)
    maps = torch.rand(6, 9, 12, generator=seeded()).double()
    moved = warp.labels(labels)
    smooth = warp.maps(maps)
    inside = warp.inside(9, 12)
    assert moved.dtype == torch.uint8 and smooth.dtype == torch.float64
    assert warp.flipped.any() and not warp.flipped.all() and not inside.all()
    for n in range(6):
        (a, _, dx), (_, b, dy) = warp.theta[n].double().tolist()
        for row in range(9):
            for column in range(12):
                x = a * ((2 * column + 1) / 12 - 1) + dx
                y = b * ((2 * row + 1) / 9 - 1) + dy
                assert bool(inside[n, row, column]) == (abs(x) <= 1 and abs(y) <= 1)
                x = min(max((x + 1) * 6 - 0.5, 0), 11)  # in columns, not beyond the outermost centre
                y = min(max((y + 1) * 4.5 - 0.5, 0), 8)
                assert int(moved[n, row, column]) == int(labels[n, round(y), round(x)])
                assert float(smooth[n, row, column]) == pytest.approx(slow_bilinear(maps[n], x, y), abs=1e-5)


def slow_bilinear(table, x, y):
    left = int(x)
    top = int(y)
    right = min(left + 1, table.shape[1] - 1)
    bottom = min(top + 1, table.shape[0] - 1)
    along = [float(table[r, left]) * (1 - x + left) + float(table[r, right]) * (x - left) for r in (top, bottom)]
    return along[0] * (1 - y + top) + along[1] * (y - top)


def test_image_label_and_teacher_move_alike():
    """A white square is where its label, its probability and its coarse feature are."""
    warp = draw(16, seeded(), zoom=(0.7, 1.3))
    labels = torch.zeros(16, 64, 64, dtype=torch.uint8)
    labels[:, 8:40, 24:56] = 1
    image = warp.image(labels[:, None].float().expand(-1, 3, -1, -1))
    inside = warp.inside(64, 64)
    moved = warp.labels(labels)
    differ = ((image[:, 0] > 0.5) != (moved == 1)) & inside
    assert (differ.sum((1, 2)) <= 4).all()  # the four corners, which bilinear sampling rounds
    torch.testing.assert_close(warp.maps(labels.float()) * inside, image[:, 1])
    assert not image.masked_select(~inside[:, None]).any()  # outside the image: the mean colour
    coarse = F.avg_pool2d(labels[:, None].float(), 8)  # a grid of 8 x 8, the square's sides on its lines
    away = F.avg_pool2d(moved[:, None].float(), 8)
    both = warp.inside(8, 8)[:, None]
    assert ((warp.maps(coarse) - away) * both).abs().mean() < 0.06 < ((coarse - away) * both).abs().mean()


def test_samples_are_drawn_on_their_own_and_within_the_bounds():
    warp = draw(400, seeded(), zoom=(0.8, 1.2), colour=0.2)
    again = draw(400, seeded(), zoom=(0.8, 1.2), colour=0.2)
    assert torch.equal(warp.theta, again.theta) and torch.equal(draw(7, seeded()).theta, warp.theta[:7])
    share = warp.theta[:, 1, 1]
    shift = warp.theta[:, :, 2].abs().amax(1)
    assert 0.8 <= share.min() < 0.82 and 1.18 < share.max() <= 1.2
    assert (shift <= (1 - share).abs() + 1e-6).all()
    assert 0.4 < warp.flipped.float().mean() < 0.6
    assert torch.equal(warp.theta[:, 0, 0] < 0, warp.flipped) and torch.equal(warp.theta[:, 0, 0].abs(), share)
    assert 0.8 <= warp.colour.min() and warp.colour.max() <= 1.2
    assert warp.inside(16, 16)[share <= 1].all()  # a crop shows nothing but the image
    assert (warp.theta[:, :, :2].abs().sum(2) - shift[:, None])[share > 1].min() > 1 - 1e-6  # and else shows all of it


def test_nothing_moves_unless_asked():
    warp = draw(2, seeded(), flip=0.0, zoom=(1.0, 1.0), colour=0.0)
    pixels = torch.rand(2, 3, 12, 10) * 255
    torch.testing.assert_close(warp.image(pixels), pixels, atol=1e-3, rtol=1e-5)
    torch.testing.assert_close(warp.jitter(pixels), pixels, atol=1e-3, rtol=1e-5)
    assert warp.sentences(["left", "right"]) == ["left", "right"]


def test_jitter_changes_brightness_saturation_and_contrast_and_no_place():
    pixels = torch.full((1, 3, 4, 4), 100, dtype=torch.uint8)
    pixels[0, 0, :, 2:] = 200
    of = lambda *factors: Warp(torch.zeros(1, 2, 3), torch.tensor([False]), torch.tensor([factors])).jitter(pixels)  # noqa: E731
    torch.testing.assert_close(of(0.5, 1.0, 1.0), pixels / 2)
    dull = of(1.0, 1.0, 0.0)
    torch.testing.assert_close(dull[:, 0], dull[:, 2])
    flat = of(1.0, 0.0, 1.0)
    assert flat.max() - flat.min() < 1e-3
    vivid = of(1.0, 1.0, 1.2)[0]
    assert vivid[0, 0, 3] > 200 > 100 > vivid[1, 0, 3] and of(2.0, 1.0, 1.0).max() == 255


def sided(pixels, sentences):
    """A segmenter that knows what it does: of the bright pixels, those on the side that the sentence names."""
    masks = pixels[:, 0] > 0.5
    middle = masks.shape[2] // 2
    for mask, sentence in zip(masks, sentences):
        mask[:, middle:] &= "left" not in sentence.split()
        mask[:, :middle] &= "right" not in sentence.split()
    return masks


def test_flip_image_and_sentence_and_flip_back_is_nothing():
    sentences = ["bright mug on the left", "upright mug right of the ball", "the mug"]
    pixels = torch.zeros(3, 3, 16, 16)
    pixels[:, :, 2:6, 1:5] = 1
    pixels[:, :, 9:14, 10:15] = 1
    warp = mirror(3)
    assert warp.sentences(sentences) == ["bright mug on the right", "upright mug left of the ball", "the mug"]
    moved = sided(warp.image(pixels), warp.sentences(sentences))
    plain = sided(pixels, sentences)
    assert torch.equal(warp.labels(moved), plain) and not torch.equal(moved, plain)
    assert warp.sentences(warp.sentences(sentences)) == sentences
    assert not torch.equal(sided(warp.image(pixels), sentences).flip(2), plain)  # without the swap it is wrong


# -- CADD's losses ----------------------------------------------------------------------------------------------------


@pytest.fixture
def case():
    generator = seeded(3)
    logits = 2 * torch.randn(3, 2, 4, 5, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 2, (3, 4, 5), generator=generator, dtype=torch.uint8)
    inside = torch.rand(3, 4, 5, generator=generator) < 0.7
    return logits, labels, inside, torch.tensor([0.9, 0.2, 0.5], dtype=torch.float64)


def foreground(background, object_):
    return 1 / (1 + math.exp(background - object_))


def test_eq_7_against_a_slow_version(case):
    logits, labels, inside, confidence = case
    total = 0.0
    for n in range(3):
        above = below = 0.0
        for row in range(4):
            for column in range(5):
                if inside[n, row, column]:
                    p = foreground(*logits[n, :, row, column].tolist())
                    y = int(labels[n, row, column])
                    above -= (0.9, 1.1)[y] * math.log(p if y else 1 - p)
                    below += (0.9, 1.1)[y]
        total += float(confidence[n]) * above / below / 3
    assert float(confidence_weighted_ce(logits, labels, confidence, inside)) == pytest.approx(total, abs=1e-12)
    everywhere = torch.ones_like(inside)
    sure = torch.ones(1).double()
    theirs = F.cross_entropy(logits[:1], labels[:1].long(), weight=torch.tensor(CLASSES).double())
    assert float(confidence_weighted_ce(logits[:1], labels[:1], sure, everywhere[:1])) == pytest.approx(float(theirs))


def test_half_the_confidence_is_half_the_gradient(case):
    logits, labels, inside, _ = case
    grads = []
    for sigma in (1.0, 0.5):
        leaf = logits.clone().requires_grad_()
        confidence_weighted_ce(leaf, labels, torch.tensor([sigma, 1.0, 1.0]).double(), inside).backward()
        grads.append(leaf.grad)
    torch.testing.assert_close(grads[0][0], 2 * grads[1][0])
    torch.testing.assert_close(grads[0][1:], grads[1][1:])
    assert not grads[0].masked_select(~inside[:, None]).any()


def test_eq_8_against_a_slow_version(case):
    logits, _, inside, _ = case
    teacher = torch.rand(3, 4, 5, generator=seeded(4), dtype=torch.float64)
    total = 0.0
    for n in range(3):
        pairs = [
            (foreground(*logits[n, :, row, column].tolist()), float(teacher[n, row, column]))
            for row in range(4)
            for column in range(5)
            if inside[n, row, column]
        ]
        both = sum(p * t for p, t in pairs)
        ours = sum(p for p, _ in pairs)
        theirs = sum(t for _, t in pairs)
        total += (1 - (2 * both + 1) / (ours + theirs + 1)) / 3
    assert float(mask_agreement(logits, teacher, inside)) == pytest.approx(total, abs=1e-12)


def test_eq_9_against_a_slow_version():
    features, teacher = (torch.randn(2, 3, 2, 2, generator=seeded(n), dtype=torch.float64) for n in (1, 2))
    inside = torch.tensor([[[True, False], [True, True]], [[True, True], [False, False]]])
    cells = [(n, r, c) for n in range(2) for r in range(2) for c in range(2) if inside[n, r, c]]
    squares = [float(features[n, k, r, c] - teacher[n, k, r, c]) ** 2 for n, r, c in cells for k in range(3)]
    assert float(feature_agreement(features, teacher, inside)) == pytest.approx(sum(squares) / (5 * 3), abs=1e-12)


def outputs(number, batch=3):
    generator = seeded(number)
    logits = torch.randn(batch, 2, 8, 8, generator=generator, dtype=torch.float64)
    return logits.requires_grad_(), torch.randn(
        batch, 4, 2, 2, generator=generator, dtype=torch.float64
    ).requires_grad_()


def test_eq_10_and_11_warp_the_teacher_and_the_labels():
    student = outputs(1)
    teacher = outputs(2)
    labels = torch.randint(0, 2, (3, 8, 8), generator=seeded())
    confidence = torch.tensor([0.9, 0.2, 0.5]).double()
    warp = draw(3, seeded(5), zoom=(0.7, 1.3))
    terms = (
        confidence_weighted_ce(student[0], warp.labels(labels), confidence, warp.inside(8, 8)),
        mask_agreement(student[0], warp.maps(teacher[0].softmax(1)[:, 1]), warp.inside(8, 8)),
        feature_agreement(student[1], warp.maps(teacher[1]), warp.inside(2, 2)),
    )
    total = cadd(student, teacher, labels, confidence, warp)
    assert total.item() == pytest.approx((terms[0] + 0.5 * terms[1] + 0.05 * terms[2]).item())
    for n, weights in enumerate(((1, 0, 0), (0, 1, 0), (0, 0, 1))):
        assert cadd(student, teacher, labels, confidence, warp, weights).item() == pytest.approx(terms[n].item())


def test_dice_beside_eq_7_is_each_samples_own_times_its_confidence():
    logits = outputs(1)[0].detach()
    labels = torch.randint(0, 2, (3, 8, 8), generator=seeded())
    warp = draw(3, seeded(5), zoom=(0.7, 1.3))
    confidence = torch.tensor([0.9, 0.2, 0.5]).double()
    inside = warp.inside(8, 8)
    moved = warp.labels(labels)
    total = 0.0
    for b in range(3):
        p = logits[b].softmax(0)[1][inside[b]]
        y = moved[b][inside[b]]
        total += float(confidence[b] * (1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1)))
    assert float(weighted_dice(logits, moved, confidence, inside)) == pytest.approx(total / 3)
    both = [cadd(outputs(1), outputs(2), labels, confidence, warp, dice_weight=weight).item() for weight in (0, 2)]
    assert both[1] - both[0] == pytest.approx(2 * total / 3)


def test_no_gradient_reaches_the_teacher():
    student = outputs(1)
    teacher = outputs(2)
    labels = torch.zeros(3, 8, 8, dtype=torch.uint8)
    cadd(student, teacher, labels, torch.ones(3).double(), draw(3, seeded())).backward()
    assert all(part.grad is None for part in teacher)
    assert all(part.grad is not None and part.grad.abs().sum() > 0 for part in student)


@pytest.mark.parametrize(("zoom", "most"), [((1.0, 1.0), 1e-4), ((0.8, 1.2), 0.03)])
def test_a_student_that_says_what_the_warped_teacher_says_costs_nothing(zoom, most):
    """But for the border, which a zoom makes soft: the Dice of a soft mask with itself isn't 0."""
    masks = torch.zeros(8, 64, 64)
    masks[:, 10:40, 24:56] = 1
    teacher = torch.stack([-20 * (masks - 0.5), 20 * (masks - 0.5)], 1), torch.randn(8, 4, 2, 2, generator=seeded())
    warp = draw(8, seeded(), zoom=zoom)
    probabilities = warp.maps(teacher[0].softmax(1)[:, 1]).clamp(1e-6, 1 - 1e-6)
    same = torch.stack([(1 - probabilities).log(), probabilities.log()], 1), warp.maps(teacher[1])
    assert cadd(same, teacher, masks, torch.ones(8), warp, (0, 1, 0)).item() < most
    assert cadd(same, teacher, masks, torch.ones(8), warp, (0, 0, 1)).item() == 0
    if zoom == (1.0, 1.0):
        assert cadd(same, teacher, masks, torch.ones(8), warp).item() < most  # the labels are the teacher's, too
    assert cadd(teacher, teacher, masks, torch.ones(8), warp, (0, 1, 0)).item() > 0.2  # the frames aren't the same


def test_a_step_of_cadd_moves_the_student_alone(model):
    student = model.train()
    pixels = torch.randint(0, 256, (3, 3, 64, 64), generator=seeded(), dtype=torch.uint8)
    teacher = MeanTeacher(student)
    sentences = ["the red mug on left", "a ball", "big tree right of car"]
    labels = torch.zeros(3, 64, 64, dtype=torch.uint8)
    labels[:, 20:50, 5:30] = 1
    warp = draw(3, seeded())
    theirs = teacher(student.normalise(pixels), student.tokenizer(sentences))
    images = warp.image(student.normalise(warp.jitter(pixels)))
    ours = student(images, student.tokenizer(warp.sentences(sentences)))
    cadd(ours, theirs, labels, torch.tensor([1.0, 0.5, 0.2]), warp).backward()
    assert all(p.grad is not None for p in student.parameters())
    assert not any(p.requires_grad or p.grad is not None for p in teacher.parameters())
    assert not any(part.requires_grad for part in theirs)
