"""Our proposals beside transformers' `mask-generation` pipeline: same weights, images, grid of points and thresholds.

    python benchmarks/proposals.py [CHECKPOINT] [IMAGES]

CHECKPOINT is a name that `wsris_lib.frozen.checkpoints` knows (default zoo:sam2), IMAGES a number of SynRef
scenes (default 32). Compare on trained weights only: random ones make ragged masks, which slow the pipeline down.
"""

import sys
import time

import torch
from PIL import Image
from transformers import pipeline

from wsris_lib.config import profiles
from wsris_lib.frozen.checkpoints import resolve
from wsris_lib.frozen.extractor import Proposer
from wsris_lib.frozen.image_cache import BATCH
from wsris_lib.synref.web import load_web


def main() -> None:
    checkpoint = sys.argv[1] if len(sys.argv) > 1 else "zoo:sam2"
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 32
    profile = profiles.load("tiny", sam2=checkpoint)
    images = [Image.fromarray(image) for image in load_web(count, seed=1).images]
    setting = profile.proposals

    ours = Proposer(profile).sam2
    ours.everything(images[:2])  # the first call pays for what later ones reuse
    start = time.perf_counter()
    proposals = [p for i in range(0, count, BATCH) for p in ours.everything(images[i : i + BATCH])]
    own_seconds = time.perf_counter() - start

    theirs = pipeline("mask-generation", model=resolve(checkpoint), dtype=torch.float32)
    options = {
        "points_per_crop": setting.points_per_side,
        "points_per_batch": ours.batch,
        "pred_iou_thresh": setting.predicted_iou,
        "stability_score_thresh": setting.stability,
        "crops_nms_thresh": setting.nms_iou,  # of boxes, where ours is of masks
    }
    theirs(images[0], **options)
    start = time.perf_counter()
    masks = [len(theirs(image, **options)["masks"]) for image in images]
    their_seconds = time.perf_counter() - start

    print(f"{count} images, {setting.points_per_side}^2 points, {torch.get_num_threads()} threads")
    for name, seconds, kept in (
        ("ours", own_seconds, [len(p.scores) for p in proposals]),
        ("pipeline", their_seconds, masks),
    ):
        print(f"{name:9} {1000 * seconds / count:7.1f} ms an image, {sum(kept) / count:5.1f} masks")
    print(f"ratio     {their_seconds / own_seconds:7.2f}")


if __name__ == "__main__":
    print(__doc__) if "--help" in sys.argv else main()
