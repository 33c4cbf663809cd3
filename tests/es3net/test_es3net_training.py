"""Training and choosing on data whose answer is known."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from wsris_lib.baselines import central_proposal, largest_proposal, random_proposal, zero_shot_clip
from wsris_lib.config.profiles import PROFILES
from wsris_lib.es3net.candidates import ProposalTable, SentenceTable
from wsris_lib.es3net.predict import choose, probabilities
from wsris_lib.es3net.train import new_model, train

TINY = PROFILES["tiny"]

THINGS = 8  # categories
N = 4  # objects in a scene
SETTINGS = replace(TINY.es3net, candidates_train=N, candidates_eval=N, epochs=15, batch=100, learning_rate=2e-3)


def scenes(images: int, seed: int) -> tuple[ProposalTable, SentenceTable, Tensor, Tensor]:
    """Scenes of 4 objects at random places: two of one kind, left and right, and two of other kinds.

    Sentences: one for each of the twins ("the mug on the left"; only position decides), and one for each of the others,
    over-specified ("the car on the right"). Class tokens and patch features know the kind and never the place.
    Returns the tables, the answers [S] within the image, and whether only position decides [S].
    """
    g = torch.Generator().manual_seed(seed)
    kinds = torch.stack([torch.randperm(THINGS, generator=g)[[0, 0, 1, 2]] for _ in range(images)])  # [I, 4]
    left = torch.rand(images, 2, generator=g) * 0.35
    x = torch.stack([left[:, 0], 1 - left[:, 1], *torch.rand(2, images, generator=g)], dim=1)
    place = torch.stack([x, *torch.rand(2, images, N, generator=g)], dim=2)
    order = torch.rand(images, N, generator=g).argsort(1)  # the answer must not be told by the row
    kinds = kinds.gather(1, order)
    place = place.gather(1, order[:, :, None].expand(-1, -1, 3))
    side = (place[..., 0] > 0.5).long()

    coding = torch.Generator().manual_seed(99)  # the same "encoders" for every split
    look, touch, word, clip = (torch.randn(THINGS, 24, generator=coding) for _ in range(4))
    where = torch.randn(2, 24, generator=coding)

    def noisy(t: Tensor) -> Tensor:
        return t + 0.3 * torch.randn(t.shape, generator=g)

    flat = kinds.flatten()
    offsets = {10 * i: (N * i, N * i + N) for i in range(images)}
    proposals = ProposalTable(noisy(look[flat]), noisy(clip[flat]), noisy(touch[flat]), place.view(-1, 3), offsets)
    text = noisy(word[flat] + where[side.flatten()])
    image_ids = [10 * i for i in range(images) for _ in range(N)]
    positional = (kinds[:, :, None] == kinds[:, None]).sum(2).flatten() == 2
    return proposals, SentenceTable(image_ids, noisy(clip[flat]), text), torch.arange(N).repeat(images), positional


def accuracy(chosen: Tensor, answers: Tensor, which: Tensor) -> float:
    return (chosen == answers)[which].double().mean().item()


def test_esem_learns_where_and_the_baseline_cannot(learning):
    """The paper's claim on the smallest data that hold it: sentence and image alone, no mask, no label.

    A coin between the twins is right half of the time, a method that knows nothing a quarter.
    """
    proposals, sentences, *_ = scenes(400, seed=2 * learning.seed)
    held_out, held_sentences, answers, positional = scenes(200, seed=2 * learning.seed + 1)
    for esem in (True, False):
        model, history = train(proposals, sentences, SETTINGS, seed=learning.seed, esem=esem)
        assert len(history) == SETTINGS.epochs
        learning.below(history[-1]["loss"], history[0]["loss"], f"last loss, of the first (ESEM: {esem})")
        chosen, _ = choose(model, held_out, held_sentences, N)
        learning.above(accuracy(chosen, answers, ~positional), 0.7, f"accuracy on other kinds (ESEM: {esem})")
        if esem:
            learning.above(accuracy(chosen, answers, positional), 0.75, "accuracy between twins, ESEM")
        else:
            learning.below(accuracy(chosen, answers, positional), 0.65, "accuracy between twins, baseline")
    blind = zero_shot_clip(held_out, held_sentences)
    learning.below(accuracy(blind, answers, positional), 0.65, "accuracy between twins, zero-shot")
    learning.above(accuracy(blind, answers, ~positional), 0.7, "accuracy on other kinds, zero-shot")


def test_the_same_seed_gives_the_same_weights_bit_for_bit():
    proposals, sentences, *_ = scenes(40, seed=0)
    settings = replace(SETTINGS, epochs=2, batch=32)
    torch.manual_seed(1)
    first, history = train(proposals, sentences, settings, seed=3)
    torch.manual_seed(2)  # nobody else's random numbers matter
    state = torch.get_rng_state()
    second, again = train(proposals, sentences, settings, seed=3)
    assert history == again and torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters()))
    other, _ = train(proposals, sentences, settings, seed=4)
    assert not torch.equal(first.class_weight, other.class_weight)


def test_entropy_starts_near_log_n_and_falls(learning):
    proposals, sentences, *_ = scenes(100, seed=learning.seed)
    _, history = train(proposals, sentences, replace(SETTINGS, epochs=8), seed=learning.seed)
    entropy = [row["entropy"] for row in history]
    assert math.log(N) > entropy[0] and entropy[-1] > 0  # whatever was learnt
    learning.above(entropy[0], 0.5 * math.log(N), "entropy of the first epoch, of half of log N")
    learning.below(entropy[-1], 0.7 * entropy[0], "entropy of the last epoch, of the first")


def test_train_and_test_may_look_at_different_numbers_of_candidates():
    proposals, sentences, answers, _ = scenes(60, seed=0)
    model, _ = train(proposals, sentences, replace(SETTINGS, candidates_train=2, epochs=3), seed=0)
    wide, p = probabilities(model, proposals, sentences, 7)
    assert wide.shape == p.shape == (len(answers), 7)
    assert (p[:, N:] == 0).all() and (wide[:, N:] == -1).all()
    torch.testing.assert_close(p.sum(1), torch.ones(len(p)))
    torch.testing.assert_close(probabilities(model, proposals, sentences, N)[1], p[:, :N])
    chosen, confidence = choose(model, proposals, sentences, 7)
    assert torch.equal(confidence, p.max(1).values)
    start = torch.arange(60).repeat_interleave(N) * N
    assert torch.equal(chosen + start, wide.gather(1, p.argmax(1, keepdim=True)).squeeze(1))
    one, sure = choose(model, proposals, sentences, 1)
    assert torch.equal(one, zero_shot_clip(proposals, sentences)) and (sure == 1).all()


def test_stored_weights_make_the_same_model_again():
    proposals, sentences, *_ = scenes(20, seed=0)
    settings = replace(SETTINGS, epochs=1)
    model, _ = train(proposals, sentences, settings, seed=0)
    again = new_model(proposals, sentences, settings, seed=5)
    again.load_state_dict(model.state_dict())
    for a, b in zip(choose(model, proposals, sentences, N), choose(again, proposals, sentences, N)):
        assert torch.equal(a, b)


def test_an_image_without_proposals_is_left_out_of_training_and_chosen_as_minus_one():
    proposals, sentences, *_ = scenes(20, seed=0)
    proposals.offsets[7] = (0, 0)
    with_empty = SentenceTable(
        [*sentences.image_ids, 7],
        torch.cat([sentences.clip_text, sentences.clip_text[:1]]),
        torch.cat([sentences.text, sentences.text[:1]]),
    )
    settings = replace(SETTINGS, epochs=2)
    with pytest.warns(UserWarning, match="1 of 81 sentences"):
        model, _ = train(proposals, with_empty, settings, seed=0)
    without, _ = train(proposals, sentences, settings, seed=0)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), without.parameters()))
    chosen, confidence = choose(model, proposals, with_empty, N)
    assert chosen[-1] == -1 and confidence[-1] == 0 and (chosen[:-1] >= 0).all()
    for floor in (random_proposal(proposals, with_empty, seed=0), zero_shot_clip(proposals, with_empty)):
        assert floor[-1] == -1 and (floor[:-1] >= 0).all()
    alone = SentenceTable([7], sentences.clip_text[:1], sentences.text[:1])
    with (
        pytest.warns(UserWarning, match="1 of 1 sentences"),
        pytest.raises(ValueError, match="no sentence to train on"),
    ):
        train(proposals, alone, settings, seed=0)


def test_sentences_in_the_same_words_push_each_other_only_where_the_switch_says_so():
    proposals, sentences, *_ = scenes(20, seed=0)
    alone = replace(SETTINGS, epochs=1, own_negatives=False)
    off = replace(alone, same_words_negatives=False)
    with pytest.raises(ValueError, match="has no `words`"):
        train(proposals, sentences, off, seed=0)
    sentences = replace(sentences, words=[0] * len(sentences.text))  # "dog", everywhere
    (first,) = train(proposals, sentences, alone, seed=0)[1]
    (last,) = train(proposals, sentences, off, seed=0)[1]
    assert first["loss"] > 1 and last["loss"] == 0  # of a batch of equal words nothing is left to contrast with


def test_language_blind_baselines():
    proposals, sentences, answers, _ = scenes(50, seed=0)
    place = proposals.geometry.view(50, N, 3)
    central = central_proposal(proposals, sentences).view(50, N)
    for i in range(50):
        squared = [float((v[0] - 0.5) ** 2 + (v[1] - 0.5) ** 2) for v in place[i]]
        assert (central[i] == squared.index(min(squared))).all()
    areas = torch.randperm(50 * N, generator=torch.Generator().manual_seed(0))
    assert torch.equal(largest_proposal(proposals, sentences, areas).view(50, N)[:, 0], areas.view(50, N).argmax(1))
    random = random_proposal(proposals, sentences, seed=0)
    assert torch.equal(random, random_proposal(proposals, sentences, seed=0))
    assert not torch.equal(random, random_proposal(proposals, sentences, seed=1))
    assert torch.bincount(random, minlength=N).min() > 0.15 * len(answers)  # 25 % each, give or take
