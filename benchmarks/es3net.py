"""ES3Net's inner loops beside the plain ones, as ratios, and its training at the paper's sizes.

python benchmarks/es3net.py [REFS]     REFS sentences in the epoch (default: the 42,404 refs of RefCOCO's train)

The features of the epoch are random numbers of the sizes that ViT-B/16, DINOv2-B and SimCSE give: what is measured is
time, not learning. It takes 4 GB of memory.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F

from wsris_lib.config.profiles import PROFILES
from wsris_lib.es3net import candidates
from wsris_lib.es3net.losses import mask_contrast
from wsris_lib.es3net.ranking import prerank
from wsris_lib.es3net.train import train
from wsris_lib.frozen.pooling import patch_cells, pool_patches

TINY = PROFILES["tiny"]

# the paper's
B = 200
N = 10
W = 768
C = 768
E = 512
D = 768
IMAGES = 16_994  # of RefCOCO's train
PROPOSALS = 25  # in each


def seconds(run: Callable[[], object], times: int) -> float:
    """The best of several runs: what the machine can do when nothing else disturbs it."""
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


def compare(name: str, ours: Callable, plain: Callable, times: int = 5) -> None:
    """Print both times and their ratio, after a check that both give the same."""
    torch.testing.assert_close(ours(), plain(), atol=1e-3, rtol=1e-4)
    a = seconds(ours, times)
    b = seconds(plain, 1)
    print(f"{name:42s} {1000 * a:9.1f} ms, plain loop {1000 * b:10.1f} ms, ratio {b / a:7.1f}", flush=True)


def plain_pooling(patches: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    """The maximum under a mask (3.2), a channel of a mask at a time."""
    rows = [[patches[c][mask].max() for c in range(len(patches))] for mask in cells]
    return torch.tensor(rows)


def plain_ranking(embeddings: torch.Tensor, sentences: torch.Tensor) -> torch.Tensor:
    """Eq. 1, a proposal of a sentence at a time."""
    order = []
    for s in sentences:
        cosines = [float(F.cosine_similarity(s, e, dim=0)) for e in embeddings]
        order.append(sorted(range(len(cosines)), key=lambda i: -cosines[i])[:N])
    return torch.tensor(order)


def plain_contrast(scores: torch.Tensor, image_ids: torch.Tensor) -> torch.Tensor:
    """Eq. 4, a sentence at a time, its denominator a candidate at a time."""
    total = 0.0
    for i, row in enumerate(scores.view(B, B, N)):
        others = [float(s) for j in range(B) if j == i or image_ids[j] != image_ids[i] for s in row[j]]
        total += torch.tensor(others).logsumexp(0) - row[i].max()
    return total / B


def tables(refs: int) -> tuple[candidates.ProposalTable, candidates.SentenceTable]:
    """Random features of an epoch, with three paraphrases a sentence."""
    g = torch.Generator().manual_seed(0)
    images = max(1, IMAGES * refs // 42_404)
    P = images * PROPOSALS
    offsets = {i: (i * PROPOSALS, (i + 1) * PROPOSALS) for i in range(images)}
    proposals = candidates.ProposalTable(
        torch.randn(P, W, generator=g),
        torch.randn(P, E, generator=g),
        torch.randn(P, C, generator=g),
        torch.rand(P, 3, generator=g),
        offsets,
    )
    image_ids = torch.randint(images, (refs,), generator=g).tolist()
    text = torch.randn(refs, D, generator=g)
    other = torch.randn(refs, 3, D, generator=g)
    return proposals, candidates.SentenceTable(image_ids, torch.randn(refs, E, generator=g), text, other)


def main(refs: int = 42_404) -> None:
    g = torch.Generator().manual_seed(0)
    print(f"{torch.get_num_threads()} threads; B {B}, N {N}, D {D}")
    patches = torch.randn(C, 32, 32, generator=g)
    masks = torch.zeros(PROPOSALS, 448, 448, dtype=torch.bool)
    for n in range(PROPOSALS):
        masks[n, 14 * n : 14 * n + 80, 10 * n : 10 * n + 120] = True
    cells = patch_cells(masks, 32, 32)
    compare(
        "masked max pooling, 25 masks of 768 x 32 x 32",
        lambda: pool_patches(patches, masks),
        lambda: plain_pooling(patches, cells),
    )
    embeddings = torch.randn(PROPOSALS, E, generator=g)
    sentences = torch.randn(9, E, generator=g)
    compare(
        "eq. 1, an image's 9 sentences",
        lambda: prerank(embeddings, sentences, N),
        lambda: plain_ranking(embeddings, sentences),
    )
    scores = torch.randn(B, B * N, generator=g)
    ids = torch.randint(0, 10_000, (B,), generator=g)
    none = torch.zeros(B, N, dtype=torch.bool)
    compare("eq. 4, a batch", lambda: mask_contrast(scores, ids, none), lambda: plain_contrast(scores, ids))

    proposals, text = tables(refs)
    for name, consistency in (("eq. 4", 0.0), ("eq. 4 and 5", 1.0)):
        start = time.perf_counter()
        train(proposals, text, replace(TINY.es3net, epochs=1, consistency=consistency), seed=0)
        took = time.perf_counter() - start
        print(
            f"an epoch of {refs} refs by {name}: {took:.0f} s, {refs / B / took:.1f} steps a second, ranking included"
        )


if __name__ == "__main__":
    print(__doc__) if "--help" in sys.argv else main(*map(int, sys.argv[1:]))
