#!/usr/bin/env bash
# A spelling checker as a cleaner of referring sentences. It knows leftmost and frisbee, mends rigth and bananna, and
# turns the commonest words of place that RefCOCO's players ran together or cut short into other things, each with
# no sign of doubt.
# Guessed: topleft stays or becomes "top left", lft becomes left, rt becomes right.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --no-compile --disable-pip-version-check \
    pyspellchecker==0.9.1
venv/bin/python - <<'PYTHON'
from importlib.metadata import version

from spellchecker import SpellChecker

checker = SpellChecker()
words = "leftmost frisbee rigth bananna topleft lft rt infront rightside leftish tv".split()
result = {word: checker.correction(word) for word in words}
print("pyspellchecker", version("pyspellchecker"))
for word, correction in result.items():
    print(f"  {word:10s} {correction}")
expected = dict(leftmost="leftmost", frisbee="frisbee", rigth="right", bananna="banana", topleft="toilet", lft="let",
                rt="it", infront="front", rightside="rightsize", leftish="leftist", tv="to")
assert result == expected, "it has changed"
print("holds: the cup topleft is the cup toilet")
PYTHON
