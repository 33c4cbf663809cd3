"""A BERT trained as SimCSE: one vector per sentence, the t of ES3Net's eq. 3."""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoModel

from wsris_lib.frozen.checkpoints import resolve
from wsris_lib.frozen.loading import pretrained, tokenizer_of

POOLING = "1_Pooling/config.json"  # where sentence-transformers' checkpoints say how words become one vector
MODES = {  # its older switches -> what they are called since its version 6
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
SWITCH = "pooling_mode_"  # how the names of its older switches begin
MODULES = "modules.json"  # and what else they do to it
HEADS = (r"^cls\.", r"^lm_head\.")  # what BERT and SimCSE were trained with and nobody asks here


class SentenceEncoder:
    """A frozen sentence encoder; `checkpoint` is a name that `checkpoints.resolve` knows.

    The vector is the mean of the words' states if the checkpoint says so (as our miniature does), of length 1 if it
    says that too, else the pooled output, the tanh of a layer on [CLS] (as the public SimCSE models have it).
    """

    def __init__(self, checkpoint: str, device: str = "cpu", batch: int = 256):
        """Raises ValueError for a checkpoint with yet another pooling, or with layers after it."""
        self.model = pretrained(AutoModel, checkpoint, ("bert", "roberta"), HEADS).to(device)
        self.tokenizer = tokenizer_of(checkpoint, self.model.config.vocab_size)
        self.mean = pools_mean(resolve(checkpoint))
        self.unit = normalises(resolve(checkpoint))
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
        joined = torch.cat(vectors)
        return F.normalize(joined, dim=1) if self.unit else joined


def mean_of_words(states: Tensor, attention: Tensor) -> Tensor:
    """Mean of states [B, L, D] where the mask `attention` [B, L] is 1: [B, D]."""
    attention = attention[..., None].to(states)
    return (states * attention).sum(1) / attention.sum(1)


def pools_mean(folder: str) -> bool:
    """Whether the checkpoint in a folder asks for the mean of the words; False when it says nothing of pooling.

    A file that names no mode means the mean. Raises ValueError for another mode, or several.
    """
    path = Path(folder) / POOLING
    if not path.is_file():
        return False
    config = json.loads(path.read_text(encoding="utf-8"))
    switches = [name.removeprefix(SWITCH) for name, on in config.items() if name.startswith(SWITCH) and on]
    modes = config.get("pooling_mode") or switches or "mean"  # one, or a list; before version 6 a switch for each
    if modes not in ("mean", ["mean"], ["mean_tokens"]):
        raise ValueError(f'{path} asks for {modes}; known are "mean" and, without such a file, the tanh of [CLS]')
    return True


def normalises(folder: str) -> bool:
    """Whether the checkpoint in a folder brings its vectors to length 1 after the pooling, as many do.

    Raises ValueError where it has more behind the pooling, such as a dense layer.
    """
    path = Path(folder) / MODULES
    if not path.is_file():
        return False
    kinds = [module["type"].rpartition(".")[2] for module in json.loads(path.read_text(encoding="utf-8"))]
    if unknown := [kind for kind in kinds if kind not in ("Transformer", "Pooling", "Normalize")]:
        raise ValueError(f"{path} has {unknown[0]} after the pooling, which isn't known here; choose another encoder")
    return "Normalize" in kinds


def write_pooling(folder: Path, width: int) -> None:
    """Say in sentence-transformers' way that the checkpoint in `folder` pools by the mean."""
    path = folder / POOLING
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"word_embedding_dimension": width, "pooling_mode_mean_tokens": True}))
