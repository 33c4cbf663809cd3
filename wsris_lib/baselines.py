"""What needs no training: baselines that a method must beat, and the upper bound that its proposals allow.

Each returns long [S], the chosen proposal within the image of each sentence, -1 where the image has none; just as
`es3net.predict.choose` does.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from pycocotools import mask as coco_mask
from torch import Tensor

from wsris_lib.es3net.candidates import ProposalTable, SentenceTable, candidate_table
from wsris_lib.es3net.predict import within_image
from wsris_lib.refer.masks import Rle


def random_proposal(proposals: ProposalTable, sentences: SentenceTable, seed: int) -> Tensor:
    """Any proposal of the image, each equally likely."""
    generator = torch.Generator().manual_seed(seed)
    return _each(proposals, sentences, lambda start, stop: torch.randint(stop - start, (), generator=generator))


def central_proposal(proposals: ProposalTable, sentences: SentenceTable) -> Tensor:
    """The proposal whose centroid is nearest to the image's centre (in units of width and height), whatever is said."""
    distance = (proposals.geometry[:, :2] - 0.5).norm(dim=1)
    return _each(proposals, sentences, lambda start, stop: distance[start:stop].argmin())


def largest_proposal(proposals: ProposalTable, sentences: SentenceTable, areas: Tensor) -> Tensor:
    """The proposal of most pixels, whatever is said; areas [P], one for each row of the proposals' table."""
    return _each(proposals, sentences, lambda start, stop: areas[start:stop].argmax())


def zero_shot_clip(proposals: ProposalTable, sentences: SentenceTable) -> Tensor:
    """The arg-max of eq. 1: CLIP without any training here."""
    return within_image(candidate_table(proposals, sentences, 1).squeeze(1), proposals, sentences)


def oracle(proposals: Mapping[int, Sequence[Rle]], image_ids: Sequence[int], gts: Sequence[Rle]) -> Tensor:
    """The proposal of best IoU with the ground truth: an upper bound, for evaluation only.

    proposals: image_id -> masks of its proposals as RLE {"size", "counts"}; gts: one RLE for each sentence.
    """
    chosen = []
    for image_id, gt in zip(image_ids, gts):
        masks = list(proposals[image_id])
        chosen.append(int(coco_mask.iou(masks, [gt], [0]).argmax()) if masks else -1)
    return torch.tensor(chosen, dtype=torch.long)


def _each(proposals: ProposalTable, sentences: SentenceTable, pick: Callable[[int, int], Tensor]) -> Tensor:
    spans = (proposals.offsets[image_id] for image_id in sentences.image_ids)
    return torch.tensor([int(pick(start, stop)) if stop > start else -1 for start, stop in spans], dtype=torch.long)
