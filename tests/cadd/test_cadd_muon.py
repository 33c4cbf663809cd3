"""Muon in float32: against torch's own, and its iteration against the same polynomial of the singular values."""

import pytest
import torch

from wsris_lib.cadd.muon import STEPS, A, B, C, Muon, orthogonal

SHAPES = [(24, 24), (32, 12), (12, 40)]


def matrices(shape, count=3, seed=0):
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_iteration_is_a_polynomial_of_the_singular_values(shape):
    for G, factor in zip(matrices(shape), orthogonal(matrices(shape))):
        U, S, V = torch.linalg.svd(G, full_matrices=False)
        s = S / G.norm()
        for _ in range(STEPS):
            s = A * s + B * s**3 + C * s**5
        torch.testing.assert_close(factor, U @ s.diag() @ V)
        assert 0.5 < s.min() and s.max() < 1.3  # near 1, which is the point of it


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("nesterov", [True, False])
def test_steps_are_those_of_torchs_muon_but_for_its_rounding(shape, nesterov):
    options = dict(lr=0.01, weight_decay=0.1, nesterov=nesterov, adjust_lr_fn="match_rms_adamw")
    ours, theirs = ([torch.nn.Parameter(m.float()) for m in matrices(shape)] for _ in range(2))
    both = Muon(ours, **options), torch.optim.Muon(theirs, **options)
    for step in range(4):
        for parameters in (ours, theirs):
            for p, gradient in zip(parameters, matrices(shape, seed=1 + step).float()):
                p.grad = gradient.clone()
        for optimiser in both:
            optimiser.step()
    for p, q, start in zip(ours, theirs, matrices(shape).float()):
        assert (p - q).norm() < 0.02 * (p - start).norm()  # bfloat16 keeps eight bits
        torch.testing.assert_close(both[0].state[p]["momentum_buffer"], both[1].state[q]["momentum_buffer"])


def test_parameters_without_a_gradient_stay():
    used, unused = (torch.nn.Parameter(torch.ones(4, 4)) for _ in range(2))
    used.grad = torch.eye(4)
    Muon([used, unused], lr=0.1, adjust_lr_fn="match_rms_adamw").step()
    assert torch.equal(unused, torch.ones(4, 4)) and not torch.equal(used, torch.ones(4, 4))


def test_another_scaling_is_refused():
    with pytest.raises(ValueError, match="match_rms_adamw"):
        Muon([torch.nn.Parameter(torch.ones(2, 2))])
