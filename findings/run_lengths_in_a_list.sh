#!/usr/bin/env bash
# RRSIS-D and refclef keep an object as a *list* of compressed run lengths, one a part. Each is what COCO's own `encode`
# writes, and alone it is read; in a list of one, pycocotools' `annToMask` takes it for uncompressed run lengths
# and tries to read the compressed text as a number.
# Guessed: it works, as lists of polygons do.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --no-compile --disable-pip-version-check \
    pycocotools==2.0.11 \
    numpy==2.4.6
venv/bin/python - <<'PYTHON'
from importlib.metadata import version

import numpy as np
from pycocotools import mask
from pycocotools.coco import COCO

square = np.zeros((60, 60), np.uint8, order="F")
square[10:20, 10:20] = 1
compressed = mask.encode(square)
compressed["counts"] = compressed["counts"].decode("ascii")
plain = dict(size=[60, 60], counts=[610, *[10, 50] * 9, 10, 2400])


def pixels(segmentation):
    coco = COCO()
    coco.imgs = {1: dict(id=1, height=60, width=60)}
    try:
        return int(coco.annToMask(dict(image_id=1, segmentation=segmentation)).sum())
    except Exception as why:
        return f"{type(why).__name__}: {str(why)[:60]}"


print("pycocotools", version("pycocotools"))
result = {"compressed": pixels(compressed), "compressed, in a list": pixels([compressed]),
          "plain": pixels(plain), "plain, in a list": pixels([plain])}
for kind, outcome in result.items():
    print(f"  {kind:22s} {outcome}")
alone, listed, *others = result.values()
assert alone == 100 and others == [100, 100], "the behaviour has changed"
assert str(listed).startswith("ValueError: invalid literal for int()"), "the behaviour has changed"
print("holds: of four ways to store one mask, the one that RRSIS-D has is refused")
PYTHON
