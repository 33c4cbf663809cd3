"""What `full_size.py` measures of ES3Net's features: the library's own calls, and other ways.

Of each row the first way is the library's; the others say what it would be without one of its ideas, or with another.
"""

import resource
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from itertools import pairwise
from statistics import median

import torch
from torch import nn

from wsris_lib.config.profiles import Profile
from wsris_lib.frozen.clip import ClipEncoder
from wsris_lib.frozen.depth import DepthEstimator
from wsris_lib.frozen.detector import Detector
from wsris_lib.frozen.dino import DinoEncoder
from wsris_lib.frozen.extractor import Extractor
from wsris_lib.frozen.image_cache import BATCH
from wsris_lib.frozen.pooling import geometry, pool_patches
from wsris_lib.frozen.sam2 import Sam2Proposer
from wsris_lib.frozen.sentence_encoder import SentenceEncoder
from wsris_lib.pipeline.run import Run
from wsris_lib.refer.labels import PseudoLabel
from wsris_lib.refer.masks import encode_rle

PROPOSALS = 25  # of an image: what random weights find there says nothing
PHOTOS = {True: 64, False: 8}  # on a GPU and on a CPU
Way = tuple[str, float | str, float | None]  # its name; units a second, or the error that it ended in; peak GB


class Bench:
    """What a row is measured on, and what it finds.

    Args:
        profile: with a device, and of train no more than the photographs needed.
        all_ways: else the few that mean something on a CPU.
    """

    def __init__(self, profile: Profile, all_ways: bool):
        self.profile = profile
        self.device = profile.device
        self.all_ways = all_ways
        self.gpu = self.device != "cpu"
        self.times, self.steps, self.batch = (5, 8, BATCH) if self.gpu else (1, 1, 1)
        self.view = Run(profile).corpus.training_view(profile.train_split)
        self.sentences = sorted({sample.sentence for sample in self.view}, key=lambda s: (len(s), s))
        self.note = ""
        self.step = None  # the sentences of one, of a training
        self.ways = []

    def sized(self, batch: int, small: int) -> int:
        """The profile's batch on a GPU; no more than `small` on a CPU, where memory would do but not the time."""
        return batch if self.gpu else min(small, batch)

    def images(self, count: int = 0) -> list:
        """The first photographs; 0: as many as the library takes at once on a GPU, and one on a CPU."""
        return [self.view.image(i) for i in self.view.image_ids[: count or self.batch]]

    def boxes(self, images: Sequence) -> list[torch.Tensor]:
        """PROPOSALS boxes in each image, from a fifth to three fifths of its sides."""
        g = torch.Generator().manual_seed(0)
        corners = torch.rand(PROPOSALS, 2, generator=g) * 0.4
        sides = 0.2 + torch.rand(PROPOSALS, 2, generator=g) * 0.4
        shares = torch.cat([corners, corners + sides], 1)
        return [shares * torch.tensor([image.width, image.height] * 2) for image in images]

    def masks(self, image, count: int = PROPOSALS) -> torch.Tensor:
        """bool [count, H, W]: the boxes filled."""
        squares = torch.zeros(count, image.height, image.width, dtype=torch.bool)
        for mask, (x0, y0, x1, y1) in zip(squares, self.boxes([image])[0].long().tolist()):
            mask[y0:y1, x0:x1] = True
        return squares

    def labels(self) -> list[PseudoLabel]:
        """A label of each sentence: a box."""
        masks = {i: encode_rle(self.masks(self.view.image(i), 1)[0].numpy()) for i in self.view.image_ids}
        return [PseudoLabel(s.image_id, s.ref_id, s.sent_id, masks[s.image_id], 0.5) for s in self.view]

    def wait(self) -> float:
        """The time when the device has done all that it was given."""
        if self.gpu:
            torch.cuda.synchronize()
        return time.perf_counter()

    def time(self, way: str, run: Callable[[], object], count: float) -> None:
        """Median of several whole calls, each of `count` units, after one that warms up."""

        def seconds() -> list[float]:
            run()
            marks = [self.wait()]
            for _ in range(self.times):
                run()
                marks.append(self.wait())
            return [after - before for before, after in pairwise(marks)]

        self.record(way, seconds, count)

    def record(self, way: str, seconds: Callable[[], list[float]], count: float) -> None:
        """Note a way's units a second and its peak memory; of a CPU's process that of the first way alone is known."""
        if self.gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        try:
            rate = count / median(seconds())
        except Exception as why:  # a way that can't be gone, by a GPU's memory or torch's compiler, costs no row
            if not self.ways:
                raise
            traceback.print_exc()
            rate = type(why).__name__
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20 if not self.ways else None
        self.ways.append((way, rate, torch.cuda.max_memory_allocated() / 2**30 if self.gpu else own))


# -- frozen models ----------------------------------------------------------------------------------------------------


@contextmanager
def tf32() -> Iterator[None]:
    """Matrix products of float32 in TF32, as torch's convolutions are by default."""
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")


def frozen(
    bench: Bench,
    run: Callable,
    count: float,
    model: nn.Module,
    few: Sequence[str] = (),
    attends: nn.Module | None = None,
) -> None:
    """A frozen model's call in each precision and layout, and with the attention that it doesn't have.

    `few`: the ways that are taken on a CPU too. `attends`: the module of transformers that can change its attention.
    """
    bench.time("as it is (float32)", run, count)
    kind = torch.device(bench.device).type
    ways: dict[str, AbstractContextManager] = {
        "TF32": tf32(),
        "bf16": torch.autocast(kind, torch.bfloat16),
        "fp16": torch.autocast(kind, torch.float16),
    }
    for way in (way for way in ways if bench.all_ways or way in few):
        with ways[way]:
            bench.time(way, run, count)
    if bench.all_ways or "channels_last" in few:
        model.to(memory_format=torch.channels_last)
        bench.time("channels_last", run, count)
        model.to(memory_format=torch.contiguous_format)
    if attends is not None and (bench.all_ways or "attention" in few):
        other = "eager" if attends.config._attn_implementation == "sdpa" else "sdpa"
        attends.set_attn_implementation(other)
        bench.time(f"{other} attention", run, count)


def one_by_one(bench: Bench, run: Callable, images: list) -> None:
    """An image a call; nothing new where a call has no more."""
    if len(images) > 1:
        bench.time("an image at a time", lambda: [run([image]) for image in images], len(images))


def decode(bench: Bench) -> None:
    count = len(bench.view.image_ids)
    bench.time("as it is", lambda: bench.images(count), count)


def detector(bench: Bench) -> None:
    profile = bench.profile
    images = bench.images()
    model = Detector(profile.detector, bench.device, profile.proposals.box_score, limit=profile.proposals.limit)
    frozen(bench, lambda: model(images), len(images), model.model, ("channels_last",))
    one_by_one(bench, model, images)


def sam2(bench: Bench) -> None:
    model = Sam2Proposer(bench.profile.sam2, bench.device, max_proposals=PROPOSALS)
    images = bench.images()
    boxes = bench.boxes(images)
    few = 2
    bench.note = f"{PROPOSALS} boxes an image"
    frozen(bench, lambda: model.boxes(images, boxes), len(images), model.model, attends=model.model.vision_encoder)
    model.batch = 1
    bench.time("a box at a time, the image embedded once", lambda: model.boxes(images, boxes), len(images))
    naive = [box[None] for box in boxes[0][:few]]
    bench.time(
        "a box at a time, the image embedded anew",
        lambda: [model.boxes(images[:1], [b]) for b in naive],
        few / PROPOSALS,
    )


def clip(bench: Bench) -> None:
    model = ClipEncoder(bench.profile.clip, bench.device, crop=bench.profile.crop)
    image = bench.images(1)[0]
    masks = bench.masks(image)
    bench.note = f"{PROPOSALS} crops an image"
    frozen(bench, lambda: model.crops(image, masks), 1, model.model, ("bf16",))
    model.batch = 1
    bench.time("a crop at a time", lambda: model.crops(image, masks), 1)


def dino(bench: Bench) -> None:
    images = bench.images()
    model = DinoEncoder(bench.profile.dino, bench.profile.dino_image_size, bench.device)
    frozen(bench, lambda: model.patches(images), len(images), model.model, ("bf16", "attention"), model.model)
    one_by_one(bench, model.patches, images)


def depth(bench: Bench) -> None:
    images = bench.images()
    model = DepthEstimator(bench.profile.depth, bench.profile.depth_image_size, bench.device)
    few = ("channels_last", "attention")
    frozen(bench, lambda: model.inverse_depth(images), len(images), model.model, few, model.model.backbone)
    one_by_one(bench, model.inverse_depth, images)


def pooling(bench: Bench) -> None:
    image = bench.images(1)[0]
    side = bench.profile.dino_image_size // 14
    masks = bench.masks(image)
    patches = torch.randn(768, side, side)
    near = torch.rand(image.height, image.width)
    bench.note = f"{PROPOSALS} masks an image, on the CPU"
    both = ("max", "mean")
    bench.time("as it is", lambda: [geometry(masks, near), *(pool_patches(patches, masks, how) for how in both)], 1)


def sentences(bench: Bench, encoder: Callable) -> None:
    model = encoder(bench.profile)(bench.device)
    attends = model.model if isinstance(model, SentenceEncoder) else None
    bench.note = f"{len(bench.sentences)} sentences"
    frozen(bench, lambda: model.sentences(bench.sentences), len(bench.sentences), model.model, (), attends)
    model.batch = 1
    bench.time("a sentence at a time", lambda: model.sentences(bench.sentences), len(bench.sentences))


def overlap(bench: Bench) -> None:
    extract = Extractor(bench.profile)
    ids = bench.view.image_ids[: 4 * bench.batch]
    masks = extract.propose.sam2
    find = extract.propose.detector
    extract.propose = lambda images: (find(images), masks.boxes(images, bench.boxes(images)))[1]
    groups = [ids[n : n + bench.batch] for n in range(0, len(ids), bench.batch)]

    def opened(group: list[int]) -> list:
        return [bench.view.image(i) for i in group]

    def ahead() -> None:
        with ThreadPoolExecutor(1) as pool:
            for images in pool.map(opened, groups):
                extract(images)

    bench.note = f"{PROPOSALS} proposals an image, nothing stored"
    bench.time("decoded, then computed", lambda: [extract(opened(group)) for group in groups], len(ids))
    bench.time("the next batch decoded meanwhile", ahead, len(ids))
