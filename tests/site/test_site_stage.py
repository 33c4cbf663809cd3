"""What the pages are made of: a run's lessons without what needs a kernel, links that hold, docstrings as they are."""

import json
import re
import subprocess
import sys

import children
import pytest

from wsris_lib.infra.artefacts import REPO

sys.path.insert(0, str(REPO / "docs" / "site"))
import stage as site

VIEW = {"output_type": "display_data", "metadata": {}, "data": {site.VIEW: {"model_id": "box"}, "text/plain": ["..."]}}
ALT = {"image/png": {"alt": "bars of mIoU: baseline 47.1"}}
FIGURE = {"output_type": "display_data", "metadata": ALT, "data": {"image/png": "iVBORw0KGgo="}}


def cell(source, **more):
    return {"cell_type": "code", "id": "a", "metadata": {}, "source": source, "outputs": [], **more}


def executed(lesson):
    """A copy of a lesson as a run leaves it: with papermill's cell, and a widget in the last one."""
    notebook = site.read(lesson)
    notebook["cells"].insert(6, cell("PROFILE = 'smoke'", metadata={"tags": ["injected-parameters"]}))
    notebook["cells"].append(cell("interact(draw)", outputs=[VIEW]))
    widgets = {"box": {"state": {"children": ["IPY_MODEL_out"]}}, "out": {"state": {"outputs": [FIGURE]}}}
    notebook["metadata"]["widgets"] = {site.STATE: {"state": widgets}}
    return notebook


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    lesson = min((REPO / "notebooks").glob("*.ipynb"))
    site.write(folder / "runs" / lesson.name, json.dumps(executed(lesson)))
    return folder / "source", lesson.name, *site.stage(REPO, folder / "runs", folder / "source")


def test_a_widget_gives_way_to_what_it_had_drawn(staged):
    source, name, _, changed = staged
    notebook = site.read(source / "notebooks" / name)
    assert changed == [name]  # it has a cell more than the lesson in git
    assert notebook["cells"][-1]["outputs"] == [FIGURE]
    assert notebook["cells"][-1]["metadata"]["mystnb"]["image"] == ALT["image/png"]
    assert "widgets" not in notebook["metadata"]
    assert not [c for c in notebook["cells"] if "injected-parameters" in c["metadata"].get("tags", [])]


def test_a_lesson_that_was_not_executed_says_so(staged):
    source, name, bare, _ = staged
    assert bare == sorted(path.name for path in (REPO / "notebooks").glob("*.ipynb") if path.name != name)
    assert "not been executed" in site.read(source / "notebooks" / bare[0])["cells"][1]["source"]


def test_a_link_leads_to_a_page_or_is_words(staged):
    source = staged[0]
    for path in source.rglob("*.md"):
        for picture, _, target in site.LINK.findall(path.read_text(encoding="utf-8")):
            name = target.partition("#")[0]
            if ":" not in target and name and path.parent.name != "api":
                assert (path.parent / name).is_file(), f"{path}: {picture}{target}"
    assert "OWNER" not in site.read(source / "notebooks" / staged[1])["cells"][0]["source"]


def test_every_public_name_is_listed_with_its_own_module():
    import wsris_lib

    lines = site.public(REPO / "wsris_lib" / "__init__.py")
    assert [line.split("`")[1] for line in lines if line.startswith("- ")] == [f"wsris.{n}" for n in wsris_lib.__all__]
    assert "- `wsris.load_predictor`: {py:obj}`wsris_lib.pipeline.predict.load`" in lines


def test_a_docstring_keeps_its_code_and_stars():
    lines = ["Scores of a*b and `c*d`, by x_.", "", "    run = Run(profile)", "", "loss: a number", "  of each step"]
    assert site.as_rst(lines) == [
        r"Scores of a\*b and `c*d`, by x\_.",
        "",
        *["::", "", "    run = Run(profile)", ""],
        *["| loss: a number", "|   of each step", ""],
    ]


def test_without_a_run_the_command_says_what_to_do(tmp_path):
    command = [sys.executable, "docs/site/build.py", "--profile", "smoke", "--out", str(tmp_path / "site")]
    environment = children.environment() | {"WSRIS_HOME": str(tmp_path / "home")}
    done = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and not done.stderr
    assert "make reproduce PROFILE=smoke" in done.stdout


def test_every_formula_of_the_lessons_becomes_mathml():
    pytest.importorskip("docutils.utils.math", reason="no Sphinx: pip install -e '.[site]'")
    import formulas

    texts = [
        "".join(c["source"])
        for path in (REPO / "notebooks").glob("*.ipynb")
        for c in site.read(path)["cells"]
        if c["cell_type"] == "markdown"
    ]
    plain = [re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL) for text in texts]
    found_in = [re.findall(r"\$\$(.+?)\$\$|\$([^$\n]+?)\$", text, flags=re.DOTALL) for text in plain]
    written = [(block or line, bool(block)) for pairs in found_in for block, line in pairs]
    assert len(written) > 50
    assert all(formulas.mathml(tex, block).startswith("<math") for tex, block in written)
