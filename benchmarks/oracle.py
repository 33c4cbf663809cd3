"""How good the best proposal is, of things and of parts, and how many proposals an image has.

    python benchmarks/oracle.py [SAM2 [DETECTOR [NMS_IOU [LIMIT]]]]

Each sentence of SynRef's val (profile tiny, corpus refcoco), original resolution. SAM2 and DETECTOR are names that
`wsris_lib.frozen.checkpoints` knows (default zoo:sam2, zoo:detector), so folders too; NMS_IOU and LIMIT replace the
profile's `proposals.nms_iou` and `proposals.limit`. The order is the proposer's own (scores of boxes) or CLIP's for
the sentence (ES3Net eq. 1), whose first N are the candidates. The truth is opened here to judge and trains nothing.
"""

import sys
from dataclasses import replace

import numpy as np
import torch
from pycocotools import mask as coco_mask

from wsris_lib.config import profiles
from wsris_lib.es3net.ranking import prerank
from wsris_lib.frozen.clip import ClipEncoder
from wsris_lib.frozen.extractor import Proposer
from wsris_lib.frozen.image_cache import BATCH
from wsris_lib.pipeline import Run
from wsris_lib.refer.masks import encode_rle

FIRST = (5, 10, 25)
MANY = 20


def best_of_first(ious: np.ndarray, order: np.ndarray) -> list[float]:
    """ious [N] of one sentence, best first by `order` (indices): the best of the first 5, 10 and 25, and of all."""
    running = np.maximum.accumulate(ious[order])
    return [float(running[min(n, len(running)) - 1]) for n in (*FIRST, len(running))]


def main() -> None:
    names = dict(zip(("sam2", "detector"), sys.argv[1:3]))
    profile = profiles.load("tiny", **names)
    given = [kind(word) for kind, word in zip((float, int), sys.argv[3:5])]
    profile = replace(profile, proposals=replace(profile.proposals, **dict(zip(("nms_iou", "limit"), given))))
    propose = Proposer(profile)
    clip = ClipEncoder(profile.clip, profile.device, crop=profile.crop)
    view = Run(profile).corpus.evaluation_view(profile.val_split)
    samples: dict[int, list] = {}
    for sample in view:
        samples.setdefault(sample.image_id, []).append(sample)
    rows = []
    counts = []
    ids = list(samples)
    for start in range(0, len(ids), BATCH):
        pictures = [view.image(image_id) for image_id in ids[start : start + BATCH]]
        for image_id, picture, own in zip(ids[start:], pictures, propose(pictures)):
            masks = [encode_rle(mask.numpy()) for mask in own.masks]
            counts.append(len(masks))
            _, embeddings = clip.crops(picture, own.masks)
            texts = clip.sentences([sample.sentence for sample in samples[image_id]])
            orders = prerank(embeddings, texts, len(masks)).numpy()
            for sample, order in zip(samples[image_id], orders):
                truth = [encode_rle(view.mask(sample.ann_id))]
                ious = coco_mask.iou(masks, truth, [0])[:, 0]
                plain = best_of_first(ious, np.arange(len(masks)))
                rows.append([bool(sample.part), *plain, *best_of_first(ious, order)[:-1]])
    table = np.array(rows, float)
    print(f"{profile.sam2}, {profile.detector}, nms_iou {profile.proposals.nms_iou}, limit {profile.proposals.limit}")
    share = 100 * np.mean(np.array(counts) >= MANY)
    print(f"{len(counts)} images, {np.mean(counts):.1f} proposals an image, {MANY} or more in {share:.0f} % of them")
    head = [f"first {n}" for n in FIRST] + ["all"] + [f"CLIP's {n}" for n in FIRST]
    print(f"{'mIoU of the best (%)':24}" + "".join(f"{word:>11}" for word in head))
    part = table[:, 0] > 0
    for name, group in (("all sentences", part | True), ("things", ~part), ("parts", part)):
        values = "".join(f"{100 * value:11.1f}" for value in table[group, 1:].mean(0))
        print(f"{name + f' ({group.sum()})':24}{values}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(__doc__) if "--help" in sys.argv else main()
