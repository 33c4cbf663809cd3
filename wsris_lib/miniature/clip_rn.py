"""A CLIP whose image side is a ResNet, as EHIN wants it: open_clip's ModifiedResNet, a quarter of RN50's width.

The attention pool sums up what is where; EHIN reads the map before it. So the model is shown scenes more often than the
ViT is: in its 128 pixels an object is 30 to 128 long, as it is in EHIN's input of 256 (67 on average) or 512 (134).
"""

from pathlib import Path

import numpy as np
import open_clip
import torch

from wsris_lib.frozen.clip_backbone import Backbone
from wsris_lib.miniature import clip, clip_probe
from wsris_lib.miniature.captions import Captioned
from wsris_lib.synref import wording
from wsris_lib.synref.web import Web

SIZES = (128, 256, 384, 512)  # of its input, pixels, at which its own map is probed
VISION = dict(image_size=128, layers=[1, 1, 2, 1], width=16, head_width=64)


def train(
    out: Path,
    web: Web,
    steps: int = 3000,
    batch: int = 64,
    seed: int = 0,
    lr: float = 1e-3,
    start: Path | None = None,
) -> open_clip.CLIP:
    """Train from scratch, or go on from the weights in `start`, and write `out` as `clip.train` does."""
    return clip.train(out, web, steps, batch, seed, lr, vision=VISION, wholes=0.25, wide=0.5, large=0, start=start)


@torch.no_grad()
def probe(folder: Path, web: Web) -> dict[str, float]:
    """Zero-shot accuracy on the masked objects of held-out scenes, beside chance; then what `clip_probe` asks: cosines,
    left and right, and where its own map points.
    """
    model = Backbone(str(folder), SIZES[0])
    data = Captioned(web, size=SIZES[0])
    prompts = {"category": [f"a photo of a {wording.NOUNS[name][0]}" for name in data.values[0]],
               "colour": [f"a photo of a {name} thing" for name in data.values[1]]}  # fmt: skip
    scenes = np.array([scene for scene, _, _ in data.things])
    ids = np.array([thing["id"] for _, thing, _ in data.things])
    embeddings = [
        model.image_vectors(
            data.cut(scenes[rows], ids[rows], data.places[rows] * [1, 1, 1.2], np.zeros(len(rows), bool)).cpu()
        )
        for rows in np.array_split(np.arange(len(scenes)), max(1, len(scenes) // 64))
    ]
    result = {}
    for column, (name, sentences) in enumerate(prompts.items()):
        chosen = (torch.cat(embeddings) @ model.sentences(sentences).T).argmax(-1)
        result[f"{name} accuracy"] = (chosen.numpy() + 1 == data.codes[:, column]).mean().round(4).item()
        result[f"{name} chance"] = round(1 / len(sentences), 4)
    result |= clip_probe.cosines(model, data) | clip_probe.sides(model, data)
    for size in SIZES:
        result |= clip_probe.pointing(folder, web, size)
    return result
