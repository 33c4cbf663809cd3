"""Which proposal a sentence's pseudo label is: by the sentence alone (ST), or by all that is said of the object (MT).

ES3Net, Appendix B. A group is the sentences of one ref. That they mean one object is what multi-text supervision knows
and single-text supervision doesn't; it is used for labels only, never at test.
"""

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor


def single_text(candidates: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    """ST: each sentence's own most probable candidate.

    candidates: long [S, n], rows of the proposals' table, -1 where there is none; p: float [S, n], 0 there.
    Returns rows long [S] (-1 for a sentence without candidates) and its confidence [S], sigma of eq. 7.
    """
    confidence, best = p.max(1)
    return candidates.gather(1, best[:, None]).squeeze(1), confidence


def proved(candidates: Tensor, p: Tensor, groups: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Each group copies its most confident sentence ("proved method": better than ST where confidence is worth it).

    groups: [S], the ref of each sentence. Returns as `single_text`; the confidence is that of the one copied.
    """
    rows, confidence = single_text(candidates, p)
    copied = leaders(confidence, groups)
    return rows[copied], confidence[copied]


def leaders(confidence: Tensor, groups: Sequence[int]) -> Tensor:
    """long [S]: for each sentence the most confident one of its group, the first of equals; confidence is [S]."""
    leader: dict[int, int] = {}
    for s, group in enumerate(groups):
        if group not in leader or confidence[s] > confidence[leader[group]]:
            leader[group] = s
    return torch.tensor([leader[group] for group in groups], dtype=torch.long)


def greedy(candidates: Tensor, p: Tensor, groups: Sequence[int], images: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Greedy matching: two objects of an image are not the same proposal, and the surest group chooses first.

    The groups of an image go in the order of their total confidence (the sum over their sentences of the greatest p).
    Each takes the proposal of the greatest summed p among those left. Where nothing that a group wants is left, it
    takes what it wants most all the same. A proposal that overlaps one taken may be taken: two that are nearly the same
    there aren't, as the proposer keeps the better of them (`ProposalConfig.nms_iou`).

    Args:
        images: [S], the image of each sentence; a group lies in one.

    Returns as `single_text`; the confidence is the mean over the group's sentences of p of what was taken.
    """
    top = p.max(1).values
    members: dict[tuple[int, int], list[int]] = defaultdict(list)
    for s, group in enumerate(zip(images, groups)):
        members[group].append(s)
    of_image: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for group in members:
        of_image[group[0]].append(group)

    rows = torch.full((len(p),), -1)
    confidence = torch.zeros(len(p))
    for rivals in of_image.values():
        taken: set[int] = set()
        for group in sorted(rivals, key=lambda g: -float(top[members[g]].sum())):
            total: dict[int, float] = defaultdict(float)  # row -> its p, summed over the group
            for s in members[group]:
                for row, chance in zip(candidates[s].tolist(), p[s].tolist()):
                    if row >= 0:
                        total[row] += chance
            if not total:
                continue
            left = {row: chance for row, chance in total.items() if row not in taken} or total
            best = max(
                sorted(left), key=left.__getitem__
            )  # of equals the earlier proposal, whatever the order of sentences
            taken.add(best)
            rows[members[group]] = best
            confidence[members[group]] = total[best] / len(members[group])
    return rows, confidence


def expected_gain(correct: Tensor, confidence: Tensor, groups: Sequence[int]) -> tuple[float, float, float]:
    """ES3Net eq. 6: what follows from P = k C + b, on data: the inequality that Appendix B proves.

    If P(correct) = k C + b with k > 0 for every sentence alike, copying the most confident of each group makes the
    expected accuracy k mean(max C) + b, which is at least k mean(C) + b. Leaders count once for each of their group.

    correct: bool [S], whether each sentence's own choice is right; confidence: [S].
    Returns (accuracy of ST, accuracy of the leaders, the mean advantage of their confidence).
    """
    led = leaders(confidence, groups)
    advantage = float((confidence[led] - confidence).mean())
    return float(correct.double().mean()), float(correct[led].double().mean()), advantage
