"""Training of the alignment (ES3Net 3.3, its settings in 4.1) on cached features: seconds to minutes on a CPU."""

import warnings

import torch
from torch import Tensor
from tqdm.auto import tqdm

from wsris_lib.config.settings import Es3netConfig
from wsris_lib.es3net.alignment import Alignment
from wsris_lib.es3net.candidates import ProposalTable, SentenceTable, candidate_table, gathered
from wsris_lib.es3net.losses import language_consistency, mask_contrast, own_scores
from wsris_lib.infra.trainer import Trained

MEANS = ("reworded", "batch")  # what eq. 5 may be averaged over


def new_model(
    proposals: ProposalTable, sentences: SentenceTable, settings: Es3netConfig, seed: int, esem: bool = True
) -> Alignment:
    """An untrained model that fits these features; `load_state_dict` makes a stored one of it."""
    widths = (proposals.class_tokens.shape[1], proposals.pooled.shape[1], sentences.text.shape[1])
    return sized_model(widths, settings, seed, esem)


def sized_model(widths: tuple[int, int, int], settings: Es3netConfig, seed: int, esem: bool = True) -> Alignment:
    """As `new_model`, for channels of (class tokens, pooled patches, sentence vectors)."""
    return Alignment(
        *widths,
        cls_fraction=settings.cls_fraction,
        geometry=settings.geometry,
        gain=settings.geometry_gain,
        learn_gain=settings.learn_gain,
        esem=esem,
        text_slice=settings.text_slice,
        normalise=settings.normalise,
        generator=torch.Generator().manual_seed(seed),
    )


def train(
    proposals: ProposalTable,
    sentences: SentenceTable,
    settings: Es3netConfig,
    seed: int,
    *,
    esem: bool = True,
    device: str = "cpu",
) -> Trained[Alignment, list[dict[str, float]]]:
    """Fit eq. 3 by eq. 4, and by eq. 5 where `settings.consistency` > 0 and the sentences have paraphrases.

    The same seed gives the same weights, bit for bit, on one machine. Of a sentence's paraphrases one is drawn a step.

    An epoch visits each sentence once. Sentences about an image without proposals are left out with a warning.

    Returns the model and one row per epoch: `loss` and `entropy` (nats, of p_i over the sentence's own candidates,
    mean over sentences; from log N down). An entropy that falls to 0 within an epoch or two is a model that has locked
    itself in on its first guesses. Raises ValueError for settings that aren't known, and where there is nothing to
    learn from.
    """
    if settings.consistency_mean not in MEANS:
        raise ValueError(f"consistency_mean {settings.consistency_mean!r}: expected one of {', '.join(MEANS)}")
    model = new_model(proposals, sentences, settings, seed, esem).to(device)
    candidates = candidate_table(proposals, sentences, settings.candidates_train)  # [S, N]
    usable = (candidates[:, 0] >= 0).nonzero().flatten()
    if len(usable) < len(candidates):
        without = len(candidates) - len(usable)
        warnings.warn(f"{without} of {len(candidates)} sentences have no proposal to choose from", stacklevel=2)
    if len(usable) == 0:
        raise ValueError("there is no sentence to train on: no image of the split has a proposal")

    candidates = candidates.to(device)
    image_ids = torch.tensor(sentences.image_ids, device=device)
    text = sentences.text.to(device)
    paraphrases = (
        sentences.paraphrases.to(device) if settings.consistency and sentences.paraphrases is not None else None
    )
    words = None
    if not settings.same_words_negatives:
        if sentences.words is None:
            raise ValueError("same_words_negatives is off, and the sentences' table has no `words` to know them by")
        words = torch.tensor(sentences.words, device=device)
    features = proposals.near(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=0)
    shuffling = torch.Generator().manual_seed(seed)
    drawing = torch.Generator().manual_seed(seed + 1)  # apart: eq. 5 leaves the batches as they are

    history = []
    bar = tqdm(range(settings.epochs), desc="eq. 4", unit="epoch", leave=False)
    for epoch in bar:
        order = usable[torch.randperm(len(usable), generator=shuffling)].to(device)
        sums = torch.zeros(2, device=device)
        for batch in order.split(settings.batch):
            index = candidates[batch]  # [B, N]; padding, -1, points at row 0 and is masked
            padded = index < 0
            s = model(*gathered(features, index.clamp(min=0).flatten()), text[batch])  # eq. 3, [B, B*N]
            negatives = (settings.own_negatives, settings.same_image_negatives, None if words is None else words[batch])
            loss = mask_contrast(s, image_ids[batch], padded, settings.temperature, *negatives)  # eq. 4
            if paraphrases is not None:
                loss = loss + _weighted_consistency(model, features, index, s, paraphrases[batch], settings, drawing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                sums += len(batch) * torch.stack([loss, choice_entropy(s, padded, settings.temperature)])
        loss, entropy = (sums / len(usable)).tolist()
        history.append({"epoch": epoch, "loss": loss, "entropy": entropy})
        bar.set_postfix(loss=f"{loss:.3f}", entropy=f"{entropy:.3f}")
    return Trained(model, history)


def _weighted_consistency(
    model: Alignment,
    features: list[Tensor],
    index: Tensor,
    s: Tensor,
    paraphrases: Tensor,
    settings: Es3netConfig,
    generator: torch.Generator,
) -> Tensor:
    """A batch's eq. 5 times its weight, with one paraphrase of each sentence that has any; 0 where none has.

    index: long [B, N], the sentences' candidates; s: [B, B*N], their scores; paraphrases: [B, k, D].
    """
    rows, t = one_paraphrase(paraphrases, generator)  # bool [B], t' [B', D]
    if not rows.any():
        return s.new_zeros(())
    s_prime = model(*gathered(features, index[rows].clamp(min=0)), t[:, None]).squeeze(1)  # eq. 3 of t', [B', N]
    share = 1.0 if settings.consistency_mean == "reworded" else len(t) / len(index)
    consistency = language_consistency(own_scores(s)[rows], s_prime, index[rows] < 0, settings.temperature)
    return settings.consistency * share * consistency


def one_paraphrase(paraphrases: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """One wording at random of those that each sentence has: [B, k, D] with NaN where there is none.

    Returns bool [B], whether it has any, and [B', D], one wording for each that does.
    """
    there = ~paraphrases[:, :, 0].isnan()  # [B, k]
    lots = torch.rand(there.shape, generator=generator).to(there.device).masked_fill(~there, -1)
    some = there.any(1)
    return some, paraphrases[some, lots.argmax(1)[some]]


def choice_entropy(scores: Tensor, padded: Tensor, temperature: float) -> Tensor:
    """Mean entropy (nats) of p_i = softmax of a sentence's own scores; scores [B, B*N], padded bool [B, N]."""
    p = (own_scores(scores).masked_fill(padded, -torch.inf) / temperature).softmax(1)
    entropy: Tensor = torch.special.entr(p)
    return entropy.sum(1).mean()
