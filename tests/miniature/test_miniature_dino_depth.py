"""The miniature DINOv2 and Depth Anything: their losses, their views, and a few steps of each on a tiny web split."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from wsris_lib.frozen.depth import DepthEstimator
from wsris_lib.frozen.dino import DinoEncoder
from wsris_lib.miniature import depth, dino, dino_probe, pair_views, views
from wsris_lib.synref.second_view import CELLS, TwoViews
from wsris_lib.synref.web import Web

few = settings(max_examples=15, deadline=None)


def small_web(n: int = 8, seed: int = 0) -> Web:
    """Squares of two categories (two colours) on grey tables that rise into the distance; nearer squares are lower."""
    rng = np.random.default_rng(seed)
    images = rng.integers(90, 130, (n, 128, 128, 3), np.uint8)
    ids = np.zeros((n, 128, 128), np.uint8)
    far = np.linspace(20, 4, 128, dtype=np.float16)[:, None]
    distance = np.repeat(np.repeat(far, 128, 1)[None], n, 0)
    objects = []
    for scene in range(n):
        kinds = rng.permutation(["mug", "car"])
        for k, (kind, left) in enumerate(zip(kinds, (8, 72)), start=1):
            top = int(rng.integers(8, 80))
            there = (scene, slice(top, top + 40), slice(left, left + 40))
            images[there] = (220, 40, 40) if kind == "mug" else (40, 40, 220)
            ids[there] = k
            distance[there] = far[top + 40, 0]
        objects.append([dict(id=k, category=kind, colour=kind, material="matte", texture="plain", size="small")
                        for k, kind in enumerate(kinds.tolist(), start=1)])  # fmt: skip
    return Web(images, ids, distance, objects, [], [], ids.astype(bool).astype(np.uint8))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- views


def test_a_crop_of_the_whole_image_is_the_image_or_its_mirror():
    images = torch.rand(12, 3, 24, 24)
    cropped = views.crops(images, 24, (1.0, 1.0), torch.rand(12, 2), generator())
    mirrored = [torch.allclose(a, b.flip(-1), atol=1e-4) for a, b in zip(cropped, images)]
    assert 0 < sum(mirrored) < 12
    assert all(m or torch.allclose(a, b, atol=1e-4) for m, a, b in zip(mirrored, cropped, images))


@few
@given(st.integers(0, 999), st.floats(0.05, 0.9))
def test_a_crop_stays_inside_and_keeps_its_scale(seed, area):
    x = torch.linspace(0, 1, 64).expand(64, 64)  # each pixel says where it is
    images = torch.stack([x, x.T, x])[None].repeat(4, 1, 1, 1)
    place = torch.rand(4, 2, generator=generator(seed)) * 4 - 2  # beyond 1 too: held at the border
    cropped = views.crops(images, 32, (area, area), place, generator(seed))
    assert cropped.min() > -1e-4 and cropped.max() < 1 + 1e-4
    side = area**0.5 * 64 / 63 * 31 / 32  # from the first pixel's centre to the last one's
    fall = cropped[:, 1, -1, 0] - cropped[:, 1, 0, 0]
    torch.testing.assert_close(fall, torch.full_like(fall, side), atol=0.02, rtol=0)  # never upside down
    torch.testing.assert_close((cropped[:, 0, 0, -1] - cropped[:, 0, 0, 0]).abs(), fall, atol=0.02, rtol=0)


@few
@given(st.integers(0, 999), st.integers(4, 16))
def test_hidden_patches_are_one_rectangle_of_about_the_share_asked(seed, grid):
    hidden = views.block_masks(6, grid, (0.2, 0.5), generator(seed)).view(6, grid, grid)
    for one in hidden:
        rows = one.any(1)
        columns = one.any(0)
        assert torch.equal(one, rows[:, None] & columns[None])
        assert all(side.diff().abs().sum() <= 2 for side in (rows.int(), columns.int()))  # without a gap
        assert 0.2 - 2 / grid < one.float().mean() < 0.5 + 2 / grid


def test_jitter_keeps_the_range_and_tells_images_apart():
    images = torch.full((6, 3, 8, 8), 0.5)
    changed = views.jitter(images, generator())
    assert changed.min() >= 0 and changed.max() <= 1
    assert len({round(value, 4) for value in changed.mean((1, 2, 3)).tolist()}) == 6
    assert (changed - images).abs().max() < 0.2


# --- DINO


def same_twice(web: Web) -> TwoViews:
    """A second view that is the first again."""
    centre = (torch.arange(CELLS) + 0.5) / CELLS * 2 - 1
    own = torch.stack([centre.expand(CELLS, CELLS), centre[:, None].expand(CELLS, CELLS)], -1)
    return TwoViews(web.images, web.images, own.half().numpy()[None].repeat(len(web.images), 0))


def test_hue_is_no_matter_of_grey_and_the_range_is_kept():
    grey = torch.rand(12, 1, 8, 8).expand(-1, 3, -1, -1)
    changed = pair_views.colour_jitter(grey, generator())
    assert changed.min() >= 0 and changed.max() <= 1
    torch.testing.assert_close(changed, changed[:, :1].expand_as(changed), atol=2e-3, rtol=0)
    red = torch.tensor([0.8, 0.1, 0.1])[:, None, None].expand(64, 3, 4, 4)
    strongest = pair_views.colour_jitter(red, generator())[:, :, 0, 0].argmax(1)
    assert len(strongest.unique()) == 3  # red has become green or blue in some


@few
@given(st.integers(0, 999))
def test_a_pairs_places_show_the_same_point(seed):
    x = np.linspace(0, 255, 128).round().astype(np.uint8)
    ramps = np.stack(np.broadcast_arrays(x[None, :, None], x[:, None, None]), -1)[..., 0, :]  # each pixel says where
    images = np.concatenate([ramps, ramps[..., :1]], -1)[None].repeat(4, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pair_views, "colour_jitter", lambda images, _: images)
        patch.setattr(pair_views, "normalise", lambda images: images)
        pair = pair_views.crop_pairs(
            same_twice(Web(images, *[None] * 6)), np.arange(4), 6, 8, (40, 70), generator(seed)
        )
    here = F.grid_sample(pair.first, pair.places, padding_mode="border", align_corners=False)  # [B, 3, g, g]
    there = F.avg_pool2d(pair.second, 8)
    assert pair.visible.any()
    kept = pair.visible[:, None].expand_as(here)
    torch.testing.assert_close(here[kept], there[kept], atol=0.03, rtol=0)  # places are kept by cells of 4 pixels


def test_a_window_of_all_positions_is_the_model_itself():
    body = dino.Dinov2Model(dino.config()).eval()
    crops = torch.rand(2, 3, 128, 128)
    hidden = torch.zeros(2, 256, dtype=torch.bool)
    with torch.no_grad():
        ours = dino.encode(body, dino.window(body, 16, 0, 0), crops, hidden)
        torch.testing.assert_close(ours, body(crops).last_hidden_state)
    part = dino.window(body, 4, 3, 5)[0, 1:].view(4, 4, -1)
    whole = body.embeddings.position_embeddings[0, 1:].view(16, 16, -1)
    assert torch.equal(part, whole[3:7, 5:9])


@few
@given(st.integers(0, 999), st.integers(2, 9))
def test_contrast_against_loops_in_float64(seed, m):
    a, b = torch.randn(2, m, 4, generator=generator(seed))
    x, y = (v.double().numpy() for v in (a, b))
    total = 0.0
    for one, two in ((x, y), (y, x)):
        for i in range(m):
            cosines = [one[i] @ t / np.linalg.norm(one[i]) / np.linalg.norm(t) / dino.TEMPERATURE for t in two]
            total -= cosines[i] - math.log(sum(math.exp(c) for c in cosines))
    assert dino.contrast(a, b).item() == pytest.approx(total / (2 * m), rel=1e-4, abs=1e-5)


def test_the_gap_is_none_where_all_are_one_and_whole_where_each_is_its_own():
    same = torch.ones(8, 4)
    assert dino.gap(same, same) == pytest.approx(0, abs=1e-6)
    own = torch.eye(8)
    assert dino.gap(own, own) == pytest.approx(1 - 1 / 8)


def test_corresponding_tokens_lie_at_the_places():
    tokens = torch.randn(2, 1 + 9, 5)
    centre = torch.tensor([-2 / 3, 0, 2 / 3])
    own = torch.stack([centre.expand(3, 3), centre[:, None].expand(3, 3)], -1).expand(2, 3, 3, 2)
    visible = torch.rand(2, 3, 3) < 0.5
    pair = pair_views.CropPair(tokens, tokens, own.flip(2), visible)  # the first shows all mirrored
    one, two = dino.corresponding(pair, tokens, tokens)
    grid = tokens[:, 1:].unflatten(1, (3, 3))
    torch.testing.assert_close(one, grid.flip(2)[visible], atol=1e-5, rtol=1e-5)
    assert torch.equal(two, grid[visible])


def test_patches_that_are_hardly_apart_are_not_shipped(tmp_path, monkeypatch):
    monkeypatch.setattr(dino, "LEAST_GAP", 2.0)  # more than cosines can be apart
    with pytest.raises(RuntimeError, match=r"patches collapsed: corresponding ones are .* nearer"):
        dino.train(tmp_path, same_twice(small_web()), steps=2, batch=4)
    assert not list(tmp_path.iterdir())


def test_neighbours_ask_other_scenes_only():
    features = torch.tensor([[1.0, 0], [0, 1], [1, 0.1], [0.1, 1]])
    codes = torch.tensor([[0, 0, 1], [0, 1, 0], [1, 0, 0], [1, 1, 1]])  # scene, category, colour
    assert dino_probe.neighbours(features, codes, column=1, k=1) == (1.0, 1.0)
    assert dino_probe.neighbours(features, codes, column=2, k=1) == (0.0, 0.0)  # the two colours are swapped


@pytest.fixture(scope="module")
def trained(tmp_path_factory, request):
    """Both models after a few steps: data/zoo in miniature."""
    zoo = tmp_path_factory.mktemp("zoo")
    seed = request.config.getoption("--learning-seed")
    dino.train(zoo / "dino", same_twice(small_web()), steps=8, batch=4, seed=seed)
    depth.train(zoo / "depth", small_web(), steps=40, batch=4, lr=3e-3, seed=seed)
    return zoo


def test_the_saved_dino_has_moved(trained, learning):
    encoder = DinoEncoder(str(trained / "dino"), 128)
    torch.manual_seed(learning.seed)
    first = dino.Dinov2Model(dino.config()).state_dict()
    last = encoder.model.state_dict()
    assert all(torch.isfinite(w).all() for w in last.values())
    moved = {
        name: (last[name] - w).norm() / w.norm().clamp(min=1e-6) for name, w in first.items() if w.ndim > 1
    }  # gains move less than fp16 can tell
    least = min(moved, key=moved.get)
    learning.above(moved[least], 1e-3, f"how far {least} moved, of what fp16 takes")
    patches = encoder.patches([Image.fromarray(small_web().images[0])])
    assert patches.shape == (1, 128, 16, 16)
    learning.above(patches.flatten(2).std(2).mean(), 0.02, "spread of the patches")


def test_dino_probe_finds_the_colour_that_gives_a_category_away(trained, learning):
    results = dino.probe(trained / "dino", small_web(seed=1), k=3, pairs=0)
    assert results["patch category accuracy, mean colour"] == 1.0  # no network takes part
    assert results["patch category chance"] == pytest.approx(0.5, abs=0.05)
    learning.above(
        results["object category accuracy"], 1.5 * results["patch category chance"], "objects named, of chance"
    )


def test_views_and_parts_are_probed_by_what_an_encoder_says():
    scenes = dino_probe.two_views_known(4)
    pixels = {one.image.tobytes(): one for pair in scenes for one in pair}

    def thing(images):
        """Patches that know which thing of their scene they show, and which part of it."""
        (image,) = images
        drawing = pixels[np.asarray(image).tobytes()]
        codes = torch.from_numpy(np.stack([drawing.ids, drawing.parts])[:, 4::8, 4::8]).long()
        return torch.cat([F.one_hot(code, 24).movedim(-1, 0) for code in codes])[None].float()

    again, chance = dino_probe.again_in_the_other_view(scenes, thing)
    blind, _ = dino_probe.again_in_the_other_view(scenes, lambda images: torch.ones(1, 4, 16, 16))
    assert again > 0.9 and 0.1 < chance < 0.5 and abs(blind - chance) < 0.01
    features, codes = dino_probe.parts_described(scenes, thing)
    assert len(features) == len(codes) > 20
    shown = dino_probe.principal_colours(thing, [Image.fromarray(scenes[0][0].image)])
    assert shown.shape == (1, 16, 16, 3) and shown.dtype == np.uint8 and shown.std() > 20


def test_dino_outlives_saving(tmp_path):
    model = dino.Dinov2Model(dino.config()).eval()
    pixels = views.normalise(torch.rand(2, 3, 128, 128))
    with torch.no_grad():
        before = model(pixels).last_hidden_state
        dino.save(model, tmp_path)
        after = DinoEncoder(str(tmp_path), 128).model(pixels).last_hidden_state
    torch.testing.assert_close(after, before, atol=2e-2, rtol=0)


# --- depth


def slow_relative_loss(predicted: np.ndarray, inverse: np.ndarray, scales: int = 3) -> float:
    def standard(d):
        d = d - np.sort(d.ravel())[(d.size - 1) // 2]
        return d / np.abs(d).mean()

    total = 0.0
    for p, q in zip(predicted.astype(np.float64), inverse.astype(np.float64)):
        e = standard(p) - standard(q)
        total += np.mean(np.abs(e))
        for scale in range(scales):
            s = e[:: 2**scale, :: 2**scale]
            h, w = s.shape
            total += 0.5 * np.mean([abs(s[y + 1, x] - s[y, x]) for y in range(h - 1) for x in range(w)])
            total += 0.5 * np.mean([abs(s[y, x + 1] - s[y, x]) for y in range(h) for x in range(w - 1)])
    return total / len(predicted)


@few
@given(st.integers(0, 999), st.floats(0.1, 10), st.floats(-5, 5))
def test_relative_loss_against_loops_and_free_of_scale_and_shift(seed, scale, shift):
    predicted, inverse = torch.rand(2, 3, 8, 12, generator=generator(seed))
    loss = depth.relative_loss(predicted, inverse).item()
    assert loss == pytest.approx(slow_relative_loss(predicted.numpy(), inverse.numpy()), rel=1e-4)
    assert depth.relative_loss(predicted * scale + shift, inverse).item() == pytest.approx(loss, rel=1e-3)
    assert depth.relative_loss(inverse * scale + shift, inverse).item() == pytest.approx(0, abs=1e-3)
    assert depth.relative_loss(-inverse, inverse).item() > 1  # far and near mixed up


def test_errors_are_zero_for_the_truth_and_as_computed_otherwise():
    truth = 1 / np.array([[2.0, 4.0], [5.0, 10.0]])
    assert depth.errors(truth * 7 - 3, truth) == (pytest.approx(0, abs=1e-9), 1.0)
    flat = depth.errors(np.zeros((2, 2)), truth)  # no relief: the best is the mean of 1/depth, 0.2625
    assert flat[0] == pytest.approx(np.mean(np.abs(truth / 0.2625 - 1)))
    assert flat[1] == pytest.approx(1 / 4)  # only the 4 m (3.81 m) are within a factor 1.25


def test_ordered_compares_objects_by_their_mean():
    ids = np.array([[1, 1, 0, 2]])
    truth = np.array([[0.2, 0.4, 0.9, 0.5]])
    assert depth.ordered(truth, truth, ids) == [True]
    assert depth.ordered(-truth, truth, ids) == [False]
    assert depth.ordered(truth, truth, np.zeros_like(ids)) == []


def test_depth_learns_and_the_estimator_reads_it(trained, learning):
    web = small_web(seed=2)
    pixels = views.normalise(views.load_images(web, np.arange(8))).cpu()
    inverse = 1 / torch.from_numpy(web.depth).float()
    torch.manual_seed(learning.seed)
    first = depth.build(trained / "dino").eval()
    estimator = DepthEstimator(str(trained / "depth"), 128)
    with torch.no_grad():
        before, after = [depth.relative_loss(m(pixels).predicted_depth, inverse) for m in (first, estimator.model)]
    learning.below(after, 0.9 * before, "loss, of that before")
    learning.above(depth.probe(trained / "depth", web)["nearer of two"], 0.5, "the nearer of two, of a coin")


def test_depth_starts_from_dino_and_says_when_there_is_none(trained, tmp_path):
    backbone = depth.build(trained / "dino").backbone.state_dict()
    for name, weight in DinoEncoder(str(trained / "dino"), 128).model.state_dict().items():
        assert torch.equal(backbone[name], weight), name
    with pytest.raises(FileNotFoundError, match="zoo train dino"):
        depth.train(tmp_path / "depth", small_web(2), steps=1)


def test_depth_outlives_saving(trained, tmp_path):
    model = depth.build(trained / "dino").eval()
    pixels = views.normalise(torch.rand(2, 3, 128, 128))
    with torch.no_grad():
        before = model(pixels).predicted_depth
        depth.save(model, tmp_path)
        after = DepthEstimator(str(tmp_path), 128).model(pixels).predicted_depth
    torch.testing.assert_close(after, before, atol=2e-2, rtol=2e-2)  # half precision
