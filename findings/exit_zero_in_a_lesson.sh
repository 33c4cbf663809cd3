#!/usr/bin/env bash
# A cell calls `sys.exit(0)`, as a script does when there is nothing left to do. papermill stops there, counts that as
# success and returns 0: the cells behind it, checks included, never ran. nbclient alone, on which papermill is built,
# fails.
# Guessed: both fail; an exception is an exception.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --no-compile --disable-pip-version-check \
    papermill==2.7.0 \
    nbclient==0.11.0 \
    nbformat==5.11.1 \
    ipykernel==7.4.0
venv/bin/python - <<'PYTHON'
from importlib.metadata import version

import papermill
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import read, write
from nbformat.v4 import new_code_cell, new_notebook

cells = ["print('begin')", "import sys; sys.exit(0)", "assert False, 'never reached'"]
kernel = dict(name="python3", display_name="Python 3", language="python")
notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells], metadata=dict(kernelspec=kernel))
write(notebook, "lesson.ipynb")
papermill.execute_notebook("lesson.ipynb", "done.ipynb", progress_bar=False, log_output=False)
done = read("done.ipynb", as_version=4)
try:
    NotebookClient(notebook).execute()
    alone = "finished"
except CellExecutionError as why:
    alone = f"CellExecutionError ({why.ename})"
states = [cell.metadata.papermill.status for cell in done.cells]
print("papermill", version("papermill"), "nbclient", version("nbclient"))
print("  papermill: no error; its cells are", *states)
print("  nbclient: ", alone)
assert states[0] == "completed" and states[2] == "pending" and alone.endswith("(SystemExit)"), "it has changed"
print("holds: a lesson that ends in its middle has succeeded")
PYTHON
