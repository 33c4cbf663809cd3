"""Single- and multi-text choice against slow readings of Appendix B, and eq. 5 against float64."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wsris_lib.config.profiles import PROFILES
from wsris_lib.es3net.candidates import ProposalTable, SentenceTable
from wsris_lib.es3net.losses import language_consistency
from wsris_lib.es3net.multitext import expected_gain, greedy, proved, single_text
from wsris_lib.es3net.train import new_model, one_paraphrase, train

TINY = PROFILES["tiny"]


def world(seed, sentences=12, n=4, images=3, refs=5):
    """Candidates and p of random sentences: image i owns the rows 10 i .. 10 i + 5, some sentences have fewer."""
    rng = np.random.default_rng(seed)
    of_ref = rng.integers(images, size=refs)
    groups = rng.integers(refs, size=sentences)
    where = of_ref[groups]
    candidates = torch.full((sentences, n), -1)
    p = torch.zeros(sentences, n)
    for s in range(sentences):
        k = rng.integers(0, n + 1)
        candidates[s, :k] = torch.from_numpy(10 * where[s] + rng.permutation(6)[:k])
        if k:
            p[s, :k] = torch.from_numpy(rng.dirichlet(np.ones(k))).float()
    return candidates, p, groups.tolist(), where.tolist()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_proved_copies_the_most_confident_of_the_group(seed):
    candidates, p, groups, _ = world(seed)
    rows, confidence = single_text(candidates, p)
    copied, sure = proved(candidates, p, groups)
    for s, group in enumerate(groups):
        mine = [k for k in range(len(groups)) if groups[k] == group]
        best = max(mine, key=lambda k: (float(p[k].max()), -k))
        assert copied[s] == rows[best] and sure[s] == confidence[best] >= confidence[s]


def slow_greedy(candidates, p, groups, images):
    """Tables of everything, and no early end."""
    chosen = {}
    for image in set(images):
        groups_here = sorted({g for g, i in zip(groups, images) if i == image}, key=lambda g: groups.index(g))
        total = {g: sum(float(p[s].max()) for s in range(len(groups)) if groups[s] == g) for g in groups_here}
        free = {row: True for row in range(10 * image, 10 * image + 10)}
        for g in sorted(groups_here, key=lambda g: -total[g]):
            wish = np.zeros(10)
            listed = np.zeros(10, bool)
            for s in range(len(groups)):
                if groups[s] == g:
                    for row, chance in zip(candidates[s].tolist(), p[s].tolist()):
                        if row >= 0:
                            wish[row - 10 * image] += chance
                            listed[row - 10 * image] = True
            if not listed.any():
                continue
            open_ = listed & np.array([free[10 * image + k] for k in range(10)])
            pool = open_ if open_.any() else listed
            best = 10 * image + int(np.where(pool, wish, -1).argmax())
            chosen[g] = best
            free[best] = False
    return chosen


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_greedy_against_a_slow_reading(seed):
    candidates, p, groups, images = world(seed)
    rows, confidence = greedy(candidates, p, groups, images)
    expected = slow_greedy(candidates, p, groups, images)
    for s, group in enumerate(groups):
        assert rows[s] == expected.get(group, -1)
        mine = [k for k in range(len(groups)) if groups[k] == group]
        chance = [float(p[k][candidates[k] == rows[s]].sum()) if rows[s] >= 0 else 0.0 for k in mine]
        assert float(confidence[s]) == pytest.approx(np.mean(chance), abs=1e-6)


def test_two_objects_are_two_proposals_as_long_as_there_are_enough():
    candidates = torch.tensor([[0, 1], [0, 1], [0, 1]])
    p = torch.tensor([[0.6, 0.4], [0.9, 0.1], [0.55, 0.45]])
    rows, _ = greedy(candidates, p, groups=[7, 8, 9], images=[1, 1, 1])
    assert rows.tolist() == [1, 0, 0]  # the surest first; the third finds nothing left and takes what it wants
    rows, _ = greedy(candidates, p, groups=[7, 8, 9], images=[1, 2, 3])
    assert rows.tolist() == [0, 0, 0]  # other images are no rivals


def test_the_order_of_sentences_changes_nothing():
    candidates, p, groups, images = world(3, sentences=5)
    rows, _ = greedy(candidates, p, groups, images)
    for order in list(permutations(range(5)))[::17]:
        order = list(order)
        again, _ = greedy(candidates[order], p[order], [groups[i] for i in order], [images[i] for i in order])
        assert torch.equal(again, rows[order])


def test_where_confidence_tells_the_leaders_are_better():
    """The proof's assumption made true: P(correct) = .2 + .7 C."""
    rng = np.random.default_rng(0)
    confidence = torch.from_numpy(rng.random(40_000))
    correct = torch.from_numpy(rng.random(40_000)) < 0.2 + 0.7 * confidence
    alone, led, advantage = expected_gain(correct, confidence, groups=[i // 4 for i in range(40_000)])
    assert advantage == pytest.approx(0.8 - 0.5, abs=0.01)  # the greatest of four uniform numbers, less the mean
    assert led - alone == pytest.approx(0.7 * advantage, abs=0.015)


def test_eq_5_against_float64():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 2, (2, 5, 4))
    padded = np.zeros((5, 4), bool)
    padded[1, 2:] = padded[3, 1:] = True
    total = 0.0
    for i in range(5):
        real = [j for j in range(4) if not padded[i, j]]
        p = np.exp(a[i, real] / 0.7) / np.exp(a[i, real] / 0.7).sum()
        q = np.exp(b[i, real] / 0.7) / np.exp(b[i, real] / 0.7).sum()
        total -= (p * np.log(q)).sum() / 5
    tensors = torch.from_numpy(a).requires_grad_(), torch.from_numpy(b).requires_grad_()
    loss = language_consistency(*tensors, torch.from_numpy(padded), 0.7)
    assert float(loss) == pytest.approx(total, rel=1e-9)
    loss.backward()
    assert tensors[0].grad is None and tensors[1].grad.abs().sum() > 0 and not tensors[1].grad.isnan().any()
    assert (tensors[1].grad[torch.from_numpy(padded)] == 0).all()


def test_one_paraphrase_is_drawn_of_those_that_exist():
    table = torch.arange(24.0).view(4, 3, 2)
    table[0, 1] = table[1, 0] = table[1, 2] = torch.nan
    table[3] = torch.nan
    choices = [set() for _ in range(3)]
    for seed in range(60):
        present, drawn = one_paraphrase(table, torch.Generator().manual_seed(seed))
        assert present.tolist() == [True, True, True, False] and not drawn.isnan().any()
        for row, vector in enumerate(drawn):
            choices[row].add((table[row, :, 0] == vector[0]).nonzero().item())
    assert choices == [{0, 2}, {1}, {0, 1, 2}]


def features(seed=0, images=30, each=5):
    """Proposals whose pooled features hold their name; sentences that say it, with two other wordings."""
    g = torch.Generator().manual_seed(seed)
    names = torch.stack([torch.randperm(8, generator=g)[:each] for _ in range(images)]).flatten()
    code = torch.nn.functional.one_hot(names, 8).float()
    offsets = {i: (i * each, (i + 1) * each) for i in range(images)}
    proposals = ProposalTable(code, code, code, torch.rand(images * each, 3, generator=g), offsets)
    targets = torch.randint(images * each, (90,), generator=g)
    words = torch.randn(8, 16, generator=g)
    other = torch.randn(8, 16, generator=g)  # the other wording: another code
    categories = torch.nn.functional.one_hot(names[targets], 8).float()
    paraphrases = torch.stack([categories @ other, torch.full((90, 16), torch.nan)], 1)
    sentences = SentenceTable([int(a) // each for a in targets], categories, categories @ words, paraphrases)
    return proposals, sentences


def test_lcm_makes_paraphrases_choose_as_their_originals(learning):
    proposals, sentences = features(learning.seed)
    agreement = {}
    for weight in (0.0, 1.0):
        model, history = train(
            proposals,
            sentences,
            replace(TINY.es3net, epochs=40, batch=30, consistency=weight, learning_rate=5e-3),
            learning.seed,
        )
        agree = []
        for s, image in enumerate(sentences.image_ids):
            rows = slice(*proposals.offsets[image])
            tables = (proposals.class_tokens[rows], proposals.pooled[rows], proposals.geometry[rows])
            with torch.no_grad():
                scores = [model(*tables, text[None])[0] for text in (sentences.text[s], sentences.paraphrases[s, 0])]
            agree.append(float(scores[0].argmax() == scores[1].argmax()))
        agreement[weight] = np.mean(agree)
        assert np.isfinite([row["loss"] for row in history]).all()
    learning.above(agreement[1.0], 0.7, "share of paraphrases that choose alike, with LCM")
    learning.above(agreement[1.0], 1.4 * agreement[0.0], "... of the share without")


def test_without_its_weight_eq_5_changes_nothing():
    proposals, sentences = features()
    bare = SentenceTable(sentences.image_ids, sentences.clip_text, sentences.text)
    without = replace(TINY.es3net, epochs=2, batch=30, consistency=0.0)
    one, other = (train(proposals, s, without, 0)[0].state_dict() for s in (sentences, bare))
    assert all(torch.equal(one[name], other[name]) for name in one)
    none = SentenceTable(*vars(bare).values())
    object.__setattr__(none, "paraphrases", torch.full((90, 2, 16), torch.nan))  # a weight, and not one paraphrase
    silent = train(proposals, none, replace(TINY.es3net, epochs=2, batch=30, consistency=1.0), 0)[0].state_dict()
    assert all(torch.equal(one[name], silent[name]) for name in one)


def first_loss(proposals, sentences, **changes) -> float:
    """The loss of a whole split as one batch, before the first step."""
    settings = replace(TINY.es3net, candidates_train=5, epochs=1, batch=len(sentences.image_ids), **changes)
    return train(proposals, sentences, settings, 0)[1][0]["loss"]


def slow_first_loss(proposals, sentences, over_batch: bool) -> float:
    """Eq. 4 and 5 in float64, a sentence at a time; each has one paraphrase or none."""
    model = new_model(proposals, sentences, TINY.es3net, 0).double()
    tables = [t.double() for t in (proposals.class_tokens, proposals.pooled, proposals.geometry)]
    S = len(sentences.image_ids)
    rows = [list(range(*proposals.offsets[i])) for i in sentences.image_ids]

    def scores(text, whose):
        return model(*(table[whose] for table in tables), text[None].double())[0].detach().numpy()

    contrast = 0.0
    consistency = []
    for s in range(S):
        own = scores(sentences.text[s], rows[s])
        others = [j for j in range(S) if sentences.image_ids[j] != sentences.image_ids[s]]
        everyone = np.concatenate([own, *(scores(sentences.text[s], rows[j]) for j in others)])
        contrast -= (own.max() - np.log(np.exp(everyone).sum())) / S
        if not sentences.paraphrases[s, 0, 0].isnan():
            again = scores(sentences.paraphrases[s, 0], rows[s])
            p, q = (np.exp(x) / np.exp(x).sum() for x in (own, again))
            consistency.append(-(p * np.log(q)).sum())
    return contrast + sum(consistency) / (S if over_batch else len(consistency))


def test_eq_5_is_averaged_over_those_reworded_or_over_the_batch_as_printed():
    proposals, sentences = features()
    sentences.paraphrases[::3] = torch.nan  # a third has none
    losses = {}
    for mean in ("reworded", "batch"):
        losses[mean] = first_loss(proposals, sentences, consistency_mean=mean)
        assert losses[mean] == pytest.approx(slow_first_loss(proposals, sentences, mean == "batch"), rel=1e-5)
    assert losses["reworded"] > losses["batch"] + 0.1
    with pytest.raises(ValueError, match="consistency_mean 'all': expected one of reworded, batch"):
        first_loss(proposals, sentences, consistency_mean="all")
