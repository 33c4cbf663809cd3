"""A BERT trained as SimCSE: one vector per sentence, the t of ES3Net's eq. 3."""

import json
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModel

from wsris_lib.frozen.checkpoints import resolve
from wsris_lib.frozen.loading import pretrained, tokenizer_of

POOLING = "1_Pooling/config.json"  # where sentence-transformers' checkpoints say how words become one vector
HEADS = (r"^cls\.", r"^lm_head\.")  # what BERT and SimCSE were trained with and nobody asks here


class SentenceEncoder:
    """A frozen sentence encoder; `checkpoint` is a name that `checkpoints.resolve` knows.

    The vector is the mean of the words' states if the checkpoint says so (as our miniature does), else the pooled
    output, the tanh of a layer on [CLS] (as the public SimCSE models have it).
    """

    def __init__(self, checkpoint: str, device: str = "cpu", batch: int = 256):
        """Raises ValueError for a checkpoint with yet another pooling."""
        self.model = pretrained(AutoModel, checkpoint, ("bert", "roberta"), HEADS).to(device)
        self.tokenizer = tokenizer_of(checkpoint, self.model.config.vocab_size)
        self.mean = pools_mean(resolve(checkpoint))
        self.device = device
        self.batch = batch

    @torch.no_grad()
    def sentences(self, sentences: list[str]) -> Tensor:
        """The vector of each sentence, float [S, D]. Sentences longer than the model's positions are cut."""
        longest = self.model.config.max_position_embeddings
        vectors = []
        for start in range(0, len(sentences), self.batch):
            tokens = self.tokenizer(
                sentences[start : start + self.batch],
                padding=True,
                truncation=True,
                max_length=longest,
                return_tensors="pt",
            ).to(self.device)
            output = self.model(**tokens)
            pooled = mean_of_words(output.last_hidden_state, tokens["attention_mask"])
            vectors.append((pooled if self.mean else output.pooler_output).cpu())
        return torch.cat(vectors)


def mean_of_words(states: Tensor, attention: Tensor) -> Tensor:
    """Mean of states [B, L, D] where the mask `attention` [B, L] is 1: [B, D]."""
    attention = attention[..., None].to(states)
    return (states * attention).sum(1) / attention.sum(1)


def pools_mean(folder: str) -> bool:
    """Whether the checkpoint in a folder asks for the mean of the words; False when it says nothing.

    Raises ValueError when it asks for something else.
    """
    path = Path(folder) / POOLING
    if not path.is_file():
        return False
    modes = {name for name, enabled in json.loads(path.read_text()).items() if enabled is True}
    if modes - {"include_prompt"} != {"pooling_mode_mean_tokens"}:
        raise ValueError(f"{path} asks for {sorted(modes)}; only pooling_mode_mean_tokens and no such file are known")
    return True


def write_pooling(folder: Path, width: int) -> None:
    """Say in sentence-transformers' way that the checkpoint in `folder` pools by the mean."""
    path = folder / POOLING
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"word_embedding_dimension": width, "pooling_mode_mean_tokens": True}))
