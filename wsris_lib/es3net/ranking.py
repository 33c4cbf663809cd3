"""CLIP shortlists, for each sentence, the proposals worth looking at."""

import torch.nn.functional as F
from torch import Tensor


def prerank(embeddings: Tensor, sentences: Tensor, n: int) -> Tensor:
    """ES3Net eq. 1: M' = top-N of sim(phi_I(I * M), phi_T(T)), the `n` proposals nearest to each sentence, best first.

    embeddings: [N, E], CLIP's image embeddings of one image's masked crops; sentences: [S, E], CLIP's text embeddings.
    Returns long [S, n], indices into the N proposals, padded with -1 where the image has fewer than n.
    """
    cosine = F.normalize(sentences, dim=1) @ F.normalize(embeddings, dim=1).T  # [S, N]
    best = cosine.argsort(dim=1, descending=True, stable=True)[:, :n]  # stable: equal cosines keep their order
    return F.pad(best, (0, n - best.shape[1]), value=-1)
