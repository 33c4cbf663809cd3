"""A class-agnostic detector of 2 MB: RT-DETR's architecture, trained from nothing to put a box around every thing.

ES3Net (section C.2) takes its proposals from a detector of objects in general, whose boxes SAM2 turns into masks. The
real one was trained on the boxes of many categories; this one on those of the web split's things, without their
names. Clutter has no box: a detector learns from its annotators what counts as an object.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import find_objects
from torch import Tensor
from torchvision.ops import box_iou
from transformers import RTDetrConfig, RTDetrForObjectDetection, RTDetrImageProcessor, RTDetrResNetConfig

from wsris_lib.frozen.detector import Detector
from wsris_lib.infra.artefacts import read_json
from wsris_lib.miniature.card import adamw, cosine, device
from wsris_lib.miniature.training import MiniatureTrainer, with_weights_of
from wsris_lib.miniature.views import jitter, load_images
from wsris_lib.synref.web import Web

PIXELS = 128
LEAST = 24  # visible pixels of a thing that has a box


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
        num_queries=30,
        num_denoising=20,
        hidden_expansion=0.5,
        num_labels=1,
        id2label={0: "object"},
        label2id={"object": 0},
    )
    return RTDetrForObjectDetection(config)


def thing_boxes(ids: np.ndarray, number: int, least: int = LEAST) -> np.ndarray:
    """float [N, 4], x0 y0 x1 y1 (exclusive) in pixels, around the things 1..number of ids uint8 [H, W] that show."""
    pixels = np.bincount(ids.ravel(), minlength=number + 1)
    slices = find_objects(ids, max_label=number)
    boxes = [
        (columns.start, rows.start, columns.stop, rows.stop)
        for k, (rows, columns) in ((k, place) for k, place in enumerate(slices, 1) if place)
        if pixels[k] >= least
    ]
    return np.array(boxes, np.float32).reshape(-1, 4)


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
    boxes = thing_boxes(web.ids[scene], len(web.objects[scene])) / web.ids.shape[1]
    if mirrored:
        boxes[:, [0, 2]] = 1 - boxes[:, [2, 0]]
    centred = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], 1)
    return {
        "class_labels": torch.zeros(len(boxes), dtype=torch.long, device=where),
        "boxes": torch.from_numpy(centred).to(where),
    }


def probe(folder: Path, web: Web) -> dict[str, float]:
    """On held-out scenes, of the things with 60 or more visible pixels: how well the best of the first N boxes fits.

    `recall@N`: share of the things that one of the N best boxes hits with an IoU of 0.5 or more; `IoU@N`: mean IoU of
    the best; `precision`: share of the boxes above score 0.5 that hit a thing.
    """
    detector = Detector(str(folder))
    rows = []
    hits = []
    for scene, things in enumerate(web.objects):
        truth = torch.from_numpy(thing_boxes(web.ids[scene], len(things), least=60))
        detections = detector([Image.fromarray(np.array(web.images[scene]))])[0]
        overlap = box_iou(truth, detections.boxes)  # [things, N], best score first
        rows += [[float(row[:n].max()) for n in (5, 10, 30)] for row in overlap]
        sure = detections.boxes[detections.scores > 0.5]
        everything = torch.from_numpy(thing_boxes(web.ids[scene], len(things), least=1))
        hits += (box_iou(everything, sure) > 0.5).any(0).tolist()
    table = np.array(rows)
    result = {f"recall@{n}": (table[:, k] >= 0.5).mean() for k, n in enumerate((5, 10, 30))}
    result |= {f"IoU@{n}": table[:, k].mean() for k, n in enumerate((5, 10, 30))}
    result |= {"precision": np.mean(hits) if hits else 0.0}
    return {name: round(float(value), 4) for name, value in result.items()} | {"things": len(rows)}
