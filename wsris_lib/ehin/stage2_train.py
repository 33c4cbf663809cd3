"""Training of stage 2 from pseudo labels, with a mean teacher where the settings ask for one."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wsris_lib.config.settings import Stage2Config
from wsris_lib.ehin.stage2 import Stage2
from wsris_lib.ehin.stage2_losses import KINDS, bce, ce_dice, consistency
from wsris_lib.infra.trainer import LossCurve, Trained, Trainer
from wsris_lib.segmentation.dataset import PseudoLabelDataset
from wsris_lib.segmentation.mean_teacher import StudentAndTeacher, decay

LOSSES = {"bce": bce, "ce_dice": ce_dice}


def train(
    data: PseudoLabelDataset, settings: Stage2Config, seed: int, out: Path, device: str = "cpu"
) -> Trained[StudentAndTeacher[Stage2], LossCurve]:
    """Fit network and backbone; an epoch visits each ref with one of its labelled sentences.

    As TRIS: AdamW (EHIN says Adam), CLIP's own weights at settings.backbone_lr_scale of the rate, a rate that
    stays where settings.power is 0 (TRIS's decay is written for steps and counted in epochs, so that it hardly falls;
    else it falls as written), no augmentation, labels not
    weighted by their confidence. Not as TRIS: gradients are clipped to norm 1, CLIP's positional codes go at the
    backbone's rate and not the head's, and the teacher averages after every step from the first on (there: every tenth,
    from the hundredth on). The student is what TRIS tests.

    The same seed gives the same weights, bit for bit, on one machine. Killed, it resumes from a checkpoint beside `out`
    (which the caller writes). Mixed precision on a GPU.

    Returns student and, if settings.teacher, teacher, evaluating, and the loss curve. Raises ValueError for a loss or
    consistency that isn't known, or another size of input
    than `data` was made for.
    """
    _check(data, settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        modules = _new(settings).to(device).train()
    student = modules.student
    teacher = modules.teacher
    per_epoch = data.steps(settings.batch)
    steps = max(1, round(settings.epochs * per_epoch))
    alpha = decay(settings.horizon, steps)
    parts: list[dict[str, Any]] = [
        {"params": student.own_parameters()},
        {"params": list(student.backbone.parameters()), "lr_scale": settings.backbone_lr_scale},
    ]
    optimiser = torch.optim.AdamW(parts, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    made_from = {"settings": repr(settings), "data": data.digest()}
    run = Trainer(out, modules, optimiser, steps, seed, made_from, settings.grad_accum_steps)
    for step in run:
        for rows in run.micro_batches(data.drawn(step, settings.batch, seed, run.rng)):
            pixels, tokens, masks, _ = (part.to(device) for part in data.batch(rows))
            pixels = student.backbone.normalise(pixels)
            with torch.autocast(torch.device(device).type, enabled=device != "cpu", dtype=torch.bfloat16):
                ours = student(pixels, tokens)
                theirs = teacher(pixels, tokens) if teacher else []
            ours = [logits.float() for logits in ours]
            loss = LOSSES[settings.loss](ours, masks.float())
            if teacher:
                theirs = [logits.float() for logits in theirs]
                loss = loss + settings.consistency_weight * consistency(ours, theirs, settings.consistency)
            run.backward(loss)
        run.optimizer_step(settings.learning_rate * (1 - step / steps) ** settings.power)
        if teacher:
            teacher.update(student, alpha)
    run.delete_checkpoint()
    return Trained(modules.eval(), run.curve)


def stored_modules(settings: Stage2Config, weights: dict[str, Tensor]) -> StudentAndTeacher[Stage2]:
    """What `train` returned, made of its state dict."""
    modules = _new(settings)
    modules.load_state_dict(weights)
    return modules.eval()


def _new(settings: Stage2Config) -> StudentAndTeacher[Stage2]:
    return StudentAndTeacher(Stage2(settings), settings.teacher)


def _check(data: PseudoLabelDataset, settings: Stage2Config) -> None:
    if settings.loss not in LOSSES:
        raise ValueError(f"loss {settings.loss!r}: expected one of {', '.join(LOSSES)}")
    if settings.consistency not in KINDS:
        raise ValueError(f"consistency {settings.consistency!r}: expected one of {', '.join(KINDS)}")
    if data.image_size != settings.image_size:
        raise ValueError(
            f"the images were prepared at {data.image_size} pixels, the settings say {settings.image_size}"
        )
