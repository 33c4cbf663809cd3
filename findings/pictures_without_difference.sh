#!/usr/bin/env bash
# Whether two figures differ, by the usual line `ImageChops.difference(a, b).getbbox()`. Saved figures have an alpha
# channel. The difference of two opaque pictures has alpha 0 everywhere, and `getbbox` looks at alpha alone where
# there is one: a red and a blue picture are equal.
# Guessed: a box, as for RGB.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --no-compile --disable-pip-version-check \
    pillow==13.0.0
venv/bin/python - <<'PYTHON'
import PIL
from PIL import Image, ImageChops

red = Image.new("RGBA", (9, 9), "red")
blue = Image.new("RGBA", (9, 9), "blue")
with_alpha = ImageChops.difference(red, blue).getbbox()
without = ImageChops.difference(red.convert("RGB"), blue.convert("RGB")).getbbox()
colours = ImageChops.difference(red, blue).getbbox(alpha_only=False)
print("Pillow", PIL.__version__)
print("  red and blue, RGBA:", with_alpha)
print("  the same as RGB:   ", without)
print("  RGBA with alpha_only=False:", colours)
assert with_alpha is None and without == colours == (0, 0, 9, 9), "it has changed"
print("holds: two figures without a pixel in common have no difference")
PYTHON
