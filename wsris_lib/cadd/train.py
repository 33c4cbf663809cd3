"""CADD: confidence-aware dense distillation of pseudo labels into LAVT, with a mean teacher (ES3Net 3.4, C.3)."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import BertModel

from wsris_lib.cadd.augment import draw
from wsris_lib.cadd.lavt import Lavt
from wsris_lib.cadd.losses import cadd
from wsris_lib.cadd.muon import Muon
from wsris_lib.config.settings import CaddConfig
from wsris_lib.infra.trainer import LossCurve, Trained, Trainer
from wsris_lib.segmentation.dataset import PseudoLabelDataset
from wsris_lib.segmentation.mean_teacher import StudentAndTeacher, decay

ParameterGroup = dict[str, Any]  # "params" and an optimiser's options for them, see `Trainer.optimizer_step`

OPTIMISERS = ("adamw", "muon")
STILL = {"flip": 0.0, "zoom": (1.0, 1.0), "colour": 0.0}  # a warp that changes nothing
UNDECAYED = ("norm", "relative_position_bias_table", "position_embeddings")  # LAVT's, by transformers' names


def distil(
    data: PseudoLabelDataset,
    sentences: Sequence[str],
    reworded: Sequence[Sequence[str]],
    settings: CaddConfig,
    seed: int,
    out: Path,
    device: str = "cpu",
) -> Trained[StudentAndTeacher[Lavt], LossCurve]:
    """Fit a student on labels weighted by their confidence, first alone, then beside its own mean.

    During the burn-in eq. 7 alone; at its end the teacher is a copy of the student; from there on eq. 10, and after
    every step the teacher moves towards the student. The teacher sees image and sentence as they are, the student both
    changed: a `Warp` the image, another wording the sentence (where it has one, the student never hears the original).
    Without settings.augment the student sees them as they are too, and without augment_burn_in during the burn-in. An
    epoch visits each ref with one of its labelled sentences. With settings.early_image_size all but the last steps see
    smaller images: a Swin that has learnt at one size soon learns at another.

    The paper's AdamW, or Muon beside it (`optimisers_of`); the rate falls as LAVT's does, or stays where settings.power
    is 0. Gradients are cut to the norm settings.clip, which is ours. The same seed gives the same weights, bit for bit,
    on one machine; killed, it resumes from a checkpoint beside `out`, which the caller writes. Mixed precision on a
    GPU.

    Args:
        sentences: of each row of `data`. reworded: other wordings of each, "" where there are no more.

    Returns student and teacher, evaluating, and the loss curve. Raises ValueError where sentences or wordings don't
    fit the rows, or the images were prepared for another size.
    """
    if not len(data.labels) == len(sentences) == len(reworded):
        counts = f"{len(sentences)} sentences and {len(reworded)} wordings"
        raise ValueError(f"there are {len(data.labels)} labels, but {counts}; give one of each for every label")
    if data.image_size != settings.image_size:
        raise ValueError(
            f"the images were prepared at {data.image_size} pixels, the settings say {settings.image_size}"
        )
    modules = new_modules(settings, seed).to(device).train()
    student = modules.student
    teacher = modules.teacher
    assert teacher  # `new_modules` has one
    per_epoch = data.steps(settings.batch)
    burn_in = max(1, round(settings.burn_in * per_epoch))
    after = max(1, round(settings.epochs * per_epoch))
    alpha = settings.alpha or decay(settings.horizon, after)
    optimisers = optimisers_of(student, settings)
    made_from = {"settings": repr(settings), "data": data.digest(), "reworded": str(reworded)}
    run = Trainer(out, modules, optimisers, burn_in + after, seed, made_from, settings.grad_accum_steps)
    for step in run:
        taught = step >= burn_in
        augmented = settings.augment and (taught or settings.augment_burn_in)
        if step == burn_in:
            teacher.copy_from(student)
        for rows in run.micro_batches(data.drawn(step, settings.batch, seed, run.rng)):
            pixels, tokens, labels, confidence = (part.to(device) for part in data.batch(rows))
            if settings.early_image_size and step < (1 - settings.late) * run.steps:
                pixels, labels = _shrunk(pixels, labels, settings.early_image_size)
            warp = draw(len(rows), run.generator, **({"zoom": settings.zoom} if augmented else STILL))
            words = [_another(sentences[r], reworded[r], run.rng) if augmented else sentences[r] for r in rows]
            augmented_tokens = student.tokenizer(warp.sentences(words)).to(device)
            warp = warp.to(device)
            with torch.autocast(torch.device(device).type, enabled=device != "cpu", dtype=torch.bfloat16):
                ours = student(warp.image(student.normalise(warp.jitter(pixels))), student.trimmed(augmented_tokens))
                theirs = teacher(student.normalise(pixels), student.trimmed(tokens)) if taught else ours
            weights = (1.0, settings.masks, settings.features) if taught else (1.0, 0.0, 0.0)
            if not settings.confidence:
                confidence = torch.ones_like(confidence)
            run.backward(cadd(_floats(ours), _floats(theirs), labels, confidence, warp, weights, settings.dice))
        run.optimizer_step(settings.learning_rate * (1 - step / run.steps) ** settings.power, settings.clip or math.inf)
        if taught:
            teacher.update(student, alpha)
    run.delete_checkpoint()
    return Trained(modules.eval(), run.curve)


def new_modules(settings: CaddConfig, seed: int = 0) -> StudentAndTeacher[Lavt]:
    """A student as its training begins, and its teacher."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sizes = (
            settings.image_size,
            settings.max_tokens,
            settings.decoder_dim,
            settings.num_heads,
            settings.coord_features,
        )
        student = Lavt(settings.image_model, settings.text_model, *sizes, settings.drop_path)
    return StudentAndTeacher(student)


def stored_modules(settings: CaddConfig, weights: dict[str, Tensor]) -> StudentAndTeacher[Lavt]:
    """What `distil` returned, made of its state dict."""
    modules = new_modules(settings)
    modules.load_state_dict(weights)
    return modules.eval()


def optimisers_of(student: Lavt, settings: CaddConfig) -> list[torch.optim.Optimizer]:
    """AdamW for all; or, where settings.optimiser is "muon", Muon for the matrices between words and cells.

    Swin and BERT learn at a share of the rate, as they are trained already. Muon (Jordan and others, 2024; here
    torch's, scaled to AdamW's rates) makes every singular value of a matrix's step alike, so that what few sentences
    ask for is learnt as fast as what all do. As LAVT's code has them: with settings.text_layers the first layers of the
    BERT alone (the rest of it is fixed, and gets no gradient any more), and without settings.norm_decay no weight decay
    of the norms and position biases in the encoder and between image and words. Raises ValueError for another
    optimiser, and for more layers than the BERT has.
    """
    if settings.optimiser not in OPTIMISERS:
        raise ValueError(f"optimiser {settings.optimiser!r}: expected one of {', '.join(OPTIMISERS)}")
    matrices = student.own_matrices() if settings.optimiser == "muon" else []
    taken = {id(p) for p in matrices}
    parts: list[ParameterGroup] = [
        {"params": [p for p in student.own_parameters() if id(p) not in taken]},
        {"params": list(student.swin.parameters()), "lr_scale": settings.image_lr_scale},
        {"params": _learning(student.bert, settings.text_layers), "lr_scale": settings.text_lr_scale},
    ]
    if not settings.norm_decay:
        parts = _undecayed(student, parts)
    rate = settings.learning_rate
    weight_decay = settings.weight_decay
    optimisers: list[torch.optim.Optimizer] = [torch.optim.AdamW(parts, lr=rate, weight_decay=weight_decay, fused=True)]
    if matrices:
        part = {"params": matrices, "lr_scale": settings.muon_lr_scale}
        optimisers.append(Muon([part], lr=rate, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"))
    return optimisers


def _learning(bert: BertModel, layers: int) -> list[nn.Parameter]:
    """The parameters of its first layers, all others fixed; 0: all of its parameters."""
    if not 0 <= layers <= len(bert.encoder.layer):
        raise ValueError(f"text_layers is {layers}; the BERT has {len(bert.encoder.layer)}, and 0 means all of it")
    if not layers:
        return list(bert.parameters())
    chosen = list(bert.encoder.layer[:layers].parameters())
    bert.requires_grad_(False)
    for parameter in chosen:
        parameter.requires_grad_(True)
    return chosen


def _undecayed(student: Lavt, parts: list[ParameterGroup]) -> list[ParameterGroup]:
    """The same parts, each in two: with weight decay, and without, for what LAVT's code exempts.

    That looks for `UNDECAYED` in the names of the Swin and of what it adds to its stages; its BERT and decoder decay.
    """
    kept = {id(p) for n, p in student.named_parameters() if not n.startswith(("bert.", "decoder.")) and _exempt(n)}
    split = []
    for part in parts:
        options = {name: value for name, value in part.items() if name != "params"}
        split.append(options | {"params": [p for p in part["params"] if id(p) not in kept]})
        exempt = [p for p in part["params"] if id(p) in kept]
        if exempt:
            split.append(options | {"params": exempt, "weight_decay": 0.0})
    return split


def _exempt(name: str) -> bool:
    return any(word in name for word in UNDECAYED)


def _shrunk(pixels: Tensor, labels: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Pixels and labels uint8 [B, 3, P, P] and [B, P, P] -> floats in [0, 255] and uint8 of another side.

    Pixels are averaged, labels stay 0 or 1.
    """
    smaller = F.interpolate(pixels.float(), (side, side), mode="bilinear", antialias=True)
    return smaller, F.interpolate(labels[:, None], (side, side), mode="nearest-exact")[:, 0]


def _another(sentence: str, reworded: Sequence[str], rng: np.random.Generator) -> str:
    """One of the other wordings at random, or the sentence where there is none."""
    others = [text for text in reworded if text]
    return others[int(rng.integers(len(others)))] if others else sentence


def _floats(outputs: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return outputs[0].float(), outputs[1].float()
