"""What ES3Net's alignment learns by: mask-based contrast (eq. 4) and language consistency (eq. 5)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def own_scores(scores: Tensor) -> Tensor:
    """The scores [B, N] of each sentence for its own candidates, out of [B, B*N] for everyone's."""
    B = len(scores)
    mine = torch.arange(B, device=scores.device)
    return scores.view(B, B, -1)[mine, mine]


def mask_contrast(
    scores: Tensor,
    image_ids: Tensor,
    padded: Tensor,
    temperature: float = 1.0,
    own_negatives: bool = True,
    same_image_negatives: bool = False,
    words: Tensor | None = None,
) -> Tensor:
    """ES3Net eq. 4: cross entropy over all B*N candidates of a batch; the target is the best of the sentence's own N.

    The positive is the model's own choice, so eq. 4 is self-training: watch the entropy of the choice. Candidates of
    the same image at another place of the batch may hold the very object that is meant, so they aren't negatives; the
    paper counts B N - 1 of these and so has them among them, which is `same_image_negatives`.

    Args:
        scores: [B, B*N], sentence i against candidate n of sentence j at column j * N + n.
        image_ids: long [B].
        padded: bool [B, N], candidates that don't exist. Each sentence needs one that does.
        temperature: tau.
        own_negatives: False leaves the sentence's other N - 1 candidates out, as RefCLIP does.
        same_image_negatives: True keeps those of other sentences about its image.
        words: long [B], equal for sentences that are word for word the same; the candidates of these are left out, as
            what one "dog" means is no negative of the other. None keeps them, as the paper's count does.
    """
    B, N = padded.shape
    mine = torch.arange(B, device=scores.device)
    same_image = (image_ids[:, None] == image_ids) & (not same_image_negatives)
    alike = same_image if words is None else same_image | (words[:, None] == words)
    alike[mine, mine] = False
    excluded = alike[:, :, None] | padded  # [B, B, N]

    best = own_scores(scores).masked_fill(padded, -torch.inf).argmax(1)  # [B], an index: no gradient goes through it
    if not own_negatives:
        excluded[mine, mine] = True
        excluded[mine, mine, best] = False
    logits = scores.masked_fill(excluded.view(B, B * N), -torch.inf) / temperature
    return F.cross_entropy(logits, mine * N + best)


def language_consistency(original: Tensor, paraphrased: Tensor, padded: Tensor, temperature: float = 1.0) -> Tensor:
    """ES3Net eq. 5: LCM, CE(SG(p) || p'); a paraphrase shall choose as its original does.

    The original's p is a target without gradient: the paraphrase moves towards it and not the other way round.

    Args:
        original, paraphrased: [B, N], scores of the two wordings for the same candidates in the same order.
        padded: bool [B, N], candidates that don't exist. Each row needs one that does.
        temperature: tau, of both.

    Returns the mean over the B rows given. Of a batch in which some sentences have no paraphrase only the others are
    given: then it is larger than eq. 5's mean over the batch, to which those add 0 (`Es3netConfig.consistency_mean`).
    """
    p = (original.detach().masked_fill(padded, -torch.inf) / temperature).softmax(1)
    log_p = (paraphrased.masked_fill(padded, -torch.inf) / temperature).log_softmax(1).masked_fill(padded, 0)
    return -(p * log_p).sum(1).mean()
