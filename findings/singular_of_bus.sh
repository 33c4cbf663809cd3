#!/usr/bin/env bash
# To compare the things that sentences name, one brings them into the singular. inflect's `singular_noun` says False
# of a word that is singular already; but a bus is the plural of a bu, a lens of a len, and tennis of tenni, while
# glass and dress are known.
# Guessed: False for all of the singular words.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --no-compile --disable-pip-version-check \
    inflect==7.6.0
venv/bin/python - <<'PYTHON'
from importlib.metadata import version

import inflect

singular = inflect.engine().singular_noun
words = "giraffes bicycles glass dress grass boss bus lens gas canvas cactus tennis this us".split()
result = {word: singular(word) for word in words}
print("inflect", version("inflect"))
for word, noun in result.items():
    print(f"  {word:10s} {noun}")
expected = dict(giraffes="giraffe", bicycles="bicycle", glass=False, dress=False, grass=False, boss=False, bus="bu",
                lens="len", gas="ga", canvas="canva", cactus="cactu", tennis="tenni", this="thi", us="me")
assert result == expected, "it has changed"
print("holds: one of the commonest things in COCO's photographs is the plural of a bu")
PYTHON
