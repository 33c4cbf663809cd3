#!/usr/bin/env bash
# Documentation by Sphinx with myst-nb, execution "auto": what has its outputs is shown as stored, the rest is run.
# An executed notebook in which one cell has nothing to show, an import or an assignment, counts as one without
# outputs: every cell is run anew in the process that builds the pages, and the stored results are thrown away. With
# the assignment in the printing cell they stay.
# Guessed: outputs in any cell show that it was executed.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --no-compile --disable-pip-version-check \
    myst-nb==1.4.0 \
    sphinx==9.0.4 \
    ipykernel==7.4.0 \
    nbformat==5.11.1
venv/bin/python - <<'PYTHON'
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from nbformat import write
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

stored = [new_output("stream", name="stdout", text="after 40 hours\n")]
kernel = dict(name="python3", display_name="Python 3", language="python")
lessons = {
    "two_cells": [new_code_cell("hours = 0", execution_count=1),
                  new_code_cell("print(f'after {hours} hours')", execution_count=2, outputs=stored)],
    "one_cell": [new_code_cell("hours = 0\nprint(f'after {hours} hours')", execution_count=1, outputs=stored)],
}
Path("source").mkdir()
Path("source/conf.py").write_text("extensions = ['myst_nb']\nnb_execution_mode = 'auto'\n")
Path("source/index.md").write_text("# Lessons\n\n```{toctree}\none_cell\ntwo_cells\n```\n")
for name, cells in lessons.items():
    notebook = new_notebook(cells=[new_markdown_cell(f"# {name}"), *cells], metadata=dict(kernelspec=kernel))
    write(notebook, f"source/{name}.ipynb")
build = [sys.executable, "-m", "sphinx", "-q", "-b", "html", "source", "pages"]
subprocess.run(build, check=True, stderr=subprocess.DEVNULL)
print("myst-nb", version("myst-nb"), "Sphinx", version("sphinx"))
result = {}
for name in lessons:
    page = Path(f"pages/{name}.html").read_text()
    result[name] = next(hours for hours in (0, 40) if f"after {hours} hours" in page)
    print(f"  {name:10s} stored 'after 40 hours', shown 'after {result[name]} hours'")
assert result == dict(two_cells=0, one_cell=40), "it has changed"
print("holds: a line that prints nothing makes the page forget its results")
PYTHON
