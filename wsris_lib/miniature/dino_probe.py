"""What the features of the miniature DINOv2 know, asked on held-out scenes by their neighbours and by linear maps."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from transformers import Dinov2Model

from wsris_lib.frozen.dino import DinoEncoder
from wsris_lib.frozen.pooling import pool_patches
from wsris_lib.miniature.card import linear_accuracy
from wsris_lib.miniature.views import normalise
from wsris_lib.synref.draw import draw_one
from wsris_lib.synref.second_view import draw_second
from wsris_lib.synref.web import STREAM, Web

Encode = Callable[[list[Image.Image]], Tensor]  # images -> patches [B, C, h, w]


def probe(folder: Path, web: Web, k: int = 10, pairs: int = 100) -> dict[str, float]:
    """What the k nearest features (cosine) of *other* scenes say, for patches and for whole objects.

    Purity is the share of the k neighbours of the same category; accuracy that of their majority vote. Objects are
    described as ES3Net does, by max pooling under the mask; what a linear map reads off that is closer to what ESEM can
    use than what lies near. Of `pairs` scenes more, in two views: whether a patch's neighbours in other scenes show the
    same part of the same category, and whether an object's nearest (mean pooled) in the other view of its scene is it.
    Beside the trained model stand the same network with random weights and the mean colour of each patch, which any
    training must beat. The first half of the scenes is the memory, the second asks.
    """
    encoders = baselines(folder)
    scenes = two_views_known(pairs)
    result = {}
    for name, encode in encoders.items():
        of_patches, of_objects = described(web, encode)
        purity, accuracy = neighbours(*of_patches, column=1, k=k)
        result |= {f"patch category purity{name}": purity, f"patch category accuracy{name}": accuracy}
        for column, what in ((1, "category"), (2, "colour")):
            result[f"object {what} accuracy{name}"] = neighbours(*of_objects, column, k)[1]
            vectors, codes = of_objects
            known = codes[:, 0] < codes[:, 0].max() / 2
            result[f"object {what} read linearly{name}"] = linear_accuracy(vectors, codes[:, column], known)
        if scenes:
            result[f"patch part purity{name}"] = neighbours(*parts_described(scenes, encode), column=1, k=k)[0]
            again, chance = again_in_the_other_view(scenes, encode)
            result |= {f"object again in the other view{name}": again, "object again in the other view, chance": chance}
    common = of_patches[1][:, 1].bincount().max() / len(of_patches[1])
    result["patch category chance"] = round(common.item(), 4)
    return result


def baselines(folder: Path) -> dict[str, Encode]:
    """The encoder in `folder` under the name "", and the two that it has to beat."""
    trained = DinoEncoder(str(folder), side(folder))
    untrained = DinoEncoder(str(folder), trained.size)
    torch.manual_seed(0)
    untrained.model = Dinov2Model(untrained.model.config).eval()
    patch = trained.model.config.patch_size

    def colour(images: list[Image.Image]) -> Tensor:
        return F.avg_pool2d(normalise(pixels(images)), patch)

    return {"": trained.patches, ", random weights": untrained.patches, ", mean colour": colour}


def side(folder: Path) -> int:
    """The side in pixels of the images that the model in `folder` was trained for."""
    return Dinov2Model.config_class.from_pretrained(folder).image_size


def pixels(images: list[Image.Image]) -> Tensor:
    """PIL images of one size -> float [B, 3, H, W] in [0, 1]."""
    return torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2).float() / 255


def described(web: Web, encode: Encode) -> list[tuple[Tensor, Tensor]]:
    """(features [M, C], codes int [M, 3]) of all patches that mostly show an object, then of all visible objects.

    The codes are scene, category and colour.
    """
    words = [sorted({t[name] for things in web.objects for t in things}) for name in ("category", "colour")]
    patches = []
    objects = []
    for scene, things in enumerate(web.objects):
        ids = torch.from_numpy(np.array(web.ids[scene]))
        things = [t for t in things if (ids == t["id"]).any()]
        if not things:
            continue
        masks = ids == torch.tensor([t["id"] for t in things])[:, None, None]  # [N, H, W]
        codes = torch.tensor([[scene, words[0].index(t["category"]), words[1].index(t["colour"])] for t in things])
        features = encode([Image.fromarray(np.array(web.images[scene]))])[0]  # [C, h, w]
        vectors, n = under(features, masks)
        patches.append((vectors, codes[n]))
        objects.append((pool_patches(features, masks), codes))
    return [
        (torch.cat([vectors for vectors, _ in rows]), torch.cat([codes for _, codes in rows]))
        for rows in (patches, objects)
    ]


def under(features: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Patches [M, C] of features [C, h, w] that masks bool [N, H, W] mostly cover, and which mask that is, [M]."""
    height, width = features.shape[1:]
    n, y, x = (F.adaptive_avg_pool2d(masks.float(), (height, width)) > 0.5).nonzero(as_tuple=True)
    return features[:, y, x].T, n


def neighbours(features: Tensor, codes: Tensor, column: int, k: int) -> tuple[float, float]:
    """(purity, accuracy of the majority) of the labels codes[:, column] among the k nearest of the first scenes."""
    memory = codes[:, 0] < codes[:, 0].max() / 2
    unit = F.normalize(features - features[memory].mean(0), dim=1)
    labels = codes[:, column]
    nearest = (unit[~memory] @ unit[memory].T).topk(k).indices  # [Q, k]
    votes = F.one_hot(labels[memory][nearest], int(labels.max()) + 1).sum(1)  # [Q, labels]
    own = votes.gather(1, labels[~memory, None])
    return round((own / k).mean().item(), 4), round((votes.argmax(1) == labels[~memory]).float().mean().item(), 4)


def two_views_known(n: int, seed: int = 1) -> list[tuple]:
    """Both drawings of the first n scenes of a web split, with all that is known about them."""
    return [(draw_one((STREAM, seed), i, 128), draw_second((STREAM, seed), i, 128)) for i in range(n)]


def parts_described(scenes: list[tuple], encode: Encode) -> tuple[Tensor, Tensor]:
    """(features [M, C], codes [M, 2] of scene and part) of patches that mostly show one part of a thing.

    A part is a primitive of `shapes.CATEGORIES`: its category and its number there.
    """
    names: dict[tuple[str, int], int] = {}
    rows = []
    for number, (drawing, _) in enumerate(scenes):
        both = drawing.ids.astype(int) * 256 + drawing.parts
        both[drawing.ids > len(drawing.scene.things)] = 0  # clutter
        labels = [label for label in np.unique(both) if label >= 256]
        if not labels:
            continue
        masks = torch.from_numpy(both == np.array(labels)[:, None, None])
        vectors, n = under(encode([Image.fromarray(drawing.image)])[0], masks)
        keys = [(drawing.scene.things[label // 256 - 1].category, label % 256) for label in labels]
        codes = torch.tensor([[number, names.setdefault(key, len(names))] for key in keys])
        rows.append((vectors, codes[n]))
    return torch.cat([vectors for vectors, _ in rows]), torch.cat([codes for _, codes in rows])


def again_in_the_other_view(scenes: list[tuple], encode: Encode) -> tuple[float, float]:
    """How often the nearest of the objects that the second view shows, by mean pooled patches, is the same object.

    Asked for each object that both views show, among those of its own scene; features are taken from the scenes' mean.
    The second number is how often a blind guess would be right.
    """
    pooled = []
    for one, two in scenes:
        shared = sorted(set(np.unique(one.ids)) & set(np.unique(two.ids)) & set(range(1, len(one.scene.things) + 1)))
        if shared:
            at = np.array(shared)[:, None, None]
            pooled.append([
                pool_patches(encode([Image.fromarray(d.image)])[0], torch.from_numpy(d.ids == at), "mean")
                for d in (one, two)
            ])  # fmt: skip
    mean = torch.cat([torch.cat(views) for views in pooled]).mean(0)
    right = []
    for views in pooled:
        one, two = (F.normalize(vectors - mean, dim=1) for vectors in views)
        right += ((one @ two.T).argmax(1) == torch.arange(len(one))).tolist()
    return round(float(np.mean(right)), 4), round(len(pooled) / len(right), 4)


def principal_colours(encode: Encode, images: list[Image.Image]) -> np.ndarray:
    """The first three principal components of all patches of `images` as red, green and blue: uint8 [B, h, w, 3].

    As in DINOv2's Figure 1: what has the same colour is alike to the network. Each component fills its own range.
    """
    patches = encode(images).permute(0, 2, 3, 1)  # [B, h, w, C]
    flat = patches.flatten(0, 2)
    flat = flat - flat.mean(0)
    _, _, axes = torch.linalg.svd(flat, full_matrices=False)
    low, high = torch.quantile(flat @ axes[:3].T, torch.tensor([0.02, 0.98]), dim=0)
    shown = (((flat @ axes[:3].T) - low) / (high - low)).clamp(0, 1)
    return (shown.view(*patches.shape[:3], 3) * 255).byte().numpy()
