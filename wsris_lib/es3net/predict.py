"""The trained alignment's choice of a proposal, and how sure it is."""

import torch
from torch import Tensor

from wsris_lib.es3net.alignment import Alignment
from wsris_lib.es3net.candidates import ProposalTable, SentenceTable, candidate_table, gathered


@torch.no_grad()
def probabilities(
    model: Alignment,
    proposals: ProposalTable,
    sentences: SentenceTable,
    n: int,
    temperature: float = 1.0,
    chunk: int = 512,
) -> tuple[Tensor, Tensor]:
    """p_i of every sentence over its `n` best candidates by eq. 1; n needn't be that of training.

    Returns (candidates long [S, n], rows of the proposals' table padded with -1; p float [S, n], 0 at padding; a row
    of zeros for an image without proposals), on the CPU.
    """
    device = model.class_weight.device
    candidates = candidate_table(proposals, sentences, n)
    features = proposals.near(device)
    out = []
    for index, text in zip(candidates.split(chunk), sentences.text.split(chunk)):
        padded = (index < 0).to(device)
        rows = index.clamp(min=0).to(device)  # [S, n]
        scores = model(*gathered(features, rows), text[:, None].to(device)).squeeze(1)  # [S, n]
        scores = scores.masked_fill(padded, -torch.inf) / temperature
        out.append(scores.softmax(1).masked_fill(padded, 0).cpu())
    return candidates, torch.cat(out)


def choose(
    model: Alignment, proposals: ProposalTable, sentences: SentenceTable, n: int, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Each sentence's chosen proposal, long [S] *within its image* (-1: the image has none), and confidence [S].

    The confidence is the largest probability among the sentence's n candidates: sigma of eq. 7.
    """
    candidates, p = probabilities(model, proposals, sentences, n, temperature)
    confidence, best = p.max(1)
    return within_image(candidates.gather(1, best[:, None]).squeeze(1), proposals, sentences), confidence


def within_image(rows: Tensor, proposals: ProposalTable, sentences: SentenceTable) -> Tensor:
    """Rows [S] of the proposals' table as indices among the proposals of each sentence's image; -1 stays -1."""
    start = torch.tensor([proposals.offsets[image_id][0] for image_id in sentences.image_ids])
    return torch.where(rows < 0, -1, rows - start)
