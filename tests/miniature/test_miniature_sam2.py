import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import Sam2Model, Sam2Processor

from wsris_lib.miniature import sam2, sam2_model
from wsris_lib.synref.web import Web


@pytest.fixture(scope="module")
def web():
    """Twelve scenes of two bright rectangles on a dark ground."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 60, (12, 64, 64, 3), dtype=np.uint8)
    ids = np.zeros((12, 64, 64), np.uint8)
    for image, scene in zip(images, ids):
        for k, left in enumerate((4, 34), 1):
            y, x = rng.integers([4, left], [20, left + 6])
            h, w = rng.integers(14, 22, 2)
            scene[y : y + h, x : x + w] = k
            image[scene == k] = rng.integers(120, 255, 3)
    return Web(images, ids, np.ones(ids.shape, np.float16), [[{"id": 1}, {"id": 2}]] * 12, [], [])


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
    clicks, boxes, masks = sam2.draw_prompts(web.ids[:6], np.random.default_rng(0), prompts=20)
    assert clicks.shape == (6, 20, 2) and boxes.shape == (6, 20, 4) and masks.shape == (6, 20, 64, 64)
    assert boxes.min() >= 0 and boxes.max() <= sam2_model.PIXELS
    scale = sam2_model.PIXELS / 64
    ground = 0
    for scene in range(6):
        for click, box, mask in zip(clicks[scene], boxes[scene], masks[scene]):
            x, y = (click / scale).long()
            assert mask[y, x]
            ids = np.unique(web.ids[scene][mask.numpy()])
            assert len(ids) == 1 and mask.sum() == (web.ids[scene] == ids[0]).sum()
            ground += ids[0] == 0
            ys, xs = mask.nonzero().T
            exact = torch.tensor([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]) * scale
            assert (box - exact).abs().max() < 0.25 * (exact[2:] - exact[:2]).max()  # five sigma of the jitter
    assert 0 < ground < 40


def test_prompt_loss_against_a_slow_reference():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (2, 3, 3, 4, 4))
    iou = rng.random((2, 3, 3))
    masks = rng.random((2, 3, 8, 8)) > 0.6
    best = []
    every = []
    squares = []
    for b in range(2):
        for p in range(3):
            target = masks[b, p].reshape(4, 2, 4, 2).mean((1, 3))
            losses = []
            for k in range(3):
                q = 1 / (1 + np.exp(-logits[b, p, k]))
                bce = -(target * np.log(q) + (1 - target) * np.log(1 - q)) * np.where(target > 0.5, 5, 1)
                dice = 1 - (2 * (q * target).sum() + 1) / (q.sum() + target.sum() + 1)
                losses.append(bce.mean() + dice)
                inside = logits[b, p, k] > 0
                thing = target > 0.5
                squares.append((iou[b, p, k] - (inside & thing).sum() / max((inside | thing).sum(), 1)) ** 2)
            best.append(min(losses))
            every += losses
    expected = np.mean(best) + 0.1 * np.mean(every) + np.mean(squares)
    loss = sam2.prompt_loss(torch.from_numpy(logits).float(), torch.from_numpy(iou).float(), torch.from_numpy(masks))
    assert float(loss) == pytest.approx(expected, rel=1e-5)


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
    card = json.loads((trained / "card.json").read_text())
    assert card["steps"] == 8 and card["data"]["split"] == "web"


def best_iou(outputs, masks):
    """Of the best of a click's masks with its region, mean over the clicks."""
    size = outputs.pred_masks.shape[-2:]
    regions = torch.nn.functional.interpolate(masks.float(), size, mode="area")[:, :, None] > 0.5
    answers = outputs.pred_masks > 0
    common = (answers & regions).sum((3, 4))
    either = (answers | regions).sum((3, 4))
    return (common / either.clamp(min=1)).amax(2).mean().item()


def test_a_click_brings_up_its_region_better_than_before(web, learning):
    """In the four scenes that are learnt."""
    torch.manual_seed(learning.seed)
    model = sam2_model.new_model().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    pixels = sam2_model.pixel_values(web.images[:4])
    clicks, _, masks = sam2.draw_prompts(web.ids[:4], np.random.default_rng(learning.seed))
    ious = []
    for _ in range(40):
        outputs = model(image_embeddings=sam2_model.image_embeddings(model, pixels), input_points=clicks[:, :, None])
        loss = sam2.prompt_loss(outputs.pred_masks, outputs.iou_scores, masks)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        ious.append(best_iou(outputs, masks))
    learning.above(np.median(ious[-10:]), 1.3 * ious[0], "IoU of the best mask, of that before")
