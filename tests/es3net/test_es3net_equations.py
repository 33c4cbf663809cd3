"""Eq. 1-4 of ES3Net against plain loops in float64, and what must not change them."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wsris_lib.es3net.alignment import Alignment
from wsris_lib.es3net.candidates import ProposalTable, SentenceTable, candidate_table
from wsris_lib.es3net.esem import ESEM
from wsris_lib.es3net.losses import mask_contrast, own_scores
from wsris_lib.es3net.ranking import prerank


def rand(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def dot(a, b) -> float:
    return sum(float(x) * float(y) for x, y in zip(a, b))


# Eq. 1


def test_preranking_is_by_cosine_and_pads():
    embeddings = rand(7, 5) * torch.arange(1, 8)[:, None]
    sentences = rand(4, 5, seed=1) * 3
    for n in (1, 3, 7, 9):
        ranked = prerank(embeddings, sentences, n)
        assert ranked.shape == (4, n)
        for s, row in zip(sentences, ranked.tolist()):
            cosine = [dot(s, v) / math.sqrt(dot(s, s) * dot(v, v)) for v in embeddings]
            best_first = sorted(range(7), key=[-c for c in cosine].__getitem__)
            assert row == best_first[:n] + [-1] * (n - 7)


def test_candidates_are_rows_of_the_own_image():
    proposals, sentences = tables(sizes={30: 4, 10: 0, 20: 2}, image_ids=[20, 30, 10, 20])
    table = candidate_table(proposals, sentences, 3)
    assert table.shape == (4, 3)
    for row, image_id in zip(table.tolist(), sentences.image_ids):
        start, stop = proposals.offsets[image_id]
        real = [r for r in row if r >= 0]
        assert len(real) == len(set(real)) == min(3, stop - start) and all(start <= r < stop for r in real)
    alone = prerank(proposals.embeddings[0:4], sentences.clip_text[1:2], 3)
    assert table[1].tolist() == alone[0].tolist()


def test_a_sentence_about_an_unknown_image_is_named():
    proposals, sentences = tables(sizes={1: 2}, image_ids=[7])
    with pytest.raises(KeyError, match="image 7"):
        candidate_table(proposals, sentences, 2)


def test_tables_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="offsets"):
        ProposalTable(rand(3, 2), rand(3, 2), rand(3, 2), rand(3, 3), {1: (0, 2)})
    with pytest.raises(ValueError, match="2 image ids"):
        SentenceTable([1, 2], rand(3, 2), rand(3, 2))


def tables(sizes: dict[int, int], image_ids: list[int]) -> tuple[ProposalTable, SentenceTable]:
    """Random features for images of so many proposals; W = 6, E = 5, C = 4, D = 8."""
    offsets = {}
    P = 0
    for image_id, size in sizes.items():
        offsets[image_id] = (P, P + size)
        P += size
    S = len(image_ids)
    places = torch.rand(P, 3, generator=seeded(4))
    proposals = ProposalTable(rand(P, 6), rand(P, 5, seed=1), rand(P, 4, seed=2), places, offsets)
    return proposals, SentenceTable(image_ids, rand(S, 5, seed=5), rand(S, 8, seed=6))


# Eq. 2


@pytest.mark.parametrize(("geometry", "dims"), [("none", 0), ("2d", 2), ("3d", 3)])
def test_esem_is_a_linear_layer_on_features_and_scaled_coordinates(geometry, dims):
    esem = ESEM(channels=5, width=6, geometry=geometry, gain=4.0, generator=seeded())
    pooled = rand(7, 5)
    place = torch.rand(7, 3, generator=seeded(1))
    out = esem(pooled, place)
    for m in range(7):
        x = [*pooled[m].tolist(), *[4 * (2 * float(v) - 1) for v in place[m, :dims]]]
        np.testing.assert_allclose(out[m].detach(), [dot(row, x) for row in esem.weight.detach()], rtol=1e-4, atol=1e-6)
    text = rand(3, 6, seed=2)
    torch.testing.assert_close(esem.similarity(pooled, place, text), text @ out.T)  # the moved brackets


def test_eq_2_as_printed_is_a_gain_of_half_the_last_index():
    """[F_pool, x, y, z] with indices 0 to 31 chooses as ours does with shares of 31 at a gain of 15.5.

    In float64 and by hand: what differs is a shift of all proposals, which softmax doesn't see.
    """
    model = Alignment(6, 4, 8, gain=15.5, generator=seeded()).double()
    tokens, pooled, text = (rand(*shape, seed=n).double() for n, shape in enumerate(((9, 6), (9, 4), (2, 8))))
    shares = torch.rand(9, 3, generator=seeded(2)).double()
    ours = model(tokens, pooled, shares, text).softmax(1)
    for b in range(2):
        scores = []
        for m in range(9):
            x = [*pooled[m].tolist(), *(31 * shares[m]).tolist()]  # as printed
            F_geo = [dot(row, x) for row in model.esem.weight.detach()]
            F_cls = [dot(row, tokens[m]) for row in model.class_weight.detach()]
            scores.append(dot(F_cls, text[b, :4]) + 0.5 * dot(F_geo, text[b]))
        p = np.exp(np.array(scores) - max(scores))
        np.testing.assert_allclose(ours[b].detach(), p / p.sum(), rtol=1e-9)


def test_the_gain_learns_only_when_asked_to():
    for learn in (False, True):
        esem = ESEM(5, 6, learn_gain=learn, generator=seeded())
        esem(rand(7, 5), torch.rand(7, 3, generator=seeded(1))).square().sum().backward()
        assert (esem.gain.grad is not None) == learn
    with pytest.raises(ValueError, match="4d"):
        ESEM(5, 6, geometry="4d")


# Eq. 3


@pytest.mark.parametrize("cls_fraction", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("esem", [True, False])
def test_dual_similarity(cls_fraction, esem):
    W = 6
    C = 4
    D = 8
    M = 5
    B = 3
    if cls_fraction == 0 and not esem:
        with pytest.raises(ValueError, match="cls_fraction"):
            Alignment(W, C, D, cls_fraction, esem=False)
        return
    model = Alignment(W, C, D, cls_fraction, esem=esem, generator=seeded())
    tokens = rand(M, W)
    pooled = rand(M, C, seed=1)
    place = torch.rand(M, 3, generator=seeded(2))
    text = rand(B, D)
    scores = model(tokens, pooled, place, text).detach()
    d = round(cls_fraction * D)
    for b in range(B):
        for m in range(M):
            F_cls = [dot(row, tokens[m]) for row in model.class_weight.detach()]
            expected = dot(F_cls, text[b, :d])
            if esem:
                F_geo = model.esem(pooled[m], place[m]).detach()
                expected += (d / D if d else 1) * dot(F_geo, text[b])
            assert scores[b, m] == pytest.approx(expected, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("text_slice", ["prefix", "learned"])
@pytest.mark.parametrize("normalise", [True, False])
def test_the_switches_of_eq_3(text_slice, normalise):
    model = Alignment(6, 4, 8, text_slice=text_slice, normalise=normalise, generator=seeded())
    tokens = rand(5, 6)
    pooled = rand(5, 4, seed=1)
    place = torch.rand(5, 3, generator=seeded(2))
    text = rand(3, 8)
    scores = model(tokens, pooled, place, text).detach()
    learnt = [row.tolist() for row in model.slicing.detach()] if text_slice == "learned" else None

    def product(a, b) -> float:
        return dot(a, b) / (math.sqrt(dot(a, a) * dot(b, b)) if normalise else 1.0)

    for b, m in np.ndindex(3, 5):
        short = [dot(row, text[b]) for row in learnt] if learnt else text[b, :4]
        F_cls = [dot(row, tokens[m]) for row in model.class_weight.detach()]
        F_geo = model.esem(pooled[m], place[m]).detach()
        expected = product(F_cls, short) + 0.5 * product(F_geo, text[b])
        assert scores[b, m] == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert (scores.abs() <= 1.5).all() or not normalise
    plain = Alignment(6, 4, 8, generator=seeded())  # a switch changes no weight that is there without it
    assert torch.equal(plain.esem.weight, model.esem.weight) and torch.equal(plain.class_weight, model.class_weight)


def test_an_unknown_slice_is_refused():
    with pytest.raises(ValueError, match="text_slice is 'suffix'"):
        Alignment(6, 4, 8, text_slice="suffix")


def test_scores_follow_a_permutation_of_the_proposals():
    model = Alignment(6, 4, 8, generator=seeded())
    features = (rand(9, 6), rand(9, 4), rand(9, 3))
    text = rand(2, 8)
    order = torch.randperm(9, generator=seeded())
    torch.testing.assert_close(model(*(f[order] for f in features), text), model(*features, text)[:, order])


def test_initial_weights_are_small():
    model = Alignment(200, 200, 400, generator=seeded())
    assert model.class_weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert model.esem.weight.std().item() == pytest.approx(0.02, rel=0.05)


# Eq. 4


def slow_contrast(scores, image_ids, padded, tau, own_negatives, same_image=False, words=None) -> float:
    B, N = padded.shape
    total = 0.0
    for i in range(B):
        own = [n for n in range(N) if not padded[i, n]]
        best = max(own, key=lambda n: float(scores[i, i * N + n]))
        denominator = 0.0
        for j in range(B):
            for n in range(N):
                sibling = j == i and n != best
                other = j != i and image_ids[j] == image_ids[i] and not same_image
                other |= j != i and words is not None and words[j] == words[i]
                if padded[j, n] or other or (sibling and not own_negatives):
                    continue
                denominator += math.exp(float(scores[i, j * N + n]) / tau)
        total -= math.log(math.exp(float(scores[i, i * N + best]) / tau) / denominator)
    return total / B


@given(
    B=st.integers(1, 5),
    N=st.integers(1, 4),
    tau=st.sampled_from([0.3, 1.0]),
    own_negatives=st.booleans(),
    same_image=st.booleans(),
    same_words=st.booleans(),
    seed=st.integers(0, 999),
)
@settings(max_examples=60, deadline=None)
def test_contrast_is_eq_4(B, N, tau, own_negatives, same_image, same_words, seed):
    generator = seeded(seed)
    scores = torch.randn(B, B * N, generator=generator, dtype=torch.float64)
    image_ids = torch.randint(0, 3, (B,), generator=generator)
    padded = torch.rand(B, N, generator=generator) < 0.3
    padded[:, 0] = False
    words = None if same_words else torch.randint(0, 3, (B,), generator=generator)
    switches = tau, own_negatives, same_image, words
    loss = mask_contrast(scores, image_ids, padded, *switches)
    assert loss.item() == pytest.approx(slow_contrast(scores, image_ids, padded, *switches), abs=1e-9)

    order = torch.randperm(N, generator=generator)  # of every sentence's candidates
    shuffled = scores.view(B, B, N)[:, :, order].reshape(B, B * N)
    assert mask_contrast(shuffled, image_ids, padded[:, order], *switches).item() == pytest.approx(loss.item())


def test_one_image_with_one_candidate_is_no_loss():
    assert mask_contrast(torch.tensor([[3.0]]), torch.tensor([1]), torch.tensor([[False]])) == 0


def test_only_the_switch_keeps_siblings_from_being_pushed_away():
    image_ids = torch.tensor([1, 2])
    padded = torch.zeros(2, 3, dtype=torch.bool)
    for own_negatives in (True, False):
        scores = rand(2, 6).requires_grad_()
        mask_contrast(scores, image_ids, padded, own_negatives=own_negatives).backward()
        gradient = own_scores(scores.grad)
        best = own_scores(scores.detach()).argmax(1)
        siblings = torch.ones(2, 3, dtype=torch.bool)
        siblings[torch.arange(2), best] = False
        assert (gradient[siblings] > 0).all() if own_negatives else (gradient[siblings] == 0).all()
        assert (gradient[~siblings] < 0).all()


def test_a_second_sentence_about_the_image_is_neither_pushed_nor_pulled():
    scores = rand(3, 6).requires_grad_()
    mask_contrast(scores, torch.tensor([5, 5, 8]), torch.zeros(3, 2, dtype=torch.bool)).backward()
    gradient = scores.grad.view(3, 3, 2)
    assert (gradient[0, 1] == 0).all() and (gradient[1, 0] == 0).all()
    assert (gradient[0, 2] > 0).all() and (gradient[2, :2] > 0).all()


def test_what_the_same_words_mean_elsewhere_is_neither_pushed_nor_pulled_where_they_are_left_out():
    """One "dog" of image 5, one of image 8: each of the other's candidates may be a dog."""
    scores = rand(3, 6).requires_grad_()
    padded = torch.zeros(3, 2, dtype=torch.bool)
    mask_contrast(scores, torch.tensor([5, 8, 9]), padded, words=torch.tensor([0, 0, 1])).backward()
    gradient = scores.grad.view(3, 3, 2)
    assert (gradient[0, 1] == 0).all() and (gradient[1, 0] == 0).all()
    assert (gradient[0, 2] > 0).all() and (gradient[2, :2] > 0).all()


def test_as_printed_eq_4_has_b_n_less_1_negatives():
    scores = rand(3, 6).requires_grad_()
    mask_contrast(
        scores, torch.tensor([5, 5, 8]), torch.zeros(3, 2, dtype=torch.bool), same_image_negatives=True
    ).backward()
    assert ((scores.grad > 0).sum(1) == 3 * 2 - 1).all()
