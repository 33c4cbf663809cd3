#!/usr/bin/env bash
# scikit-learn's list of English stop words is about grammar, but it has half of what referring sentences are made of:
# top and bottom, front and back, first, third, next, last, side, even fire, thick and thin. It has neither left nor
# right, second nor middle. So "top one" and "bottom one" become the same empty text, and a fire hydrant a hydrant.
# A token has two letters or more besides, so shirt number 7 and a bare l or r go too.
# Guessed: above, below, between; no word that answers "which one".
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --no-compile --disable-pip-version-check \
    scikit-learn==1.9.1 \
    numpy==2.4.6 \
    scipy==1.17.1
venv/bin/python - <<'PYTHON'
from importlib.metadata import version

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer

words = "left right top bottom front back first second third next last middle side fire thick thin".split()
dropped = [word for word in words if word in ENGLISH_STOP_WORDS]
analyse = CountVectorizer(stop_words="english").build_analyzer()
sentences = ["top one", "bottom one", "the third in front", "fire hydrant behind the bus", "number 7", "left l"]
result = [analyse(sentence) for sentence in sentences]
print("scikit-learn", version("scikit-learn"), f"; {len(ENGLISH_STOP_WORDS)} stop words")
print("  of", *words)
print("  dropped:", *dropped)
for sentence, tokens in zip(sentences, result):
    print(f"  {sentence!r:32} {tokens}")
kept = [word for word in words if word not in dropped]
assert kept == ["left", "right", "second", "middle"], "the list has changed"
assert result == [[], [], [], ["hydrant", "bus"], ["number"], ["left"]], "it has changed"
print("holds: top, bottom and third are nothing, left and second are something")
PYTHON
