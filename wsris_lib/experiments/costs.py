"""What one answer costs: EHIN beside TRIS, from an image and a sentence to a mask (EHIN Table 10)."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

from wsris_lib.ehin.inputs import sentence_vectors
from wsris_lib.ehin.network import soft_masks
from wsris_lib.frozen.clip_backbone import Backbone
from wsris_lib.refer.views import Sample, View


def answer_seconds(
    backbone: Backbone, heads: Mapping[str, nn.Module], view: View, samples: Sequence[Sample], rounds: int, device: str
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Seconds of each answer by each head, whole and of the head alone; in turn, so that a slow moment slows all.

    The first round warms up and isn't counted.
    """
    whole = defaultdict(list)
    alone = defaultdict(list)
    for turn in range(rounds + 1):
        for sample in samples:
            for name, head in heads.items():
                both = _seconds(backbone, head, view, sample, device)
                if turn:
                    whole[name].append(both[0])
                    alone[name].append(both[1])
    return dict(whole), dict(alone)


@torch.no_grad()
def _seconds(backbone: Backbone, head: nn.Module, view: View, sample: Sample, device: str) -> tuple[float, float]:
    image = view.image(sample.image_id)
    clock = _ticking(device)
    start = clock()
    maps = backbone.maps(backbone.normalise(backbone.prepare(image)[None].to(device)))
    vector = sentence_vectors(backbone, [sample.sentence])[None].to(device)
    before = clock()
    _, R = head(maps, vector)
    after = clock()
    soft_masks(R[:, 0], image.height, image.width)
    return clock() - start, after - before


def _ticking(device: str) -> Callable[[], float]:
    """A clock that waits for a GPU."""

    def clock() -> float:
        if device != "cpu":
            torch.cuda.synchronize()
        return time.perf_counter()

    return clock
