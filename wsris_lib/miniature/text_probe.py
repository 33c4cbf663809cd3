"""What a miniature sentence encoder tells apart: wordings that it has or hasn't met, sides, kinds of things."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wsris_lib.frozen.sentence_encoder import SentenceEncoder
from wsris_lib.miniature.card import linear_accuracy
from wsris_lib.paraphrase.unheard import reword
from wsris_lib.refer.words import mirrored
from wsris_lib.synref import wording
from wsris_lib.synref.web import Web


def probe(folder: Path, web: Web, pairs: int = 2000, seed: int = 0) -> dict[str, float]:
    """What the vectors of "red mug on the left" and its like are near to, on things of held-out scenes.

    Each is compared with the same said in other words, with left and right swapped and else word for word the same,
    and with a sentence about some other thing: mean cosines, and how often rewording is nearer (chance 0.5).
    "side accuracy" and "category accuracy" read left or right, and the category, off the vector by a linear map, on
    things not fitted: eq. 3 is linear in t. "side read off the noun" reads the side off the state of the noun's own
    token: what LAVT, whose BERT this is, attends to are states of words, which shall know what else is in the sentence.
    """
    rng = np.random.default_rng(seed)
    encoder = SentenceEncoder(str(folder))
    things = [thing for scene in web.objects for thing in scene]
    forms = [wording.PLACES[side][0] for side in ("left", "right")]
    captions = []
    reworded = []
    swapped = []
    sides = rng.integers(2, size=pairs)
    spoken_of = [things[i] for i in rng.integers(len(things), size=pairs)]
    for side, thing in zip(sides, spoken_of):
        named = {name: thing[name] for name in ("category", "colour")}
        first, second = rng.choice(len(forms[0]), 2, replace=False)
        phrase = wording.say(named, rng)
        captions.append(forms[side][first].format(phrase))
        swapped.append(forms[1 - side][first].format(phrase))
        reworded.append(forms[side][second].format(wording.say(named, rng)))
    vectors = [encoder.sentences(group) for group in (captions, reworded, swapped)]
    near, swap, far = (F.cosine_similarity(vectors[0], v) for v in (vectors[1], vectors[2], vectors[0].roll(1, 0)))
    names = sorted({thing["category"] for thing in things})
    of_category = torch.tensor([names.index(thing["category"]) for thing in spoken_of])
    known = torch.arange(pairs) < pairs // 2
    nouns = noun_states(encoder, captions, [wording.NOUNS[thing["category"]] for thing in spoken_of])
    return {
        "cosine reworded": round(near.mean().item(), 4),
        "cosine left-right swapped": round(swap.mean().item(), 4),
        "cosine random": round(far.mean().item(), 4),
        "reworded above random": round((near > far).float().mean().item(), 4),
        "reworded above swapped": round((near > swap).float().mean().item(), 4),
        "side accuracy": linear_accuracy(vectors[0], torch.from_numpy(sides), known),
        "side chance": 0.5,
        "category accuracy": linear_accuracy(vectors[0], of_category, known),
        "category chance": round(of_category.bincount().max().item() / pairs, 4),
        "side read off the noun": linear_accuracy(nouns, torch.from_numpy(sides), known),
    } | of_other_wordings(encoder, web, pairs, rng)


def of_other_wordings(encoder: SentenceEncoder, web: Web, most: int, rng: np.random.Generator) -> dict[str, float]:
    """The corpus' own sentences of held-out scenes that say left or right, against four others each.

    "unheard" is a paraphrase of `paraphrase.unheard`, whose rules made no training's sentences; "mirrored" has left and
    right swapped; "misspelt" has a slip in one word; "another" is about something else. "AUC unheard over mirrored" is
    the share of all pairs of an unheard wording and a mirrored sentence (of any two sentences) in which the wording's
    cosine is the larger: chance 0.5, below it where one word of place weighs less than another construction. "side read
    off unheard wordings": a linear map that is fitted on sentences as they are reads left or right off the paraphrases
    of further sentences.
    """
    sided = sorted({s for s in web.sentences if ("left" in s.split()) != ("right" in s.split())})
    texts: list[tuple[str, str, str, str]] = []
    for k in rng.permutation(len(sided)):
        other = reword(sided[k], rng)
        if other and len(texts) < most:
            texts.append((sided[k], other, mirrored(sided[k]), wording.misspell(sided[k], rng)))
    if len(texts) < 4:  # a handful of scenes, as in tests: nothing to compare
        return {}
    vectors, unheard, swapped, misspelt = (encoder.sentences(list(group)) for group in zip(*texts))
    others = (unheard, swapped, misspelt, vectors.roll(1, 0))
    near, swap, slip, far = (F.cosine_similarity(vectors, other) for other in others)
    sides = torch.tensor(["left" in text[0].split() for text in texts]).long()
    half = len(texts) // 2
    known = torch.arange(len(texts)) < half
    return {
        "cosine unheard": round(near.mean().item(), 4),
        "cosine mirrored": round(swap.mean().item(), 4),
        "cosine misspelt": round(slip.mean().item(), 4),
        "cosine another": round(far.mean().item(), 4),
        "AUC unheard over mirrored": above(near, swap),
        "AUC unheard over another": above(near, far),
        "side read off unheard wordings": linear_accuracy(torch.cat([vectors[:half], unheard[half:]]), sides, known),
    }


def above(first: Tensor, second: Tensor) -> float:
    """The share of pairs of a value of `first` [M] and one of `second` [N] in which the first is larger; ties half."""
    difference = first[:, None] - second[None]
    return round(((difference > 0).float() + 0.5 * (difference == 0).float()).mean().item(), 4)


@torch.no_grad()
def noun_states(encoder: SentenceEncoder, sentences: list[str], nouns: list[tuple[str, ...]]) -> Tensor:
    """The last state of the token that is one of `nouns[i]`, or of the whole vector where there is none: [S, D]."""
    states = []
    for start in range(0, len(sentences), encoder.batch):
        part = sentences[start : start + encoder.batch]
        tokens = encoder.tokenizer(part, padding=True, return_tensors="pt").to(encoder.device)
        hidden = encoder.model(**tokens).last_hidden_state.cpu()  # [B, L, D]
        for row, ids, names in zip(hidden, tokens["input_ids"].tolist(), nouns[start:]):
            ids_of_nouns = encoder.tokenizer.convert_tokens_to_ids(list(names))
            places = [place for place, piece in enumerate(ids) if piece in ids_of_nouns]
            states.append(row[places[0]] if places else row[0])
    return torch.stack(states)
