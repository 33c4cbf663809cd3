"""The package sam2 behind the proposals: on the same weights the same numbers as transformers', or a refusal."""

import importlib.util
import json
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import Sam2Config, Sam2Model

from wsris_lib.config import profiles
from wsris_lib.frozen import extractor, features
from wsris_lib.frozen.checkpoints import ZOO
from wsris_lib.frozen.sam2 import Sam2Proposer
from wsris_lib.frozen.sam2_package import INSTALL, PackageProposer
from wsris_lib.infra.artefacts import REPO
from wsris_lib.synref.render import render
from wsris_lib.synref.scene import sample_scene

TINY = profiles.PROFILES["tiny"]

needs_package = pytest.mark.skipif(
    importlib.util.find_spec("sam2") is None, reason=f"the package sam2 isn't installed: {INSTALL}"
)
side = (torch.arange(6) + 0.5) / 6
POINTS = torch.cartesian_prod(side, side).flip(1)  # [36, (x, y)]
BOXES = torch.cat([POINTS[:20] * 0.8, POINTS[:20] * 0.8 + torch.linspace(0.03, 0.6, 20)[:, None]], 1).clamp(max=1)


@pytest.fixture(scope="module")
def images():
    """Two scenes of SynRef and one squashed from a frame that isn't square."""
    drawn = [Image.fromarray(render(sample_scene(np.random.default_rng(seed)))[0]) for seed in range(3)]
    return [*drawn[:2], drawn[2].resize((150, 90))]


@pytest.fixture
def folder(tmp_path):
    """A copy of the shipped checkpoint, to be spoilt."""
    return shutil.copytree(ZOO / "sam2", tmp_path / "sam2")


def change(path, **fields):
    """Set fields of a config.json, "part.field" with __ for the dot."""
    config = json.loads(path.read_text())
    for where, value in fields.items():
        *parts, last = where.split("__")
        section = config
        for part in parts:
            section = section[part]
        assert section[last] != value
        section[last] = value
    path.write_text(json.dumps(config))


@torch.inference_mode()
def answers(proposer, images, points=POINTS, boxes=BOXES):
    """Three levels of features, then logits and IoUs of points and of boxes."""
    outputs = proposer.embed(images)
    for prompts in ({"points": points.expand(len(images), -1, -1)}, {"boxes": boxes.expand(len(images), -1, -1)}):
        outputs = [*outputs, *proposer.decode(outputs[:3], **prompts)]
    return outputs


@needs_package
def test_features_logits_and_scores_are_those_of_transformers(images):
    ours, theirs = (answers(cls("zoo:sam2"), images) for cls in (PackageProposer, Sam2Proposer))
    assert [tuple(t.shape) for t in ours[3:]] == [(3, 36, 3, 48, 48), (3, 36, 3), (3, 20, 1, 48, 48), (3, 20, 1)]
    for mine, public in zip(ours, theirs):
        assert mine.shape == public.shape and public.std() > 0.01
        torch.testing.assert_close(mine, public, atol=1e-4, rtol=1e-5)


@needs_package
def test_an_unstable_mask_of_a_box_gives_way_to_the_best_of_three_where_the_config_says_so(folder, images):
    change(folder / "config.json", mask_decoder_config__dynamic_multimask_via_stability=True)
    choosing, public = (answers(cls(str(folder)), images) for cls in (PackageProposer, Sam2Proposer))
    plain = answers(PackageProposer("zoo:sam2"), images)
    torch.testing.assert_close(choosing[5], public[5], atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(plain[3], choosing[3])
    changed = (plain[5] - choosing[5]).flatten(2).abs().amax(2) > 0.1  # [B, P]
    assert changed.any() and not changed.all()


@needs_package
def test_proposals_are_those_of_transformers(images):
    profile = profiles.load("smoke", proposals=replace(TINY.proposals, mode="everything", points_per_side=6, limit=12))
    other = replace(profile, proposals=replace(profile.proposals, backend="sam2"))
    boxes = [BOXES * torch.tensor([i.width, i.height] * 2) for i in images]
    public, ours = (extractor.Proposer(each) for each in (profile, other))
    assert type(public.sam2) is Sam2Proposer and type(ours.sam2) is PackageProposer
    for mine, theirs in zip(
        ours(images) + ours.sam2.boxes(images, boxes), public(images) + public.sam2.boxes(images, boxes)
    ):
        assert mine.masks.shape == theirs.masks.shape and len(mine.masks) > 1
        assert (mine.masks ^ theirs.masks).float().mean() < 1e-4  # a pixel on the threshold may fall on either side
        torch.testing.assert_close(mine.scores, theirs.scores, atol=1e-4, rtol=0)
        assert torch.equal(mine.points, theirs.points)


@needs_package
def test_a_wrong_checkpoint_is_refused_by_the_name_of_the_weight(folder):
    path = folder / "model.safetensors"
    name = "vision_encoder.backbone.blocks.3.attn.qkv.weight"
    state = load_file(path)
    for tensor, problem in ((None, "is missing"), (state[name][:5].clone(), r"has the shape \(5, 96\)")):
        spoilt = {n: t for n, t in (state | {name: tensor}).items() if t is not None}
        save_file(spoilt, path, metadata={"format": "pt"})
        with pytest.raises(ValueError, match=rf"{folder}: '{name}' {problem}"):
            PackageProposer(str(folder))


@needs_package
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_attention_heads_per_stage", [1, 2, 4, 4]),
        ("num_attention_heads_per_stage", [1, 1, 4, 8]),
        ("hidden_act", "relu"),
        ("patch_padding", [2, 2]),
    ],
)
def test_a_setting_that_the_package_has_not_is_refused(folder, field, value):
    change(folder / "config.json", **{f"vision_config__backbone_config__{field}": value})
    Sam2Proposer(str(folder))
    with pytest.raises(ValueError, match=rf"{folder}: answers through the package sam2 are \d+% off .*transformers\""):
        PackageProposer(str(folder))


@needs_package
def test_two_codes_of_positions_are_refused_of_which_the_package_has_one(folder):
    path = folder / "model.safetensors"
    name = "shared_image_embedding.positional_embedding"
    whole = load_file(path)
    save_file(whole | {name: whole[name] + 1}, path, metadata={"format": "pt"})
    Sam2Proposer(str(folder))
    with pytest.raises(ValueError, match=rf"{folder}: answers through the package sam2 are \d+% off .*transformers\""):
        PackageProposer(str(folder))


@needs_package
def test_a_head_of_another_depth_is_refused_by_the_name_of_a_weight(folder):
    change(folder / "config.json", mask_decoder_config__iou_head_depth=4)
    deep = Sam2Model(Sam2Config.from_pretrained(folder))
    deep.shared_image_embedding.load_state_dict(deep.prompt_encoder.shared_embedding.state_dict())
    deep.save_pretrained(folder)
    Sam2Proposer(str(folder))
    with pytest.raises(ValueError, match=rf"{folder}: it doesn't fit the package sam2: .*iou_prediction_head\.layers"):
        PackageProposer(str(folder))


def test_a_missing_package_is_named_with_its_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "sam2.modeling.backbones.hieradet", None)  # what Python takes for "isn't there"
    with pytest.raises(ImportError, match=r"SAM2_BUILD_CUDA=0 pip install --no-build-isolation \"wsris\[sam2\]\""):
        PackageProposer("zoo:sam2")


def test_another_backend_is_refused():
    profile = profiles.load("smoke", proposals=replace(TINY.proposals, backend="sam"))
    with pytest.raises(ValueError, match=r"proposals\.backend is 'sam'; it can be .transformers. or .sam2."):
        extractor.Proposer(profile)


def test_the_choice_is_in_the_names_of_features():
    profile = profiles.load("smoke")
    other = replace(profile, proposals=replace(profile.proposals, backend="sam2"))
    before = features.made_from(profile)
    now = features.made_from(other)
    assert before[:-1] == now[:-1]
    *sizes, proposing = before[-1]
    assert proposing["backend"] == "transformers" and now[-1] == [*sizes, {**proposing, "backend": "sam2"}]


@needs_package
@pytest.mark.slow
def test_in_full_size_with_windows_that_need_padding(tmp_path, images):
    spec = importlib.util.spec_from_file_location("random_checkpoints", REPO / "benchmarks" / "random_checkpoints.py")
    random_checkpoints = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(random_checkpoints)
    random_checkpoints.make("sam2.1-hiera-small", tmp_path)
    path = tmp_path / "sam2.1-hiera-small" / "model.safetensors"
    state = load_file(path)
    draw = torch.Generator().manual_seed(0)
    for name, tensor in state.items():  # fresh biases are all 0 and norms all 1: one for the other would do no harm
        if tensor.ndim < 2 or name == "no_memory_embedding":
            tensor += 0.3 * torch.randn(tensor.shape, generator=draw)
    save_file(state, path, metadata={"format": "pt"})
    ours, theirs = (
        answers(cls(str(path.parent)), images[:1], POINTS[:3], BOXES[:2]) for cls in (PackageProposer, Sam2Proposer)
    )
    for mine, public in zip(ours, theirs):
        torch.testing.assert_close(mine, public, atol=1e-5, rtol=1e-5)
    assert theirs[3].std() > 0.01  # the points' logits: there was something to compare
    shutil.rmtree(tmp_path)  # else pytest keeps the file
