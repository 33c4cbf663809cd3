"""TeX to MathML by docutils, which knows most of what the lessons use; the rest is written in its words first."""

import re

from docutils.utils.math import latex2mathml

WORDS = (
    (r"\\[bB]igg?[lrm]?(?![a-zA-Z])", ""),  # MathML's brackets grow by themselves
    (r"\\textstyle(?![a-zA-Z])", ""),
    (r"\\textbf(?![a-zA-Z])", r"\\text"),
    (r"\\dots(?![a-zA-Z])", r"\\ldots"),
    (r"\\tag\{([^{}]*)\}", r"\\qquad \\text{(\1)}"),
    (r"\\t?frac\s*([0-9a-zA-Z])\s*([0-9a-zA-Z])", r"\\frac{\1}{\2}"),
)


def mathml(tex: str, block: bool) -> str:
    """A formula as MathML. Raises MathError or SyntaxError where docutils can't read it."""
    for pattern, replacement in WORDS:
        tex = re.sub(pattern, replacement, tex)
    return latex2mathml.tex2mathml(tex, as_block=block)
