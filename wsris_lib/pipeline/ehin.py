"""EHIN's stage 1 as cached steps: the backbone's maps, the trained head of a seed, its responses, their measures."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from wsris_lib.ehin.inputs import Images
from wsris_lib.ehin.network import soft_masks
from wsris_lib.ehin.predict import HALF, clip_maps, response_maps, seen_under
from wsris_lib.ehin.train import backbone_of, stored_modules
from wsris_lib.ehin.train import train as fit
from wsris_lib.frozen.clip_backbone import Backbone
from wsris_lib.frozen.critic import Critic
from wsris_lib.infra.trainer import LossCurve, Trained, read_curve
from wsris_lib.metrics import SampleMetrics, measure
from wsris_lib.pipeline.cache import Inputs, cached_step, weights
from wsris_lib.pipeline.run import Run
from wsris_lib.refer.views import AnnotatedSample, Sample
from wsris_lib.refine.select import best_of_group

TRIS = {"layers": 1, "contrast": 0.0}  # what is left of EHIN without HIPM's second layer and ECLM
SELECT = {"own": "ST", "best of group": "MT"}  # whose map a sentence is answered by


def supervision(run: Run) -> str:
    """What training sees: "ST", or "MT" where negatives are known to be about other objects of the image."""
    return "ST" if run.profile.ehin.negatives_from == "dataset" else "MT"


def images(run: Run, split: str = "") -> Images:
    """A split's (empty: val's) images for EHIN; runs that differ in what only the head reads share them."""
    split = split or run.profile.val_split
    settings = run.profile.ehin
    shared = {
        name: getattr(settings, name)
        for name in ("backbone", "image_size", "critic_image_size", "max_tokens", "finetune")
    }

    def make() -> Images:
        view = run.corpus.training_view(split)
        device = run.profile.device
        with run.timed(f"EHIN's maps of {split}"):
            backbone = Backbone(settings.backbone, settings.image_size, settings.max_tokens).to(device)
            return Images(view, backbone, replace(type(settings)(), **shared), run.cache / "maps", device)

    return run.base.remember(("EHIN's images", split, *shared.values()), make)


def _critic(run: Run) -> Critic:
    settings = run.profile.ehin
    return Critic(settings.critic, settings.critic_image_size, settings.max_tokens).to(run.profile.device)


def _own_backbone(run: Run) -> Backbone:
    """The shared one, but where it is fine-tuned."""
    settings = run.profile.ehin
    if not settings.finetune:
        return images(run, run.profile.train_split).backbone
    return new_backbone(run)


def new_backbone(run: Run) -> Backbone:
    """CLIP's own, as before any training."""
    settings = run.profile.ehin
    return Backbone(settings.backbone, settings.image_size, settings.max_tokens)


def _inputs(run: Run, seed: int) -> Inputs:
    settings = run.profile.ehin
    split = run.profile.train_split
    checkpoints = [run.fingerprint(settings.backbone), run.fingerprint(settings.critic)]
    data = {"samples": run.samples_key(split), "images": run.images_key(split)}
    return {"settings": settings, "checkpoints": checkpoints, **data, "seed": seed}


# All that decides on the weights of stage 1; stage 2 lies in the same package and is none of it.
STAGE_1 = (
    *(f"ehin.{name}" for name in ("inputs", "losses", "negatives", "network", "predict", "prompt", "train")),
    *(f"frozen.{name}" for name in ("critic", "class_token", "clip_backbone", "clip")),
    *("infra.device", "infra.trainer", "refer.same_words"),
)


@cached_step(
    "ehin",
    uses=STAGE_1,
    inputs=_inputs,
    form=weights(lambda state, run, seed: stored_modules(_own_backbone(run), run.profile.ehin, state), read_curve),
    title="training of EHIN, one seed",
)
def train(run: Run, seed: int, *, out: Path) -> Trained[nn.ModuleDict, LossCurve]:
    """The trained modules of stage 1 and their loss curve."""
    settings = run.profile.ehin
    split = run.profile.train_split
    samples = list(run.corpus.training_view(split))
    inputs = images(run, split)
    if settings.finetune:  # a backbone of its own: the shared one stays as it was
        inputs = inputs.seen_by(_own_backbone(run).to(run.profile.device))
    return fit(inputs, samples, _critic(run), settings, seed, out)


def maps(run: Run, seed: int, split: str = "", some: list[Sample] | None = None) -> Tensor:
    """R [S, h, w] for the sentences of a split (empty: val), or for `some` of them, by the trained modules."""
    modules = train(run, seed).model
    inputs = images(run, split)
    inputs = inputs.seen_by(backbone_of(modules, inputs.backbone))
    return response_maps(modules.to(run.profile.device), inputs, samples(run, split) if some is None else some)


def responses(run: Run, seed: int, split: str, select: str = "own") -> tuple[list[Sample], Tensor]:
    """The sentences of a split and their response maps [S, h, w], each its own or the best of its ref's.

    They come from the training view, whatever the split: where labels are made no mask is in reach. On train,
    `refine.sentences` of each ref are drawn. Raises KeyError for an unknown way to select.
    """
    if select not in SELECT:
        raise KeyError(f"no selection {select!r}; choose one of {', '.join(SELECT)}")
    return run.remember(("responses", seed, split, select), lambda: _responses(run, seed, split, select))


def _responses(run: Run, seed: int, split: str, select: str) -> tuple[list[Sample], Tensor]:
    known = set(images(run, split).ids)
    every = [sample for sample in run.corpus.training_view(split) if sample.image_id in known]
    R = maps(run, seed, split, every)
    if select == "best of group":
        R = R[best_of_group(images(run, split), _critic(run), every, R)]
    drawn = split == run.profile.train_split
    rows = _drawn(every, run.profile.refine.sentences, seed) if drawn else range(len(every))
    return [every[row] for row in rows], R[list(rows)]


def _drawn(samples: list[Sample], each: int, seed: int) -> list[int]:
    """Rows of `each` sentences of every ref at random; 0: all."""
    rng = np.random.default_rng(seed)
    refs = defaultdict(list)
    for row, sample in enumerate(samples):
        refs[sample.ref_id].append(row)
    return sorted(int(row) for rows in refs.values() for row in (rng.permutation(rows)[:each] if each else rows))


def zero_shot(run: Run, split: str = "", cut: float = HALF) -> Tensor:
    """CLIP's own response to the same sentences, [S, h, w], positive above a `cut` of its maximum."""
    return clip_maps(images(run, split), samples(run, split), cut=cut)


def samples(run: Run, split: str = "") -> list[AnnotatedSample]:
    """The sentences of a split (empty: val) on images that can be read, with what they are judged by."""
    known = set(images(run, split).ids)
    view = run.corpus.evaluation_view(split or run.profile.val_split)
    return [sample for sample in view if sample.image_id in known]


def truths(run: Run, split: str = "") -> Iterator[np.ndarray]:
    """What is truly meant, bool [H, W], in the order of `samples`. To judge by and to look at, never to learn from."""
    return run.corpus.evaluation_view(split or run.profile.val_split).truths(samples(run, split))


def judge(run: Run, R: Tensor, split: str = "") -> list[SampleMetrics]:
    """Measures of R [S, h, w] at original resolution, in the order of `samples`."""
    pairs = zip(R, truths(run, split))
    return [measure(soft_masks(r[None], *truth.shape)[0].numpy(), truth) for r, truth in pairs]


def seen_by_critic(run: Run, soft: Tensor, split: str = "") -> Tensor:
    """S of eq. 16, cosines [S]: what FG (eq. 18) raises, for soft masks [S, h, w] in the order of `samples`."""
    return seen_under(_critic(run), images(run, split), samples(run, split), soft)


def true_cells(run: Run, height: int, width: int, split: str = "") -> Tensor:
    """What a map of so many cells would have to be: the share of each cell that is truly meant, [S, height, width]."""
    pool = nn.AdaptiveAvgPool2d((height, width))
    return torch.stack([pool(torch.from_numpy(truth)[None].float())[0] for truth in truths(run, split)])


def central_baseline(run: Run) -> list[SampleMetrics]:
    """What needs no sentence: the middle of the image, half its width and height."""
    center = torch.full((8, 8), -1.0)
    center[2:6, 2:6] = 1.0
    return judge(run, center.expand(len(samples(run)), -1, -1))
