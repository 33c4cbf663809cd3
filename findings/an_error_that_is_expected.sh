#!/usr/bin/env bash
# A cell shows an error on purpose and has the tag for it, `raises-exception`. nbclient, nbconvert and nbval take the
# error for the result that it is. papermill too goes on to the last cell, and then fails the notebook for it.
# Guessed: all of them alike, as papermill runs cells by nbclient.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --no-compile --disable-pip-version-check \
    papermill==2.7.0 \
    nbclient==0.11.0 \
    nbformat==5.11.1 \
    ipykernel==7.4.0 \
    nbval==0.11.0 \
    nbconvert==7.17.2 \
    pytest==9.2.0
venv/bin/python - <<'PYTHON'
import subprocess
import sys
from importlib.metadata import version

import papermill
from nbformat import read, write
from nbformat.v4 import new_code_cell, new_notebook
from papermill.exceptions import PapermillExecutionError

cells = [new_code_cell("1 / 0", metadata=dict(tags=["raises-exception"])), new_code_cell("print('the end')")]
kernel = dict(name="python3", display_name="Python 3", language="python")
write(new_notebook(cells=cells, metadata=dict(kernelspec=kernel)), "lesson.ipynb")


def status(*words):
    return subprocess.run([sys.executable, "-m", *words], capture_output=True).returncode


result = {
    "nbval": status("pytest", "--nbval-lax", "--nbval-current-env", "lesson.ipynb"),
    "nbconvert": status("nbconvert", "--to", "notebook", "--execute", "--output", "by_nbconvert", "lesson.ipynb"),
}
try:
    papermill.execute_notebook("lesson.ipynb", "by_papermill.ipynb", progress_bar=False, log_output=False)
    result["papermill"] = 0
except PapermillExecutionError as why:
    result["papermill"] = why.ename
last = [cell for cell in read("by_papermill.ipynb", as_version=4).cells if cell.cell_type == "code"][-1]
for tool, outcome in result.items():
    print(f"  {tool:10s} {version(tool):8s} {outcome}")
print("  papermill ran the cell after the error:", last.outputs[0].text.strip())
assert result == dict(nbval=0, nbconvert=0, papermill="ZeroDivisionError"), "it has changed"
assert last.outputs[0].text == "the end\n", "it has changed"
print("holds: what is expected fails in one of three runners, after everything has run")
PYTHON
