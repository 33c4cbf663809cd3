"""Mask-based contrast (ES3Net eq. 4): a sentence belongs to one mask of its own image and to no other."""

import torch
import torch.nn.functional as F
from torch import Tensor


def own_scores(scores: Tensor) -> Tensor:
    """The scores [B, N] of each sentence for its own candidates, out of [B, B*N] for everyone's."""
    B = len(scores)
    mine = torch.arange(B, device=scores.device)
    return scores.view(B, B, -1)[mine, mine]


def mask_contrast(
    scores: Tensor, image_ids: Tensor, padded: Tensor, temperature: float = 1.0, own_negatives: bool = True
) -> Tensor:
    """Cross entropy over all B*N candidates of a batch; the target is the best of the sentence's own N.

    The positive is the model's own choice, so eq. 4 is self-training: watch the entropy of the choice. Candidates of
    the same image at another place of the batch may hold the very object that is meant, so they aren't negatives.

    Args:
        scores: [B, B*N], sentence i against candidate n of sentence j at column j * N + n.
        image_ids: long [B].
        padded: bool [B, N], candidates that don't exist. Each sentence needs one that does.
        temperature: tau.
        own_negatives: False leaves the sentence's other N - 1 candidates out, as RefCLIP does.
    """
    B, N = padded.shape
    mine = torch.arange(B, device=scores.device)
    same_image = image_ids[:, None] == image_ids
    same_image[mine, mine] = False
    excluded = same_image[:, :, None] | padded  # [B, B, N]

    best = own_scores(scores).masked_fill(padded, -torch.inf).argmax(1)  # [B], an index: no gradient goes through it
    if not own_negatives:
        excluded[mine, mine] = True
        excluded[mine, mine, best] = False
    logits = scores.masked_fill(excluded.view(B, B * N), -torch.inf) / temperature
    return F.cross_entropy(logits, mine * N + best)
