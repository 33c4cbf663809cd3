"""One interface for all refinements: an image and its sentences' soft masks in, better ones and a confidence out.

The soft masks may be EHIN's response maps or the proposals that ES3Net chose; as everywhere here they lie in [0, 1] and
are over 1/2 where the mask is.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from wsris_lib.config.settings import RefineConfig
from wsris_lib.frozen.clip_backbone import Backbone
from wsris_lib.frozen.working_size import shrunk
from wsris_lib.refine.crf import crf_masks
from wsris_lib.refine.instances import instances
from wsris_lib.refine.irnet import IRNet
from wsris_lib.refine.random_walk import spread

CRF_PIXELS = 1 << 20
Array = NDArray[Any]  # of floats or bools
Refine = Callable[[Image.Image, Array], Array]  # image, soft [S, H, W] -> soft [S, H, W]


def by_crf(settings: RefineConfig) -> Refine:
    """Dense CRF on the hard masks, at the size of `for_crf`. It may leave nothing of one, see `kept`."""

    def refine(image: Image.Image, soft: Array) -> Array:
        small = np.asarray(for_crf(image, settings))
        refined = crf_masks(small, _resized(soft, small.shape[:2]) > 0.5, settings)
        return _resized(refined, soft.shape[1:])

    return refine


def for_crf(image: Image.Image, settings: RefineConfig) -> Image.Image:
    """What the CRF sees: the image with its longer side at settings.side, or as it is, up to a megapixel.

    Lengths of the kernels are pixels, chosen for photographs of a third of that; the lattice of a larger one would fill
    gigabytes.
    """
    return shrunk(image, settings.side, CRF_PIXELS)


def by_walk(model: IRNet, backbone: Backbone, settings: RefineConfig) -> Refine:
    """IRNet's random walk: each mask spreads as far as no edge stops it, then is cut at a part of its maximum."""

    def refine(image: Image.Image, soft: Array) -> Array:
        edge, displacement = fields(model, backbone, image)
        above = np.maximum(2 * soft - 1, 0).astype(np.float32)  # how far over 1/2: a map's positive part, or a mask
        whole = torch.from_numpy(above)[None]  # [1, S, H, W]
        start = F.interpolate(whole, edge.shape, mode="area")[0].numpy()
        groups = instances(displacement, settings.centroid_threshold)
        # Each instance walks alone and a pixel takes the strongest (TRIS): two objects don't add up on their border.
        K = groups.max() + 1
        parts = (start[:, None] * (groups == np.arange(K)[:, None, None])).reshape(-1, *edge.shape)  # [S * K, h, w]
        walked = np.zeros_like(parts)
        alive = parts.any((1, 2))  # most instances hold nothing of a sentence
        walked[alive] = spread(parts[alive], edge, settings.radius_walk, settings.beta, settings.doublings)
        of_sentence = zip(walked.reshape(-1, K, *edge.shape), alive.reshape(-1, K))
        return np.stack([_cut(_strongest(maps[some], soft.shape[1:]), settings) for maps, some in of_sentence])

    return refine


def in_turn(*steps: Refine) -> Refine:
    """One refinement after the other; none at all leaves the masks as they are. What one erases goes on as it came."""

    def refine(image: Image.Image, soft: Array) -> Array:
        for step in steps[:-1]:
            soft = kept(step(image, soft), soft)
        return steps[-1](image, soft) if steps else soft

    return refine


@torch.inference_mode()
def fields(model: IRNet, backbone: Backbone, image: Image.Image) -> tuple[Array, Array]:
    """IRNet's edge [h, w], mean over the image and its mirror image, and displacement [2, h, w]."""
    device = next(model.parameters()).device
    pixels = backbone.normalise(backbone.prepare(image)[None].to(device))
    both = torch.cat([pixels, pixels.flip(3)])
    maps = backbone.pyramid(both.contiguous(memory_format=torch.channels_last))  # a CPU's convolutions like it so
    edge = model.edges(maps)
    displacement = model.displacement([map_[:1] for map_ in maps])
    return ((edge[0] + edge[1].flip(1)) / 2).cpu().numpy(), displacement[0].cpu().numpy()


def kept(after: Array, before: Array) -> Array:
    """Refined soft masks [S, H, W]; where nothing is left, the mask that it came from."""
    return np.where((after > 0.5).any((1, 2), keepdims=True), after, before)


def confidence(before: Array, after: Array) -> Array:
    """How far a refinement agrees with what it was given: the IoU of the masks before and after, [S] in [0, 1].

    The papers give a refined map no confidence. A map that keeps to an object hardly changes; one that lies across
    several, or beside all, is torn or moved. `after` is what the refinement left, not what `kept` makes of it: a mask
    that was erased has 0, and a label that is nevertheless used for lack of a better one shouldn't count as sure.
    """
    a = before > 0.5
    b = after > 0.5
    return (a & b).sum((1, 2)) / np.maximum(1, (a | b).sum((1, 2)))


def _resized(soft: Array, size: tuple[int, int]) -> Array:
    """Soft masks [S, H, W] at another size, bilinear."""
    if soft.shape[1:] == tuple(size):
        return soft
    whole = torch.from_numpy(np.ascontiguousarray(soft, np.float32))[None]
    return F.interpolate(whole, tuple(size), mode="bilinear", align_corners=False, antialias=True)[0].numpy()


def _strongest(maps: Array, size: tuple[int, ...]) -> Array:
    """The greatest of maps [K, h, w] at each pixel of another size, 0 where there is none; a map at a time."""
    grown = torch.zeros(size, dtype=torch.from_numpy(maps).dtype)
    for map_ in torch.from_numpy(maps):
        large = F.interpolate(map_[None, None], size, mode="bilinear", align_corners=False)[0, 0]
        torch.maximum(grown, large, out=grown)
    return grown.numpy()


def _cut(walked: Array, settings: RefineConfig) -> Array:
    """A walked map [H, W] -> soft mask: 1/2 at `threshold` of the maximum, small fragments gone.

    IRNet's code keeps fragments in the list that TRIS then unites, so that they do stay; here they go, but for the
    largest where all are small.
    """
    top = walked.max()
    if top <= 0:
        return np.zeros_like(walked)
    level = settings.threshold * top
    soft = np.interp(walked, [0, level, top], [0, 0.5, 1])
    pieces, n = ndimage.label(soft > 0.5)
    if n > 1:
        sizes = np.bincount(pieces.ravel())[1:]
        large = sizes >= min(settings.fragment * walked.size, sizes.max())
        soft = np.where(np.concatenate([[True], large])[pieces], soft, 0.0)
    return soft
