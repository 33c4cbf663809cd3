"""EHIN stage 1 as cached steps: the maps of the backbone, the trained head of a seed, its responses, their measures."""

from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor, nn

from wsris_lib import artefacts, stages
from wsris_lib.ehin.backbone import Backbone, Critic
from wsris_lib.ehin.inputs import Images
from wsris_lib.ehin.network import soft_masks
from wsris_lib.ehin.predict import HALF, clip_maps, response_maps, seen_under
from wsris_lib.ehin.train import stored_modules, train
from wsris_lib.evaluate import Measures, measure
from wsris_lib.foundation.zoo import fingerprint
from wsris_lib.profiles import Profile
from wsris_lib.refer.views import JudgedSample, Sample

EDITION = 1  # part of the key of trained weights: raise it when training itself changes
TRIS = {"layers": 1, "contrast": 0.0}  # what is left of EHIN without HIPM's second layer and ECLM


def with_grounding(profile: Profile, **changes: object) -> Profile:
    """The profile with some settings of EHIN changed."""
    return replace(profile, grounding=replace(profile.grounding, **changes))


def supervision(profile: Profile) -> str:
    """What training sees: "ST", or "MT" where negatives are known to be about other objects of the image."""
    return "ST" if profile.grounding.negatives_from == "dataset" else "MT"


def images(profile: Profile, split: str) -> Images:
    """A split's images for EHIN; profiles that differ in what only the head reads share them."""
    wanted = profile.grounding
    kept = {name: getattr(wanted, name) for name in ("backbone", "pixels", "critic_pixels", "words", "finetune")}
    return _images(replace(stages.frozen(profile), grounding=replace(type(wanted)(), **kept)), split)


@lru_cache
def _images(profile: Profile, split: str) -> Images:
    view, settings = stages.corpus(profile).training_view(split), profile.grounding
    with stages.timed(profile, f"EHIN's maps of {split}"):
        backbone = Backbone(settings.backbone, settings.pixels, settings.words).to(profile.device)
        return Images(view, backbone, settings, artefacts.home() / "cache" / "maps", profile.device)


def trained(profile: Profile, seed: int) -> tuple[nn.ModuleDict, list[list[float]]]:
    """The trained modules of stage 1 and their loss curve: loaded if the same was trained before."""
    settings = profile.grounding
    samples = list(stages.corpus(profile).training_view(profile.train_split))
    its = images(profile, profile.train_split)
    name = artefacts.key(
        EDITION,
        [fingerprint(settings.backbone), fingerprint(settings.critic)],
        [(s.image_id, s.ref_id, s.sentence) for s in samples],
        its.digest(),
        repr(settings),
        seed,
    )
    path = artefacts.home() / "cache" / "groundings" / f"{name}.safetensors"
    stored = artefacts.stored_tensors(path)
    if stored is not None:
        return stored_modules(_own_backbone(profile), settings, stored[0]), stored[1]["curve"]
    path.parent.mkdir(parents=True, exist_ok=True)
    critic = Critic(settings.critic, settings.critic_pixels, settings.words).to(profile.device)
    if settings.finetune:  # a backbone of its own: the shared one stays as it was
        its = its.seen_by(_own_backbone(profile).to(profile.device))
    with stages.timed(profile, "training of EHIN, one seed"):
        modules, curve = train(its, samples, critic, settings, seed, path)
    artefacts.save_tensors(path, modules.state_dict(), curve=curve, settings=repr(settings), seed=seed)
    return modules, curve


def _own_backbone(profile: Profile) -> Backbone | None:
    """Needed only where it is fine-tuned."""
    wanted = profile.grounding
    if not wanted.finetune:
        return images(profile, profile.train_split).backbone
    return Backbone(wanted.backbone, wanted.pixels, wanted.words)


def maps(profile: Profile, seed: int, split: str | None = None, asked: list[Sample] | None = None) -> Tensor:
    """R [S, h, w] for the sentences of a split (default: val; or those asked of it), by the trained modules."""
    modules, _ = trained(profile, seed)
    split = split or profile.val_split
    its = images(profile, split)
    if profile.grounding.finetune:
        its = its.seen_by(modules["backbone"])
    return response_maps(modules.to(profile.device), its, samples(profile, split) if asked is None else asked)


def zero_shot(profile: Profile, split: str | None = None, cut: float = HALF) -> Tensor:
    """CLIP's own response to the same sentences, [S, h, w], positive above a `cut` of its maximum."""
    split = split or profile.val_split
    return clip_maps(images(profile, split), samples(profile, split), cut=cut)


def samples(profile: Profile, split: str) -> list[JudgedSample]:
    """The sentences of a split on images that can be read, with what they are judged by."""
    known = set(images(profile, split).ids)
    return [s for s in stages.corpus(profile).evaluation_view(split) if s.image_id in known]


def judge(profile: Profile, R: Tensor, split: str | None = None) -> list[Measures]:
    """Measures of R [S, h, w] at original resolution, in the order of `samples`."""
    split = split or profile.val_split
    truths = stages.corpus(profile).evaluation_view(split).truths(samples(profile, split))
    return [measure(soft_masks(r[None], *truth.shape)[0].numpy(), truth) for r, truth in zip(R, truths)]


def seen_by_critic(profile: Profile, soft: Tensor, split: str | None = None) -> Tensor:
    """S of eq. 16, cosines [S]: what FG (eq. 18) raises, for soft masks [S, h, w] in the order of `samples`."""
    split, wanted = split or profile.val_split, profile.grounding
    critic = Critic(wanted.critic, wanted.critic_pixels, wanted.words).to(profile.device)
    return seen_under(critic, images(profile, split), samples(profile, split), soft)


def true_cells(profile: Profile, height: int, width: int, split: str | None = None) -> Tensor:
    """What a map of so many cells would have to be: the share of each cell that is truly meant, [S, height, width].

    To judge by and to look at, never to learn from.
    """
    split = split or profile.val_split
    truths = stages.corpus(profile).evaluation_view(split).truths(samples(profile, split))
    pool = nn.AdaptiveAvgPool2d((height, width))
    return torch.stack([pool(torch.from_numpy(truth)[None].float())[0] for truth in truths])


def floor(profile: Profile) -> list[Measures]:
    """What needs no sentence: the middle of the image, half its width and height."""
    centre = torch.full((8, 8), -1.0)
    centre[2:6, 2:6] = 1.0
    return judge(profile, centre.expand(len(samples(profile, profile.val_split)), -1, -1))
