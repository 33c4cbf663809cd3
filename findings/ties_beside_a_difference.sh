#!/usr/bin/env bash
# Two methods on the same sentences, most of which both answer alike: Wilcoxon's signed-rank test leaves out the ties.
# Three differences have p = .25, the least that three can have, and still .25 beside ten ties; beside eleven it is
# .11, as the number of sentences with the ties, not without, decides whether the exact distribution is used. And
# where nothing differs, p isn't 1 but not a number.
# Guessed: .25 with or without ties, 1 for no difference.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --no-compile --disable-pip-version-check \
    scipy==1.17.1 \
    numpy==2.4.6
venv/bin/python - <<'PYTHON'
import warnings

import numpy as np
import scipy
from scipy.stats import wilcoxon

warnings.simplefilter("ignore")
differences = np.array([0.1, 0.2, 0.3])
alone = wilcoxon(differences).pvalue
beside = {ties: wilcoxon(np.r_[np.zeros(ties), differences]).pvalue for ties in (10, 11, 1000)}
nothing = wilcoxon(np.zeros(100)).pvalue
print("scipy", scipy.__version__)
print(f"  three differences: p = {alone:.3f}")
print(*[f"  the same beside {ties} ties: {p:.3f}" for ties, p in beside.items()], sep="\n")
print(f"  ties alone: {nothing}")
assert [round(p, 3) for p in (alone, *beside.values())] == [0.25, 0.25, 0.109, 0.109], "it has changed"
assert np.isnan(nothing), "it has changed"
print("holds: sentences on which two methods agree make their difference more significant")
PYTHON
