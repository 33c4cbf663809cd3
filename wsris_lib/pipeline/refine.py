"""From EHIN's response maps to masks as cached steps: dense CRF, IRNet and its random walk, alone or in turn."""

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from wsris_lib.config.settings import RefineConfig
from wsris_lib.ehin.network import soft_masks
from wsris_lib.frozen.clip_backbone import Backbone
from wsris_lib.frozen.image_cache import cached_per_image, prepared_images
from wsris_lib.frozen.working_size import at_once, at_size, shrunk
from wsris_lib.infra import distributed
from wsris_lib.infra.trainer import LossCurve, Trained, read_curve
from wsris_lib.pipeline import ehin
from wsris_lib.pipeline.cache import Inputs, cached_step, step_key, weights
from wsris_lib.pipeline.run import Run
from wsris_lib.refer.labels import PseudoLabel
from wsris_lib.refer.masks import Rle, decode_rle, encode_rle
from wsris_lib.refer.views import Sample
from wsris_lib.refine.crf import affinity_labels
from wsris_lib.refine.irnet import IRNet, channels
from wsris_lib.refine.refiner import Refine, by_crf, by_walk, confidence, for_crf, in_turn, kept
from wsris_lib.refine.train import Affinities, train

HOW = ("raw", "crf", "irnet", "irnet + crf")  # stage 1's mask as it is, after dense CRF, after IRNet's walk, both
CODE = (*ehin.STAGE_1, "refine")


def backbone(run: Run) -> Backbone:
    """What IRNet reads its maps from: frozen, on the run's device."""
    settings = run.profile.refine
    return Backbone(settings.backbone, settings.image_size).requires_grad_(False).to(run.profile.device)


def _settings(run: Run) -> dict:
    """All but `select`, which comes as an argument, and what is made of a mask later."""
    return {n: value for n, value in asdict(run.profile.refine).items() if n not in ("select", "stage_2")}


def _irnet_inputs(run: Run, seed: int, select: str) -> Inputs:
    images = run.images_key(run.profile.train_split)
    model = run.fingerprint(run.profile.refine.backbone)
    made_from = {"ehin": ehin.train.key(run, seed), "images": images, "backbone": model, "seed": seed}
    return made_from | {"settings": _settings(run), "select": select or run.profile.refine.select}


def _restored(state: dict[str, Tensor], run: Run, seed: int, select: str) -> IRNet:
    model = IRNet(channels(backbone(run)), run.profile.refine.width).to(run.profile.device)
    model.load_state_dict(state)
    return model


@cached_step(
    "irnets", uses=CODE, inputs=_irnet_inputs, form=weights(_restored, read_curve), title="training of IRNet, one seed"
)
def irnet(run: Run, seed: int, select: str = "", *, out: Path) -> Trained[IRNet, LossCurve]:
    """The trained IRNet and the loss curve of its last round.

    `select` says whose maps it learns from (default: refine.select); of a map that a ref's sentences share, once.
    """
    settings = run.profile.refine
    split = run.profile.train_split
    select = select or settings.select
    eyes = backbone(run)
    view = run.corpus.training_view(split)
    walk = None
    samples, R = ehin.responses(run, seed, split, select)
    apart = _one_of_each_ref(samples) if select == "best of group" else range(len(samples))
    rows = np.random.default_rng(seed).permutation(apart)[: settings.labels or None]
    owners = [samples[row].image_id for row in rows]
    images = prepared_images(view, sorted(set(owners)), eyes)
    for round_ in range(settings.rounds):  # label -> retrain -> label
        bar = tqdm(zip(owners, rows), f"affinity labels, round {round_ + 1}", len(rows), unit="label")
        pairs = ((view.image(image_id), R[row]) for image_id, row in bar)
        maps = _all_affinities(pairs, walk, settings)
        model, curve = train(eyes, Affinities(images, owners, maps), settings, seed, out)
        walk = by_walk(model, eyes, settings)
    return Trained(model, curve)


def _one_of_each_ref(samples: list[Sample]) -> list[int]:
    first: dict[int, int] = {}
    for row, sample in enumerate(samples):
        first.setdefault(sample.ref_id, row)
    return list(first.values())


def _all_affinities(
    pairs: Iterable[tuple[Image.Image, Tensor]], walk: Refine | None, settings: RefineConfig
) -> Iterator[np.ndarray]:
    """IRNet's label of each image and response map; a warning counts those whose object the CRF has made ground."""
    number = 0
    lost = 0
    for image, R in pairs:
        labels = _affinities(image, R, walk, settings)
        number += 1
        lost += int(R.max() > 0 and not (labels == 1).any())
        yield labels
    if lost:
        warnings.warn(
            f"the CRF left nothing of {lost} of {number} maps: IRNet learns no object from these", stacklevel=2
        )


def _affinities(image: Image.Image, R: Tensor, walk: Refine | None, settings: RefineConfig) -> np.ndarray:
    """IRNet's label of a response map [h, w], or of what a walk makes of it: 0, 1 and 255, uint8 [P, P]."""
    small = np.asarray(for_crf(image, settings))
    soft = strength(R, *small.shape[:2])
    if walk is not None:
        over = np.where(soft > 0, 0.5 + soft / 2, 0.0)[None]  # a soft mask's form, and back
        soft = np.interp(walk(image, over)[0], [0, 0.5, 1], [0, settings.threshold, 1])
    labels = torch.from_numpy(affinity_labels(small, soft, settings))[None, None]
    return F.interpolate(labels, (settings.image_size, settings.image_size), mode="nearest-exact")[0, 0].numpy()


def strength(R: Tensor, height: int, width: int) -> np.ndarray:
    """A response map [h, w] -> its positive part over its maximum, float [height, width] in [0, 1]."""
    R = F.interpolate(R[None, None], (height, width), mode="bilinear", align_corners=False)[0, 0].clamp(min=0)
    return (R / (R.max() + 1e-5)).numpy()


def masks_key(run: Run, seed: int, split: str, how: str, select: str = "") -> str:
    """Of `masks`: part of the name of each image's file, beside the image's own digest."""
    inputs = {"ehin": ehin.train.key(run, seed), "seed": seed, "select": _of(run, split, select)}
    inputs |= {"samples": run.samples_key(split), "images": run.images_key(split)}
    return refinement_key(run, seed, how, inputs, select)


def refinement_key(run: Run, seed: int, how: str, inputs: Inputs, select: str = "") -> str:
    """Of what a refinement makes of masks that are known by `inputs`. Raises KeyError for an unknown refinement."""
    if how not in HOW:
        raise KeyError(f"no refinement {how!r}; choose one of {', '.join(HOW)}")
    inputs = inputs | {"settings": _settings(run), "how": how}
    if how.startswith("irnet"):
        inputs["irnet"] = irnet.key(run, seed, select)
    return step_key("masks", (*CODE, "pipeline.refine"), inputs)


def _of(run: Run, split: str, select: str) -> str:
    return select or (run.profile.refine.select if split == run.profile.train_split else "own")


def masks(run: Run, seed: int, split: str, how: str, select: str = "") -> list[PseudoLabel]:
    """Each sentence's mask and confidence, in the order of `ehin.responses`; made image by image and kept.

    `select` says whose maps (default: of train as refine.select says, elsewhere each sentence's own, as a sentence
    comes alone there). Raises KeyError for an unknown refinement.
    """
    key = masks_key(run, seed, split, how, select)
    samples, R = ehin.responses(run, seed, split, _of(run, split, select))
    row_of = {sample.sent_id: row for row, sample in enumerate(samples)}

    def before(image: Image.Image, sent_ids: list[int]) -> np.ndarray:
        return soft_masks(R[[row_of[i] for i in sent_ids]], image.height, image.width).numpy()

    walked = how == "irnet + crf"  # the walk's masks are kept too: nothing walks twice
    start = stacked(masks(run, seed, split, "irnet", select)) if walked else None
    load = partial(refiner, run, seed, "crf" if walked else how, select or run.profile.refine.select)
    with run.timed(f"{how} masks of {split}, one seed"):
        after = each_mask(run, split, how, key, samples, before, load, start)
    return [PseudoLabel(s.image_id, s.ref_id, s.sent_id, *after[s.sent_id]) for s in samples]


SoftMasks = Callable[[Image.Image, list[int]], np.ndarray]  # an image and its sentences -> float [S, H, W]


def each_mask(
    run: Run,
    split: str,
    how: str,
    key: str,
    samples: Sequence[Sample | PseudoLabel],
    before: SoftMasks,
    load: Callable[[], Refine],
    start: SoftMasks | None = None,
) -> dict[int, tuple[Rle, float]]:
    """sent_id -> (mask after, its agreement with the mask before), made image by image and kept under `key`.

    A mask of which the refinement leaves nothing stays as it was, with an agreement of 0; a warning counts them.

    load: gives the refinement, if anything is missing or there are several processes; start: what it refines, if not
    what was `before`.
    """
    together = load() if distributed.world() > 1 else None  # IRNet's training waits for those with no image, too
    of_image = defaultdict(list)
    for sample in samples:
        of_image[sample.image_id].append(sample.sent_id)

    def one(refine: Refine, image: Image.Image, sent_ids: list[int]) -> list[list]:
        small = shrunk(image)
        few = at_once(small.width * small.height)
        rows = []
        for some in (sent_ids[n : n + few] for n in range(0, len(sent_ids), few)):
            soft = before(small, some)
            given = start(small, some) if start else soft
            after = refine(small, given)
            masks = [at_size(torch.from_numpy(m > 0.5), image.height, image.width).numpy() for m in kept(after, given)]
            rows += [[i, encode_rle(mask), float(c)] for i, mask, c in zip(some, masks, confidence(soft, after))]
        return rows

    def maker():
        refine = together or load()
        return lambda images: [({}, {"labels": one(refine, image, of_image[i])}) for i, image in images.items()]

    stored = cached_per_image(run.corpus.training_view(split), run.cache / "masks", how, key, maker)
    refined = {sent_id: (mask, sure) for _, notes in stored.values() for sent_id, mask, sure in notes["labels"]}
    if lost := sum(sure == 0 and decode_rle(mask).any() for mask, sure in refined.values()):
        warnings.warn(
            f"{how} left nothing of {lost} of {len(refined)} masks of {split}; their confidence is 0", stacklevel=2
        )
    return refined


def stacked(labels: Sequence[PseudoLabel]) -> SoftMasks:
    """The labels' masks, 0 or 1, at the size of the image that they are asked for."""
    mask_of = {label.sent_id: label.mask for label in labels}

    def masks_at(image: Image.Image, sent_ids: list[int]) -> np.ndarray:
        whole = (torch.from_numpy(decode_rle(mask_of[i])) for i in sent_ids)
        return np.stack([at_size(mask, image.height, image.width).numpy() for mask in whole]).astype(np.float32)

    return masks_at


def refiner(run: Run, seed: int, how: str, select: str = "") -> Refine:
    """One of HOW as a function of an image and soft masks; trains IRNet if that needs it."""
    steps = []
    if how.startswith("irnet"):
        steps.append(by_walk(irnet(run, seed, select).model, backbone(run), run.profile.refine))
    if how.endswith("crf"):
        steps.append(by_crf(run.profile.refine))
    return in_turn(*steps)
