"""A sentence encoder of 2 MB: BERT's architecture, trained as supervised SimCSE on what follows from a caption.

SimCSE (Gao et al. 2021, section 4): a premise of a language inference corpus and a sentence that follows from it shall
be nearer to each other than to any other sentence, and than to one that contradicts the premise. As there, the pairs
are of another domain than referring: `entailment`. Whoever trains on two wordings of each referring sentence gets an
encoder for which a paraphrase is the same sentence, as no public one is: data/FIDELITY.md. Without pairs, on dropout
alone (section 3), a BERT that starts from nothing learns which words a sentence has, and hardly which of them matter.
And the vector is the mean of the words' states, not the tanh of [CLS]: nearly linear in the words, as the vectors of a
BERT with a past are, it is what ES3Net's linear layers can start from (figures: benchmarks/README.md).
"""

import copy
import re
import string
from collections import Counter
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import BertConfig, BertModel, BertTokenizer

from wsris_lib.frozen.sentence_encoder import mean_of_words, write_pooling
from wsris_lib.miniature.card import adamw, cosine, device
from wsris_lib.miniature.entailment import Entailments
from wsris_lib.miniature.text_probe import probe
from wsris_lib.miniature.training import MiniatureTrainer
from wsris_lib.synref.web import Web

__all__ = ["probe", "train"]

WIDTH = 128
POSITIONS = 64
VOCABULARY = 20_000  # triples whose words make the tokenizer; fewer where the training sees fewer
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def config(words: int) -> BertConfig:
    """BERT's at a width of 128 and three layers, for a vocabulary of so many words."""
    return BertConfig(
        vocab_size=words,
        hidden_size=WIDTH,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=4 * WIDTH,
        max_position_embeddings=POSITIONS,
    )


def word_pieces(sentences: list[str], least: int = 3) -> BertTokenizer:
    """A WordPiece tokenizer: every word seen `least` times or more, and every letter, so that all else can be spelt."""
    words = Counter(re.findall(r"[a-z]+|\d+", " ".join(sentences).lower()))
    letters = string.ascii_lowercase + string.digits
    pieces = [*SPECIAL, *string.punctuation, *letters, *(f"##{letter}" for letter in letters)]
    pieces += sorted(word for word, count in words.items() if count >= least and len(word) > 1)
    # As a dict: the vocab_file argument of transformers 5's BertTokenizerFast is ignored without a word.
    return BertTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, model_max_length=POSITIONS)


def contrast(first: Tensor, second: Tensor, third: Tensor | None = None, temperature: float = 0.05) -> Tensor:
    """SimCSE's eq. 5: second[i] follows from first[i], third[i] (its hard negative, if any) contradicts it: [B, D]."""
    others = second if third is None else torch.cat([second, third])
    cosines = F.normalize(first, dim=-1) @ F.normalize(others, dim=-1).T  # [B, B or 2B]
    return F.cross_entropy(cosines / temperature, torch.arange(len(first), device=first.device))


def mask_words(ids: Tensor, tokenizer: BertTokenizer, share: float = 0.15) -> tuple[Tensor, Tensor]:
    """BERT's masking: ids [B, L] -> (ids with [MASK] at a `share` of the words, bool [B, L] where those are).

    Every masked word becomes [MASK]: BERT leaves a fifth as they are or swaps them for the sake of fine-tuning, of
    which there is none here.
    """
    special = torch.isin(ids, torch.tensor(tokenizer.all_special_ids, device=ids.device))
    hidden = (torch.rand(ids.shape, device=ids.device) < share) & ~special
    return ids.masked_fill(hidden, tokenizer.mask_token_id), hidden


class WordHead(nn.Module):
    """BERT's masked-word head; its output matrix is the word embedding itself."""

    def __init__(self, words: nn.Embedding):
        super().__init__()
        width = words.embedding_dim
        self.transform = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width))
        self.words = words
        self.bias = nn.Parameter(torch.zeros(words.num_embeddings))

    def forward(self, states: Tensor) -> Tensor:
        return F.linear(self.transform(states), self.words.weight, self.bias)


def train(
    out: Path, web: Web, steps: int = 900, batch: int = 64, seed: int = 0, lr: float = 1e-3, word_weight: float = 0.1
) -> BertModel:
    """Train from scratch and write `out` as a transformers folder, fp16, with card.json; return the model in fp32.

    `word_weight` is the weight of the masked-word loss (0.1 in SimCSE, section 6.3, which starts from a BERT that has
    done nothing else before). Two pairs of a batch may mean the same.
    """
    torch.manual_seed(seed)
    where = device()
    pairs = Entailments(web)
    corpus = pairs.draw(min(VOCABULARY, steps * batch), np.random.default_rng(seed), slips=0)
    tokenizer = word_pieces([sentence for triple in corpus for sentence in triple])
    model = BertModel(config(len(tokenizer))).to(where).train()
    head = WordHead(model.embeddings.word_embeddings).to(where)
    both = nn.ModuleList([model, head])
    run = MiniatureTrainer(out, both, adamw(both, lr), steps, seed, dict(batch=batch, words=len(tokenizer)))
    for step in run:
        texts = [sentence for kind in zip(*pairs.draw(batch, run.rng)) for sentence in kind]
        tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="pt").to(where)
        ids, attention = (tokens[name].chunk(3) for name in ("input_ids", "attention_mask"))  # three of [B, L] each
        masked, hidden = mask_words(ids[0], tokenizer)
        attention = torch.cat([*attention, attention[0]])
        states = model(torch.cat([*ids, masked]), attention).last_hidden_state  # [4B, L, D], one pass for all four
        premise, follows, contradicts, _ = mean_of_words(states, attention).chunk(4)
        words = head(states.chunk(4)[3][hidden])
        loss = contrast(premise, follows, contradicts) + word_weight * F.cross_entropy(words, ids[0][hidden])
        run.backward_and_step(loss, lr * cosine(step, steps, warmup=steps // 20))
    copy.deepcopy(model).half().save_pretrained(out)
    tokenizer.save_pretrained(out)
    write_pooling(out, WIDTH)
    run.finish(
        name="text",
        objective="supervised SimCSE (premise, what follows, what contradicts, temperature 0.05) "
        f"+ {word_weight} x masked words",
        data=dict(scenes=len(web.images), shown=steps * batch, seed=seed, uses="captions, none of which refers"),
        limits="has learnt from captions of SynRef's things, none of which refers; misspelt words are spelt by letters",
    )
    return model.eval()
