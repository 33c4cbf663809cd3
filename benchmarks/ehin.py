"""EHIN's stage 1 beside TRIS's configuration, in one run: images a second in training, seconds for one answer.

python benchmarks/ehin.py [PROFILE]     default: tiny; the paper prints 2.05 s for EHIN and 2.18 s for TRIS, without
                                        saying of what or on what
"""

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from wsris_lib import grounding, profiles, stages
from wsris_lib.ehin.backbone import Backbone, Critic
from wsris_lib.ehin.inputs import sentence_vectors
from wsris_lib.ehin.network import soft_masks
from wsris_lib.ehin.train import stored_modules, train

STEPS, ASKED = 20, 20


def main(name: str = "tiny") -> None:
    profile = profiles.load(name, synref=profiles.SynRefSize(train=200, val=20, test_a=0, test_b=0))
    samples = list(stages.corpus(profile).training_view("train"))
    view = stages.corpus(profile).training_view("val")
    print(f"{torch.get_num_threads()} threads, {profile.device}; {profile.grounding.pixels} pixels")
    rates = {}
    for method, changes in (("TRIS", grounding.TRIS), ("EHIN", {})):
        settings = replace(profile.grounding, epochs=1, **changes)
        images = grounding.images(profile, "train")
        critic = Critic(settings.critic, settings.critic_pixels, settings.words)
        few = samples_of(samples, STEPS * settings.batch)
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            modules, _ = train(images, few, critic, settings, 0, Path(folder) / "run")
            training = STEPS * settings.batch / (time.perf_counter() - start)
        backbone = Backbone(settings.backbone, settings.pixels, settings.words)
        modules = stored_modules(backbone, settings, modules.state_dict())
        answers = [answer(backbone, modules["head"], view, row) for row in range(ASKED)]
        rates[method] = training, sorted(answers)[ASKED // 2]
        print(
            f"{method}: {training:.0f} images a second in training, {1000 * rates[method][1]:.1f} ms an answer (median)"
        )
    (a, b), (c, d) = rates["EHIN"], rates["TRIS"]
    print(f"EHIN / TRIS: {a / c:.2f} of the images a second, {b / d:.2f} of the time for an answer")


def samples_of(samples: list, count: int) -> list:
    """The first sentence of each of `count` refs."""
    first = {}
    for sample in samples:
        first.setdefault(sample.ref_id, sample)
    return list(first.values())[:count]


@torch.no_grad()
def answer(backbone: Backbone, head: torch.nn.Module, view, row: int) -> float:
    """Seconds from an image and a sentence to a mask, the backbone's pass included."""
    sample = view[row % len(view)]
    image = view.image(sample.image_id)
    start = time.perf_counter()
    maps = backbone.maps(backbone.normalise(backbone.prepare(image)[None]))
    _, R = head(maps, sentence_vectors(backbone, [sample.sentence])[None])
    soft_masks(R[:, 0], image.height, image.width)
    return time.perf_counter() - start


if __name__ == "__main__":
    print(__doc__) if "--help" in sys.argv else main(*sys.argv[1:])
