"""EHIN's formulas against plain loops in float64, and what must hold of them."""

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from wsris_lib.config.profiles import PROFILES
from wsris_lib.ehin import losses
from wsris_lib.ehin.negatives import RULES, Negatives
from wsris_lib.ehin.network import SCALE, new_head, response, shown, soft_masks
from wsris_lib.ehin.predict import cut_at
from wsris_lib.ehin.prompt import FORMS, HIPM, BilateralPrompt
from wsris_lib.metrics import measure
from wsris_lib.refer.views import Sample

TINY = PROFILES["tiny"]


def rand(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def varied(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """The module in float64 with every parameter drawn anew, so that no bias is 0 and no weight 1."""
    module = module.double()
    for n, parameter in enumerate(module.parameters()):
        parameter.data = 0.5 * rand(*parameter.shape, seed=seed + n)
    return module


# -- the bilateral prompt ---------------------------------------------------------------------------------------------


def slow_instance_norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """x [C, hw]: each channel to mean 0 and variance 1 over the cells, then scaled and shifted."""
    out = np.empty_like(x)
    for c, row in enumerate(x):
        mean = sum(row) / len(row)
        variance = sum((v - mean) ** 2 for v in row) / len(row)
        out[c] = [(v - mean) / math.sqrt(variance + 1e-5) * weight[c] + bias[c] for v in row]
    return out


def slow_softmax(row) -> list[float]:
    high = max(row)
    exps = [math.exp(v - high) for v in row]
    return [e / sum(exps) for e in exps]


def slow_prompt(p: BilateralPrompt, V: np.ndarray, L: np.ndarray, axis: str) -> tuple[np.ndarray, np.ndarray]:
    """One image: V [C, hw], L [N, C]."""

    def cells(part, x, relu=True):
        conv = part[0]
        norm = part[1]
        weight = conv.weight.detach().numpy()[:, :, 0, 0]
        y = weight @ x + conv.bias.detach().numpy()[:, None]
        y = slow_instance_norm(y, norm.weight.detach().numpy(), norm.bias.detach().numpy())
        return np.maximum(y, 0) if relu else y

    def words(part, x):
        return np.maximum(x @ part[0].weight.detach().numpy().T + part[0].bias.detach().numpy(), 0)

    C, hw = V.shape
    Qv, Kv, Vv = (cells(part, V) for part in p.visual)
    Qt, Kt, Vt = (words(part, L) for part in p.textual)
    A_v = np.array([[sum(Qv[:, i] * Kt[n]) / math.sqrt(C) for n in range(len(L))] for i in range(hw)])
    A_v = np.array([slow_softmax(r) for r in A_v]) if axis == "texts" else np.array([slow_softmax(c) for c in A_v.T]).T
    A_t = np.array([slow_softmax([sum(Qt[n] * Kv[:, i]) / math.sqrt(C) for i in range(hw)]) for n in range(len(L))])
    out = p.textual_out
    return cells(p.visual_out, (A_v @ Vt).T, relu=False), (
        A_t @ Vv.T
    ) @ out.weight.detach().numpy().T + out.bias.detach().numpy()


@pytest.mark.parametrize("axis", ["texts", "cells"])
@pytest.mark.parametrize("N", [1, 3])
def test_the_bilateral_prompt_is_eq_4_to_7(axis, N):
    prompt = varied(BilateralPrompt(6, axis))
    V = rand(2, 6, 3, 4)
    L = rand(2, N, 6, seed=1)
    P_v, P_t = prompt(V, L)
    assert P_v.shape == V.shape and P_t.shape == L.shape
    for b in range(2):
        slow_v, slow_t = slow_prompt(prompt, V[b].flatten(1).numpy(), L[b].numpy(), axis)
        np.testing.assert_allclose(P_v[b].flatten(1).detach(), slow_v, atol=1e-9)
        np.testing.assert_allclose(P_t[b].detach(), slow_t, atol=1e-9)


def test_one_text_makes_the_visual_prompt_vanish():
    """The softmax over one text is 1, the same vector everywhere, and an instance norm takes away what is the same."""
    V = rand(2, 6, 3, 4)
    one = rand(2, 1, 6, seed=1)
    many = rand(2, 5, 6, seed=1)
    module = varied(BilateralPrompt(6))
    assert module(V, one)[0].std((2, 3)).max() < 1e-6
    bias = module.visual_out[1].bias.detach()
    torch.testing.assert_close(module(V, one)[0], bias[None, :, None, None].expand_as(V), atol=1e-6, rtol=0)
    assert module(V, many)[0].std((2, 3)).min() > 1e-3
    assert varied(BilateralPrompt(6, "cells"))(V, one)[0].std((2, 3)).max() > 1e-3
    with pytest.raises(ValueError, match="visual_softmax is 'rows'"):
        BilateralPrompt(6, "rows")


def test_a_prompt_is_longer_than_what_it_prompts():
    """Why alpha isn't a small share: the instance norm gives a cell's prompt up to the length sqrt(C), V has 1.

    Up to: at the start of a training the attention is so even that the norm's epsilon keeps the prompt small.
    """
    torch.manual_seed(0)
    prompt = BilateralPrompt(64)
    V = F.normalize(torch.randn(4, 64, 8, 8), dim=1)
    L = F.normalize(torch.randn(4, 9, 64), dim=2)
    assert prompt(V, L)[0].norm(dim=1).mean() < 1
    grown = prompt(V, 60 * L)[0].norm(dim=1).mean().item()
    assert grown == pytest.approx(math.sqrt(64), rel=0.15)


# -- HIPM -------------------------------------------------------------------------------------------------------------


def test_two_layers_in_all_forms():
    """Eq. 1 and 2 letter by letter, eq. 8 to 13 letter by letter, and eq. 1 and 2 with one prompt on top of another."""
    V = rand(2, 6, 3, 4)
    L = rand(2, 5, 6, seed=1)
    a = 0.3
    b = 0.2
    results = []
    for form in FORMS:
        hipm = varied(HIPM(6, 2, a, b, form))
        BP1, BP2 = hipm.prompts
        Pv, Pl = BP1(V, L)
        if form == "eq. 8-13":
            V1 = Pv + a * V  # eq. 8
            L1 = Pl + a * L  # eq. 9
            V2, L2 = BP2(V1, L1)  # eq. 10, 11
            expected = V2 + a * V + b * V1, L2 + a * L + b * L1  # eq. 12, 13
        else:
            Qv, Ql = BP2(V, L) if form == "eq. 1-2" else BP2(V + a * Pv, L + a * Pl)
            expected = V + a * Pv + b * Qv, L + a * Pl + b * Ql
        results.append(hipm(V, L)[0])
        for answer, side in zip(hipm(V, L), expected):
            torch.testing.assert_close(answer, side)
    apart = [(a - b).abs().max().item() for a, b in combinations(results, 2)]
    assert min(apart) > 1e-2  # the same weights, three networks
    with pytest.raises(ValueError, match="form is 'dense'; choose one of residual"):
        HIPM(6, form="dense")


def test_more_layers():
    V = rand(2, 6, 3, 4)
    L = rand(2, 5, 6, seed=1)
    same = HIPM(6, 0)(V, L)
    assert torch.equal(same[0], V) and torch.equal(same[1], L)
    tris = varied(HIPM(6, 1, 0.1))
    torch.testing.assert_close(tris(V, L)[0], V + 0.1 * tris.prompts[0](V, L)[0])
    four = varied(HIPM(6, 4, 0.1, 0.05))
    now = (V, L)
    prompts = [0, 0]
    for layer, prompt in enumerate(four.prompts):
        prompts = [t + (0.05 if layer else 0.1) * p for t, p in zip(prompts, prompt(*now))]
        now = V + prompts[0], L + prompts[1]
    torch.testing.assert_close(four(V, L)[0], now[0])


def test_where_the_features_are_added_again():
    """Table 4: twice; once, at the end or after the first layer; never."""
    V = rand(2, 6, 3, 4)
    L = rand(2, 5, 6, seed=1)
    a = 0.3
    b = 0.2
    networks = {reuse: varied(HIPM(6, 2, a, b, reuse=reuse)) for reuse in (None, (0, 1), (1,), (0,), ())}
    BP1, BP2 = networks[None].prompts  # all have the same weights
    Pv, Pl = BP1(V, L)
    for reuse, hipm in networks.items():
        start, end = (float(reuse is None or layer in reuse) for layer in (0, 1))
        Qv, Ql = BP2(start * V + a * Pv, start * L + a * Pl)
        torch.testing.assert_close(hipm(V, L)[0], end * V + a * Pv + b * Qv)
        torch.testing.assert_close(hipm(V, L)[1], end * L + a * Pl + b * Ql)
    with pytest.raises(ValueError, match="reuse names layer 2 of 2"):
        HIPM(6, 2, reuse=(0, 2))


@pytest.mark.parametrize(("reuse", "constant"), [(None, False), ((1,), False), ((0,), True), ((), True)])
def test_without_the_features_at_the_end_the_map_of_one_sentence_is_constant(reuse, constant):
    """Why "repeat once" is read as at the end: the other reading has nothing to measure."""
    V = rand(1, 6, 3, 4)
    L = rand(1, 1, 6, seed=1)
    spread = response(*varied(HIPM(6, 2, reuse=reuse))(V, L)).std().item()
    assert (spread < 1e-6) == constant


# -- scores -----------------------------------------------------------------------------------------------------------


def test_the_response_is_a_scaled_inner_product():
    V = rand(2, 4, 3, 2)
    L = rand(2, 5, 4, seed=1)
    R = response(V, L)
    for b, n, i, j in np.ndindex(2, 5, 3, 2):
        assert R[b, n, i, j].item() == pytest.approx(
            sum(float(v) * float(t) for v, t in zip(V[b, :, i, j], L[b, n])) / 0.07
        )


def test_early_maps_are_cosines_and_late_ones_those_of_hipm():
    head = new_head(7, 5, replace(TINY.ehin, width=6), seed=1)
    maps = rand(2, 7, 3, 4).float()
    sentences = rand(2, 3, 5, seed=1).float()
    early, late = head(maps, sentences)
    assert early.shape == late.shape == (2, 3, 3, 4) and early.abs().max() <= SCALE * (1 + 1e-5)
    plain = new_head(7, 5, replace(TINY.ehin, width=6, layers=0), seed=1)
    torch.testing.assert_close(plain(maps, sentences)[0], early)  # the seed draws the projections first
    assert torch.equal(*plain(maps, sentences))
    state = torch.get_rng_state()
    new_head(7, 5, replace(TINY.ehin, width=6), seed=2)
    assert torch.equal(state, torch.get_rng_state())


@given(B=st.integers(1, 9), N=st.integers(0, 12))
def test_every_image_is_shown_its_own_sentence_first(B, N):
    index = shown(B, N)
    assert index.shape == (B, min(N or B, B)) and index[:, 0].tolist() == list(range(B))
    assert all(len(set(row)) == len(row) and max(row) < B for row in index.tolist())


def test_masks_are_where_the_response_is_positive():
    R = rand(3, 4, 4).float()
    R[2] = -R[2].abs()
    soft = soft_masks(R, 9, 13)
    wide = F.interpolate(R[:, None], (9, 13), mode="bilinear").squeeze(1)
    assert torch.equal(soft > 0.5, wide > 0) and soft.min() >= 0 and soft.max() <= 1
    assert (soft[2] == 0).all()  # nothing is meant, and nothing is pointed at
    for b in range(2):
        assert wide[b].flatten()[soft[b].argmax()].item() == pytest.approx(
            wide[b].max().item()
        )  # maybe one of a plateau
    gt = np.zeros((9, 13), bool)
    gt[0, 0] = True
    assert measure(soft[2].numpy(), gt).point_m is False


def test_a_cut_is_a_share_of_the_maximum():
    R = rand(5, 3, 4)
    for share in (0.0, 0.5, 0.8):
        lower = cut_at(R, share)
        for n, i, j in np.ndindex(5, 3, 4):
            assert (lower[n, i, j] > 0) == (float(R[n, i, j]) > share * max(map(float, R[n].flatten())))
        assert [int(m.argmax()) for m in lower] == [int(m.argmax()) for m in R]  # the point stays


# -- losses -----------------------------------------------------------------------------------------------------------


def test_image_score_is_eq_14():
    R = 3 * rand(2, 4, 3, 2)
    y = losses.image_score(R)
    for b in range(2):
        cells = R[b].flatten(1).numpy()  # [N, hw]
        shares = np.array([slow_softmax([1.0, *cells[:, i]])[1:] for i in range(6)])  # [hw, N]
        for n in range(4):
            m = sum(shares[:, n]) / 6
            psi = (1 - m) ** 3 * math.log(0.01 + m)
            assert y[b, n].item() == pytest.approx(max(cells[n]) + sum(cells[n]) / 6 + psi, abs=1e-9)


def test_the_focal_mask_penalty():
    m = torch.linspace(0, 1, 101, dtype=torch.float64)
    psi = losses.focal_mask_penalty(m)
    assert psi[0].item() == pytest.approx(math.log(0.01)) and psi[-1].item() == 0
    assert (psi[:100].diff() > 0).all()


def test_classification_against_the_logistic():
    y = rand(3, 3)
    own = torch.eye(3, dtype=torch.bool)
    slow = -np.mean([
        math.log(1 / (1 + math.exp(-float(y[i, j])))) if i == j else math.log(1 / (1 + math.exp(float(y[i, j]))))
        for i in range(3) for j in range(3)
    ])  # fmt: skip
    assert losses.classification(y, own).item() == pytest.approx(slow)


def test_the_same_words_are_neither_own_nor_another_where_they_are_left_out():
    """As printed "dog" of one image is pushed away from another's "dog", and its y is pulled up and down at once."""
    y = rand(3, 3).requires_grad_()
    own = torch.eye(3, dtype=torch.bool)
    same_words = torch.zeros(3, 3, dtype=torch.bool)
    same_words[0, 1] = same_words[1, 0] = True
    counted = [(i, j) for i in range(3) for j in range(3) if not same_words[i, j]]
    signed = [float(y.detach()[i, j]) * (1 if i == j else -1) for i, j in counted]
    slow = -sum(math.log(1 / (1 + math.exp(-each))) for each in signed) / 9
    loss = losses.classification(y, own, same_words)
    assert loss.item() == pytest.approx(slow)
    loss.backward()
    assert ((y.grad == 0) == same_words).all()
    assert losses.classification(y, own).item() > loss.item()


@settings(max_examples=30, deadline=None)
@given(K=st.integers(1, 7), seed=st.integers(0, 99))
def test_foreground_background_and_their_sum(K, seed):
    own = rand(4, seed=seed).tanh()
    others = rand(4, K, seed=seed + 1).tanh()
    clip = lambda s: min(max(float(s), 1e-4), 1 - 1e-4)  # noqa: E731
    fg = sum(-math.log(clip(s)) for s in own) / 4
    bg = sum(-math.log(1 - clip(s)) for row in others for s in row) / (4 * K)
    assert losses.foreground(own).item() == pytest.approx(fg)
    assert losses.background(others).item() == pytest.approx(bg)
    assert losses.background(others, "K_sum").item() == pytest.approx(K * sum(
        -math.log(1 - clip(s)) for row in others for s in row
    ) / 4)  # fmt: skip
    assert losses.background(others, "K_sum").item() == pytest.approx(K * K * bg)
    assert losses.early_contrast(own, others).item() == pytest.approx(fg + bg)
    with pytest.raises(ValueError, match="reduction is 'max'"):
        losses.background(others, "max")


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99))
def test_the_relative_foreground_compares_a_mask_with_what_it_leaves_out(seed):
    inside = rand(5, seed=seed).tanh()
    outside = rand(5, seed=seed + 1).tanh()
    slow = sum(math.log(1 + math.exp(-(float(a) - float(b)) / 0.1)) for a, b in zip(inside, outside)) / 5
    assert losses.relative_foreground(inside, outside).item() == pytest.approx(slow)
    common = rand(5, seed=seed + 2)  # what a sentence adds to both pictures
    assert losses.relative_foreground(inside + common, outside + common).item() == pytest.approx(slow)
    assert losses.relative_foreground(inside + 0.01, outside) < losses.relative_foreground(inside, outside)
    others = rand(5, 3, seed=seed + 3).tanh()
    both = slow + losses.background(others).item()
    assert losses.early_contrast(inside, others, outside=outside).item() == pytest.approx(both)


# -- negatives --------------------------------------------------------------------------------------------------------


def corpus(seed: int) -> list[Sample]:
    rng = np.random.default_rng(seed)
    samples = []
    for ref in range(12):
        image = int(rng.integers(5)) if ref else 7  # image 7 has one ref only, most likely
        for n in range(1 + int(rng.integers(3))):
            samples.append(Sample(image, ref, len(samples), f"thing {rng.integers(3)} {n}"))
    return samples


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 200), rule=st.sampled_from(RULES), k=st.integers(1, 8))
def test_negatives_never_mean_the_ref(seed, rule, k):
    samples = corpus(seed)
    negatives = Negatives(samples, rule)
    rng = np.random.default_rng(seed)
    for row, mine in enumerate(samples):
        rows = negatives.draw(row, k, rng)
        drawn = [samples[r] for r in rows]
        assert len(drawn) == k and all(other.ref_id != mine.ref_id for other in drawn)
        assert all(other.sentence != mine.sentence for other in drawn)
        rivals = [s for s in samples if s.image_id == mine.image_id and s.ref_id != mine.ref_id]
        rivals = [s for s in rivals if s.sentence != mine.sentence]
        near = [other for other in drawn if other.image_id == mine.image_id]
        if rule == "topped_up":  # each at most once, and all of them before any other
            assert len({other.sent_id for other in near}) == len(near) == min(k, len(rivals))
            assert all(other in rivals for other in near)
        else:
            assert len(near) == (k if rule == "same_image" and rivals else 0)


def test_which_rivals_are_drawn_is_left_to_chance():
    samples = [Sample(0, ref, ref, f"thing {ref}") for ref in range(9)] + [Sample(1, 9, 9, "another")]
    negatives = Negatives(samples, "topped_up")
    rng = np.random.default_rng(0)
    rows = {row for _ in range(60) for row in negatives.draw(0, 2, rng)}
    assert rows == set(range(1, 9))
    assert sorted(negatives.draw(0, 9, rng)) == list(range(1, 10))  # eight of the image, one from elsewhere


@pytest.mark.parametrize("rule", RULES)
def test_the_dog_beside_a_dog_lends_no_negative_in_the_same_words(rule):
    """195 sentences of RefCOCO are said word for word of another object of the image."""
    samples = [Sample(1, 1, 1, "dog"), Sample(1, 2, 2, " Dog"), Sample(1, 3, 3, "dog  "), Sample(2, 4, 4, "cup")]
    negatives = Negatives(samples, rule)
    rng = np.random.default_rng(0)
    assert {samples[row].sentence for _ in range(9) for row in negatives.draw(0, 6, rng)} == {"cup"}


@pytest.mark.parametrize("rule", RULES)
def test_where_every_other_image_has_the_same_words_nothing_is_drawn_for_ever(rule):
    samples = [Sample(1, 1, 1, "dog"), Sample(1, 2, 2, "cat"), Sample(2, 3, 3, "Dog"), Sample(3, 4, 4, "dog")]
    with pytest.raises(ValueError, match="sentence 1 of image 1, 'dog': all other images have the same words"):
        Negatives(samples, rule)
    negatives = Negatives([*samples, Sample(4, 5, 5, "cup")], rule)
    assert len(negatives.draw(0, 5, np.random.default_rng(0))) == 5


def test_negatives_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="about one image"):
        Negatives([Sample(1, 1, 1, "a"), Sample(1, 2, 2, "b")])
    with pytest.raises(ValueError, match="negatives are 'random'"):
        Negatives(corpus(0), "random")
