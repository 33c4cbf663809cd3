#!/usr/bin/env bash
# RefCOCO's sentences have 3.5 words. BLEU between a corpus of three-word sentences and itself is 0, as there is no
# four-gram in it; sentence by sentence the same sentences get 100. And one long sentence that is right lifts a hundred
# wrong short ones.
# Guessed: 100 for equal texts, whichever function.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --no-compile --disable-pip-version-check \
    sacrebleu==2.6.0
venv/bin/python - <<'PYTHON'
from importlib.metadata import version

import sacrebleu

sentences = ["left red cup", "guy on right", "woman in blue", "second zebra back"]
corpus = sacrebleu.corpus_bleu(sentences, [sentences]).score
each = [sacrebleu.sentence_bleu(s, [s]).score for s in sentences]
chrf = sacrebleu.corpus_chrf(sentences, [sentences]).score
long = ["man in the blue shirt"]
one_long = sacrebleu.corpus_bleu(sentences + long, [sentences + long]).score
wrong = sacrebleu.corpus_bleu(["left cup"] * 100 + long, [["right mug"] * 100 + long]).score
print("sacrebleu", version("sacrebleu"))
print(f"  four sentences of three words against themselves: corpus {corpus:.0f}, each {each[0]:.0f}, chrF {chrf:.0f}")
print(f"  with one of five words besides: {one_long:.0f}")
print(f"  a hundred of two words, all of them wrong, and that one: {wrong:.1f}")
assert corpus == 0 and all(round(score) == 100 for score in each) and round(chrf) == 100, "it has changed"
assert round(one_long) == 100 and 10 < wrong < 25, "it has changed"
print("holds: equal short sentences have nothing in common")
PYTHON
