#!/usr/bin/env bash
# A lesson offers masks to choose from: `interact(show, mask={"cup": array, "table": array})`. ipywidgets compares the
# choices by ==; numpy refuses to call an array of answers true or false, and ipywidgets takes that refusal for "value
# not found", in a menu that it was just given. Masks of one pixel work, and so do lists.
# Guessed: a menu with two entries, or numpy's own message.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --no-compile --disable-pip-version-check \
    ipywidgets==8.1.9 \
    numpy==2.4.6
venv/bin/python - <<'PYTHON'
from importlib.metadata import version

import numpy as np
from ipywidgets import Dropdown


def menu(cup, table):
    try:
        return f"a menu, {Dropdown(options=dict(cup=cup, table=table)).label} chosen"
    except Exception as why:
        return f"{type(why).__name__}: {why}"


pixel = np.ones((1, 1))
result = {
    "arrays": menu(np.zeros((4, 4)), np.ones((4, 4))),
    "lists": menu([[0, 0]], [[1, 1]]),
    "arrays of one pixel": menu(0 * pixel, pixel),
}
print("ipywidgets", version("ipywidgets"), "numpy", np.__version__)
for kind, outcome in result.items():
    print(f"  {kind:20s} {outcome}")
assert result["arrays"] == "TraitError: Invalid selection: value not found", "it has changed"
assert result["lists"] == result["arrays of one pixel"] == "a menu, cup chosen", "it has changed"
print("holds: a menu doesn't find the array that it is made of")
PYTHON
