"""EHIN's stage 1 beside TRIS's configuration, in one run: images a second in training, seconds for one answer.

python benchmarks/ehin.py [PROFILE [SETTING VALUE ...]]     default: tiny; a setting of EHIN's, such as image_size 384

The training as the profile has it is set against the plain one: in float32 (but on a GPU), with all of open_clip's
forward pass in the critic. They are run in turn, and the ratios are of the processor's seconds (on a GPU of the
clock's), which other programs disturb less.

The paper's Table 10 has 2.05 s for EHIN and 2.18 s for TRIS (one A40, a batch of 1, 320 pixels), of which stage it
doesn't say, nor why the network that holds the other's prompt twice is the faster. Answers are timed in turn, so that a
machine that slows down slows both; the head alone too, since only it differs.
"""

import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from wsris_lib.config import profiles
from wsris_lib.config.settings import EhinConfig
from wsris_lib.ehin.inputs import Images
from wsris_lib.ehin.network import new_head
from wsris_lib.ehin.train import is_mixed, train
from wsris_lib.experiments.costs import answer_seconds
from wsris_lib.frozen.critic import Critic
from wsris_lib.pipeline import ehin
from wsris_lib.pipeline.run import Run

STEPS = 10
WARM_UP = 2
ASKED = 20
ROUNDS = 5
TURNS = 3
METHODS = {"TRIS": ehin.TRIS, "EHIN": {}}


class PlainCritic(Critic):
    """Every token of every layer, as open_clip computes them."""

    def image_vectors(self, pixels: Tensor) -> Tensor:
        """As the name says, [B, E] of length 1."""
        return self.clip.image_vectors(pixels)


def main(name: str = "tiny", *changes: str) -> None:
    """Print rates, ratios and times."""
    profile = profiles.load(name, synref=profiles.SynRefSize(train=200, val=20, test_a=0, test_b=0))
    own = {setting: type(getattr(profile.ehin, setting))(value) for setting, value in zip(changes[::2], changes[1::2])}
    run = Run(profile).changed(ehin=own)
    profile = run.profile
    samples = list(run.corpus.training_view("train"))
    view = run.corpus.training_view("val")
    usual = profile.ehin
    images = ehin.images(run, "train")
    size = (usual.critic, usual.critic_image_size, usual.max_tokens)
    critics = {"plain": (PlainCritic(*size), "float32"), "ours": (Critic(*size), usual.precision)}
    precision = "bfloat16" if is_mixed(usual.precision, profile.device) else "float32"
    sizes = f"{usual.image_size} pixels, the critic's {usual.critic_image_size}; ours in {precision}"
    print(f"{torch.get_num_threads()} threads, {profile.device}; {sizes}")
    heads = {}
    seconds = defaultdict(list)
    for _ in range(TURNS):
        for method, changed in METHODS.items():
            settings = replace(usual, epochs=1, **changed)
            few = samples_of(samples, (STEPS + WARM_UP) * settings.batch)
            for kind, (critic, precision) in critics.items():
                precise = replace(settings, precision=precision)
                seconds[method, kind].append(timed(images, few, critic.to(profile.device), precise, profile.device))
    for method, changed in METHODS.items():
        heads[method] = new_head(images.backbone.channels, images.backbone.sentence_width, replace(usual, **changed), 0)
        heads[method].eval().to(profile.device)
        plain, ours = (median(seconds[method, kind]) for kind in critics)
        print(f"{method}, a step: {plain:.3f} s plain, {ours:.3f} s ours: {plain / ours:.2f} times")
    whole, alone = answer_seconds(images.backbone, heads, view, view[:ASKED], ROUNDS, profile.device)
    for method in METHODS:
        rate = usual.batch / median(seconds[method, "ours"])
        times = f"{1000 * median(whole[method]):.2f} ms an answer, {1000 * median(alone[method]):.2f} of it the head"
        print(f"{method}: {rate:.0f} images a second in training; {times} (medians)")
    rates = median(seconds["TRIS", "ours"]) / median(seconds["EHIN", "ours"])
    ratios = [rates, *(median(of["EHIN"]) / median(of["TRIS"]) for of in (whole, alone))]
    print(
        "EHIN / TRIS: {:.2f} of the images a second, {:.2f} of the time for an answer, {:.2f} of the head's".format(
            *ratios
        )
    )


def timed(images: Images, samples: list, critic: Critic, settings: EhinConfig, device: str) -> float:
    """The seconds of a step, without the first ones."""
    moments = []

    def watch(step, terms, head):
        if device != "cpu":
            torch.cuda.synchronize()
        moments.append(time.process_time() if device == "cpu" else time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        train(images, samples, critic, settings, 0, Path(folder) / "run", watch)
    return (moments[-1] - moments[WARM_UP]) / (len(moments) - 1 - WARM_UP)


def samples_of(samples: list, count: int) -> list:
    """The first sentence of each of `count` refs."""
    first = {}
    for sample in samples:
        first.setdefault(sample.ref_id, sample)
    return list(first.values())[:count]


if __name__ == "__main__":
    print(__doc__) if "--help" in sys.argv else main(*sys.argv[1:])
