"""Slides are a lesson's headings, formulas and figures, in one file that asks nothing of a network."""

import re
import sys

import pytest

from wsris_lib.infra.artefacts import REPO

sys.path.insert(0, str(REPO / "docs" / "site"))
pytest.importorskip("mdit_py_plugins", reason="no MyST: make site installs it")
import slides as site_slides

PICTURE = {
    "output_type": "display_data",
    "metadata": {"image/png": {"alt": 'bars of "mIoU": a 1'}},
    "data": {"image/png": "iVBORw0KGgo="},
}


def markdown(source):
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def lesson():
    return {
        "metadata": {},
        "cells": [
            markdown("# 04 · ESEM\n\nProse.\n\n$$a = b$$"),
            markdown("## What you will learn\n\n- a [place](../README.md)\n- $x_j$"),
            markdown("## Before you start\n\n$$c$$"),
            markdown(
                "## 1. By hand\n\nProse that stays in the lesson.\n\n$$x = \\frac{1}{2}$$\n\n## 2. Seen\n\nMore prose."
            ),
            {"cell_type": "code", "metadata": {}, "source": "plotting.bars()", "outputs": [PICTURE]},
        ],
    }


def test_a_slide_is_a_heading_with_its_formulas_or_a_figure():
    titles = [title for title, _ in site_slides.slides(lesson())]
    assert titles == ["04 · ESEM", "What you will learn", "1. By hand", "2. Seen", "2. Seen"]
    below = [text for _, text in site_slides.slides(lesson())]
    assert "<math" in below[0] and "<mfrac>" in below[2]
    assert "<li>a place</li>" in below[1]
    assert not any("rose" in text for text in below)


def test_a_page_is_whole_without_a_network():
    page = site_slides.page(lesson())
    assert page.count("<section>") == 4 and 'alt="bars of &quot;mIoU&quot;: a 1"' in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "<h1>04 · ESEM</h1>" in page


@pytest.mark.parametrize("path", sorted((REPO / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_lesson_has_slides_and_every_formula_is_drawn(path):
    page = site_slides.page(site_slides.read(path))
    assert page.count("<section>") >= 4
    assert "$$" not in re.sub(r"<[^>]*>", "", page)
