#!/usr/bin/env bash
# MkDocs: `--strict` ends a build at a warning, `--quiet` prints none. Together, as for CI's log, the build passes with
# a dead link: what isn't printed isn't counted either.
# Guessed: quiet is about what is printed, strict about what is allowed.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --no-compile --disable-pip-version-check \
    mkdocs==1.6.1
venv/bin/python - <<'PYTHON'
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

Path("docs").mkdir()
Path("docs/index.md").write_text("# Lessons\n\n[the next](no_such_page.md)\n")
Path("mkdocs.yml").write_text("site_name: lessons\n")
result = {}
print("mkdocs", version("mkdocs"))
for options in ("", "--quiet", "--strict", "--quiet --strict"):
    build = [sys.executable, "-m", "mkdocs", "build", *options.split()]
    result[options] = subprocess.run(build, capture_output=True).returncode
    print(f"  mkdocs build {options:18s} exit status {result[options]}")
assert result == {"": 0, "--quiet": 0, "--strict": 1, "--quiet --strict": 0}, "it has changed"
print("holds: a strict build that is quiet isn't strict")
PYTHON
