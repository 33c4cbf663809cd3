"""`make slides`: each lesson as slides in build/slides, from its headings, formulas and figures as a run left them.

python docs/site/slides.py [--profile tiny] [--out build/slides]

A page is one file with all pictures in it: it opens without a network, is paged with the space bar and printed by the
browser, one slide a sheet. Prose stays in the lesson: a slide is what the teacher talks about.
"""

import argparse
import html
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from formulas import mathml  # beside this file, as the next
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from stage import alternative, read, shown, write

REPO = Path(__file__).resolve().parents[2]
HEADING = re.compile(r"^#{1,3} (.+)$", re.MULTILINE)
DISPLAYED = re.compile(r"\$\$.+?\$\$", re.DOTALL)
LISTED = ("What you will learn", "Summary", "Exercises")  # sections whose points are a slide
LEFT_OUT = ("Before you start", "References")
STYLE = """
html { scroll-snap-type: y mandatory; font: 1.5rem/1.4 system-ui, sans-serif; color: #222; }
body { margin: 0; }
section { scroll-snap-align: start; box-sizing: border-box; min-height: 100vh; padding: 4vh 6vw; break-after: page;
  display: flex; flex-direction: column; justify-content: center; }
h1, h2 { margin: 0 0 3vh; line-height: 1.2; }
img { max-width: 100%; max-height: 72vh; object-fit: contain; align-self: center; }
.math.block { margin: 2vh 0; overflow-x: auto; font-size: 1.2em; }
footer { color: #767676; font-size: .8rem; margin-top: 3vh; }
"""


def slides(notebook: dict) -> Iterator[tuple[str, str]]:
    """(title, HTML of what is below) of each slide of an executed lesson.

    The title; the points of what one learns; of each section its formulas, then each of its figures; the exercises.
    """
    shown(notebook)
    title = ""
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            headings = list(HEADING.finditer(source))
            ends = [heading.start() for heading in headings[1:]] + [len(source)]
            formulas = DISPLAYED.findall(source[: headings[0].start() if headings else len(source)])
            if formulas and title not in LEFT_OUT:
                yield title, rendered("\n\n".join(formulas))
            for heading, end in zip(headings, ends):
                title = heading[1].strip()
                below = source[heading.end() : end]
                text = below if title in LISTED else "\n\n".join(DISPLAYED.findall(below))
                if title not in LEFT_OUT:
                    yield title, rendered(text)
        else:
            for output in cell["outputs"]:
                if picture := output.get("data", {}).get("image/png"):
                    words = html.escape(alternative(output), quote=True)
                    yield title, f'<img src="data:image/png;base64,{"".join(picture).strip()}" alt="{words}">'


def rendered(text: str) -> str:
    """Markdown with formulas as HTML with MathML; links are words, as they lead out of the slides."""
    markdown = MarkdownIt().use(dollarmath_plugin, renderer=lambda tex, options: mathml(tex, options["display_mode"]))
    return markdown.render(re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text))


def page(notebook: dict) -> str:
    """A lesson's slides as one HTML page."""
    every = list(slides(notebook))
    # A heading alone is a slide only where no other of its section follows.
    every = [slide for slide, after in zip(every, [*every[1:], ("", "")]) if slide[1] or after[0] != slide[0]]
    lesson = every[0][0]
    parts = []
    for n, (title, below) in enumerate(every, 1):
        level = "h1" if n == 1 else "h2"
        heading = f"<{level}>{rendered(title).strip().removeprefix('<p>').removesuffix('</p>')}</{level}>"
        parts.append(f"<section>{heading}{below}<footer>{html.escape(lesson)} · {n} of {len(every)}</footer></section>")
    head = f'<meta charset="utf-8"><title>{html.escape(lesson)}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>'


def main() -> int:
    """Write the slides of every executed lesson; 1 where there is none."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--profile", default="tiny", help="whose executed lessons are shown")
    parser.add_argument("--out", type=Path, default=REPO / "build" / "slides")
    options = parser.parse_args()
    sys.path.insert(0, str(REPO))
    from wsris_lib.config import profiles
    from wsris_lib.config.folders import run_folder

    lessons = run_folder(profiles.load(options.profile)) / "notebooks"
    executed = [path for path in sorted((REPO / "notebooks").glob("*.ipynb")) if (lessons / path.name).is_file()]
    if not executed:
        print(f"No executed lesson in {lessons}. First: make reproduce PROFILE={options.profile}")
        return 1
    for path in executed:
        text = page(read(lessons / path.name))
        write(options.out / f"{path.stem}.html", text)
        print(f"{options.out / path.stem}.html: {text.count('<section>')} slides")
    return 0


if __name__ == "__main__":
    sys.exit(main())
