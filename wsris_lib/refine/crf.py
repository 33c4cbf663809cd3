"""A dense CRF that pulls a coarse map onto the object: labels near each other, in place and colour, should be equal.

Krähenbühl and Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials" (NIPS 2011). IRNet
(Ahn, Cho and Kwak, CVPR 2019) learns from what it makes of a response map. One mask is left to `pydensecrf`, which is
Krähenbühl's own program, where that is installed; several masks of an image to `lattice`, which computes the same for
all of them at once and is then up to three times as fast.
"""

from functools import lru_cache
from types import ModuleType

import numpy as np

from wsris_lib.config.settings import RefineConfig
from wsris_lib.refine.affinity import IGNORE
from wsris_lib.refine.lattice import Lattice, mean_field

BACKENDS = ("lattice", "pydensecrf")
COMPILER = "(it needs a C++ compiler)"
INSTALL = f'to install it: pip install "wsris[crf]" {COMPILER}'
REBUILD = f"to build it anew: pip install --force-reinstall --no-deps --no-cache-dir pydensecrf2 {COMPILER}"


def dense_crf(image: np.ndarray, unary: np.ndarray, settings: RefineConfig, backend: str = "") -> np.ndarray:
    """Marginals of two labels after `settings.iterations` rounds of mean field; with 0, softmax(-unary).

    Two kernels: one of place (near_px, near_weight), one of place and colour (far_px, far_colour, far_weight).

    Args:
        image: uint8 [H, W, 3]. unary: float32 [2, H, W], negative log probabilities.
        backend: "lattice" or "pydensecrf"; empty: the faster of those that are there.

    Returns float32 [2, H, W], which add up to 1. The two backends differed by less than 2e-4 in 40 images of 37 x 53 to
    320 x 320 pixels (noise, clouds, blocks, black) with the kernels of `tiny` and `paper`, and in no pixel's label.
    That is rounding, on x86; other compilers may round otherwise.

    Raises ValueError for an image or a unary of another kind and for an unknown backend, ImportError where pydensecrf
    is asked for and missing or broken.
    """
    return _marginals(image, [unary], settings, backend)[0]


def unary_from_labels(labels: np.ndarray, certainty: float) -> np.ndarray:
    """bool or int [H, W] of 0 and 1 -> float32 [2, H, W]: -log of `certainty` for a pixel's own label, -log of the rest
    for the other; `pydensecrf.utils.unary_from_labels` with 2 labels and zero_unsure=False.

    Raises ValueError for other labels and a certainty outside (0, 1).
    """
    labels = np.asarray(labels)
    if labels.ndim != 2 or not ((labels == 0) | (labels == 1)).all():
        raise ValueError(f"labels are {labels.shape} of {np.unique(labels)[:5]}; give a plane [H, W] of 0 and 1")
    if not 0 < certainty < 1:
        raise ValueError(f"certainty is {certainty}; refine.certainty has to lie between 0 and 1")
    own = np.stack([labels == 0, labels == 1])  # [2, H, W]
    return np.where(own, -np.log(certainty), -np.log(1 - certainty)).astype(np.float32)


def crf_mask(image: np.ndarray, labels: np.ndarray, settings: RefineConfig, backend: str = "") -> np.ndarray:
    """image uint8 [H, W, 3] and labels bool [H, W] -> float32 [H, W] in [0, 1]: how sure the CRF is of the object.

    Raises what `dense_crf` and `unary_from_labels` raise.
    """
    return crf_masks(image, np.asarray(labels)[None], settings, backend)[0]


def crf_masks(image: np.ndarray, labels: np.ndarray, settings: RefineConfig, backend: str = "") -> np.ndarray:
    """`crf_mask` of S masks of one image, each on its own: labels bool [S, H, W] -> float32 [S, H, W].

    Faster than one by one, since the kernels are made once.
    """
    unaries = [unary_from_labels(plane, settings.certainty) for plane in labels]
    soft = [Q[1] for Q in _marginals(image, unaries, settings, backend)]
    return np.stack(soft) if soft else np.zeros(np.shape(labels), np.float32)


def affinity_labels(image: np.ndarray, soft: np.ndarray, settings: RefineConfig, backend: str = "") -> np.ndarray:
    """What IRNet learns from: uint8 [H, W] of 1 (object), 0 (ground) and 255 (unknown).

    The map is cut at `settings.foreground` and, lower, at `settings.background`, and each cut goes through the CRF. 1
    is where the first says object, 0 where neither does, 255 elsewhere: only the lower cut sees an object there.

    Args:
        image: uint8 [H, W, 3]. soft: float [H, W] in [0, 1], a response map divided by its maximum. An empty one
            (all 0) gives ground everywhere, and so does one whose cuts the CRF erases, as in IRNet's code.

    Raises ValueError for a map of another size or range, and what `dense_crf` raises.
    """
    soft = np.asarray(soft)
    if soft.shape != np.shape(image)[:2]:
        raise ValueError(f"the map is {soft.shape}, the image {np.shape(image)}; resize the map to the image's H x W")
    if not ((soft >= 0) & (soft <= 1)).all():
        bounds = f"[{soft.min():.3g}, {soft.max():.3g}]"
        raise ValueError(f"the map lies in {bounds}, expected [0, 1]; clip it at 0 and divide by its maximum")
    if not soft.any():
        return np.zeros(soft.shape, np.uint8)
    cuts = [unary_from_labels(soft > at, settings.certainty) for at in (settings.foreground, settings.background)]
    sure, likely = (Q[1] > Q[0] for Q in _marginals(image, cuts, settings, backend))
    return np.where(sure, 1, np.where(likely, IGNORE, 0)).astype(np.uint8)


def _marginals(image: np.ndarray, unaries: list[np.ndarray], settings: RefineConfig, backend: str) -> list[np.ndarray]:
    """`dense_crf` of several unaries: they share the kernels, which take a good part of the time."""
    image = np.array(image, order="C")  # a copy, since pydensecrf refuses arrays that can't be written to
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"the image is {image.dtype} {image.shape}, expected uint8 [H, W, 3]; convert it to RGB")
    height, width = image.shape[:2]
    for unary in unaries:
        if np.shape(unary) != (2, height, width):
            raise ValueError(f"the unary is {np.shape(unary)}, expected (2, {height}, {width}) as the image has it")
    module = _module(backend, len(unaries))
    if not unaries:
        return []
    if module is None:
        colours = image.reshape(-1, 3) / np.float32(settings.far_colour)
        far = Lattice(np.hstack([_places(height, width, settings.far_px), colours]))  # of [H * W, 5]
        kernels = [(settings.near_weight, _near(height, width, settings.near_px)), (settings.far_weight, far)]
        bias = np.stack([(unary[0] - unary[1]).ravel() for unary in unaries], 1, dtype=np.float32)  # [H * W, S]
        second = mean_field(bias, kernels, settings.iterations).T.reshape(-1, height, width)
        return [np.stack([1 - Q, Q]) for Q in second]
    marginals = []
    crf = module.DenseCRF2D(width, height, 2)
    crf.addPairwiseGaussian(sxy=settings.near_px, compat=settings.near_weight)
    crf.addPairwiseBilateral(sxy=settings.far_px, srgb=settings.far_colour, rgbim=image, compat=settings.far_weight)
    for unary in unaries:
        crf.setUnaryEnergy(np.ascontiguousarray(unary, np.float32).reshape(2, -1))
        marginals.append(np.array(crf.inference(settings.iterations)).reshape(2, height, width))
    return marginals


def _places(height: int, width: int, px: float) -> np.ndarray:
    """float32 [H * W, 2]: x and y of every pixel in standard deviations."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return np.stack([x.ravel(), y.ravel()], 1) / np.float32(px)


@lru_cache(maxsize=4)
def _near(height: int, width: int, px: float) -> Lattice:
    return Lattice(_places(height, width, px))  # the same for every image of one size


def _module(backend: str, masks: int) -> ModuleType | None:
    """pydensecrf's module, or None for the lattice."""
    if backend not in ("", *BACKENDS):
        raise ValueError(f"backend is {backend!r}; choose one of {', '.join(BACKENDS)}, or leave it empty")
    if backend == "lattice" or (not backend and masks != 1):
        return None
    module, why = published()
    if not module and backend:
        raise ImportError(why)
    return module


def published() -> tuple[ModuleType | None, str]:
    """pydensecrf's module; or None and why there is none, whatever its import raised, and what to do, in one line."""
    try:
        import pydensecrf.densecrf as module

        _try(module)
    except (Exception, SystemExit) as why:  # a script of this name may end itself
        if isinstance(why, ModuleNotFoundError) and why.name == "pydensecrf":
            return None, f"pydensecrf isn't installed; {INSTALL}"
        reason = f"{type(why).__name__}: {why}".partition("\n")[0]  # such as a numpy that it wasn't built against
        return None, f"pydensecrf is there and can't be used ({reason}); {REBUILD}"
    return module, ""


@lru_cache
def _try(module: ModuleType) -> None:
    """Raises what a broken one does: another package has no DenseCRF2D, one for another numpy fails in use."""
    crf = module.DenseCRF2D(2, 2, 2)
    crf.addPairwiseGaussian(sxy=1, compat=1)
    crf.addPairwiseBilateral(sxy=1, srgb=1, rgbim=np.zeros((2, 2, 3), np.uint8), compat=1)
    crf.setUnaryEnergy(np.zeros((2, 4), np.float32))
    marginals = np.array(crf.inference(1))
    if marginals.shape != (2, 4) or not np.allclose(marginals, 0.5):
        raise ValueError("it answers nonsense")
