"""EHIN's stage 1 beside TRIS's configuration, in one run: images a second in training, seconds for one answer.

python benchmarks/ehin.py [PROFILE]     default: tiny

The paper's Table 10 has 2.05 s for EHIN and 2.18 s for TRIS (one A40, a batch of 1, 320 pixels), of which stage it
doesn't say, nor why the network that holds the other's prompt twice is the faster. Answers are timed in turn, so that a
machine that slows down slows both; the head alone too, since only it differs.
"""

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch

from wsris_lib.config import profiles
from wsris_lib.ehin.train import stored_modules, train
from wsris_lib.experiments.costs import answer_seconds
from wsris_lib.frozen.clip_backbone import Backbone
from wsris_lib.frozen.critic import Critic
from wsris_lib.pipeline import ehin
from wsris_lib.pipeline.run import Run

STEPS = 20
ASKED = 20
ROUNDS = 5
METHODS = {"TRIS": ehin.TRIS, "EHIN": {}}


def main(name: str = "tiny") -> None:
    profile = profiles.load(name, synref=profiles.SynRefSize(train=200, val=20, test_a=0, test_b=0))
    samples = list(Run(profile).corpus.training_view("train"))
    view = Run(profile).corpus.training_view("val")
    print(f"{torch.get_num_threads()} threads, {profile.device}; {profile.ehin.image_size} pixels")
    rates = {}
    heads = {}
    for method, changes in METHODS.items():
        settings = replace(profile.ehin, epochs=1, **changes)
        images = ehin.images(Run(profile), "train")
        critic = Critic(settings.critic, settings.critic_image_size, settings.max_tokens).to(profile.device)
        few = samples_of(samples, STEPS * settings.batch)
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            modules, _ = train(images, few, critic, settings, 0, Path(folder) / "run")
            rates[method] = STEPS * settings.batch / (time.perf_counter() - start)
        backbone = Backbone(settings.backbone, settings.image_size, settings.max_tokens)
        heads[method] = stored_modules(backbone, settings, modules.state_dict())["head"].to(profile.device)
        backbone.to(profile.device)
    whole, alone = answer_seconds(backbone, heads, view, view[:ASKED], ROUNDS, profile.device)
    for method, rate in rates.items():
        times = f"{1000 * median(whole[method]):.2f} ms an answer, {1000 * median(alone[method]):.2f} of it the head"
        print(f"{method}: {rate:.0f} images a second in training; {times} (medians)")
    ratios = [rates["EHIN"] / rates["TRIS"], *(median(of["EHIN"]) / median(of["TRIS"]) for of in (whole, alone))]
    print(
        "EHIN / TRIS: {:.2f} of the images a second, {:.2f} of the time for an answer, {:.2f} of the head's".format(
            *ratios
        )
    )


def samples_of(samples: list, count: int) -> list:
    """The first sentence of each of `count` refs."""
    first = {}
    for sample in samples:
        first.setdefault(sample.ref_id, sample)
    return list(first.values())[:count]


if __name__ == "__main__":
    print(__doc__) if "--help" in sys.argv else main(*sys.argv[1:])
