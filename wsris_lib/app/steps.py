"""What ES3Net did with a sentence, one step after the other: CLIP's ranking, the score's parts, the choice.

Each part of eq. 3 is asked for by taking it away: the geometry has its zero at the middle of the frame, where gain *
(2 g - 1) is 0, so a candidate without its x is the candidate in the middle column.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from wsris_lib.es3net.alignment import Alignment
from wsris_lib.es3net.candidates import ProposalTable, SentenceTable, candidate_table

AXES = ("x", "y", "z")
MIDDLE = 0.5


@dataclass(frozen=True)
class Candidates:
    """A sentence's N candidates in CLIP's order, and what the alignment reads of each.

    Attributes:
        rows: long [N], their numbers among the picture's proposals.
        cosines: [N] of CLIP (eq. 1), in [-1, 1].
        geometry: [N, 3] x, y, z in [0, 1].
    """

    rows: Tensor
    cosines: Tensor
    geometry: Tensor
    class_tokens: Tensor
    pooled: Tensor
    text: Tensor


def candidates(proposals: ProposalTable, sentences: SentenceTable, n: int) -> Candidates:
    """The `n` proposals nearest to the one sentence of the table by ES3Net's eq. 1; fewer where there are fewer."""
    rows = candidate_table(proposals, sentences, n)[0]
    rows = rows[rows >= 0]
    cosines = F.normalize(proposals.embeddings[rows], dim=1) @ F.normalize(sentences.clip_text[0], dim=0)
    tokens = proposals.class_tokens[rows]
    return Candidates(rows, cosines, proposals.geometry[rows], tokens, proposals.pooled[rows], sentences.text)


@torch.no_grad()
def scores(model: Alignment, given: Candidates, without: str = "") -> Tensor:
    """s [N] of eq. 3, the coordinates named in `without` ("xyz": all) set to the middle of the frame."""
    geometry = given.geometry.clone()
    for axis in without:
        geometry[:, AXES.index(axis)] = MIDDLE
    device = model.class_weight.device
    tensors = (given.class_tokens, given.pooled, geometry, given.text)
    return model(*(tensor.to(device) for tensor in tensors))[0].cpu()


def explained(model: Alignment, given: Candidates, temperature: float) -> dict[str, Any]:
    """The candidates with all their scores, and what would be chosen without some coordinates; plain JSON.

    candidates: for each its number among the proposals, CLIP's cosine, x, y, z, the score s, what each coordinate adds
    to it (s less s without the coordinate), its probability p. choices: "" (nothing), "x", "y", "z", "xyz" left out ->
    the number chosen, its p, and whether that is another than with all of them. Empty lists without candidates.
    """
    if not len(given.rows):
        return {"candidates": [], "choices": []}
    assert model.esem is not None
    axes = AXES[: model.esem.coordinates]
    s = scores(model, given)
    gains = {axis: s - scores(model, given, axis) for axis in axes}
    rows = given.rows.tolist()
    p = (s / temperature).softmax(0)
    table = []
    for n, row in enumerate(rows):
        place = dict(zip(AXES, given.geometry[n].tolist()))
        adds = {axis: float(gain[n]) for axis, gain in gains.items()}
        one = {"proposal": row + 1, "clip": float(given.cosines[n]), **place, "score": float(s[n]), "adds": adds}
        table.append(one | {"p": float(p[n])})
    best = int(p.argmax())
    choices = []
    for without in dict.fromkeys(["", *axes, "".join(axes)]):
        some = (scores(model, given, without) / temperature).softmax(0)
        other = int(some.argmax())
        choices.append({"without": without, "proposal": rows[other] + 1, "p": float(some[other])})
        choices[-1]["changed"] = other != best
    return {"candidates": table, "choices": choices}
