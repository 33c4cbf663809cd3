"""A CLIP whose image side is a ResNet, as EHIN wants it: open_clip's ModifiedResNet, a quarter of RN50's width.

The attention pool sums up what is where; EHIN reads the map before it. So the model is shown whole scenes more often
than the ViT is. Sizes it is taught: crops of 128 pixels whose object is 80 to 128 long, and whole scenes of 128 with
objects a quarter of that. EHIN's input of 256 shows objects in between, at a size that it was never taught.
"""

from pathlib import Path

import numpy as np
import open_clip
import torch

from wsris_lib.miniature import clip
from wsris_lib.miniature.captions import Captioned
from wsris_lib.synref import wording
from wsris_lib.synref.web import Web

VISION = dict(image_size=128, layers=[1, 1, 2, 1], width=16, head_width=64)


def train(out: Path, web: Web, steps: int = 3000, batch: int = 64, seed: int = 0, lr: float = 1e-3) -> open_clip.CLIP:
    """Train from scratch and write `out` as `clip.train` does."""
    return clip.train(out, web, steps, batch, seed, lr, vision=VISION, wholes=0.4)


@torch.no_grad()
def probe(folder: Path, web: Web) -> dict[str, float]:
    """Zero-shot accuracy on the masked objects of held-out scenes, each with its chance level."""
    model = open_clip.create_model(f"local-dir:{folder}").eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}", bpe_path=str(folder / "bpe.txt.gz"))
    data = Captioned(web, size=int(np.max(model.visual.image_size)))
    prompts = {"category": [f"a photo of a {wording.NOUNS[name][0]}" for name in data.values[0]],
               "colour": [f"a photo of a {name} thing" for name in data.values[1]]}  # fmt: skip
    scenes = np.array([scene for scene, _, _ in data.things])
    ids = np.array([thing["id"] for _, thing, _ in data.things])
    embeddings = [
        model.encode_image(
            data.cut(scenes[rows], ids[rows], data.places[rows] * [1, 1, 1.2], np.zeros(len(rows), bool)), True
        )
        for rows in np.array_split(np.arange(len(scenes)), max(1, len(scenes) // 64))
    ]
    result = {}
    for column, (name, sentences) in enumerate(prompts.items()):
        chosen = (torch.cat(embeddings) @ model.encode_text(tokenizer(sentences), normalize=True).T).argmax(-1)
        result[f"{name} accuracy"] = (chosen.numpy() + 1 == data.codes[:, column]).mean().round(4).item()
        result[f"{name} chance"] = round(1 / len(sentences), 4)
    return result
