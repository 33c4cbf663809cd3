"""What one answer costs: EHIN beside TRIS, from an image and a sentence to a mask (EHIN Table 10)."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

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
    start = _now(device)
    maps = backbone.maps(backbone.normalise(backbone.prepare(image)[None].to(device)))
    vector = sentence_vectors(backbone, [sample.sentence])[None].to(device)
    before = _now(device)
    _, R = head(maps, vector)
    after = _now(device)
    soft_masks(R[:, 0], image.height, image.width)
    return _now(device) - start, after - before


def _now(device: str) -> float:
    """Seconds, when a GPU has done what it was asked."""
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter()
