#!/usr/bin/env bash
# papermill runs a notebook, then nbval compares the stored outputs with a new run of the same, in which nothing is
# random. A line that is rewritten by `clear_output`, and a display that a later cell updates, both ways to show
# progress, fail: papermill stores what is left at the end, nbval collects everything that was ever shown.
# Guessed: it passes; both ways are part of the protocol.
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
    pytest==9.2.0
venv/bin/python - <<'PYTHON'
import subprocess
import sys
from importlib.metadata import version

import papermill
from nbformat import read, write
from nbformat.v4 import new_code_cell, new_notebook

lessons = {
    "plain": ["for k in range(3):\n    print('step', k)"],
    "rewritten": ["from IPython.display import clear_output\nfor k in range(3):\n    clear_output()\n    print('step', k)"],
    "updated": ["from IPython.display import display\nline = display('begin', display_id='a')", "line.update('end')"],
}
kernel = dict(name="python3", display_name="Python 3", language="python")
result = {}
print("papermill", version("papermill"), "nbval", version("nbval"))
for name, cells in lessons.items():
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells], metadata=dict(kernelspec=kernel))
    write(notebook, "lesson.ipynb")
    papermill.execute_notebook("lesson.ipynb", f"{name}.ipynb", progress_bar=False, log_output=False)
    (output,) = read(f"{name}.ipynb", as_version=4).cells[0].outputs
    words = ["pytest", "-q", "--nbval", "--nbval-current-env", f"{name}.ipynb"]
    run = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True)
    result[name] = run.returncode
    stored = output.text if "text" in output else output.data["text/plain"]
    print(f"  {name:10s} stored {stored!r:26} nbval: {run.stdout.splitlines()[-1]}")
assert result == dict(plain=0, rewritten=1, updated=1), "it has changed"
print("holds: a run that shows its progress isn't equal to itself")
PYTHON
