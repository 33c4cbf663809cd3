#!/usr/bin/env bash
# An annotation whose id is 0 can't be found by COCO's evaluation: answers that are the truth itself get an AP of .25
# where two objects have the ids 0 and 1, and 1.00 with the ids 1 and 2. COCO's files never have an id of 0; files
# that are numbered by `enumerate` do.
# Guessed: AP 1.00 both times; an id is only a name.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --no-compile --disable-pip-version-check \
    pycocotools==2.0.11 \
    faster-coco-eval==1.8.0 \
    numpy==2.4.6
venv/bin/python - <<'PYTHON'
import contextlib
import io
import warnings
from importlib.metadata import version

from faster_coco_eval import COCO as FasterCOCO
from faster_coco_eval import COCOeval_faster
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

warnings.simplefilter("ignore")


def objects(first):
    for k in range(2):
        outline = [[10 * k, 0, 10 * k + 8, 0, 10 * k + 8, 40, 10 * k, 40]]
        box = [10 * k, 0, 8, 40]
        yield dict(id=first + k, image_id=1, category_id=1, segmentation=outline, area=320, bbox=box, iscrowd=0)


def precision(first, corpus, evaluation):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = corpus()
        images = [dict(id=1, height=60, width=60)]
        truth.dataset = dict(info={}, images=images, annotations=list(objects(first)),
                             categories=[dict(id=1, name="cup")])
        truth.createIndex()
        answers = [dict(image_id=1, category_id=1, segmentation=truth.annToRLE(a), score=0.9) for a in objects(first)]
        judged = evaluation(truth, truth.loadRes(answers), "segm")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    return round(float(judged.stats[0]), 2)


result = {}
for package, *parts in (("pycocotools", COCO, COCOeval), ("faster-coco-eval", FasterCOCO, COCOeval_faster)):
    result[package] = [precision(first, *parts) for first in (1, 0)]
    print(package, version(package), "AP of the truth itself, ids from 1 and from 0:", *result[package])
assert set(map(tuple, result.values())) == {(1.0, 0.25)}, "the behaviour has changed"
print("holds: an object with the id 0 is never found")
PYTHON
