"""Every training of the zoo: its loss falls, what it writes reads back the same, and a killed run loses nothing."""

import inspect
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torchvision.ops import box_iou

from wsris_lib.config import choices
from wsris_lib.frozen.detector import Detector
from wsris_lib.infra import artefacts
from wsris_lib.miniature import clip, clip_rn, command, depth, detector, dino, sam2, swin, text
from wsris_lib.miniature.captions import Captioned
from wsris_lib.miniature.card import adamw
from wsris_lib.miniature.training import MiniatureTrainer
from wsris_lib.synref.placed import SHAPES
from wsris_lib.synref.second_view import CELLS, TwoViews
from wsris_lib.synref.web import load_web


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WSRIS_HOME", str(tmp_path_factory.mktemp("home")))
        yield load_web(24, seed=3, size=128, workers=1)


@pytest.fixture(autouse=True)
def saved_at_every_step(monkeypatch):
    monkeypatch.setattr(MiniatureTrainer, "save_seconds", 0.0)


def line(out, steps=9, seed=0, stop=None, settings=None):
    """A regression with dropout whose every step draws from all three sources of chance."""
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Dropout(0.3), torch.nn.Linear(3, 1))
    run = MiniatureTrainer(out, model, adamw(model, 0.1), steps, seed, settings)
    done = []
    for step in run:
        if step == stop:
            raise KeyboardInterrupt
        x = torch.randn(4, 3, generator=run.generator) + run.rng.normal()
        run.backward_and_step((model(x) - x.sum(1, keepdim=True)).square().mean(), 0.1)
        done.append(step)
    out.mkdir(parents=True, exist_ok=True)
    run.finish(name="line", objective="", data={}, limits="")
    return model[1].weight.detach().clone(), run.curve, done


@pytest.mark.parametrize("stop", [1, 5, 8])
def test_a_killed_run_ends_in_the_same_weights_and_curve(tmp_path, stop):
    weight, curve, _ = line(tmp_path / "whole" / "line")
    with pytest.raises(KeyboardInterrupt):
        line(tmp_path / "line", stop=stop)
    again, its_curve, done = line(tmp_path / "line")
    assert torch.equal(again, weight) and its_curve == curve and done == list(range(stop, 9))
    assert [path.name for path in tmp_path.glob(".*")] == []  # the checkpoint has served
    assert artefacts.read_json(tmp_path / "line" / "card.json")["loss_curve"] == [list(point) for point in curve]


@pytest.mark.parametrize("other", [dict(steps=10), dict(seed=1), dict(settings={"batch": 5})])
def test_another_runs_checkpoint_is_not_taken_up(tmp_path, other):
    with pytest.raises(KeyboardInterrupt):
        line(tmp_path / "line", stop=5)
    assert line(tmp_path / "line", **other)[2][0] == 0


def test_a_damaged_checkpoint_is_named_and_the_run_starts_again(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        line(tmp_path / "line", stop=5)
    (path,) = tmp_path.glob(".*.partial.safetensors")
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.warns(UserWarning, match=r"line\.partial.*making it again"):
        assert line(tmp_path / "line")[2][0] == 0


def two_views(web) -> TwoViews:
    """Pictures one way and mirrored, with no regard to what they show."""
    places = np.random.default_rng(0).uniform(-1, 1, (len(web.images), CELLS, CELLS, 2)).astype(np.float16)
    return TwoViews(web.images, web.images[:, :, ::-1].copy(), places)


SHORT = {
    "clip": partial(clip.train, batch=8),
    "clip_rn": partial(clip_rn.train, batch=8),
    "text": partial(text.train, batch=8),
    "dino": lambda out, web, steps: dino.train(out, two_views(web), steps=steps, batch=4),
    "sam2": partial(sam2.train, dense=2),
    "detector": partial(detector.train, batch=2),
    "depth": partial(depth.train, batch=2),
    "swin": partial(swin.train, sheets=2),
}


def test_all_of_the_zoo_is_tried_here():
    assert set(SHORT) == set(choices.MINIATURES)
    for name in SHORT:
        assert inspect.signature(command._module(name).train).parameters["steps"].default >= 600


@pytest.mark.parametrize("name", SHORT)
def test_every_training_goes_on_to_the_same_weights(name, web, tmp_path, monkeypatch, kill_and_go_on):
    monkeypatch.setattr(dino, "LEAST_GAP", -1.0)  # three steps from nothing may look like a collapse
    more = {"dino": tmp_path / "dino"} if name == "depth" else {}
    if more:
        dino.save(dino.Dinov2Model(dino.config()), more["dino"])
    SHORT[name](tmp_path / "whole" / name, web, steps=4, **more)

    _, calls = kill_and_go_on(lambda: SHORT[name](tmp_path / "killed" / name, web, steps=4, **more), at=2)
    assert calls == [0, 1, 2, 2, 3]
    (one,), (other,) = ([*(tmp_path / run / name).glob("*.safetensors")] for run in ("whole", "killed"))
    whole = load_file(one)
    went_on = load_file(other)
    assert all(torch.equal(whole[key], went_on[key]) for key in whole)


def test_boxes_are_around_what_is_visible(web):
    for scene in range(6):
        ids = web.ids[scene]
        parts = web.parts[scene]
        categories = [thing["category"] for thing in web.objects[scene]]
        known = detector.annotations(ids, parts, categories, least=1)
        for region, box in known:
            ys, xs = np.nonzero(region.mask(ids, parts))
            assert box.tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
            assert region.level == "whole" or region.name
        frames = torch.from_numpy(np.stack([box for _, box in known]))
        overlap = box_iou(frames, frames)
        wholes = torch.tensor([region.level == "whole" for region, _ in known])
        assert overlap.fill_diagonal_(0).max() <= 0.8
        shown = {k for k in range(1, len(categories) + 1) if (ids == k).any()}
        boxed = {region.thing for region, _ in known if region.level == "whole"}
        hidden = shown - boxed  # in a box of nearly the same place
        assert len(hidden) <= 1 and wholes.sum() == len(boxed) and len(known) > len(boxed)
        assert len(detector.annotations(ids, parts, categories, least=200)) <= len(known)
    nothing = np.zeros((8, 8), np.uint8)
    assert detector.annotations(nothing, nothing, ["mug"] * 3) == []


def test_each_wheel_has_a_box_and_all_of_them_together():
    """Names are of parts; what an annotator boxes is each of them that shows."""
    ids = np.ones((32, 40), np.uint8)
    parts = np.ones_like(ids)  # the car's body, without a name
    parts[24:, 2:10] = 4
    parts[24:, 30:38] = 6
    assert [SHAPES["car"][k - 1].name for k in (1, 4, 6)] == ["", "wheels", "wheels"]
    known = detector.annotations(ids, parts, ["car"])
    assert [(region.level, region.name, box.tolist()) for region, box in known] == [
        ("whole", "", [0, 0, 40, 32]),
        ("part", "wheels", [2, 24, 38, 32]),
        ("piece", "wheels", [2, 24, 10, 32]),
        ("piece", "wheels", [30, 24, 38, 32]),
    ]


def test_labels_are_mirrored_with_the_image(web):
    plain, mirrored = (detector._label(web, 0, flip, torch.device("cpu"))["boxes"] for flip in (False, True))
    assert torch.allclose(plain[:, 0] + mirrored[:, 0], torch.ones(len(plain)))
    assert torch.allclose(plain[:, 1:], mirrored[:, 1:], atol=1e-6)
    assert (plain >= 0).all() and (plain <= 1).all()


@pytest.mark.parametrize("across", swin.ACROSS)
def test_crops_make_a_sheet_and_each_is_named_from_its_part(across):
    model = swin.new_model(["red", "blue"])
    size = swin.PIXELS // across
    number = across**2
    crops = torch.arange(2.0 * number)[:, None, None, None].expand(2 * number, 3, size, size)
    sheets = []
    model.swin.register_forward_pre_hook(lambda _, inputs: sheets.append(inputs[0]))
    with torch.no_grad():
        named = swin._named(model.eval(), crops, across)
        cells = model.swin(sheets[0]).last_hidden_state
    side = round(cells.shape[1] ** 0.5)
    cells = cells.unflatten(1, (side, side))
    part = side // across
    assert named.shape == (2 * number, 2)
    for n in range(2 * number):
        sheet = n // number
        row, column = divmod(n % number, across)
        shown = sheets[0][sheet, 0, row * size : (row + 1) * size, column * size : (column + 1) * size]
        assert (shown == n).all()
        below = row * part
        right = column * part
        own = cells[sheet, below : below + part, right : right + part].mean((0, 1))
        torch.testing.assert_close(named[n], model.classifier(own))


def test_a_crop_holds_its_thing_as_large_as_in_the_scene(web):
    """Where it fits: a window of some 64 or 32 pixels is shown on as many."""
    data = Captioned(web)
    rng = np.random.default_rng(0)
    windows = []
    cut = data.cut
    data.cut = lambda *args: windows.append(args) or cut(*args)
    for across in swin.ACROSS:
        rows = rng.integers(len(data.things), size=64)
        crops = swin._crops(data, rows, rng, across)
        size = swin.PIXELS // across
        places = windows[-1][2]
        assert crops.shape == (64, 3, size, size)
        assert (places[:, 2] >= data.places[rows, 2]).all() and (places[:, 2] >= 0.6 * size - 1e-4).all()
        beside = np.abs(places[:, :2] - data.places[rows, :2]).max(1)
        assert (beside <= 0.45 * (places[:, 2] - 0.8 * data.places[rows, 2]) + 1e-3).all()


def test_the_swin_learns_to_name_things_and_is_probed(web, tmp_path, learning):
    swin.train(tmp_path / "first", web, steps=2, sheets=1, seed=learning.seed)
    start = dict(seed=learning.seed, start=tmp_path / "first")
    swin.train(tmp_path / "swin", web, steps=100, sheets=4, lr=2e-3, **start)
    curve = artefacts.read_json(tmp_path / "swin" / "card.json")["loss_curve"]
    learning.below(np.mean([loss for _, loss in curve[-5:]]), curve[0][1], "last losses, of the first")
    probed = swin.probe(tmp_path / "swin", web)
    assert all(0 <= value <= 1 for value in probed.values())
    learning.above(probed["colour accuracy"], 2 * probed["colour chance"], "colours named, of twice chance")


def test_the_detector_learns_four_scenes_by_heart_and_reads_back(web, tmp_path, learning):
    from dataclasses import replace

    few = replace(web, images=web.images[:4], ids=web.ids[:4], depth=web.depth[:4], objects=web.objects[:4])
    few = replace(few, parts=web.parts[:4])
    detector.train(tmp_path / "detector", few, steps=300, batch=4, lr=2e-3, seed=learning.seed)
    curve = artefacts.read_json(tmp_path / "detector" / "card.json")["loss_curve"]
    first, last = (np.mean([loss for _, loss in part]) for part in (curve[:3], curve[-5:]))
    learning.below(last, first, "last losses, of the first")
    probed = detector.probe(tmp_path / "detector", few)
    for what in ("", "parts: "):
        assert 0 <= probed[f"{what}recall@5"] <= probed[f"{what}recall@10"] <= probed[f"{what}recall@25"] <= 1
    learning.above(probed["recall@25"], 0.4, "things among the first 25 boxes")
    one, two = (Detector(str(tmp_path / "detector"))([clip.Image.fromarray(web.images[0])])[0] for _ in range(2))
    assert torch.equal(one.boxes, two.boxes) and (one.scores.diff() <= 0).all()
