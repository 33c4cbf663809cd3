#!/usr/bin/env bash
# The usual first cell of a notebook installs the package on Colab and nowhere else: an `if`, and in it one `%pip`.
# jupytext writes magics into a script as comments. Then the `if` has no body, and the whole script is no Python any
# more, although every cell ran; nbconvert's script of the same notebook runs.
# Guessed: jupytext puts a `pass` there, or leaves the magic to get_ipython().
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --no-compile --disable-pip-version-check \
    jupytext==1.19.6 \
    nbconvert==7.17.2 \
    nbformat==5.11.1 \
    ipython==9.18.1
venv/bin/python - <<'PYTHON'
import ast
from importlib.metadata import version

import jupytext
from nbconvert.exporters import PythonExporter
from nbformat.v4 import new_code_cell, new_notebook

first = new_code_cell('import sys\n\nif "google.colab" in sys.modules:\n    %pip install -q tqdm')
kernel = dict(name="python3", display_name="Python 3", language="python")
notebook = new_notebook(cells=[first, new_code_cell("print(1)")], metadata=dict(kernelspec=kernel))


def verdict(script):
    try:
        ast.parse(script)
        return "Python"
    except SyntaxError as why:
        return f"{type(why).__name__}: {why.msg}"


result = {f"jupytext {kind}": verdict(jupytext.writes(notebook, kind)) for kind in ("py:percent", "py:light")}
result["nbconvert"] = verdict(PythonExporter().from_notebook_node(notebook)[0])
print("jupytext", version("jupytext"), "nbconvert", version("nbconvert"))
for kind, outcome in result.items():
    print(f"  {kind:20s} {outcome}")
percent, light, converted = result.values()
assert "expected an indented block" in percent and "expected an indented block" in light, "it has changed"
assert converted == "Python", "it has changed"
print("holds: a notebook that runs becomes a script that doesn't parse")
PYTHON
