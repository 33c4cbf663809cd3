"""The web split as CLIP's food: images of one thing or of a scene, and captions that name things and never places."""

from typing import Any

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from scipy.ndimage import find_objects
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from wsris_lib.miniature.card import device
from wsris_lib.synref import wording
from wsris_lib.synref.web import Web

SIZE = 64  # pixels of CLIP's input, where a model has no other
MEAN = open_clip.OPENAI_DATASET_MEAN
STD = open_clip.OPENAI_DATASET_STD
ATTRIBUTES = ("category", "colour", "size", "material", "texture")
FRAMES = ("{}", "a {}", "the {}", "a photo of a {}", "a picture of the {}", "there is a {}")
EMPTY = ("nothing", "an empty picture", "a plain background", "a photo of nothing", "a blank image")
BLANK = -1  # in place of an object's number: nothing is kept
BACKGROUND = -2  # all but the objects is kept
NO_OBJECT = [1000] * len(ATTRIBUTES)  # codes of what these two show and EMPTY says; no attribute has so many values


def caption(thing: dict, rng: np.random.Generator, size_tells: bool) -> tuple[str, dict[str, str]]:
    """A noun phrase for an object of the web split, and which of its attributes the phrase names.

    `size_tells`: the scene holds another object of the same category and the other size. Alone, a thing is neither
    small nor large, and nobody would say so. Now and then the noun is "thing", if there is something else to say.
    """
    odds = {"category": 0.95, "colour": 0.75, "size": 0.5 if size_tells else 0.0, "material": 0.4, "texture": 0.5}
    named = {name: thing[name] for name in ATTRIBUTES if rng.random() < odds[name]}
    named = {name: value for name, value in named.items() if value not in wording.ORDINARY}
    named = named or {"category": thing["category"]}
    return wording.say(named, rng), named


class Captioned:
    """The visible objects of a web split as crops and its scenes as wholes, with captions, a batch at a time."""

    def __init__(self, web: Web, least_pixels: int = 48, size: int = SIZE):
        """Objects with fewer than `least_pixels` visible pixels are left out; an image becomes `size` x `size` pixels.

        Raises ValueError when none is left.
        """
        self.web = web
        self.where = device()
        self.size = size
        side = web.images.shape[1]
        values = [dict.fromkeys(o[name] for scene in web.objects for o in scene) for name in ATTRIBUTES]
        self.values = [sorted(names) for names in values]
        self.things = []  # (scene, object, size_tells)
        places = []  # (x, y, longer side) of its box, pixels
        self.of_scene: list[list[int]] = []  # rows of self.things
        for scene, objects in enumerate(web.objects):
            self.of_scene.append([])
            boxes = find_objects(web.ids[scene])
            pixels = np.bincount(web.ids[scene].ravel(), minlength=257)
            for thing in objects:
                if pixels[thing["id"]] < least_pixels:
                    continue
                rows, columns = boxes[thing["id"] - 1]
                rivals = (o for o in objects if o["category"] == thing["category"])
                self.of_scene[-1].append(len(self.things))
                self.things.append((scene, thing, any(o["size"] != thing["size"] for o in rivals)))
                extent = max(rows.stop - rows.start, columns.stop - columns.start)
                places.append(((columns.start + columns.stop) / 2, (rows.start + rows.stop) / 2, extent))
        if not self.things:
            raise ValueError(
                f"the web split shows no object of {least_pixels} or more pixels; make more or larger scenes"
            )
        self.places = np.array(places, np.float32)
        self.codes = np.array([self.encode(thing) for _, thing, _ in self.things])  # [objects, A], from 1
        self.whole = np.array([side / 2, side / 2, side], np.float32)

    def encode(self, named: dict) -> list[int]:
        """Attribute values as numbers from 1; 0 = not named."""
        return [1 + v.index(named[name]) if name in named else 0 for name, v in zip(ATTRIBUTES, self.values)]

    def cut(self, scenes: np.ndarray, ids: np.ndarray, places: np.ndarray, flip: np.ndarray, size: int = 0) -> Tensor:
        """Square windows `places` [B, 3] = (x, y, side) in pixels -> normalised images [B, 3, size, size].

        A size of 0 is the class's own. Where ids[i] > 0 only that object's pixels are kept, and for BLANK and
        BACKGROUND what they say. All else, and what lies beyond the frame, becomes CLIP's mean colour: zero, once
        normalised. This is how ES3Net shows a proposal to CLIP.
        """
        x = torch.from_numpy(self.web.images[scenes]).to(self.where).permute(0, 3, 1, 2).float()
        mean, std = (255 * x.new_tensor(values).view(3, 1, 1) for values in (MEAN, STD))
        x.sub_(mean)
        if ids.any():
            kept = np.where(ids == BACKGROUND, 0, ids)
            keep = (self.web.ids[scenes] == kept[:, None, None]) | (ids == 0)[:, None, None]
            x.mul_(torch.from_numpy(keep).to(self.where)[:, None])
        full = x.shape[-1]
        theta = np.zeros((len(scenes), 2, 3), np.float32)  # output to input coordinates, both in -1..1
        theta[:, 0, 0] = places[:, 2] / full * np.where(flip, -1, 1)
        theta[:, 1, 1] = places[:, 2] / full
        theta[:, :, 2] = 2 * places[:, :2] / full - 1
        size = size or self.size
        shape = [len(scenes), 3, size, size]
        grid = F.affine_grid(torch.from_numpy(theta).to(self.where), shape, align_corners=False)
        return F.grid_sample(x, grid, align_corners=False) / std  # of the few pixels that are left

    def batch(
        self,
        size: int,
        rng: np.random.Generator,
        wholes: float | np.ndarray = 0.15,
        wide: float = 0.0,
        empty: float = 0.0,
    ) -> tuple[Tensor, list[str], Tensor]:
        """-> images [B, 3, size, size], their captions, and true [B, B]: caption j is true of image i, its own or not.

        A share `wholes` (a number, or one for each image) are scenes whose captions list two or three of their objects.
        The rest are windows around one object: 1 to 1.6 times its longer side; a share `wide` of them 1.6 to 4 times,
        anywhere in the frame, so that objects come as small beside the image as in a whole scene. Half of the windows
        have all but their object removed; in the others all that has its middle there counts as shown. A share `empty`
        of all show nothing, or a scene's background without an object, and their captions say so. Any may be mirrored.
        """
        rows = rng.integers(len(self.things), size=size)
        scenes = np.array([self.things[row][0] for row in rows])
        ids = np.array([self.things[row][1]["id"] for row in rows]) * (rng.random(size) < 0.5)
        places = self.places[rows].copy()
        places[:, 2] *= rng.uniform(1.0, 1.6, size)
        places[:, :2] += places[:, 2:] * rng.uniform(-0.08, 0.08, (size, 2))
        is_whole = rng.random(size) < wholes
        is_wide = np.zeros(size, bool)
        if wide:
            is_wide = (rng.random(size) < wide) & ~is_whole
            places[is_wide] = self._wide(rows[is_wide], rng)
        ids[is_whole] = 0
        places[is_whole] = self.whole
        is_empty = rng.random(size) < empty
        ids[is_empty] = rng.choice([BLANK, BACKGROUND], is_empty.sum())

        captions = []
        shown: list[Any] = []  # rows of codes of what an image shows, and of what its caption names
        named: list[Any] = []
        for row, scene, place, whole, shows in zip(rows, scenes, places, is_whole, ids, strict=True):
            if shows < 0:
                captions.append(str(rng.choice(EMPTY)))
                shown.append([NO_OBJECT])
                named.append([NO_OBJECT])
                continue
            visible = self.of_scene[scene] if whole else [row]
            subjects = rng.permutation(visible)[: rng.integers(2, 4)]
            if not whole and not shows:
                visible = self._shown(row, place)
            phrases, attributes = zip(*(caption(self.things[k][1], rng, self.things[k][2]) for k in subjects))
            listed = " and a ".join(filter(None, (", a ".join(phrases[:-1]), phrases[-1])))
            captions.append(str(rng.choice(FRAMES)).format(listed))
            shown.append(self.codes[visible])
            named.append([self.encode(a) for a in attributes])
        images = self.cut(scenes, ids, places, rng.random(size) < 0.5)
        return images, captions, _true(_pad(shown, -1), _pad(named, 0)).to(self.where)

    def _wide(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Windows [n, 3] 1.6 to 4 times the longer side of their objects, which they hold, within the frame."""
        x, y, extent = self.places[rows].T
        full = self.whole[2]
        side = np.minimum(extent * 1.6 * 2.5 ** rng.random(len(rows)), full)
        middle = np.stack([x, y], 1) + (side - extent)[:, None] * rng.uniform(-0.5, 0.5, (len(rows), 2))
        inside = np.clip(middle, side[:, None] / 2, full - side[:, None] / 2)
        return np.concatenate([inside, side[:, None]], 1).astype(np.float32)

    def _shown(self, row: int, place: np.ndarray) -> list[int]:
        """The object of a row, and those of its scene whose middle lies in a window (x, y, side)."""
        visible = self.of_scene[self.things[row][0]]
        beside = np.abs(self.places[visible, :2] - place[:2]).max(1)
        return [k for k, distance in zip(visible, beside, strict=True) if k == row or distance < place[2] / 2]


def _pad(ragged: list, value: int) -> Tensor:
    """Lists of attribute codes [k_i, A] -> [B, max k, A]."""
    return pad_sequence([torch.as_tensor(np.array(k)) for k in ragged], True, value)


def _true(shown: Tensor, named: Tensor) -> Tensor:
    """Objects shown [B, K, A] and phrases [B, P, A] (0 = not named) -> bool [B, B]: every phrase fits some object."""
    fits = torch.ones(len(shown), len(named), named.shape[1], shown.shape[1], dtype=torch.bool)  # [B, B, P, K]
    for s, n in zip(shown.unbind(-1), named.unbind(-1)):
        fits &= (n[None, :, :, None] == s[:, None, None, :]) | (n == 0)[None, :, :, None]
    return fits.any(3).all(2)
