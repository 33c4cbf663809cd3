"""A BERT trained as SimCSE: one vector per sentence, the t of ES3Net's eq. 3."""

import torch
from transformers import AutoModel, AutoTokenizer

from wsris_lib.foundation.zoo import resolve


class SentenceEncoder:
    """A frozen sentence encoder; `checkpoint` is a name that `zoo.resolve` knows."""

    def __init__(self, checkpoint: str, device: str = "cpu", batch: int = 256):
        folder = resolve(checkpoint)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval().to(device)
        self.device, self.batch = device, batch

    @torch.no_grad()
    def sentences(self, sentences: list[str]) -> torch.Tensor:
        """Pooled output of each sentence, float [S, D] in (-1, 1): SimCSE's supervised models use the tanh of [CLS].

        Sentences longer than the model's positions are cut.
        """
        longest = self.model.config.max_position_embeddings
        pooled = []
        for start in range(0, len(sentences), self.batch):
            tokens = self.tokenizer(
                sentences[start : start + self.batch],
                padding=True,
                truncation=True,
                max_length=longest,
                return_tensors="pt",
            )
            pooled.append(self.model(**tokens.to(self.device)).pooler_output.cpu())
        return torch.cat(pooled)
