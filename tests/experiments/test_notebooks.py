"""The lessons: one skeleton for all (CONTRIBUTING.md says which), small cells, and a run without a front end.

`make test` runs every cell of every notebook through nbval in the smallest profile. What nbval can't see is tested
here: that parameters arrive, that a lesson runs alone from an empty home, that a widget's error is not swallowed.
"""

import ast
import json
import math
import re
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from statistics import median

import nbformat
import numpy as np
import papermill
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from jupyter_client.kernelspec import KernelSpecManager
from nbformat.v4 import new_code_cell, new_notebook

from wsris_lib.experiments import lessons
from wsris_lib.experiments.notebooks import NotebookFailed, execute
from wsris_lib.infra.artefacts import REPO

LESSONS = lessons.paths()  # raises when there is none: nothing below may pass by having nothing to look at
BOOTSTRAP = re.search(r"```python\n(import sys\n.*?)\n```", (REPO / "CONTRIBUTING.md").read_text(), re.DOTALL)[1]
every_lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)


def code(notebook) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def lines(source: str) -> int:
    return sum(bool(line.strip()) for line in source.splitlines())


def parse(source: str) -> ast.Module:
    """The syntax tree of a cell; lines such as `%pip install` are turned into the Python that IPython makes of them."""
    return ast.parse(TransformerManager().transform_cell(source))


def is_scalar(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) or (isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant))


# -- the skeleton -----------------------------------------------------------------------------------------------------


@every_lesson
def test_prose_follows_the_skeleton(path):
    notebook = nbformat.read(path, as_version=4)
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert notebook.cells[0].cell_type == "markdown"
    assert re.fullmatch(rf"# {path.name[:2]} · \S.*", prose.splitlines()[0]), "the first line is `# NN · Title`"
    address = f"(https://colab.research.google.com/github/OWNER/wsris/blob/main/notebooks/{path.name})"
    assert prose.splitlines()[2].startswith("[![Open in Colab](") and prose.splitlines()[2].endswith(address)
    assert len(re.findall(r"^# ", prose, re.MULTILINE)) == 1, "one H1"
    headings = re.findall(r"^## (.+)$", prose, re.MULTILINE)
    assert headings[:2] == ["What you will learn", "Before you start"]
    assert headings[-3:] == ["Summary", "Exercises", "References"]
    assert [heading.split(".")[0] for heading in headings[2:-3]] == [str(n + 1) for n in range(len(headings) - 5)]
    assert len(headings) > 5, "no numbered section"
    needs = prose.split("## Before you start")[1].split("\n## ")[0]
    assert re.search(r"^\*\*Time and memory:\*\* .*\b(second|minute)s?\b.*\bGB\b", needs, re.MULTILINE)


@every_lesson
def test_code_opens_with_bootstrap_imports_parameters_and_profile(path):
    notebook = nbformat.read(path, as_version=4)
    bootstrap, imports, parameters, configuration, *rest = [c for c in notebook.cells if c.cell_type == "code"]
    assert bootstrap.source == BOOTSTRAP
    assert all(isinstance(node, ast.Import | ast.ImportFrom) for node in parse(imports.source).body)
    assert [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])] == [parameters]
    assert "profiles.load(PROFILE" in configuration.source
    later = {node.id for cell in rest for node in ast.walk(parse(cell.source)) if isinstance(node, ast.Name)}
    assert "PROFILE" not in later, "below its own cell a lesson reads the profile's fields, never its name"


@every_lesson
def test_parameters_are_scalars_that_papermill_can_read(path):
    notebook = nbformat.read(path, as_version=4)
    cell = next(c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    crowded = [line for line in cell.source.splitlines() if line.count("=") > 1]
    assert not crowded, "papermill drops a parameter whose line, comment included, holds a second ="
    body = parse(cell.source).body
    assert all(isinstance(node, ast.Assign) and is_scalar(node.value) for node in body)
    assigned = {target.id for node in body for target in node.targets}
    assert "PROFILE" in assigned
    assert assigned == papermill.inspect_notebook(str(path)).keys()


@every_lesson
def test_cells_are_small_and_state_what_must_hold(path):
    sources = code(nbformat.read(path, as_version=4))
    sizes = [lines(source) for source in sources]
    imports = [all(isinstance(node, ast.Import | ast.ImportFrom) for node in parse(source).body) for source in sources]
    assert max(size for size, only in zip(sizes, imports) if not only) <= 20
    assert max(size for size, only in zip(sizes, imports) if only) <= 24
    assert median(sizes) <= 7
    assert sum(sizes) <= 250
    claims = [node for source in sources for node in ast.walk(parse(source)) if isinstance(node, ast.Assert)]
    assert claims, "no assert: a run of this lesson could not fail by a wrong result"


@every_lesson
def test_notebook_is_stored_without_traces_of_a_run(path):
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not [cell for cell in cells if cell.outputs or cell.execution_count], "run `make strip`"
    assert notebook.metadata.keys() <= {"kernelspec", "language_info"}, "run `make strip`"
    assert notebook.metadata.kernelspec.name == "python3"


def test_every_figure_is_drawn_by_the_library_and_so_has_an_alternative_text():
    """`plotting` makes figures that describe themselves; one of pyplot's own would have no words."""
    for path in LESSONS:
        source = "\n".join(code(nbformat.read(path, as_version=4)))
        assert not re.search(r"\bplt\.|pyplot|\.subplots\(", source), path.name


def test_lessons_are_numbered_in_order_and_none_takes_a_number_twice():
    numbers = [path.name[:2] for path in LESSONS]  # lessons 00, 01, ..., then appendices A1, A2, ...
    assert all(re.fullmatch(r"\d\d|A\d", number) for number in numbers)
    assert all(first < second for first, second in pairwise(numbers))


def test_no_function_is_written_twice():
    """A lesson may build an idea by hand under a name of its own; it doesn't copy the library or another lesson."""
    trees = [parse(source) for path in LESSONS for source in code(nbformat.read(path, as_version=4))]
    defined = Counter(n.name for tree in trees for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef))
    library = {
        node.name
        for path in (REPO / "wsris_lib").rglob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    assert not [name for name, count in defined.items() if count > 1 or name in library]


# -- the run ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("path", [p for p in LESSONS if p.name[0] != "A"][-1:], ids=lambda path: path.stem)
def test_the_last_lesson_runs_alone(path, tmp_path, monkeypatch):
    """From an empty home and an empty folder, its profile passed as a parameter: upstream is made on demand."""
    monkeypatch.setenv("WSRIS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("WSRIS_PROFILE", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    executed = execute(path, tmp_path / "out" / path.name, cell_seconds=300, PROFILE="smoke")
    injected = next(c.source for c in executed.cells if "injected-parameters" in c.metadata.get("tags", []))
    assert 'PROFILE = "smoke"' in injected
    assert any((tmp_path / "home").iterdir())


def small_notebook(tmp_path: Path, *sources: str) -> Path:
    parameters = new_code_cell("STEPS = 1", metadata={"tags": ["parameters"]})
    cells = [parameters, *(new_code_cell(source) for source in sources)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=cells, metadata=kernel), tmp_path / "small.ipynb")
    return tmp_path / "small.ipynb"


def test_an_unknown_parameter_is_refused(tmp_path):
    with pytest.raises(KeyError, match="no parameter STEP; it has STEPS"):
        execute(small_notebook(tmp_path), tmp_path / "out.ipynb", STEP=2)


def test_paths_tuples_and_numpys_numbers_arrive_as_what_they_are(tmp_path):
    check = "assert STEPS == [['data/refer', 0.5], [64, 96], [1, 2, 3], True, {'a': None}], STEPS"
    steps = [(Path("data/refer"), np.float32(0.5)), (np.int64(64), 96), np.arange(1, 4), np.bool_(True), {"a": None}]
    executed = execute(small_notebook(tmp_path, check), tmp_path / "out.ipynb", STEPS=steps)
    assert executed.metadata.papermill.parameters.STEPS[1] == [64, 96]
    json.loads((tmp_path / "out.ipynb").read_text(), parse_constant=lambda name: pytest.fail(f"{name} isn't JSON"))


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (math.inf, "STEPS is inf, which a notebook can't hold; give a finite number"),
        ([1.0, np.float64("nan")], "STEPS is nan"),
        (Path("\udcff"), "STEPS: .* isn't Unicode text; rename that file"),
        ({1: 2}, "STEPS is a dict; give numbers"),
        (1j, "STEPS is a complex"),
        ({"a": {2}}, "STEPS is a set"),
    ],
)
def test_a_value_that_no_notebook_can_hold_is_refused_by_its_name(tmp_path, value, problem):
    with pytest.raises(ValueError, match=f"parameter {problem}"):
        execute(small_notebook(tmp_path), tmp_path / "run" / "out.ipynb", STEPS=value)
    assert not (tmp_path / "run").exists()


def test_a_failing_cell_is_named_and_its_copy_kept(tmp_path):
    notebook = small_notebook(tmp_path, "assert STEPS == 1, f'{STEPS} steps'")
    with pytest.raises(NotebookFailed, match=r"small.ipynb: AssertionError: 2 steps \(in cell \d+ of .*out.ipynb"):
        execute(notebook, tmp_path / "run" / "out.ipynb", STEPS=2)
    assert (tmp_path / "run" / "out.ipynb").is_file()


def test_a_lesson_that_exits_before_its_end_has_failed(tmp_path):
    with pytest.raises(NotebookFailed, match=r"small.ipynb: cell \d+ of .*out.ipynb left before"):
        execute(small_notebook(tmp_path, "import sys\n\nsys.exit(0)"), tmp_path / "out.ipynb")


def test_an_error_in_a_widget_is_not_swallowed(tmp_path):
    callback = "from ipywidgets import interact\n\n@interact(n=(1, 3))\ndef show(n):\n    print(1 / (n - 2))"
    with pytest.raises(NotebookFailed, match="widget's callback: ZeroDivisionError"):
        execute(small_notebook(tmp_path, callback), tmp_path / "out.ipynb")


def test_a_kernel_that_dies_is_named_with_its_cell(tmp_path):
    notebook = small_notebook(tmp_path, "kept = 1", "# too much\nimport os\nos._exit(137)", "kept")
    with pytest.raises(NotebookFailed) as failure:
        execute(notebook, tmp_path / "run" / "out.ipynb", STEPS=2)
    message = str(failure.value)
    cells = nbformat.read(tmp_path / "run" / "out.ipynb", as_version=4).cells
    (number,) = [number for number, cell in enumerate(cells) if "os._exit" in cell.source]
    assert message.startswith("small.ipynb: the kernel died") and f'in cell {number} ("# too much")' in message
    assert "memory" in message and "same command" in message


def test_a_foreign_kernel_of_the_same_name_is_passed_by(tmp_path, monkeypatch):
    """A spec in $JUPYTER_PATH comes first when kernels are looked up by name: this one can't even start."""
    spec = tmp_path / "jupyter" / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(
        json.dumps({"argv": [str(tmp_path / "no-python"), "{connection_file}"], "display_name": "x", "language": "R"})
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    assert KernelSpecManager().get_kernel_spec("python3").language == "R"
    interpreter = f"import sys\n\nassert sys.executable == {sys.executable!r}"
    execute(small_notebook(tmp_path, interpreter), tmp_path / "run" / "out.ipynb", STEPS=2)
