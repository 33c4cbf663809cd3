"""Puts together what Sphinx reads: the documents as they are, each lesson with the outputs of a run, pages of the API.

The copy has the folders of the checkout, so that links between documents hold. A lesson stays stripped in git: its
outputs come from the run's folder, and where it hasn't been executed it is shown without any, with a note.
"""

import ast
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"
FOLDERS = ("docs", "data", "data/papers", "benchmarks", "findings")  # whose documents are pages
ROOT = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "CONTENT_LICENSE.md", "tests/USER_INPUTS.md")
PICTURES = {".jpg", ".jpeg", ".png", ".svg", ".gif"}
TOOLS = {"setup", "miniature"}  # packages that serve the installation: no page of the API
PROGRAMS = {"wsris_lib", "wsris_lib.__main__", "wsris_lib.commands"}
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^()\s]+)\)")
NOTE = "```{note}\nThis lesson has not been executed in this run, so it is shown without its outputs.\n```"


def stage(repo: Path, runs: Path, out: Path) -> tuple[list[str], list[str]]:
    """Write the sources of the site to `out`, which is emptied before; `runs` has the executed lessons.

    Returns (lessons shown without outputs, lessons whose text has changed since they were executed), names of files.
    Raises FileNotFoundError where no lesson at all has been executed.
    """
    lessons = sorted((repo / "notebooks").glob("*.ipynb"))
    if not any((runs / lesson.name).is_file() for lesson in lessons):
        raise FileNotFoundError(f"no executed lesson in {runs}")
    shutil.rmtree(out, ignore_errors=True)
    documents = [repo / name for name in ROOT]
    documents += [path for folder in FOLDERS for path in sorted((repo / folder).glob("*.md"))]
    exercises = [
        path for kind in ("exercises", "solutions") for path in sorted((repo / "notebooks" / kind).glob("*.ipynb"))
    ]
    pages = {path.resolve() for path in [*documents, *lessons, *exercises] if path.is_file()}
    for path in sorted(pages - {lesson.resolve() for lesson in [*lessons, *exercises]}):
        write(out / path.relative_to(repo), relinked(path.read_text(encoding="utf-8"), path, repo, pages, out))
    bare = []
    changed = []
    for lesson in [*lessons, *exercises]:
        executed = runs / lesson.name
        notebook = read(executed if lesson in lessons and executed.is_file() else lesson)
        if lesson in lessons and executed.is_file():
            shown(notebook)
            if sources(notebook) != sources(read(lesson)):
                changed.append(lesson.name)
        elif lesson in lessons:
            bare.append(lesson.name)
            notebook["cells"].insert(1, {"cell_type": "markdown", "id": "note", "metadata": {}, "source": NOTE})
        for cell in notebook["cells"]:
            if cell["cell_type"] == "markdown":
                cell["source"] = relinked("".join(cell["source"]), lesson, repo, pages, out)
        write(out / lesson.relative_to(repo), json.dumps(notebook))
    for path in sorted((repo / "docs" / "site").glob("*.md")):
        write(out / path.name, path.read_text(encoding="utf-8"))
    write_api(repo / "wsris_lib", out / "api")
    return bare, changed


# -- lessons ----------------------------------------------------------------------------------------------------------


def read(path: Path) -> dict:
    """A notebook as JSON has it."""
    return json.loads(path.read_text(encoding="utf-8"))


def sources(notebook: dict) -> list[str]:
    """The text of each cell."""
    return ["".join(cell["source"]) for cell in notebook["cells"]]


def shown(notebook: dict) -> None:
    """Make an executed notebook fit for a page, in place.

    The cell that papermill put in leaves. A widget can't work without a kernel: what it had printed and drawn stands
    in its place. A figure's alternative text moves to where the site's builder reads it.
    """
    widgets = notebook["metadata"].pop("widgets", {}).get(STATE, {}).get("state", {})
    notebook["cells"] = [
        cell for cell in notebook["cells"] if "injected-parameters" not in cell["metadata"].get("tags", [])
    ]
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = [plain for output in cell["outputs"] for plain in still(output, widgets)]
            if words := " | ".join(dict.fromkeys(filter(None, map(alternative, cell["outputs"])))):
                cell["metadata"]["mystnb"] = {"image": {"alt": words}}  # the one place where MyST-NB looks for it


def alternative(output: dict) -> str:
    """The alternative text of an output that is a picture, else nothing."""
    return output.get("metadata", {}).get("image/png", {}).get("alt", "")


def still(output: dict, widgets: dict) -> Iterator[dict]:
    """An output as it is, or of a widget all that it and the widgets within show."""
    view = output.get("data", {}).get(VIEW)
    if view is None:
        yield output
        return
    inside = [view["model_id"]]
    while inside:
        state = widgets.get(inside.pop(0), {}).get("state", {})
        inside += [child.removeprefix("IPY_MODEL_") for child in state.get("children", [])]
        yield from state.get("outputs", [])


# -- links ------------------------------------------------------------------------------------------------------------


def relinked(text: str, path: Path, repo: Path, pages: set[Path], out: Path) -> str:
    """The text of `path` with links that hold on the site: to a page; to code or a folder the words alone.

    Its pictures are copied to `out`. A badge leaves: it is a picture from elsewhere.
    """
    text = re.sub(r"^\[!\[[^\]]*\]\([^)]*\)\]\([^)]*\)\n?", "", text, flags=re.MULTILINE)

    def replaced(match: re.Match) -> str:
        picture, words, target = match.groups()
        name, mark, anchor = target.partition("#")
        if re.match(r"\w+:", target):
            return match[0]
        if not name:
            return f"[{words}](#{anchor.lower()})"
        goal = Path(os.path.normpath(path.parent / name))
        if picture and goal.is_file():
            copy = out / goal.relative_to(repo)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(goal, copy)
            return match[0]
        if goal.is_dir() and goal / "README.md" in pages:
            return f"[{words}]({name.rstrip('/')}/README.md{mark}{anchor})"
        return match[0] if goal in pages else words

    return LINK.sub(replaced, text)


# -- the API ----------------------------------------------------------------------------------------------------------


def write_api(library: Path, out: Path) -> None:
    """A page for each package and one of the public names, read from the code without importing it: no torch."""
    modules = sorted(
        ".".join(path.relative_to(library.parent).with_suffix("").parts)
        for path in library.rglob("*.py")
        if path.name != "__init__.py"
    )
    packages: dict[str, list[str]] = {}
    for module in modules:
        package = module.split(".")[1]
        if package not in TOOLS and module not in PROGRAMS:
            packages.setdefault(package, []).append(module)
    for package, members in packages.items():
        folder = library / package / "__init__.py"
        about = ast.get_docstring(ast.parse(folder.read_text(encoding="utf-8"))) if folder.is_file() else ""
        blocks = [described(library.parent / f"{module.replace('.', '/')}.py", module) for module in members]
        write(out / f"{package}.md", "\n\n".join([f"# wsris_lib.{package}", about or "", *blocks]) + "\n")
    write(out / "public.md", "\n".join(["# Public names", "", *public(library / "__init__.py")]) + "\n")


def public(path: Path) -> list[str]:
    """A list of the names of `wsris_lib.__all__`, in the order of use, each linked with where it is defined."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    where = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("wsris_lib.")
        for alias in node.names
    }
    (names,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    lines = [
        "What `import wsris_lib as wsris` gives: stable from one version to the next, imported when first used.",
        "",
    ]
    return [*lines, *(f"- `wsris.{name}`: {{py:obj}}`{where[name]}`" for name in names)]


def described(path: Path, module: str) -> str:
    """A module's docstring, and those of its public functions and classes with their signatures."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lines = [f".. py:module:: {module}", "", *as_rst((ast.get_docstring(tree) or "").splitlines()), ""]
    for node in tree.body:
        lines += entry(node, "function")
    return "\n".join([f"## {module}", "", "```````{eval-rst}", *lines, "```````"])


def entry(node: ast.AST, kind: str) -> list[str]:
    """A class, or a function of this `kind`, as reStructuredText; of anything else, or what is private, nothing."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    if not isinstance(node, kinds) or (node.name.startswith("_") and node.name != "__call__"):
        return []
    if isinstance(node, ast.ClassDef):
        kind = "class"
        signature = f"({', '.join(ast.unparse(base) for base in node.bases)})" if node.bases else ""
    else:
        signature = f"({ast.unparse(node.args)})" + (f" -> {ast.unparse(node.returns)}" if node.returns else "")
    body = [*as_rst((ast.get_docstring(node) or "").splitlines()), ""]
    if isinstance(node, ast.ClassDef):
        for member in node.body:
            body += entry(member, "method") if getattr(member, "name", "") and ast.get_docstring(member) else []
    return [f".. py:{kind}:: {node.name}{signature}", "", *(f"   {line}".rstrip() for line in body)]


def as_rst(lines: Sequence[str]) -> list[str]:
    """A docstring of this project as reStructuredText: its indented code is code, its stars and bars are themselves.

    A paragraph with lines that are further in, and no list, keeps its lines as they are.
    """
    out: list[str] = []
    for paragraph in re.split(r"\n\s*\n", "\n".join(lines)):
        rows = paragraph.splitlines()
        inside = [row.startswith(" ") for row in rows]
        if all(row.startswith("    ") for row in rows):
            out += ["::", "", *rows, ""]
        elif any(inside) and not any(row.lstrip().startswith("- ") for row in rows):
            out += [*(f"| {escaped(row)}" for row in rows), ""]
        else:
            out += [*map(escaped, rows), ""]
    return out


def escaped(line: str) -> str:
    """Outside of `code`, what reStructuredText would read as its own marks."""
    parts = re.split(r"(``.*?``|`[^`]*`)", line)
    return "".join(
        part if number % 2 else re.sub(r"(\\|\*|\||(?<=\w)_(?!\w))", r"\\\1", part) for number, part in enumerate(parts)
    )


def write(path: Path, text: str) -> None:
    """A text file in folders that are made if they aren't there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
