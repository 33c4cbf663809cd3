#!/usr/bin/env bash
# A site of MkDocs with mkdocs-jupyter. A link from a page in Markdown to a notebook becomes the notebook's address in
# the site; the same link from a notebook is left as it is and leads nowhere. `--strict`, which ends the build for a
# dead link in Markdown, says nothing, not even of a notebook that doesn't exist.
# Guessed: a link is a link, wherever it stands.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --no-compile --disable-pip-version-check \
    mkdocs==1.6.1 \
    mkdocs-jupyter==0.26.3 \
    nbformat==5.11.1
venv/bin/python - <<'PYTHON'
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from nbformat import write
from nbformat.v4 import new_markdown_cell, new_notebook

kernel = dict(name="python3", display_name="Python 3", language="python")
texts = {"00_tour": "# A tour", "01_data": "# Data\n\n[tour](00_tour.ipynb)\n\n[gone](no_such_lesson.ipynb)"}
Path("docs").mkdir()
for name, text in texts.items():
    write(new_notebook(cells=[new_markdown_cell(text)], metadata=dict(kernelspec=kernel)), f"docs/{name}.ipynb")
Path("mkdocs.yml").write_text("site_name: lessons\nplugins: [mkdocs-jupyter]\n")
build = [sys.executable, "-m", "mkdocs", "build", "--strict"]


def built(page):
    Path("docs/index.md").write_text(page)
    return subprocess.run(build, capture_output=True).returncode


def address(path, word):
    return re.search(f'href="([^"]*)"[^>]*>{word}<', Path(path).read_text())[1]


dead = built("# Lessons\n\n[gone](no_such_lesson.ipynb)\n")
alive = built("# Lessons\n\n[tour](00_tour.ipynb)\n")
print("mkdocs", version("mkdocs"), "mkdocs-jupyter", version("mkdocs-jupyter"))
print("  --strict, a dead link in a page:", "ends the build" if dead else "passes")
print("  --strict, a dead link in a notebook:", "passes" if not alive else "ends the build")
print("  a page's link to 00_tour.ipynb:    ", from_page := address("site/index.html", "tour"))
print("  a notebook's link to 00_tour.ipynb:", from_notebook := address("site/01_data/index.html", "tour"))
there = Path("site/01_data", from_notebook).exists()
print("  is that in the site?", there)
assert dead and not alive and from_page == "00_tour/", "it has changed"
assert from_notebook == "00_tour.ipynb" and not there, "it has changed"
print("holds: every link between two lessons is dead, and the strict build is content")
PYTHON
