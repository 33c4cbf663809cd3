"""How fast a student learns: its step as it is, beside the plain one that it has to equal.

    python benchmarks/student_speed.py [PROFILE [STEPS]]

The plain step is kept here: transformers' own Swin blocks, torch's fused attention, instance norm, interpolation and
cross entropy, every sentence padded to `max_tokens`. Both take the same batches in turn, from the same weights, at the
student's size and at 96 pixels; masks are drawn, as only time is looked at. Seconds are the processor's, on one thread,
so that other work on the machine changes them little. Prints the table and writes student_speed.md beside this file.
"""

import itertools
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsris_lib.cadd import losses
from wsris_lib.cadd.augment import GREY, Warp, draw
from wsris_lib.cadd.lavt import Lavt, Pwam
from wsris_lib.cadd.train import new_modules, optimisers_of
from wsris_lib.config import profiles
from wsris_lib.config.settings import CaddConfig
from wsris_lib.pipeline.run import Run

SIDES = (128, 96)
PARTS = ("all of a step", "student, forwards", "teacher", "losses", "backwards", "optimisers and teacher's mean")


def main(name: str = "tiny", steps: str = "12") -> None:
    """Measure, print and write."""
    torch.set_num_threads(1)
    profile = profiles.load(name)
    settings = profile.cadd
    lines = [
        "# A student's step, plain and as it is",
        "",
        f"Made by `python benchmarks/student_speed.py {' '.join(sys.argv[1:])}`:",
        f"profile `{profile.name}`, batch {settings.batch}, {steps} steps each, in turn;",
        f"milliseconds of the processor, median, one thread, torch {torch.__version__}.",
        "",
        "| pixels | | " + " | ".join(PARTS) + " | sentences a second |",
        "|---" * (3 + len(PARTS)) + "|",
    ]
    for side in SIDES:
        batches = drawn_batches(profile, settings, int(steps), side)
        with plain():
            before = loss_without_chance(settings, batches[0])
        apart = abs(before - loss_without_chance(settings, batches[0])) / before
        old, new = Timed(settings), Timed(settings)
        for batch in batches:
            with plain():
                old.step(batch)
            new.step(batch)
        for title, timed in (("plain", old), ("as it is", new)):
            values = [1000 * median(timed.seconds[part]) for part in PARTS]
            cells = " | ".join(f"{value:.1f}" for value in values)
            lines.append(f"| {side} | {title} | {cells} | {1000 * settings.batch / values[0]:.1f} |")
        ratio = median(old.seconds[PARTS[0]]) / median(new.seconds[PARTS[0]])
        lines.append(f"| {side} | times as fast | {ratio:.2f} |" + " |" * len(PARTS))
        lines.append(f"| {side} | the first losses differ by | {apart:.0e} of the loss |" + " |" * len(PARTS))
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


Batch = tuple[Tensor, Tensor, Tensor, Tensor, Warp]


def drawn_batches(profile: profiles.Profile, settings: CaddConfig, steps: int, side: int) -> list[Batch]:
    """Pixels, tokens of both networks, labels and a warp, for each step; sentences are the corpus's."""
    view = Run(profile).corpus.training_view(profile.train_split)
    sentences = [sample.sentence for sample in view][:: max(1, len(view) // (steps * settings.batch))]
    student = new_modules(settings).student
    generator = torch.Generator().manual_seed(0)
    batches = []
    for n in range(steps):
        own = sentences[n * settings.batch : (n + 1) * settings.batch]
        pixels = torch.randint(0, 256, (len(own), 3, side, side), generator=generator, dtype=torch.uint8)
        labels = (torch.rand(len(own), side, side, generator=generator) < 0.1).byte()
        warp = draw(len(own), generator, zoom=settings.zoom)
        batches.append((pixels, student.tokenizer(own), student.tokenizer(warp.sentences(own)), labels, warp))
    return batches


class Timed:
    """A student, its teacher and its optimisers, and the seconds of each part of each step."""

    def __init__(self, settings: CaddConfig):
        self.settings = settings
        self.modules = new_modules(settings).train()
        self.optimisers = optimisers_of(self.modules.student, settings)
        self.seconds: dict[str, list[float]] = {part: [] for part in PARTS}
        torch.manual_seed(0)  # dropout

    def step(self, batch: Batch) -> float:
        """The loss of a step after the burn-in."""
        pixels, tokens, augmented_tokens, labels, warp = batch
        student, teacher = self.modules.student, self.modules.teacher
        assert teacher
        times = [time.process_time()]
        images = warp.image(student.normalise(warp.jitter(pixels)))
        ours = student(images, student.trimmed(augmented_tokens))
        times.append(time.process_time())
        theirs = teacher(student.normalise(pixels), student.trimmed(tokens))
        times.append(time.process_time())
        weights = (1.0, self.settings.masks, self.settings.features)
        loss = losses.cadd(ours, theirs, labels, torch.ones(len(labels)), warp, weights, self.settings.dice)
        times.append(time.process_time())
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        loss.backward()
        times.append(time.process_time())
        nn.utils.clip_grad_norm_(student.parameters(), self.settings.clip)
        for optimiser in self.optimisers:
            optimiser.step()
        teacher.update(student, 0.99)
        times.append(time.process_time())
        parts = [times[-1] - times[0], *(after - before for before, after in itertools.pairwise(times))]
        for part, seconds in zip(PARTS, parts, strict=True):
            self.seconds[part].append(seconds)
        return loss.item()


def loss_without_chance(settings: CaddConfig, batch: Batch) -> float:
    """Of the first step, without dropout, which draws other numbers for fewer columns."""
    timed = Timed(replace(settings, drop_path=0.0))
    for module in timed.modules.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    timed.modules.student.bert.eval()
    return timed.step(batch)


@contextmanager
def plain() -> Iterator[None]:
    """Within it a student's step is the plain one."""
    changes = [
        mock.patch(
            "wsris_lib.cadd.windows.swin_block", lambda layer, x, size: layer(x, size, always_partition=True)[0]
        ),
        mock.patch("wsris_lib.cadd.lavt.enlarged", lambda maps, *size: F.interpolate(maps, size, mode="bilinear")),
        mock.patch.object(Pwam, "forward", plain_pwam),
        mock.patch.object(Lavt, "trimmed", lambda self, tokens: tokens),
        mock.patch.object(Warp, "inside", lambda self, *size: (self._grid(*size).abs() <= 1).all(3)),
        mock.patch.object(Warp, "jitter", plain_jitter),
        mock.patch.object(losses, "confidence_weighted_ce", plain_ce),
        mock.patch.object(losses, "foreground", lambda logits: logits.softmax(1)[:, 1]),
    ]
    try:
        for change in changes:
            change.start()
        yield
    finally:
        for change in changes:
            change.stop()


def plain_pwam(module: Pwam, cells: Tensor, words: Tensor, real: Tensor) -> Tensor:
    """`Pwam.forward` by torch's own attention and norm."""
    Q = module._shared(F.instance_norm(module.query(cells).mT).mT)
    K, V = module._shared(module.key(words)), module._shared(module.value(words))
    attended = F.scaled_dot_product_attention(Q, K, V, real[:, None, None])
    language = F.instance_norm(module.lang_proj(attended.transpose(1, 2).flatten(2)).mT).mT
    return F.gelu(module.out(F.gelu(module.vis_proj(cells)) * language))


def plain_jitter(warp: Warp, pixels: Tensor) -> Tensor:
    """`Warp.jitter`, a change after the other."""
    brightness, contrast, saturation = warp.colour.view(-1, 3, 1, 1, 1).unbind(1)
    pixels = pixels.float() * brightness
    pixels = (grey_of(pixels) + saturation * (pixels - grey_of(pixels))).clamp(0, 255)
    middle = grey_of(pixels).mean((2, 3), keepdim=True)
    return (middle + contrast * (pixels - middle)).clamp(0, 255)


def grey_of(pixels: Tensor) -> Tensor:
    """[B, 3, H, W] -> [B, 1, H, W]."""
    return (pixels * pixels.new_tensor(GREY).view(3, 1, 1)).sum(1, keepdim=True)


def plain_ce(logits: Tensor, labels: Tensor, confidence: Tensor, inside: Tensor) -> Tensor:
    """`losses.confidence_weighted_ce` by torch's own cross entropy."""
    weights = logits.new_tensor(losses.CLASSES)[labels.long()] * inside
    each = F.cross_entropy(logits, labels.long(), reduction="none")
    return (confidence * (each * weights).sum((1, 2)) / weights.sum((1, 2))).mean()


if __name__ == "__main__":
    print(__doc__) if "--help" in sys.argv else main(*sys.argv[1:])
