#!/usr/bin/env bash
# A part of an outline that has two points only, as labelling tools leave them, next to a whole triangle. Two packages
# with one interface: pycocotools refuses the object if that part comes first, with a message about boxes, and reads
# it if it comes second; faster-coco-eval, if it comes first, takes *all* parts for boxes (x, y, width, height):
# from a line of no area and the triangle's first four numbers come 900 and 400 pixels.
# Guessed: nothing from two points, the triangle's 45 pixels either way, both packages alike.
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
from importlib.metadata import version

import faster_coco_eval.core.mask as faster
from pycocotools import mask

line = [10, 10, 30, 30]
triangle = [40, 40, 50, 40, 50, 50]


def areas(package, parts):
    try:
        return package.area(package.frPyObjects(parts, 60, 60)).tolist()
    except TypeError as why:
        return f"TypeError: {why}"


result = {}
for name, package in (("pycocotools", mask), ("faster-coco-eval", faster)):
    result[name] = areas(package, [line, triangle]), areas(package, [triangle, line])
    print(name, version(name))
    print("  the line first:    ", result[name][0])
    print("  the triangle first:", result[name][1])
refused, read = result["pycocotools"]
assert "'bb' has incorrect type" in refused and read == [45, 0], "pycocotools has changed"
assert result["faster-coco-eval"] == ([900, 400], [45, 0]), "faster-coco-eval has changed"
print("holds: which part comes first decides between an error, 1300 pixels and 45")
PYTHON
