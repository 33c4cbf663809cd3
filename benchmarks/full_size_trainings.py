"""What `full_size.py` measures of EHIN's labels and of all trainings: steps of the library's own, cut off after a few.

Of each row the first way is the library's; the others say what another precision, layout or compiler would bring.
"""

import gc
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from full_size_features import Bench, frozen, tf32
from torch import nn

from wsris_lib.cadd.lavt import Lavt
from wsris_lib.cadd.train import distil, new_modules
from wsris_lib.ehin.inputs import Images, sentence_vectors
from wsris_lib.ehin.network import Head, new_head
from wsris_lib.ehin.predict import response_maps
from wsris_lib.ehin.stage2 import Stage2
from wsris_lib.ehin.stage2_train import train as train_stage2
from wsris_lib.ehin.train import train as train_ehin
from wsris_lib.es3net.train import train as train_alignment
from wsris_lib.frozen.clip_backbone import Backbone
from wsris_lib.frozen.critic import Critic
from wsris_lib.infra.trainer import Trainer
from wsris_lib.refine.crf import affinity_labels
from wsris_lib.refine.irnet import IRNet, channels
from wsris_lib.refine.refiner import by_walk
from wsris_lib.refine.train import Affinities
from wsris_lib.refine.train import train as train_irnet
from wsris_lib.segmentation.dataset import PseudoLabelDataset

MANY = 100  # epochs: more than are waited for


# -- EHIN's frozen parts and labels ------------------------------------------------------------------------------------


def ehin_parts(bench: Bench, folder: Path) -> tuple[Images, Critic]:
    settings = bench.profile.ehin
    backbone = Backbone(settings.backbone, settings.image_size, settings.max_tokens).to(bench.device)
    critic = Critic(settings.critic, settings.critic_image_size, settings.max_tokens).to(bench.device)
    return Images(bench.view, backbone, settings, folder, bench.device), critic


def ehin_pixels(bench: Bench) -> None:
    settings = bench.profile.ehin
    backbone = Backbone(settings.backbone, settings.image_size, settings.max_tokens).to(bench.device)

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            Images(bench.view, backbone, settings, Path(folder), bench.device)

    bench.time("as it is", run, len(bench.view.image_ids))


def critic_text(bench: Bench) -> None:
    with tempfile.TemporaryDirectory() as folder:
        critic = ehin_parts(bench, Path(folder))[1]
    bench.time("as it is", lambda: sentence_vectors(critic, bench.sentences), len(bench.sentences))


def responses(bench: Bench) -> None:
    settings = bench.profile.ehin
    some = list(bench.view)[: 128 if bench.gpu else 8]
    with tempfile.TemporaryDirectory() as folder:
        images = ehin_parts(bench, Path(folder))[0]
        head = new_head(images.backbone.channels, images.backbone.sentence_width, settings, 0)
        modules = nn.ModuleDict({"head": head}).to(bench.device).eval()
        few = ("bf16", "channels_last")
        frozen(bench, lambda: response_maps(modules, images, some), len(some), images.backbone, few)


def crf(bench: Bench) -> None:
    image = bench.images(1)[0]
    pixels = np.asarray(image)
    soft = bench.masks(image, 1)[0].numpy() * 0.8
    bench.note = f"a sentence an image, {image.width} x {image.height} pixels, on the CPU"
    bench.time("as it is", lambda: affinity_labels(pixels, soft, bench.profile.refine), 1)


def walk(bench: Bench) -> None:
    settings = bench.profile.refine
    image = bench.images(1)[0]
    backbone = Backbone(settings.backbone, settings.image_size).requires_grad_(False).to(bench.device)
    torch.manual_seed(0)
    refine = by_walk(IRNet(channels(backbone), settings.width).to(bench.device).eval(), backbone, settings)
    soft = bench.masks(image, 3).numpy().astype(np.float32)
    bench.note = f"{len(soft)} sentences an image"
    bench.time("as it is", lambda: refine(image, soft), len(soft))


# -- trainings ---------------------------------------------------------------------------------------------------------


class Enough(Exception):
    """As many steps as were to be timed."""


@contextmanager
def instead(owner: object, name: str, value: object) -> Iterator[None]:
    """Another attribute, for a while; a row has a process of its own."""
    usual = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, usual)


def stepped(bench: Bench, start: Callable, batch: int, layout: torch.memory_format | None = None) -> list[float]:
    """Seconds of a training's steps after the first ones; `start(out, batch)` is the whole training, cut off then."""
    ends = []
    usual = Trainer.optimizer_step
    warm = 3 if bench.all_ways else 1

    def step(run: Trainer, *arguments: object, **options: object) -> None:
        usual(run, *arguments, **options)
        ends.append(bench.wait())
        if layout and len(ends) == 1:
            run.model.to(memory_format=layout)
        if len(ends) == warm + bench.steps:
            raise Enough

    never = instead(Trainer, "save_seconds", float("inf"))
    with instead(Trainer, "optimizer_step", step), never, tempfile.TemporaryDirectory() as folder, suppress(Enough):
        start(Path(folder) / "run", batch)
    return [after - before for before, after in zip(ends[warm - 1 :], ends[warm:])]


def trained(bench: Bench, start: Callable, batch: int, casts: bool, forwards: Sequence[tuple[type, str]]) -> None:
    """A training at `batch`, or at the half of it and so on where memory is short; then in other ways.

    casts: whether the library trains it in mixed precision on a GPU. forwards: the methods that can be compiled.
    """
    usual = "as it is (bf16)" if casts and bench.gpu else "as it is (float32)"
    while not bench.ways:
        try:
            bench.record(usual, partial(stepped, bench, start, batch), batch)
        except torch.OutOfMemoryError:
            if batch == 1:
                raise
            batch //= 2
        gc.collect()
    bench.note = f"batch {batch}"
    bench.step = batch
    if not bench.all_ways:
        return
    cast = torch.autocast
    ways = {"TF32": [tf32()]}
    for way, dtype in (("bf16", torch.bfloat16), ("fp16", torch.float16), ("float32", None)) if casts else ():
        how = partial(cast, dtype=dtype or torch.bfloat16, enabled=dtype is not None)
        ways[way] = [instead(torch, "autocast", lambda device_type, how=how, **_: how(device_type))]
    if casts:
        ways["TF32"] = [tf32(), instead(torch, "autocast", lambda device_type, **_: cast(device_type, enabled=False))]
    ways["compiled"] = [instead(owner, name, torch.compile(getattr(owner, name))) for owner, name in forwards]
    for way, contexts in ways.items():
        if f"({way})" not in usual:
            with ExitStack() as stack:
                for context in contexts:
                    stack.enter_context(context)
                bench.record(way, partial(stepped, bench, start, batch), batch)
    bench.record("channels_last", partial(stepped, bench, start, batch, torch.channels_last), batch)


def alignment(bench: Bench) -> None:
    from es3net import tables  # the benchmark beside this one

    settings = replace(bench.profile.es3net, epochs=1)
    data = tables((100 if bench.gpu else 20) * settings.batch)
    bench.note = f"batch {settings.batch}, eq. 4 and 5, ranking included, random features"
    bench.step = settings.batch
    count = len(data[1].image_ids)
    bench.time("as it is (float32)", lambda: train_alignment(*data, settings, 0, device=bench.device), count)


def ehin(bench: Bench) -> None:
    settings = replace(bench.profile.ehin, epochs=MANY)
    samples = list(bench.view)
    with tempfile.TemporaryDirectory() as folder:
        images, critic = ehin_parts(bench, Path(folder))

    def start(out: Path, batch: int) -> None:
        own = Backbone(settings.backbone, settings.image_size, settings.max_tokens).to(bench.device)
        train_ehin(images.seen_by(own), samples, critic, replace(settings, batch=batch), 0, out)

    forwards = [(Backbone, "maps"), (Head, "forward"), (Critic, "forward")]
    trained(bench, start, bench.sized(settings.batch, 4), True, forwards)


def irnet(bench: Bench) -> None:
    settings = replace(bench.profile.refine, epochs=MANY)
    backbone = Backbone(settings.backbone, settings.image_size).requires_grad_(False).to(bench.device)
    images = {i: ({"pixels": backbone.prepare(bench.view.image(i))}, {}) for i in bench.view.image_ids}
    label = np.zeros((settings.image_size, settings.image_size), np.uint8)
    label[settings.image_size // 4 : settings.image_size // 2, settings.image_size // 4 : settings.image_size // 2] = 1
    data = Affinities(images, list(images), [label] * len(images))

    def start(out: Path, batch: int) -> None:
        train_irnet(backbone, data, replace(settings, batch=batch), 0, out)

    trained(bench, start, bench.sized(settings.batch, 2), False, [(IRNet, "forward")])


def stage_2(bench: Bench) -> None:
    settings = replace(bench.profile.stage2, epochs=MANY)
    data = PseudoLabelDataset(
        bench.view, bench.labels(), Backbone(settings.backbone, settings.image_size, settings.max_tokens)
    )

    def start(out: Path, batch: int) -> None:
        train_stage2(data, replace(settings, batch=batch), 0, out, bench.device)

    trained(bench, start, bench.sized(settings.batch, 4), True, [(Stage2, "forward")])


def cadd(bench: Bench, burn_in: float) -> None:
    full = replace(bench.profile.cadd, epochs=MANY, burn_in=burn_in)
    data = PseudoLabelDataset(bench.view, bench.labels(), new_modules(full).student)
    sentence_of = {sample.sent_id: sample.sentence for sample in bench.view}
    sentences = [sentence_of[label.sent_id] for label in data.labels]

    def start(out: Path, batch: int) -> None:
        pieces = full.grad_accum_steps if batch >= full.grad_accum_steps else 1
        settings = replace(full, batch=batch, grad_accum_steps=pieces)
        distil(data, sentences, [[sentence] for sentence in sentences], settings, 0, out, bench.device)

    trained(bench, start, bench.sized(full.batch, 2), True, [(Lavt, "forward")])


def student_pixels(bench: Bench) -> None:
    student = new_modules(bench.profile.cadd).student
    data = PseudoLabelDataset(bench.view, bench.labels(), student)
    rows = range(min(bench.profile.cadd.batch, len(data.labels)))
    ids = [data.labels[row].image_id for row in rows]
    bench.note = "with their labels, in one process"
    bench.time("prepared pixels kept", lambda: data.batch(rows), len(rows))
    bench.time(
        "decoded each time", lambda: [data.batch(rows), *map(student.prepare, map(bench.view.image, ids))], len(rows)
    )
