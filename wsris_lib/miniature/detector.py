"""A class-agnostic detector of 2 MB: RT-DETR's architecture, trained from nothing to box things and their named parts.

ES3Net (section C.2) takes its proposals from a detector of objects in general, whose boxes SAM2 turns into masks. The
real one was trained on the boxes of many categories, some of which are parts (LVIS has handles, headboards and
headlights); this one on those of the web split's things and of their parts that have a name, without the names.
Clutter has no box: a detector learns from its annotators what counts as an object.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.ops import box_iou
from transformers import RTDetrConfig, RTDetrForObjectDetection, RTDetrImageProcessor, RTDetrResNetConfig

from wsris_lib.frozen.detector import Detector
from wsris_lib.infra.artefacts import read_json
from wsris_lib.miniature.card import adamw, cosine, device
from wsris_lib.miniature.training import MiniatureTrainer, with_weights_of
from wsris_lib.miniature.views import jitter, load_images
from wsris_lib.synref.regions import ALIKE, LEVELS, Region, regions
from wsris_lib.synref.web import Web

PIXELS = 128
LEAST = 24  # visible pixels of what has a box
QUERIES = 60  # twice as many as the fullest scene has boxes
FIRST = (5, 10, 25)  # boxes that the probe looks at: the best
LIMIT = 40


def new_model() -> RTDetrForObjectDetection:
    """Zhao et al. 2024 (RT-DETR) at a width of 64: a ResNet of four blocks, its hybrid encoder, two decoder layers."""
    backbone = RTDetrResNetConfig(
        embedding_size=24,
        hidden_sizes=[24, 48, 64, 96],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )
    config = RTDetrConfig(
        backbone_config=backbone,
        freeze_backbone_batch_norms=False,  # there are no statistics to freeze
        encoder_hidden_dim=64,
        encoder_in_channels=[48, 64, 96],
        encoder_ffn_dim=128,
        encoder_attention_heads=4,
        d_model=64,
        decoder_in_channels=[64, 64, 64],
        decoder_ffn_dim=128,
        decoder_attention_heads=4,
        decoder_layers=2,
        num_queries=QUERIES,
        num_denoising=20,
        hidden_expansion=0.5,
        num_labels=1,
        id2label={0: "object"},
        label2id={"object": 0},
    )
    return RTDetrForObjectDetection(config)


def annotations(
    ids: np.ndarray, parts: np.ndarray, categories: Sequence[str], least: int = LEAST
) -> list[tuple[Region, np.ndarray]]:
    """What an annotator boxes in a scene: things, and what has a name within them, each with its box.

    ids, parts uint8 [H, W], categories of the things; of each region `least` pixels or more show. A box is float [4],
    x0 y0 x1 y1 (exclusive) in pixels. A part of several pieces has a box around all of them and one around each. Of
    two boxes of an IoU above ALIKE one stays, a thing's before a part's and that before a piece's.
    """
    named = [region for region in regions(ids, parts, categories, least) if region.level == "whole" or region.name]
    ordered = sorted(named, key=lambda region: LEVELS.index(region.level))
    frames = torch.tensor([_frame(region.mask(ids, parts)) for region in ordered]).view(-1, 4)
    alike = box_iou(frames, frames) > ALIKE
    kept: list[int] = []
    for k in range(len(frames)):
        if not alike[k, kept].any():
            kept.append(k)
    return [(ordered[k], frames[k].numpy()) for k in kept]


def _frame(mask: np.ndarray) -> tuple[float, float, float, float]:
    ys, xs = np.nonzero(mask)
    return float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1)


def _of_scene(web: Web, scene: int, least: int = LEAST) -> tuple[list[Region], np.ndarray]:
    """Regions, and their boxes as one array float [N, 4]."""
    categories = [thing["category"] for thing in web.objects[scene]]
    known = annotations(web.ids[scene], web.parts[scene], categories, least)
    return [region for region, _ in known], np.array([box for _, box in known], np.float32).reshape(-1, 4)


def train(
    out: Path,
    web: Web,
    steps: int = 3000,
    batch: int = 16,
    seed: int = 0,
    lr: float = 1e-3,
    start: Path | None = None,
) -> None:
    """Train on images and boxes, and write `out` in transformers' format: fp16 weights, processor, card.json.

    `start`: a folder of an earlier miniature, whose weights to go on from at half the rate.
    """
    torch.manual_seed(seed)
    where = device()
    lr = lr / 2 if start else lr
    model = with_weights_of(start, new_model()).to(where).train()
    optimiser = adamw(model, lr, weight_decay=1e-2)
    run = MiniatureTrainer(out, model, optimiser, steps, seed, dict(batch=batch, start=str(start)))
    for step in run:
        chosen = run.rng.integers(len(web.images), size=batch)
        images = jitter(load_images(web, chosen), run.generator)  # [B, 3, H, W] in 0..1
        mirrored = run.rng.random(batch) < 0.5
        images[mirrored] = images[mirrored].flip(-1)
        labels = [_label(web, scene, flip, where) for scene, flip in zip(chosen, mirrored)]
        loss = model(pixel_values=images, labels=labels).loss
        run.backward_and_step(loss, lr * cosine(step, steps, warmup=max(1, steps // 20)), clip=0.1)
    model.half().save_pretrained(out)
    RTDetrImageProcessor(size={"height": PIXELS, "width": PIXELS}).save_pretrained(out)
    earlier = read_json(start / "card.json") if start else {}
    run.finish(
        name="detector",
        objective="set prediction of boxes (DETR): varifocal loss, L1 and GIoU with denoising, as RT-DETR has them",
        data=dict(scenes=len(web.images), images=steps * batch, seed=seed, uses="images and boxes, no category")
        | ({"start": earlier["data"] | {"steps": earlier["steps"]}} if start else {}),
        limits="knows tabletop scenes only; has learnt that clutter is no object",
    )


def _label(web: Web, scene: int, mirrored: bool, where: torch.device) -> dict[str, Tensor]:
    """Boxes of a scene as DETR wants them: centre, width and height as fractions of the frame; all of one class."""
    _, frames = _of_scene(web, scene)
    frames /= web.ids.shape[1]
    if mirrored:
        frames[:, [0, 2]] = 1 - frames[:, [2, 0]]
    centred = np.concatenate([(frames[:, :2] + frames[:, 2:]) / 2, frames[:, 2:] - frames[:, :2]], 1)
    return {
        "class_labels": torch.zeros(len(frames), dtype=torch.long, device=where),
        "boxes": torch.from_numpy(centred).to(where),
    }


def probe(folder: Path, web: Web) -> dict[str, float]:
    """On held-out scenes: how well the best of the first N boxes fits things of 60 or more visible pixels.

    `recall@N`: share of the things that one of the N best boxes hits with an IoU of 0.5 or more; `IoU@N`: mean IoU of
    the best; `parts: ...`: the same of the parts with a name, of 40 pixels or more. `precision`: share of the boxes
    above score 0.5 that hit anything that has a box. `boxes`: how many there are above the score 0.05, a scene, LIMIT
    at most.
    """
    detector = Detector(str(folder), limit=LIMIT)
    rows: dict[str, list[list[float]]] = {"whole": [], "part": []}
    hits = []
    numbers = []
    for scene in range(len(web.objects)):
        known, frames = _of_scene(web, scene, least=40)
        detections = detector([Image.fromarray(np.array(web.images[scene]))])[0]
        overlap = box_iou(torch.from_numpy(frames), detections.boxes)  # [regions, N], best score first
        for region, row in zip(known, overlap):
            if region.level == "part" or (region.level == "whole" and region.pixels >= 60):
                rows[region.level].append([float(row[:n].max()) for n in FIRST])
        sure = detections.boxes[detections.scores > 0.5]
        everything = torch.from_numpy(_of_scene(web, scene, least=1)[1])
        hits += (box_iou(everything, sure) > 0.5).any(0).tolist()
        numbers.append(len(detections.boxes))
    result = {}
    for level, prefix in (("whole", ""), ("part", "parts: ")):
        table = np.array(rows[level]).reshape(-1, len(FIRST))
        result |= {f"{prefix}recall@{n}": (table[:, k] >= 0.5).mean() for k, n in enumerate(FIRST)}
        result |= {f"{prefix}IoU@{n}": table[:, k].mean() for k, n in enumerate(FIRST)}
    result |= {"precision": np.mean(hits) if hits else 0.0, "boxes": np.mean(numbers)}
    counts = {"things": len(rows["whole"]), "parts": len(rows["part"])}
    return {name: round(float(value), 4) for name, value in result.items()} | counts
