"""EHIN's maps to pseudo labels as cached steps: whose map, dense CRF, IRNet and its random walk, the labels' file."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from wsris_lib import artefacts, grounding, stages
from wsris_lib.ehin.backbone import Backbone, Critic
from wsris_lib.ehin.network import soft_masks
from wsris_lib.evaluate import Measures, measure
from wsris_lib.foundation.perimage import each_image, prepared
from wsris_lib.foundation.zoo import fingerprint
from wsris_lib.profiles import Profile
from wsris_lib.refer.labels import PseudoLabel, write_labels
from wsris_lib.refer.masks import decode_rle, encode_rle
from wsris_lib.refer.views import Sample
from wsris_lib.refine.crf import affinity_labels
from wsris_lib.refine.irnet import IRNet, channels
from wsris_lib.refine.refiner import Refine, by_crf, by_walk, confidence, in_turn, shrunk
from wsris_lib.refine.select import best_of_group
from wsris_lib.refine.train import Affinities, train
from wsris_lib.settings import Refining

EDITION = 1  # part of every key: raise it when a refinement itself changes
HOW = ("raw", "crf", "irnet", "irnet + crf")  # stage 1's mask as it is, after dense CRF, after IRNet's walk, both
SELECT = {"own": "ST", "best of group": "MT"}


@lru_cache
def responses(profile: Profile, seed: int, split: str, select: str = "own") -> tuple[list[Sample], Tensor]:
    """The sentences of a split and their response maps [S, h, w], each its own or the best of its ref's.

    They come from the training view, whatever the split: where labels are made no mask is in reach. On train,
    `refining.sentences` of each ref are drawn. Raises KeyError for an unknown way to select.
    """
    if select not in SELECT:
        raise KeyError(f"no selection {select!r}; choose one of {', '.join(SELECT)}")
    known = set(grounding.images(profile, split).ids)
    samples = [sample for sample in stages.corpus(profile).training_view(split) if sample.image_id in known]
    R = grounding.maps(profile, seed, split, samples)
    if select == "best of group":
        wanted = profile.grounding
        critic = Critic(wanted.critic, wanted.critic_pixels, wanted.words).to(profile.device)
        R = R[best_of_group(grounding.images(profile, split), critic, samples, R)]
    rows = _drawn(samples, profile.refining.sentences, seed) if split == profile.train_split else range(len(samples))
    return [samples[row] for row in rows], R[list(rows)]


def _drawn(samples: list[Sample], each: int, seed: int) -> list[int]:
    """Rows of `each` sentences of every ref at random; 0: all."""
    rng, refs = np.random.default_rng(seed), defaultdict(list)
    for row, sample in enumerate(samples):
        refs[sample.ref_id].append(row)
    return sorted(int(row) for rows in refs.values() for row in (rng.permutation(rows)[:each] if each else rows))


def _one_of_each_ref(samples: list[Sample]) -> list[int]:
    first: dict[int, int] = {}
    for row, sample in enumerate(samples):
        first.setdefault(sample.ref_id, row)
    return list(first.values())


def irnet(profile: Profile, seed: int, select: str = "") -> tuple[IRNet, Backbone, list[list[float]]]:
    """The trained IRNet, its frozen backbone and the loss curve of its last round; loaded if trained before.

    `select` says whose maps it learns from (default: refining.select); of a map that a ref's sentences share, once.
    """
    settings, select = profile.refining, select or profile.refining.select
    backbone = Backbone(settings.backbone, settings.pixels).requires_grad_(False).to(profile.device)
    name = artefacts.key(_made_from(profile, seed, profile.train_split, "irnet", select))
    path = artefacts.home() / "cache" / "irnets" / f"{name}.safetensors"
    stored = artefacts.stored_tensors(path)
    model = IRNet(channels(backbone), settings.width).to(profile.device).eval()
    if stored is not None:
        model.load_state_dict(stored[0])
        return model, backbone, stored[1]["curve"]
    path.parent.mkdir(parents=True, exist_ok=True)
    with stages.timed(profile, "training of IRNet, one seed"):
        view, its = stages.corpus(profile).training_view(profile.train_split), None
        samples, R = responses(profile, seed, profile.train_split, select)
        apart = _one_of_each_ref(samples) if select == "best of group" else range(len(samples))
        rows = np.random.default_rng(seed).permutation(apart)[: settings.labels or None]
        owners = [samples[row].image_id for row in rows]
        images = prepared(view, sorted(set(owners)), backbone)
        for round_ in range(settings.rounds):  # label -> retrain -> label
            walk = by_walk(its, backbone, settings) if its is not None else None
            said = tqdm(zip(owners, rows), f"affinity labels, round {round_ + 1}", len(rows), unit="label")
            maps = (_affinities(view.image(image_id), R[row], walk, settings) for image_id, row in said)
            its, curve = train(backbone, Affinities(images, owners, maps), settings, seed, path)
    artefacts.save_tensors(path, its.state_dict(), curve=curve, settings=repr(settings), seed=seed)
    return its, backbone, curve


def _affinities(image: Image.Image, R: Tensor, walk: Refine | None, settings: Refining) -> np.ndarray:
    """IRNet's label of a response map [h, w], or of what a walk makes of it: 0, 1 and 255, uint8 [pixels, pixels]."""
    small = np.asarray(shrunk(image, settings.side))
    soft = strength(R, *small.shape[:2])
    if walk is not None:
        over = np.where(soft > 0, 0.5 + soft / 2, 0.0)[None]  # a soft mask's form, and back
        soft = np.interp(walk(image, over)[0], [0, 0.5, 1], [0, settings.threshold, 1])
    labels = torch.from_numpy(affinity_labels(small, soft, settings))[None, None]
    return F.interpolate(labels, (settings.pixels, settings.pixels), mode="nearest-exact")[0, 0].numpy()


def strength(R: Tensor, height: int, width: int) -> np.ndarray:
    """A response map [h, w] -> its positive part over its maximum, float [height, width] in [0, 1]."""
    R = F.interpolate(R[None, None], (height, width), mode="bilinear", align_corners=False)[0, 0].clamp(min=0)
    return (R / (R.max() + 1e-5)).numpy()


def masks(profile: Profile, seed: int, split: str, how: str, select: str = "") -> list[PseudoLabel]:
    """Each sentence's mask and confidence, in the order of `responses`; made image by image and kept.

    `select` says whose maps (default: of train as refining.select says, elsewhere each sentence's own, as a sentence
    comes alone there). Raises KeyError for an unknown refinement.
    """
    if how not in HOW:
        raise KeyError(f"no refinement {how!r}; choose one of {', '.join(HOW)}")
    usual = profile.refining.select
    taught_by = select or usual  # IRNet
    whose = select or (usual if split == profile.train_split else "own")
    samples, R = responses(profile, seed, split, whose)
    row_of = {sample.sent_id: row for row, sample in enumerate(samples)}

    def before(image: Image.Image, sent_ids: list[int]) -> np.ndarray:
        return soft_masks(R[[row_of[i] for i in sent_ids]], image.height, image.width).numpy()

    key, start, rest = _made_from(profile, seed, split, how, whose, taught_by), None, how
    if how == "irnet + crf":  # the walk's masks are kept too: nothing walks twice
        rest = "crf"
        walked = {label.sent_id: label.mask for label in masks(profile, seed, split, "irnet", select)}
        start = partial(_stacked, walked)
    with stages.timed(profile, f"{how} masks of {split}, one seed"):
        found = _each(profile, split, how, key, samples, before, lambda: _refine(profile, seed, rest, taught_by), start)
    return [PseudoLabel(s.image_id, s.ref_id, s.sent_id, *found[s.sent_id]) for s in samples]


def refined_labels(profile: Profile, seed: int, labels: list[PseudoLabel], how: str = "crf") -> list[PseudoLabel]:
    """Anybody's labels of train refined in the same way, ES3Net's chosen proposals among them; kept image by image.

    The confidence becomes the label's own times its mask's agreement before and after. IRNet is the one that EHIN's
    maps of this seed trained. Raises KeyError for an unknown refinement.
    """
    if how not in HOW:
        raise KeyError(f"no refinement {how!r}; choose one of {', '.join(HOW)}")
    before = partial(_stacked, {label.sent_id: label.mask for label in labels})
    split, masks_given = profile.train_split, [(label.sent_id, label.mask["counts"]) for label in labels]
    key = [EDITION, masks_given, _settings(profile), how, seed if how.startswith("irnet") else 0]
    if how.startswith("irnet"):
        key.append(_made_from(profile, seed, split, how, profile.refining.select))
    found = _each(profile, split, how, key, labels, before, lambda: _refine(profile, seed, how, ""))
    return [
        replace(label, mask=found[label.sent_id][0], confidence=label.confidence * found[label.sent_id][1])
        for label in labels
    ]


def _each(
    profile: Profile,
    split: str,
    how: str,
    made_from: list,
    samples: Sequence[Sample | PseudoLabel],
    before: Callable[[Image.Image, list[int]], np.ndarray],
    load: Callable[[], Refine],
    start: Callable[[Image.Image, list[int]], np.ndarray] | None = None,
) -> dict[int, tuple[dict, float]]:
    """sent_id -> (mask after, its agreement with the mask before), made image by image and kept.

    before: an image and its sentences to their soft masks [S, H, W]; load: gives the refinement if anything is missing;
    start: what it refines, if not those.
    """
    of_image = defaultdict(list)
    for sample in samples:
        of_image[sample.image_id].append(sample.sent_id)

    def one(refine: Refine, image: Image.Image, sent_ids: list[int]) -> list[list]:
        if not sent_ids:
            return []
        soft = before(image, sent_ids)
        after = refine(image, start(image, sent_ids) if start else soft)
        sure = confidence(soft, after)
        return [[i, encode_rle(mask > 0.5), float(c)] for i, mask, c in zip(sent_ids, after, sure)]

    def maker():
        refine = load()
        return lambda images: [({}, {"labels": one(refine, image, of_image[i])}) for i, image in images.items()]

    view = stages.corpus(profile).training_view(split)
    stored = each_image(view, artefacts.home() / "cache" / "masks", how, made_from, maker)
    return {sent_id: (mask, sure) for _, notes in stored.values() for sent_id, mask, sure in notes["labels"]}


def _stacked(mask_of: dict[int, dict], image: Image.Image, sent_ids: list[int]) -> np.ndarray:
    """Sentences' masks, float [S, H, W]."""
    return np.stack([decode_rle(mask_of[i]) for i in sent_ids]).astype(np.float32)


def _refine(profile: Profile, seed: int, how: str, select: str) -> Refine:
    steps = []
    if how.startswith("irnet"):
        model, backbone, _ = irnet(profile, seed, select)
        steps.append(by_walk(model, backbone, profile.refining))
    if how.endswith("crf"):
        steps.append(by_crf(profile.refining))
    return in_turn(*steps)


def _made_from(profile: Profile, seed: int, split: str, how: str, select: str, taught_by: str = "") -> list:
    """All that a refinement depends on: the maps (by their digest), the sentences, the settings, IRNet's teacher."""
    samples, R = responses(profile, seed, split, select)
    digest = [float(R.double().sum()), float(R.double().square().sum()), [s.sent_id for s in samples]]
    settings = _settings(profile) | {"stage_2": ""}  # what is made of a mask later changes none
    other = [taught_by] if taught_by not in ("", select) and "irnet" in how else []
    return [EDITION, digest, settings, fingerprint(profile.refining.backbone), seed, how, select, *other]


def _settings(profile: Profile) -> dict:
    """All but `select`, which comes as an argument."""
    return {name: value for name, value in asdict(profile.refining).items() if name != "select"}


def supervision(profile: Profile, select: str = "") -> str:
    """Of labels and of whoever learns from them: "MT" if their maps are, or if these were selected by all sentences."""
    kinds = {grounding.supervision(profile), SELECT[select or profile.refining.select]}
    return "MT" if "MT" in kinds else "ST"


def pseudo_labels(profile: Profile, seed: int, how: str = "", select: str = "") -> Path:
    """The file of labels for the train split, in the one form of all pseudo labels here; made if it isn't there.

    Empty: as the profile's settings say, refining.stage_2 and refining.select.
    """
    how, select = how or profile.refining.stage_2, select or profile.refining.select
    name = artefacts.key(_made_from(profile, seed, profile.train_split, how, select))
    path = artefacts.home() / "cache" / "labels" / f"{name}.json"
    if not path.is_file():
        settings = dict(refining=asdict(profile.refining), grounding=asdict(profile.grounding))
        where = dict(seed=seed, kind=how, corpus=profile.corpus, split=profile.train_split)
        labels, kind = masks(profile, seed, profile.train_split, how, select), supervision(profile, select)
        write_labels(path, labels, supervision=kind, source="ehin stage 1", **where, **settings)
    return path


def judge(profile: Profile, split: str, labels: list[PseudoLabel]) -> list[Measures]:
    """Measures of masks against the ground truth, the only place here where it is read, and for no training.

    In the order of the split's evaluation view, of the sentences that have a label.
    """
    view, mask_of = stages.corpus(profile).evaluation_view(split), {label.sent_id: label.mask for label in labels}
    asked = [sample for sample in view if sample.sent_id in mask_of]
    return [measure(decode_rle(mask_of[s.sent_id]), truth) for s, truth in zip(asked, view.truths(asked))]
