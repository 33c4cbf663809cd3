"""What dense CRF leaves of *true* masks, a ceiling of EHIN's labels after it, and how it moves plain outlines.

    python benchmarks/crf_ceiling.py [DATA] [PROFILE] [OBJECTS]

DATA: a corpus in the REFER layout (default ../shared/refcoco_mini, whose photographs are a few hundred), PROFILE: whose
constants (default paper), OBJECTS: how many of val and then of train are drawn at random (default 120). A photograph of
640 x 480 takes a second. The truth is opened here to judge and trains nothing.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from wsris_lib.config import profiles
from wsris_lib.config.settings import RefineConfig
from wsris_lib.metrics import measure, summarise
from wsris_lib.refer.reader import Refer
from wsris_lib.refine.refiner import by_crf, confidence

SHARED = Path(__file__).resolve().parents[2] / "shared" / "refcoco_mini"
DISCS = (0.1, 0.2, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.9)  # shares of a plain picture


def ceiling(data: Path, settings: RefineConfig, number: int) -> None:
    """The CRF on true masks of photographs, seen at settings.side."""
    refer = Refer(data)
    rows = []
    confident = []
    for split in ("val", "train"):
        view = refer.evaluation_view(split)
        objects = sorted({(sample.ann_id, sample.image_id) for sample in view})
        for k in np.random.default_rng(0).permutation(len(objects))[: number - len(rows)]:
            ann_id, image_id = objects[k]
            image = view.image(image_id)
            truth = view.mask(ann_id)
            after = by_crf(settings)(image, truth[None].astype(np.float32))[0]
            rows.append((truth.mean(), (after > 0.5).sum() / truth.sum(), measure(after, truth)))
            confident.append(confidence(truth[None], after[None])[0])
    area, change, measures = zip(*rows)
    iou = np.array([m.iou for m in measures])
    summary = summarise(measures)
    print(
        f"{len(rows)} true masks: mIoU {100 * summary['mIoU']:.1f}, oIoU {100 * summary['oIoU']:.1f}, smallest IoU",
        end=" ",
    )
    print(f"{100 * iou.min():.1f}, {sum(c == 0 for c in change)} erased, below .9: {(iou < 0.9).sum()}", end="; ")
    print(f"area after, of that before: {np.mean(change):.2f}")
    for part in np.array_split(np.argsort(area), 3):
        bounds = f"{100 * area[part[0]]:.1f} to {100 * area[part[-1]]:.1f} % of the image"
        print(f"    {bounds}: mIoU {100 * iou[part].mean():.1f}")


def discs(settings: RefineConfig, side: int = 320) -> None:
    """A disc on a plain picture: outlines run by their curvature, the object's or the ground's."""
    image = Image.new("RGB", (side, side), (128,) * 3)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    for share in DISCS:
        disc = (x**2 + y**2 < share * side**2 / np.pi)[None].astype(np.float32)
        after = by_crf(settings)(image, disc)
        print(f"    a disc of {100 * share:.0f} % becomes {100 * (after > 0.5).mean():.1f} %", end=", ")
        print(f"confidence {confidence(disc, after)[0]:.2f}")


def main() -> None:
    given = dict(enumerate(sys.argv[1:]))
    settings = profiles.PROFILES[given.get(1, "paper")].refine
    print(f"constants: {settings.near_px} px x {settings.near_weight}, {settings.far_px} px and", end=" ")
    print(f"{settings.far_colour} of 255 x {settings.far_weight}, certainty {settings.certainty}, side {settings.side}")
    ceiling(Path(given.get(0, SHARED)), settings, int(given.get(2, 120)))
    discs(settings)


if __name__ == "__main__":
    print(__doc__) if "--help" in sys.argv else main()
