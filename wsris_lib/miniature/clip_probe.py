"""How near a miniature CLIP is to the real one, on held-out scenes: its cosines, its own response map, and as a critic.

What is published of the real one, for comparison with a card's `probe`:

- its logit scale is clipped at 100, and ends there (Radford et al. 2021, section 2.5);
- its cosines fill a narrow band, "roughly from zero to roughly 0.4" (Hessel et al. 2021, CLIPScore, section 3); users
  of ViT-B/32 see .25 for the right word of a picture, .19 to .22 for wrong ones (openai/CLIP, issue 405);
- it was never taught to point, and does so from the map before its pooling (Zhou et al. 2022, MaskCLIP).
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wsris_lib.frozen.clip_backbone import Backbone
from wsris_lib.miniature.captions import Captioned
from wsris_lib.synref import wording
from wsris_lib.synref.web import Web

BATCH = 64


class Sentences(NamedTuple):
    """Phrases of colour and category that fit one visible object of their scene alone."""

    scenes: Tensor  # long [S], numbers of scenes
    ids: Tensor  # long [S], of the object that is meant
    vectors: Tensor  # [S, E] of length 1


def phrase(thing: dict) -> str:
    """ "a photo of a red mug", as CLIP is asked."""
    return f"a photo of a {thing['colour']} {wording.NOUNS[thing['category']][0]}"


def describing(data: Captioned, model: Backbone) -> Sentences:
    """A sentence for each visible object that no other of its scene, visible or not, has colour and category of."""
    rows = []
    for scene, thing, _ in data.things:
        alike = [o for o in data.web.objects[scene] if phrase(o) == phrase(thing)]
        if len(alike) == 1 and len(data.of_scene[scene]) > 1:
            rows.append((scene, thing["id"], phrase(thing)))
    if not rows:
        raise ValueError("no held-out scene has two visible things that differ in colour or category")
    scenes, ids, texts = zip(*rows)
    distinct, own = np.unique(texts, return_inverse=True)
    return Sentences(torch.tensor(scenes), torch.tensor(ids), model.sentences(distinct.tolist())[torch.tensor(own)])


@torch.no_grad()
def cosines(model: Backbone, data: Captioned) -> dict[str, float]:
    """Cosines of windows 1.3 times their object with the phrase that fits it, and with all that don't; logit scale."""
    parts = np.array_split(np.arange(len(data.things)), len(data.things) // BATCH + 1)
    images = torch.cat([model.image_vectors(_windows(data, rows, model.image_size)) for rows in parts])
    distinct, own = np.unique([phrase(thing) for _, thing, _ in data.things], return_inverse=True)
    table = images @ model.sentences(distinct.tolist()).T  # [objects, phrases]
    fits = F.one_hot(torch.tensor(own), len(distinct)).bool()
    result = {"logit scale": round(model.clip.logit_scale.exp().item(), 2)}
    for name, values in (("matching", table[fits]), ("other", table[~fits])):
        low, high = np.quantile(values.numpy(), [0.05, 0.95])
        result |= {f"cosine of {name} pairs": values.mean().item(), f"cosine of {name} pairs, 5 %": low}
        result |= {f"cosine of {name} pairs, 95 %": high}
    return {name: round(float(value), 4) for name, value in result.items()}


@torch.no_grad()
def sides(model: Backbone, data: Captioned) -> dict[str, float]:
    """Whether "... on the left" or "... on the right" is nearer to a whole scene, for objects clearly in one half.

    It should be at chance, since no caption ever told places.
    """
    side = float(data.whole[2])
    asked_of = [row for row, (x, _, _) in enumerate(data.places) if abs(x / side - 0.5) > 0.15]
    right = []
    for rows in np.array_split(asked_of, len(asked_of) // BATCH + 1) if asked_of else []:
        images = model.image_vectors(_whole(data, [data.things[row][0] for row in rows], model.image_size))
        phrases = [phrase(data.things[row][1]) for row in rows]
        left_right = [model.sentences([f"{text} on the {place}" for text in phrases]) for place in ("left", "right")]
        says_right = torch.stack([(images * vectors).sum(-1) for vectors in left_right]).argmax(0).bool()
        right.append(says_right == torch.from_numpy(data.places[rows, 0] > side / 2))
    accuracy = torch.cat(right).float().mean().item() if right else 0.5
    return {"left or right accuracy": round(accuracy, 4), "left or right chance": 0.5}


@torch.no_grad()
def pointing(folder: Path, web: Web, size: int) -> dict[str, float]:
    """Share of sentences at whose greatest response, of CLIP's own map of whole scenes of `size` pixels, the object is.

    Its chance is the mean share of the scene that an object covers.
    """
    model = Backbone(str(folder), size)
    data = Captioned(web)
    sentences = describing(data, model)
    hits = []
    for scene in sentences.scenes.unique().tolist():
        of_scene = sentences.scenes == scene
        cells = model.dense_vectors(model.maps(_whole(data, [scene], size)))
        maps = torch.einsum("ehw,se->shw", cells[0], sentences.vectors[of_scene])
        maps = F.interpolate(maps[None], web.ids.shape[1:], mode="bilinear", align_corners=False)[0]
        ids = torch.from_numpy(np.array(web.ids[scene])).flatten()
        hits.append(ids[maps.flatten(1).argmax(1)] == sentences.ids[of_scene])
    shares = [(web.ids[s] == k).mean() for s, k in zip(sentences.scenes.tolist(), sentences.ids.tolist(), strict=True)]
    accuracy = torch.cat(hits).float().mean().item()
    return {
        f"pointing at {size} px": round(accuracy, 4),
        "pointing chance": round(float(np.mean(shares)), 4),
        f"cells of the median object at {size} px": round(
            float(np.median(shares)) * cells.shape[2] * cells.shape[3], 2
        ),
    }


@torch.no_grad()
def judging(folder: Path, web: Web, size: int) -> dict[str, float]:
    """As EHIN's critic, at `size` pixels: what S (EHIN eq. 16) of a scene under a mask says of the mask.

    "choice": share of sentences whose own object's mask has the greatest S of all visible objects' masks. "empty above
    wrong": share of pairs of a sentence and another object's mask of which nothing at all has the greater S.
    """
    model = Backbone(str(folder), size)
    data = Captioned(web)
    sentences = describing(data, model)
    empty = sentences.vectors @ model.image_vectors(torch.zeros(1, 3, size, size))[0]  # S of nothing, [S]
    chosen = []
    chance = []
    above_wrong = []
    above_right = []
    for scene in sentences.scenes.unique().tolist():
        of_scene = sentences.scenes == scene
        ids = torch.tensor([data.things[row][1]["id"] for row in data.of_scene[scene]])  # [n]
        masks = (torch.from_numpy(np.array(web.ids[scene])) == ids[:, None, None]).float()
        masks = F.interpolate(masks[:, None], (size, size), mode="bilinear", align_corners=False, antialias=True)
        images = model.image_vectors(_whole(data, [scene], size) * masks)
        S = sentences.vectors[of_scene] @ images.T  # [s, n]
        right = sentences.ids[of_scene, None] == ids
        chosen.append(right[torch.arange(len(S)), S.argmax(1)])
        chance += [1 / len(ids)] * len(S)
        above = empty[of_scene, None] > S
        above_wrong.append(above[~right])
        above_right.append(above[right])
    names = {"choice": chosen, "empty above wrong": above_wrong, "empty above right": above_right}
    result = {f"critic at {size} px, {name}": torch.cat(parts).float().mean().item() for name, parts in names.items()}
    result["critic chance"] = float(np.mean(chance))
    return {name: round(value, 4) for name, value in result.items()}


def _windows(data: Captioned, rows: np.ndarray, size: int) -> Tensor:
    """Normalised squares of 1.3 times the longer side of objects, nothing masked: [B, 3, size, size]."""
    scenes = np.array([data.things[row][0] for row in rows])
    nothing = np.zeros(len(rows), int)
    places = data.places[rows] * np.array([1, 1, 1.3], np.float32)
    return data.cut(scenes, nothing, places, nothing.astype(bool), size).cpu()


def _whole(data: Captioned, scenes: list[int], size: int) -> Tensor:
    """Normalised whole scenes: [B, 3, size, size]."""
    nothing = np.zeros(len(scenes), int)
    places = np.repeat(data.whole[None], len(scenes), 0)
    return data.cut(np.array(scenes), nothing, places, nothing.astype(bool), size).cpu()
