#!/usr/bin/env bash
# COCO's evaluation of masks, by size of object. The same two answers, with and without a `bbox` field beside the mask:
# `loadRes` then takes the box's area for the mask's. A thin, slanting wrong answer is no longer a small object, no
# longer counts as a mistake among small ones, and AP for small objects doubles. Only the first answer is looked at
# to decide that, so one with a box changes how all are read.
# Guessed: a judgement of masks looks at masks; nothing changes.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --no-compile --disable-pip-version-check \
    pycocotools==2.0.11 \
    numpy==2.4.6
venv/bin/python - <<'PYTHON'
import contextlib
import io
from importlib.metadata import version

import numpy as np
from pycocotools import mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def rle(pixels):
    code = mask.encode(np.asfortranarray(pixels, dtype=np.uint8))
    return dict(size=code["size"], counts=code["counts"].decode("ascii"))


y, x = np.mgrid[:80, :80]
cup = (x < 20) & (y < 20)
stick = (abs(x - y) < 3) & (x > 25)


def small(with_boxes):
    truth = dict(id=1, image_id=1, category_id=1, segmentation=rle(cup), area=400, bbox=[0, 0, 20, 20], iscrowd=0)
    answers = []
    for pixels, score in ((stick, 0.9), (cup, 0.8)):
        answer = dict(image_id=1, category_id=1, segmentation=rle(pixels), score=score)
        box = dict(bbox=mask.toBbox(rle(pixels)).tolist())
        answers.append(answer | (box if with_boxes else {}))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = dict(info={}, images=[dict(id=1, height=80, width=80)], annotations=[truth],
                            categories=[dict(id=1, name="cup")])
        coco.createIndex()
        results = coco.loadRes(answers)
        judged = COCOeval(coco, results, "segm")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    return int(results.anns[1]["area"]), round(float(judged.stats[3]), 2)


print("pycocotools", version("pycocotools"), f"; the stick has {stick.sum()} pixels")
without = small(False)
beside = small(True)
print("  masks alone:        area %d, AP of small objects %.2f" % without)
print("  with boxes beside:  area %d, AP of small objects %.2f" % beside)
assert without == (int(stick.sum()), 0.5) and beside == (3024, 1.0), "the behaviour has changed"
print("holds: a box beside a mask changes what the mask is worth")
PYTHON
