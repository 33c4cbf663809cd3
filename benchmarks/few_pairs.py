"""From how many images on the alignment is worth training: beside zero-shot CLIP, which nothing is trained for.

    python benchmarks/few_pairs.py [--images 20 40 80 160 320 640 1200] [--seeds 0 1 2] [--epochs 12]
                                   [--geometry 3d] [--truth]

Trains on N images of SynRef's train, drawn anew by each seed (profile tiny, corpus refcoco), and judges all sentences
of val, and those of the N images themselves, whose masks no training reads. Few images mean few steps in as many
epochs, so --epochs. --truth: the same layers learn the best proposal from true masks, by cross entropy over the
candidates in place of eq. 4 and 5: what there is to learn in so few images. Prints a table: mean over seeds and their
standard deviation as a population.
"""

import argparse

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from wsris_lib import baselines
from wsris_lib.config import profiles
from wsris_lib.config.settings import Es3netConfig
from wsris_lib.es3net.alignment import Alignment
from wsris_lib.es3net.candidates import ProposalTable, SentenceTable, candidate_table, gathered
from wsris_lib.es3net.esem import COORDINATES
from wsris_lib.es3net.predict import choose
from wsris_lib.es3net.train import new_model, train
from wsris_lib.metrics import subsets
from wsris_lib.pipeline import Run, es3net

HEAD = ("images", "sentences", "steps", "val mIoU", "position-dependent", "its own images", "different choices")


def ious_of(run: Run, split: str) -> NDArray[np.float64]:
    """IoU of every proposal of its image with what a sentence means, [S, most proposals]; NaN beyond an image's own."""
    evaluation = run.evaluation(split)
    masks = evaluation.proposal_masks()
    table = np.full((len(evaluation.samples), max(map(len, masks.values()))), np.nan)
    for row, sample, truth in zip(table, evaluation.samples, evaluation.truths()):
        own = list(masks[sample.image_id])
        row[: len(own)] = coco_mask.iou(own, [truth], [0])[:, 0]
    return table


def of_images(sentences: SentenceTable, image_ids: list[int]) -> tuple[SentenceTable, list[int]]:
    """The sentences about some images alone, and which rows of the table these are."""
    rows = [row for row, image_id in enumerate(sentences.image_ids) if image_id in set(image_ids)]
    paraphrases = None if sentences.paraphrases is None else sentences.paraphrases[rows]
    words = None if sentences.words is None else [sentences.words[row] for row in rows]
    ids = [sentences.image_ids[row] for row in rows]
    return SentenceTable(ids, sentences.clip_text[rows], sentences.text[rows], paraphrases, words), rows


def fit_truth(
    proposals: ProposalTable, sentences: SentenceTable, ious: NDArray[np.float64], settings: Es3netConfig, seed: int
) -> Alignment:
    """Eq. 3 taught with the proposal that fits best, an upper bound; ious [S, most proposals of an image]."""
    model = new_model(proposals, sentences, settings, seed)
    candidates = candidate_table(proposals, sentences, settings.candidates_eval)  # [S, N]
    padded = candidates < 0
    first = torch.tensor([proposals.offsets[image_id][0] for image_id in sentences.image_ids])
    fit = torch.from_numpy(ious).gather(1, (candidates - first[:, None]).clamp(min=0))
    target = fit.masked_fill(padded, -1).argmax(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=0)
    shuffling = torch.Generator().manual_seed(seed)
    tables = proposals.near("cpu")
    for _ in range(settings.epochs):
        for batch in torch.randperm(len(candidates), generator=shuffling).split(settings.batch):
            features = gathered(tables, candidates[batch].clamp(min=0))
            scores = model(*features, sentences.text[batch][:, None]).squeeze(1)  # [B, N]
            loss = F.cross_entropy(scores.masked_fill(padded[batch], -torch.inf), target[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


def mean_iou(table: NDArray[np.float64], chosen: torch.Tensor) -> float:
    """In percent; table [S, proposals], chosen long [S], none of them -1 as every image here has proposals."""
    assert bool((chosen >= 0).all())
    return 100 * float(np.nanmean(table[np.arange(len(chosen)), chosen.numpy()]))


def different(image_ids: list[int], chosen: torch.Tensor) -> float:
    """How many proposals the sentences of an image choose between them, mean over images."""
    picks: dict[int, set[int]] = {}
    for image_id, one in zip(image_ids, chosen.tolist()):
        picks.setdefault(image_id, set()).add(one)
    return float(np.mean([len(several) for several in picks.values()]))


def main() -> None:
    """Train and judge every size, and print the table as it grows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usual = profiles.PROFILES["tiny"].es3net
    parser.add_argument("--images", type=int, nargs="+", default=[20, 40, 80, 160, 320, 640, 1200])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=usual.epochs)
    parser.add_argument("--geometry", choices=COORDINATES, default=usual.geometry)
    parser.add_argument("--truth", action="store_true")
    options = parser.parse_args()
    run = Run(profiles.load("tiny", **{"es3net.epochs": options.epochs, "es3net.geometry": options.geometry}))
    settings = run.profile.es3net
    proposals, sentences = es3net.training_tables(run)
    pool = es3net.proposal_table(run, "val")
    val = run.evaluation("val")
    truths = {split: ious_of(run, split) for split in ("train", "val")}
    leaning = subsets(val.samples)["position_dependent"]

    def shown(chosen: torch.Tensor) -> list[float]:
        some = mean_iou(truths["val"][leaning], chosen[leaning])
        return [mean_iou(truths["val"], chosen), some, different(val.sentences.image_ids, chosen)]

    taught = ", from true masks" if options.truth else ""
    print(f"{options.epochs} epochs, geometry {options.geometry}, {len(options.seeds)} seeds{taught}\n")
    print(f"| {' | '.join(HEAD)} |")
    print("|---" * len(HEAD) + "|")
    for name, chosen in (
        ("none: a random proposal", baselines.random_proposal(pool, val.sentences, options.seeds[0])),
        ("none: zero-shot CLIP", baselines.zero_shot_clip(pool, val.sentences)),
    ):
        every, some, picks = shown(chosen)
        print(f"| {name} | 0 | 0 | {every:.1f} | {some:.1f} | | {picks:.1f} |")
    for images in options.images:
        several = []
        for seed in options.seeds:
            ids = np.random.default_rng(seed).permutation(list(proposals.offsets))[:images].tolist()
            own, rows = of_images(sentences, ids)
            if options.truth:
                model = fit_truth(proposals, own, truths["train"][rows], settings, seed)
            else:
                model = train(proposals, own, settings, seed).model
            judged = (settings.candidates_eval, settings.temperature)
            here = mean_iou(truths["train"][rows], choose(model, proposals, own, *judged)[0])
            every, some, picks = shown(choose(model, pool, val.sentences, *judged)[0])
            several.append([len(rows), -(-len(rows) // settings.batch) * settings.epochs, every, some, here, picks])
        table = np.array(several)
        counts = [f"{count:,.0f}" for count in table[:, :2].mean(0)]
        means = [f"{mean:.1f} ± {std:.1f}" for mean, std in zip(table[:, 2:5].mean(0), table[:, 2:5].std(0))]
        print(f"| {' | '.join([str(images), *counts, *means, f'{table[:, 5].mean():.1f}'])} |", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
