"""Muon (Jordan and others, 2024) whose Newton-Schulz steps are in float32, all matrices of one shape together.

torch's own computes them in bfloat16 whatever the parameters are. A processor without such units (AVX2) takes 545 ms
for what takes it 43 here, where all else of a student's step takes 300.
"""

from collections import defaultdict

import torch
from torch import Tensor

A = 3.4445  # of the quintic A X + B X^3 + C X^5, as in torch.optim.Muon
B = -4.7750
C = 2.0315
STEPS = 5
LEAST = 1e-7


class Muon(torch.optim.Muon):
    """torch.optim.Muon in another precision; the same arguments and state.

    Raises ValueError unless `adjust_lr_fn` is "match_rms_adamw", the one scaling that is built here.
    """

    def __init__(self, params, **options: object):
        super().__init__(params, **options)
        if options.get("adjust_lr_fn") != "match_rms_adamw":
            raise ValueError(f'adjust_lr_fn {options.get("adjust_lr_fn")!r}: only "match_rms_adamw" is built')

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One step; gradients of parameters that have none are left out."""
        for group in self.param_groups:
            shapes = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    shapes[p.shape].append(p)
            for same in shapes.values():
                self._step(same, group)

    def _step(self, parameters: list[Tensor], group: dict) -> None:
        updates = []
        for p in parameters:
            state = self.state[p]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(p.grad)
            buffer = state["momentum_buffer"].lerp_(p.grad, 1 - group["momentum"])
            updates.append(p.grad.lerp(buffer, group["momentum"]) if group["nesterov"] else buffer)
        rate = 0.2 * max(parameters[0].shape) ** 0.5 * group["lr"]
        for p, direction in zip(parameters, orthogonal(torch.stack(updates))):
            p.mul_(1 - group["lr"] * group["weight_decay"]).add_(direction, alpha=-rate)


def orthogonal(G: Tensor) -> Tensor:
    """About U V^T of each matrix G = U S V^T, [n, rows, columns]: all singular values near 1 (0.7 to 1.2)."""
    X = G.mT if G.shape[1] > G.shape[2] else G
    X = X / X.norm(dim=(1, 2), keepdim=True).clamp(min=LEAST)
    for _ in range(STEPS):
        S = X @ X.mT
        X = torch.baddbmm(X, torch.baddbmm(S, S, S, beta=B, alpha=C), X, beta=A)  # A X + (B S + C S S) X
    return X.mT if G.shape[1] > G.shape[2] else X
