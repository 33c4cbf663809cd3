"""Training of EHIN's stage 1, and of TRIS's, which is the same with one prompt layer and no early contrast."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wsris_lib.config.settings import EhinConfig
from wsris_lib.ehin.inputs import Images, sentence_vectors
from wsris_lib.ehin.losses import (
    FORMS,
    SHARPNESS,
    background,
    classification,
    early_contrast,
    foreground,
    image_score,
    relative_foreground,
)
from wsris_lib.ehin.negatives import Negatives
from wsris_lib.ehin.network import Head, new_head, shown
from wsris_lib.frozen.clip_backbone import Backbone
from wsris_lib.frozen.critic import Critic
from wsris_lib.infra.device import multiplies_bfloat16
from wsris_lib.infra.trainer import LossCurve, Trained, Trainer
from wsris_lib.refer.views import Sample

PRECISIONS = ("float32", "auto")
BACKBONE_LR_SCALE = 0.1  # of CLIP's own weights (TRIS)
Watch = Callable[[int, dict[str, Tensor], Head], None]  # is shown a step, its terms and the head before they move it


def losses(
    early: Tensor,
    late: Tensor,
    own: Tensor,
    others: Tensor,
    pixels: Tensor,
    critic: Critic,
    settings: EhinConfig,
    words: Tensor,
) -> dict[str, Tensor]:
    """The terms of eq. 17 and the classification, not yet weighted; those of weight 0 are left out.

    early, late: R [B, N, h, w], each image's own sentence first; own [B, E] and others [B, K, E]: the critic's vectors
    of the own sentence and of the negatives; pixels: the critic's view [B, 3, P, P]; words: long [B, N], equal where
    the sentences shown are word for word the same.
    """
    terms = {}
    if settings.classify:
        mine = torch.zeros(late.shape[:2], dtype=torch.bool, device=late.device)
        mine[:, 0] = True
        same_words = None if settings.same_words_negatives else (words == words[:, :1]) & ~mine
        terms["classify"] = classification(image_score(late), mine, same_words)  # of eq. 14
    Q = torch.cat([own[:, None], others], 1)  # [B, 1 + K, E]
    if settings.foreground or settings.background:
        S, outside = _seen(late[:, 0], Q, pixels, critic, settings, bool(settings.foreground))
        terms["foreground"] = foreground(S[:, 0]) if outside is None else relative_foreground(S[:, 0], outside)
        terms["background"] = background(S[:, 1:], settings.reduction)  # eq. 19
    if settings.contrast:
        R = {"early": early, "late": late}[settings.contrast_on]
        S, outside = _seen(R[:, 0], Q, pixels, critic, settings)
        terms["contrast"] = early_contrast(S[:, 0], S[:, 1:], settings.reduction, outside)  # eq. 15
    return terms


def _seen(
    R: Tensor, Q: Tensor, pixels: Tensor, critic: Critic, settings: EhinConfig, compared: bool = True
) -> tuple[Tensor, Tensor | None]:
    """Eq. 16 of one map: S [B, 1 + K] of the own sentence and the negatives under the mask of R [B, h, w].

    With it S [B] of the own sentence under all that the mask leaves out, where FG is relative (None otherwise, and
    unless `compared`); both masks are sharp then: under soft ones either picture shows a part of the object.
    """
    if settings.foreground_form == "log":
        return critic(pixels, R.sigmoid(), Q), None
    S = critic(pixels, (SHARPNESS * R).sigmoid(), Q)
    return S, critic(pixels, (-SHARPNESS * R).sigmoid(), Q[:, :1])[:, 0] if compared else None


def total(terms: dict[str, Tensor], settings: EhinConfig) -> Tensor:
    """EHIN eq. 17: the weighted sum of the terms, with the classification that it forgets."""
    return sum(getattr(settings, name) * term for name, term in terms.items())


def train(
    images: Images,
    samples: Sequence[Sample],
    critic: Critic,
    settings: EhinConfig,
    seed: int,
    out: Path,
    watch: Watch | None = None,
) -> Trained[nn.ModuleDict, LossCurve]:
    """Fit the head, and the backbone where settings.finetune says so; an epoch visits each ref with one sentence.

    The same seed gives the same weights, bit for bit, on one machine. Killed, it resumes from a checkpoint beside `out`
    (which the caller writes). Mixed precision as `is_mixed` says. A `watch` sees each step's terms and changes nothing.

    Returns {"head": Head, and "backbone" if fine-tuned} and the loss curve.
    """
    if settings.foreground_form not in FORMS:
        raise ValueError(f"foreground_form is {settings.foreground_form!r}; choose one of {', '.join(FORMS)}")
    backbone = images.backbone
    device = images.device
    mixed = is_mixed(settings.precision, device)
    known = set(images.ids)
    samples = [s for s in samples if s.image_id in known]
    if not samples:
        raise ValueError("there is no sentence to train on: no image of the split can be read")
    head = new_head(backbone.channels, backbone.sentence_width, settings, seed)
    modules = nn.ModuleDict({"head": head})
    if settings.finetune:
        modules["backbone"] = backbone
    modules.to(device).train()
    negatives = Negatives(samples, settings.negatives_from)
    words = torch.tensor(negatives.words, device=device)
    queries = sentence_vectors(critic, [s.sentence for s in samples]).to(device)  # [S, E] of the critic
    frozen = None if settings.finetune else sentence_vectors(backbone, [s.sentence for s in samples]).to(device)
    refs: dict[int, list[int]] = defaultdict(list)
    for row, sample in enumerate(samples):
        refs[sample.ref_id].append(row)
    groups = list(refs.values())

    taken = min(settings.batch * settings.grad_accum_steps, len(groups))  # refs of a step
    per_epoch = max(1, len(groups) // taken)
    steps = max(1, round(settings.epochs * per_epoch))
    parts: list[dict[str, Any]] = [{"params": list(head.parameters())}]
    if settings.finetune:
        parts.append({"params": list(backbone.parameters()), "lr_scale": BACKBONE_LR_SCALE})
    optimiser = torch.optim.AdamW(parts, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    run = Trainer(out, modules, optimiser, steps, seed, {"settings": repr(settings)}, settings.grad_accum_steps)
    for step in run:
        epoch, place = divmod(step, per_epoch)
        order = torch.randperm(len(groups), generator=torch.Generator().manual_seed(seed * 10_007 + epoch)).tolist()
        for refs_now in run.micro_batches(order[place * taken : (place + 1) * taken]):
            rows = [groups[g][int(run.rng.integers(len(groups[g])))] for g in refs_now]
            others = torch.tensor([negatives.draw(row, settings.negatives, run.rng) for row in rows])
            ids = [samples[row].image_id for row in rows]
            columns = shown(len(rows), settings.texts)  # [B, N]
            with torch.autocast(torch.device(device).type, enabled=mixed, dtype=torch.bfloat16):
                sentences = backbone.sentences([samples[r].sentence for r in rows]) if frozen is None else frozen[rows]
                early, late = head(images.maps(ids), sentences[columns])
                maps = (early.float(), late.float())
                texts = (queries[rows], queries[others])
                terms = losses(*maps, *texts, images.small(ids), critic, settings, words[rows][columns])
            if watch:
                watch(step, terms, head)
            run.backward(total(terms, settings))
        run.optimizer_step(settings.learning_rate * (1 - step / steps) ** 0.9)
    run.delete_checkpoint()
    return Trained(modules.eval(), run.curve)


def is_mixed(precision: str, device: str) -> bool:
    """Whether products are made in bfloat16: on a GPU; with "auto" on a processor that has instructions for them too.

    Raises ValueError for another precision than "float32" and "auto".
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}; choose one of {', '.join(PRECISIONS)}")
    return device != "cpu" or (precision == "auto" and multiplies_bfloat16())


def backbone_of(modules: nn.ModuleDict, shared: Backbone | None) -> Backbone:
    """The one that was trained with the head, or else the shared one, which is frozen."""
    own = modules["backbone"] if "backbone" in modules else shared
    assert isinstance(own, Backbone)
    return own


def stored_modules(backbone: Backbone, settings: EhinConfig, weights: dict[str, Tensor]) -> nn.ModuleDict:
    """What `train` returned, made of its state dict."""
    modules = nn.ModuleDict({"head": Head(backbone.channels, backbone.sentence_width, settings)})
    if settings.finetune:
        modules["backbone"] = backbone
    modules.load_state_dict(weights)
    return modules.eval()
