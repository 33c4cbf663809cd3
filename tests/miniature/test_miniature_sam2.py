import itertools
import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import Sam2Model, Sam2Processor

from wsris_lib.miniature import sam2, sam2_model, sam2_probe, sam2_prompts
from wsris_lib.synref.web import Web


@pytest.fixture(scope="module")
def web():
    """Twelve scenes of two bright rectangles on a dark ground: a "ball", and a "mushroom", its upper half the cap."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 60, (12, 64, 64, 3), dtype=np.uint8)
    ids, parts = np.zeros((2, 12, 64, 64), np.uint8)
    for image, scene, primitives in zip(images, ids, parts):
        for k, left in enumerate((4, 34), 1):
            y, x = rng.integers([4, left], [20, left + 6])
            h, w = rng.integers(14, 22, 2)
            scene[y : y + h, x : x + w] = k
            image[scene == k] = rng.integers(120, 255, 3)
            primitives[scene == k] = 1
        cap = np.s_[y : y + h // 2, x : x + w]
        primitives[cap] = 2
        image[cap] //= 2
    objects = [{"id": 1, "category": "ball"}, {"id": 2, "category": "mushroom"}]
    return Web(images, ids, np.ones(ids.shape, np.float16), [objects] * 12, [], [], parts)


def prompts_of(web, number, rng, prompts=sam2_prompts.PROMPTS):
    categories = [[thing["category"] for thing in things] for things in web.objects[:number]]
    return sam2_prompts.draw_prompts(web.ids[:number], web.parts[:number], categories, rng, prompts)


@pytest.fixture(scope="module")
def trained(web, tmp_path_factory):
    out = tmp_path_factory.mktemp("zoo") / "sam2"
    sam2.train(out, web, steps=8, dense=4)
    return out


def test_first_weights_can_learn():
    """What the library leaves undone: one code for clicks and image positions, tokens apart, masks not all zero."""
    torch.manual_seed(0)
    model = sam2_model.new_model()
    centre = torch.tensor([[[[5.5, 3.5]]]]) / 12  # (x, y) of cell (3, 5) of the 12 x 12 image embedding
    click = model.prompt_encoder.shared_embedding(centre)[0, 0, 0]
    cells = model.get_image_wide_positional_embeddings()[0].flatten(1)  # [C, 144]
    assert (cells.T @ click).argmax() == 3 * 12 + 5
    tokens = torch.nn.functional.normalize(model.mask_decoder.mask_tokens.weight, dim=1)
    assert (tokens @ tokens.T - torch.eye(4)).abs().max() < 0.6
    logits = model(torch.randn(1, 3, 192, 192), input_points=torch.tensor([[[[90.0, 90.0]]]])).pred_masks
    assert logits.std() > 0.05


def test_every_part_that_a_prompt_reaches_is_trained(web):
    torch.manual_seed(0)
    model = sam2_model.new_model()
    pixels = sam2_model.pixel_values(web.images[:1])
    ours = sam2_model.image_embeddings(model, pixels)
    for level, public in zip(ours, model.get_image_embeddings(pixels)):
        assert torch.equal(level, public)
    outputs = model(image_embeddings=ours, input_points=torch.tensor([[[[60.0, 60.0]]]]))
    (outputs.pred_masks.square().mean() + outputs.iou_scores.mean()).backward()
    without = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert not {name for name in without if name.startswith("vision_encoder.backbone")}


def test_pixels_are_the_processors(web):
    image = Image.fromarray(web.images[0])
    public = sam2_model.processor()(images=image, return_tensors="pt")["pixel_values"]
    assert torch.allclose(sam2_model.pixel_values(web.images[:1]), public, atol=0.02)  # the processor rounds to uint8


def test_prompts_point_at_their_masks(web):
    drawn = prompts_of(web, 6, np.random.default_rng(0), prompts=20)
    assert drawn.clicks.shape == (6, 20, 2) and drawn.boxes.shape == (6, 20, 4)
    assert drawn.masks.shape == (6, 20, 3, 64, 64) and drawn.valid.shape == (6, 20, 3)
    assert drawn.boxes.min() >= 0 and drawn.boxes.max() <= sam2_model.PIXELS
    scale = sam2_model.PIXELS / 64
    levels = {"ground": 0, "whole": 0, "within": 0}
    for scene in range(6):
        ids = torch.from_numpy(web.ids[scene])
        primitives = torch.from_numpy(web.parts[scene])
        for click, box, masks, valid in zip(*(rows[scene] for rows in vars(drawn).values())):
            x, y = (click / scale).long()
            thing = int(ids[y, x])
            here = [ids == thing]  # all that the click may mean
            if thing == 2:
                here += [(ids == 2) & (primitives == primitives[y, x])]
            assert valid.tolist() == [True, len(here) > 1, False]
            assert all(any(torch.equal(mask, one) for one in here) for mask in masks[valid])
            assert len({int(mask.sum()) for mask in masks[valid]}) == len(here)
            levels["ground" if thing == 0 else "whole" if torch.equal(masks[0], here[0]) else "within"] += 1
            ys, xs = masks[0].nonzero().T
            exact = torch.tensor([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]) * scale
            assert (box - exact).abs().max() < 0.25 * (exact[2:] - exact[:2]).max()  # five sigma of the jitter
    assert 0 < levels["ground"] < 40 and levels["whole"] > 30 and levels["within"] > 30


def test_a_scene_without_regions_has_its_ground():
    nothing = np.zeros((1, 64, 64), np.uint8)
    drawn = sam2_prompts.draw_prompts(nothing, nothing, [["ball"]], np.random.default_rng(0), prompts=3)
    assert drawn.masks[:, :, 0].all() and drawn.valid.tolist() == [[[True, False, False]] * 3]


@pytest.mark.parametrize(("answers", "meant"), [(3, 3), (3, 1), (1, 1)])
def test_prompt_loss_against_a_slow_reference(answers, meant):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (2, 3, answers, 4, 4))
    predicted = rng.random((2, 3, answers))
    masks = rng.random((2, 3, meant, 8, 8)) > 0.6
    present = ["100", "110", "101", "111", "100", "111"]
    valid = np.array([[digit == "1" for digit in row[:meant]] for row in present]).reshape(2, 3, meant)
    matched = []
    nearest = []
    squares = []
    for b, p in np.ndindex(2, 3):
        regions = [t for t in range(meant) if valid[b, p, t]]
        losses = np.zeros((answers, meant))
        ious = np.zeros((answers, meant))
        for k, t in np.ndindex(answers, meant):
            target = masks[b, p, t].reshape(4, 2, 4, 2).mean((1, 3))
            q = 1 / (1 + np.exp(-logits[b, p, k]))
            bce = -(target * np.log(q) + (1 - target) * np.log(1 - q)) * np.where(target > 0.5, 5, 1)
            losses[k, t] = bce.mean() + 1 - (2 * (q * target).sum() + 1) / (q.sum() + target.sum() + 1)
            inside = logits[b, p, k] > 0
            thing = target > 0.5
            ious[k, t] = (inside & thing).sum() / max((inside | thing).sum(), 1)
        pairings = itertools.permutations(range(answers), len(regions))
        matched.append(min(np.mean([losses[k, t] for k, t in zip(own, regions)]) for own in pairings))
        for k in range(answers):
            nearest.append(min(losses[k, t] for t in regions))
            squares.append((predicted[b, p, k] - max(ious[k, t] for t in regions)) ** 2)
    expected = np.mean(matched) + 0.1 * np.mean(nearest) + np.mean(squares)
    answer = torch.from_numpy(logits).float(), torch.from_numpy(predicted).float()
    loss = sam2_prompts.prompt_loss(*answer, torch.from_numpy(masks), torch.from_numpy(valid))
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_no_two_regions_are_taught_by_one_mask():
    """A mask that is right for the one leaves the other to the next best, which is drawn towards it."""
    cap = torch.zeros(1, 1, 1, 8, 8, dtype=torch.bool)
    cap[..., :4, :] = True
    masks = torch.cat([torch.ones_like(cap), cap, torch.zeros_like(cap)], 2)
    logits = torch.where(masks, 8.0, -8.0)
    logits[:, :, 1] = 0.9 * logits[:, :, 0]  # two answers mean the whole, none its part
    logits.requires_grad_()
    loss = sam2_prompts.prompt_loss(logits, torch.ones(1, 1, 3), masks, torch.tensor([[[True, True, False]]]))
    loss.backward()
    lower = logits.grad[0, 0, :, 4:].sum((1, 2))
    assert (lower[:2] > 0.01).sum() == 1 and lower[:2].abs().min() < 0.01


def test_same_object_loss_wants_objects_apart():
    ids = torch.zeros(1, 16, 16, dtype=torch.long)
    ids[:, 4:12, 4:12] = 1
    right = torch.nn.functional.interpolate(ids[:, None].float(), (8, 8)) * 4
    loss = {
        name: float(sam2.same_object_loss(embedding, ids, torch.Generator().manual_seed(0)))
        for name, embedding in {"right": right, "flat": torch.zeros(1, 1, 8, 8), "shifted": right.roll(3, 2)}.items()
    }
    assert loss["right"] < 0.15 < loss["flat"] and loss["right"] < loss["shifted"]


def test_what_is_written_is_the_public_format_and_probes(web, trained):
    model = Sam2Model.from_pretrained(trained, dtype=torch.float32).eval()
    processor = Sam2Processor.from_pretrained(trained)
    assert {tensor.dtype for tensor in load_file(trained / "model.safetensors").values()} == {torch.float16}
    assert (trained / "model.safetensors").stat().st_size < 6e6
    inputs = processor(images=Image.fromarray(web.images[0]), input_points=[[[[12.0, 12.0]]]], return_tensors="pt")
    with torch.no_grad():
        outputs = model(**inputs)
    masks = processor.post_process_masks(outputs.pred_masks, inputs["original_sizes"])[0]
    assert masks.shape == (1, 3, 64, 64) and masks.dtype == torch.bool
    measured = sam2.probe(trained, web, scenes=2, side=3)
    assert measured["objects"] == 4 and measured["grid"] == 3
    assert 0 <= measured["click"] <= measured["click_best_of_3"] <= 1
    assert measured["parts"]["number"] == 4 and 0 <= measured["parts"]["whole_and_part"] <= 1
    card = json.loads((trained / "card.json").read_text())
    assert card["steps"] == 8 and card["data"]["split"] == "web"


def test_what_a_sentence_may_mean_is_probed(web):
    targets = sam2_probe.targets_of(web.ids[0], web.parts[0], ["ball", "mushroom"])
    assert [(region.thing, region.level, region.name) for region, _ in targets] == [
        (1, "whole", ""),
        (2, "whole", ""),
        *[(2, "part", name) for name in ("stem", "cap") if part_share(web, name) <= 0.6],
    ]
    assert all(whole.level == "whole" and whole.thing == region.thing for region, whole in targets)


def part_share(web, name):
    thing = web.ids[0] == 2
    return (web.parts[0][thing] == {"stem": 1, "cap": 2}[name]).mean()


def best_iou(outputs, prompts):
    """Of the best of a click's masks with each of its regions, mean over these."""
    size = outputs.pred_masks.shape[-2:]
    targets = torch.nn.functional.interpolate(prompts.masks.flatten(0, 1).float(), size, mode="area") > 0.5
    meant = targets.unflatten(0, prompts.masks.shape[:2])[:, :, None]  # [B, P, 1, T, h, w]
    answers = outputs.pred_masks[:, :, :, None] > 0
    common = (answers & meant).sum((4, 5))
    either = (answers | meant).sum((4, 5))
    return (common / either.clamp(min=1)).amax(2)[prompts.valid].mean().item()


def test_a_click_brings_up_its_region_better_than_before(web, learning):
    """In the four scenes that are learnt."""
    torch.manual_seed(learning.seed)
    model = sam2_model.new_model().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    pixels = sam2_model.pixel_values(web.images[:4])
    drawn = prompts_of(web, 4, np.random.default_rng(learning.seed))
    ious = []
    for _ in range(40):
        outputs = model(
            image_embeddings=sam2_model.image_embeddings(model, pixels), input_points=drawn.clicks[:, :, None]
        )
        loss = sam2_prompts.prompt_loss(outputs.pred_masks, outputs.iou_scores, drawn.masks, drawn.valid)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        ious.append(best_iou(outputs, drawn))
    learning.above(np.median(ious[-10:]), 1.3 * ious[0], "IoU of the best mask, of that before")
