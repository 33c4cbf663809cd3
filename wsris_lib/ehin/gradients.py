"""Which of stage 1's losses moves the network: each one's gradient, at the two projections that all of them share."""

from collections.abc import Mapping

import torch
from torch import Tensor

from wsris_lib.config.settings import EhinConfig
from wsris_lib.ehin.network import Head


def at_projections(terms: Mapping[str, Tensor], settings: EhinConfig, head: Head) -> dict[str, Tensor]:
    """The gradient of each weighted term of eq. 17 with respect to the projections of image and sentence.

    Terms of weight 0 are left out. The graph stays, and no parameter's .grad is touched.

    Args:
        terms: as `ehin.train.losses` gives them, of this head's maps.

    Returns:
        name -> float [number of the projections' weights].
    """
    shared = [*head.image.parameters(), *head.sentence.parameters()]
    gradients = {}
    for name, term in terms.items():
        if weight := getattr(settings, name):
            parts = torch.autograd.grad(weight * term, shared, retain_graph=True)
            gradients[name] = torch.cat([part.flatten().float() for part in parts])
    return gradients


def shares(gradients: Mapping[str, Tensor]) -> dict[str, float]:
    """Each gradient's norm as a share of the sum of all norms; they add up to 1. Without any gradient, all are 0."""
    norms = {name: gradient.norm().item() for name, gradient in gradients.items()}
    total = sum(norms.values())
    return {name: norm / total if total else 0.0 for name, norm in norms.items()}


def cosine(gradients: Mapping[str, Tensor], one: str, other: str) -> float:
    """Whether two losses pull the same way: 1 the same, 0 nothing to do with each other, -1 against each other."""
    return torch.nn.functional.cosine_similarity(gradients[one], gradients[other], dim=0).item()
