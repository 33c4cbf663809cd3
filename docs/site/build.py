"""`make site`: static pages in build/site/html from a run's executed lessons, the documents and the docstrings.

python docs/site/build.py [--profile tiny] [--out build/site]
"""

import argparse
import sys
import time
from pathlib import Path

from stage import stage  # beside this file

REPO = Path(__file__).resolve().parents[2]


def main() -> int:
    """Build the site; 1 where no lesson has been executed, 2 where Sphinx is not installed, else Sphinx's status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--profile", default="tiny", help="whose executed lessons are shown")
    parser.add_argument("--out", type=Path, default=REPO / "build" / "site")
    options = parser.parse_args()
    start = time.monotonic()
    sys.path.insert(0, str(REPO))
    from wsris_lib.config import profiles
    from wsris_lib.config.folders import run_folder

    lessons = run_folder(profiles.load(options.profile)) / "notebooks"
    try:
        bare, changed = stage(REPO, lessons, options.out / "source")
    except FileNotFoundError as error:
        print(
            f"{error}: the site shows the lessons as a run left them. First: make reproduce PROFILE={options.profile}"
            "\nThen `make site` again, with the same PROFILE. PROFILE=smoke takes minutes, its figures are rough."
        )
        return 1
    again = f"make reproduce PROFILE={options.profile} executes them"
    if bare:
        print(f"Not executed in {lessons}, shown without outputs: {', '.join(bare)}. {again}.")
    if changed:
        print(f"Edited since they were executed, shown as they were: {', '.join(changed)}. {again}.")
    try:
        from sphinx.cmd.build import build_main
    except ImportError:
        print("Sphinx is not installed: make site installs it, or pip install -e '.[site]'")
        return 2
    html = options.out / "html"
    configuration = str(Path(__file__).resolve().parent)
    state = str(options.out / "doctrees")
    failed = build_main(["-q", "-b", "html", "-c", configuration, "-d", state, str(options.out / "source"), str(html)])
    if not failed:
        pages = sum(1 for _ in html.rglob("*.html"))
        print(f"{pages} pages in {time.monotonic() - start:.0f} s: {html / 'index.html'}")
        print(f"With search, which wants a server: {sys.executable} -m http.server --directory {html}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
