"""Sphinx's configuration: nothing is executed, nothing comes from a network, formulas are MathML."""

import sys
from pathlib import Path

from docutils import nodes
from docutils.utils.math import MathError
from sphinx.util import logging

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import formulas

import wsris_lib

project = "wsris"
release = wsris_lib.__version__
copyright = "the wsris authors, text and figures CC BY 4.0"
language = "en"
extensions = ["myst_nb"]

html_theme = "furo"
html_title = "wsris"
html_favicon = "icon.svg"  # a browser asks for one
html_copy_source = False
html_show_sphinx = False
html_static_path = []

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4  # as GitHub makes them, which is what the documents link to
nb_execution_mode = "off"
nb_output_stderr = "remove"
nb_ipywidgets_js = {}  # else two scripts from a network
nb_merge_streams = True

default_role = "code"
# Documents are written for GitHub too, where a heading may skip a level and a table may stand alone.
suppress_warnings = [
    "myst.header",
    "myst.xref_missing",
    "misc.highlighting_failure",
    "toc.not_included",
    "mystnb.unknown_mime_type",
    "ref.python",  # two modules may each have a Form
]

html_math_renderer = "mathml"


def mathml(translator, node, block: bool) -> None:
    """Write a formula as MathML, which browsers draw by themselves; where that fails its TeX, and warn."""
    tex = node.astext()
    try:
        html = formulas.mathml(tex, block)
    except (MathError, SyntaxError) as error:
        logging.getLogger("mathml").warning("%s: %s", tex, error, location=node)
        html = f"<code>{translator.encode(tex)}</code>"
    tag = "div" if block else "span"
    translator.body.append(f'<{tag} class="math">{html}</{tag}>')
    raise nodes.SkipNode


def setup(app) -> None:
    """Register the formulas and the docstrings' markup with Sphinx."""
    app.add_html_math_renderer(
        "mathml",
        inline_renderers=(lambda translator, node: mathml(translator, node, False), None),
        block_renderers=(lambda translator, node: mathml(translator, node, True), None),
    )
