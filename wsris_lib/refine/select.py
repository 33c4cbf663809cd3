"""Which of a ref's maps becomes the label of all its sentences (TRIS's "positive response map selection")."""

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

from wsris_lib.ehin.inputs import Images, sentence_vectors
from wsris_lib.frozen.critic import Critic
from wsris_lib.refer.views import Sample


@torch.no_grad()
def best_of_group(images: Images, critic: Critic, samples: Sequence[Sample], R: Tensor, batch: int = 64) -> list[int]:
    """For each sample the row of R [S, h, w] that its ref's sentences agree on best; supervision MT.

    A map's score is the sum of the critic's cosines between the image under it and every sentence of the ref: the
    cosine with their sum, up to a factor. The mask is the map's positive part divided by its maximum; TRIS leaves the
    division out, so that its images are overexposed by as much as the map is high.
    """
    groups: dict[int, list[int]] = defaultdict(list)
    for row, sample in enumerate(samples):
        groups[sample.ref_id].append(row)
    vectors = sentence_vectors(critic, [sample.sentence for sample in samples])  # [S, E]
    sums = torch.zeros_like(vectors)  # of each ref's sentences
    for rows in groups.values():
        sums[rows] = vectors[rows].sum(0)
    masks = R.clamp(min=0)
    masks = masks / (masks.amax((1, 2), keepdim=True) + 1e-5)
    scores = []
    for start in range(0, len(samples), batch):
        some = slice(start, start + batch)
        pixels = images.small([sample.image_id for sample in samples[some]])
        S = critic(pixels, masks[some].to(images.device), sums[some, None].to(images.device))  # [B, 1]
        scores.append(S[:, 0].cpu())
    score = torch.cat(scores)
    best = list(range(len(samples)))
    for rows in groups.values():
        winner = rows[int(score[rows].argmax())]
        for row in rows:
            best[row] = winner
    return best
