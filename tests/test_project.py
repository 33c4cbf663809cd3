"""Promises about the tree itself: what it may hold, who may import whom, what the lock and the README say."""

import ast
import csv
import json
import re
import subprocess
import tomllib
from dataclasses import is_dataclass
from graphlib import TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from wsris_lib.config import profiles, settings
from wsris_lib.infra.artefacts import REPO

LIBRARY = REPO / "wsris_lib"
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text())
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(LIBRARY.rglob("*.py"))}


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(REPO).with_suffix("").parts).removesuffix(".__init__")


KNOWN = {dotted(path) for path in TREES}

# A package may import from its own layer and from those before it. A new one has to be given its place here.
LAYERS = (
    ("infra",),
    ("config",),
    ("refer",),
    ("synref", "paraphrase"),
    ("frozen",),
    ("segmentation",),
    ("es3net", "ehin"),
    ("refine", "cadd"),
    ("metrics", "baselines", "alternative_text", "plotting", "diagrams"),
    ("pipeline",),
    ("experiments",),
    ("setup", "miniature"),
    ("app",),
    ("commands",),
    ("__init__", "__main__"),
)


def layer(module: str) -> int:
    """Which layer of LAYERS the package of `module` (of "wsris_lib.refer.masks": refer) stands in."""
    package = [*module.split("."), "__init__"][1]
    assert any(package in one for one in LAYERS), f"{package} has no place in LAYERS of {Path(__file__).name}"
    return next(place for place, packages in enumerate(LAYERS) if package in packages)


def own_imports(path: Path) -> set[str]:
    """The modules of wsris_lib that a module imports anywhere in it, functions included."""
    imported = set()
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), dotted(path.parent))
            submodules = {f"{source}.{alias.name}" for alias in node.names}
            imported |= submodules & KNOWN or {source}
    return {name for name in imported if name.split(".")[0] == "wsris_lib"}


def names(tree: ast.AST) -> set[str]:
    """Every identifier that appears in a piece of code: variables, attributes, imports."""
    identifiers = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    identifiers |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return identifiers | {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    }


def tracked() -> list[Path]:
    """The files that git has or would take."""
    listing = ["git", "-C", str(REPO), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listing, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [REPO / name for name in done.stdout.split("\0") if name and (REPO / name).is_file()]


# -- the tree ---------------------------------------------------------------------------------------------------------


def test_no_registry_host_and_no_path_of_one_machine():
    host = re.compile(r"py(?:pi\.org|thonhosted)|npm(?:js\.org)|deb(?:\.debian)|conda(?:\.anaconda)")
    machine = re.compile(r"(?<![\w/.~-])/(?:work|farm|root|home|Users)/")
    offenders = []
    for path in tracked():
        for number, line in enumerate(path.read_bytes().decode("utf-8", errors="ignore").splitlines(), 1):
            if host.search(line) or (machine.search(line) and path.suffix != ".safetensors"):
                offenders.append(f"{path.relative_to(REPO)}:{number}")
    assert not offenders


def test_only_checkpoints_are_large():
    limit = {True: 12_000_000, False: 250_000}  # bytes; the first for data/zoo
    large = [p for p in tracked() if p.stat().st_size > limit[p.is_relative_to(REPO / "data" / "zoo")]]
    assert not [f"{path.relative_to(REPO)}: {path.stat().st_size:,} bytes" for path in large]


def test_modules_are_short():
    lines = {dotted(path): len(path.read_text(encoding="utf-8").splitlines()) for path in TREES}
    assert not {name: count for name, count in lines.items() if count >= 300}


# -- the words --------------------------------------------------------------------------------------------------------

EMPTY_WORDS = {"told", "said", "its", "found", "made", "asked", "wanted", "heard", "seen"}


def bound(tree: ast.AST) -> list[tuple[str, int]]:
    """Every name that a piece of code gives, with its line: variables, attributes, arguments, functions."""
    stored = [node for node in ast.walk(tree) if isinstance(getattr(node, "ctx", None), ast.Store)]
    given = [(node.id, node.lineno) for node in stored if isinstance(node, ast.Name)]
    given += [(node.attr, node.lineno) for node in stored if isinstance(node, ast.Attribute)]
    given += [(node.arg, node.lineno) for node in ast.walk(tree) if isinstance(node, ast.arg)]
    return given + [(n.name, n.lineno) for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def packed(tree: ast.AST) -> list[int]:
    """The lines of assignments such as `a, b = x, y`: two statements in one; a swap is not among them."""
    pairs = [
        (node.lineno, target.elts, node.value.elts)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple | ast.List)
        for target in node.targets
        if isinstance(target, ast.Tuple | ast.List)
    ]
    return [line for line, to, of in pairs if {ast.unparse(x) for x in to} != {ast.unparse(x) for x in of}]


def lesson_code(path: Path) -> str:
    """A notebook's code; where a line is a command of IPython or of the shell it stands as `pass`."""
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    return re.sub(r"^(\s*)[%!].*", r"\1pass", "\n".join("".join(cell["source"]) for cell in cells), flags=re.MULTILINE)


def test_a_name_says_what_it_holds():
    lessons = sorted((REPO / "notebooks").glob("*.ipynb"))
    scripts = [path for folder in ("tests", "benchmarks") for path in sorted((REPO / folder).rglob("*.py"))]
    assert len(lessons) > 10 and len(scripts) > 50
    trees = TREES | {path: ast.parse(path.read_text(encoding="utf-8")) for path in scripts}
    trees |= {path: ast.parse(lesson_code(path)) for path in lessons}
    empty = [(path, name, line) for path, tree in trees.items() for name, line in bound(tree) if name in EMPTY_WORDS]
    assert not [f"{path.relative_to(REPO)}:{line}: {name}" for path, name, line in empty]


def test_an_assignment_is_one_statement():
    assert not [f"{path.relative_to(REPO)}:{line}" for path, tree in TREES.items() for line in packed(tree)]


def test_the_rules_of_names_catch_what_they_forbid():
    bad = "self.found = 1\nfor told in x: pass\ndef f(its, *, made=1): return [seen for seen in its]\n(asked := 2)"
    assert {name for name, _ in bound(ast.parse(bad))} & EMPTY_WORDS == {
        "found",
        "told",
        "its",
        "made",
        "seen",
        "asked",
    }
    assert packed(ast.parse("a, b = 1, 2\na, b = b, a\nc, d = f()\n[e, g] = x, y\nh, (i, j) = 0, k")) == [1, 4, 5]


# -- the layers -------------------------------------------------------------------------------------------------------


def test_arrows_go_one_way():
    wrong = [f"{dotted(p)} -> {to}" for p in TREES for to in own_imports(p) if layer(to) > layer(dotted(p))]
    assert not wrong, f"imports from a later layer: {wrong}"


def test_no_import_goes_round():
    TopologicalSorter({dotted(path): own_imports(path) - {dotted(path)} for path in TREES}).prepare()  # else CycleError


def test_no_frozen_model_and_no_method_knows_an_annotation():
    """Weak means weak: features and training have no name for what only evaluation may see."""
    annotations = {"EvaluationView", "evaluation_view", "AnnotatedSample", "annotation_mask", "ann_id"}
    blind = {"frozen", "segmentation", "es3net", "ehin", "refine", "cadd"}
    middle = {
        dotted(p): names(tree) & annotations
        for p, tree in TREES.items()
        if dotted(p).split(".")[1:2] and dotted(p).split(".")[1] in blind
    }
    assert {name.split(".")[1] for name in middle} == blind
    assert not {name: known for name, known in middle.items() if known}


def test_no_stage_holds_the_training_and_the_evaluation_view_at_once():
    steps = [tree for path, tree in TREES.items() if path.parent.name == "pipeline"]
    functions = [f for tree in steps for f in ast.walk(tree) if isinstance(f, ast.FunctionDef)]
    assert len(functions) > 80
    assert not [f.name for f in functions if {"training_view", "evaluation_view"} <= names(f)]


def test_no_code_branches_on_the_name_of_a_profile():
    compared = {
        dotted(path): ast.unparse(node)
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare) and re.search(r"\bprofile\.name\b", ast.unparse(node))
    }
    assert not compared


def test_everything_public_has_a_docstring():
    public = [
        (dotted(path), node)
        for path, tree in TREES.items()
        for node in [tree, *tree.body]
        if isinstance(node, ast.Module) or (hasattr(node, "name") and not node.name.startswith("_"))
    ]
    bare = [f"{where}.{getattr(node, 'name', '')}".rstrip(".") for where, node in public if not ast.get_docstring(node)]
    assert not bare


def test_nothing_unsafe_is_loaded():
    """Pickles are read by the restricted reader alone; torch.load, eval and exec are not used at all."""
    unsafe = {"torch.load", "yaml.load", "pickle.load", "pickle.loads", "eval", "exec"}
    for path, tree in TREES.items():
        called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        assert not called & unsafe, dotted(path)
        imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        assert "pickle" not in imported or dotted(path) in {"wsris_lib.refer.pickles", "wsris_lib.refer.writer"}


# -- the package ------------------------------------------------------------------------------------------------------


# Not every machine can compile the first; the second is another way to what transformers has; the third is 130 MB for
# one test.
UNLOCKED = ("crf", "sam2", "browser")


def requirements() -> list[Requirement]:
    """What the lock has to hold: all but the extras of UNLOCKED."""
    extras = [
        specifiers for name, specifiers in PROJECT["project"]["optional-dependencies"].items() if name not in UNLOCKED
    ]
    return [
        Requirement(text) for text in [*PROJECT["project"]["dependencies"], *(t for extra in extras for t in extra)]
    ]


def test_the_lock_pins_every_dependency_within_its_bounds():
    lock = (REPO / "requirements-lock.txt").read_text()
    assert "://" not in lock
    assert "--" not in lock, "an option of pip, an index perhaps"
    pins = dict(re.findall(r"^([\w.-]+)==([\w.+]+)", lock, flags=re.MULTILINE))
    outside = [str(r) for r in requirements() if not r.specifier.contains(pins.get(canonicalize_name(r.name), "0"))]
    assert not outside, f"run `make lock`: {outside}"


def test_the_makefile_builds_what_the_lock_leaves_out():
    (requirement,) = map(Requirement, PROJECT["project"]["optional-dependencies"]["crf"])
    name, pin = re.search(r"^CRF := (\S+)==(\S+)$", (REPO / "Makefile").read_text(), flags=re.MULTILINE).groups()
    assert name == requirement.name and requirement.specifier.contains(pin)
    assert name not in (REPO / "requirements-lock.txt").read_text()


def test_the_conda_environment_is_in_step():
    conda = yaml.safe_load((REPO / "environment.yml").read_text())
    *plain, from_pip = conda["dependencies"]
    assert conda["name"] == PROJECT["project"]["name"]
    assert plain == [f"python{PROJECT['project']['requires-python']}", "pip", "cxx-compiler"]  # the last for crf
    constraint, install = from_pip["pip"]
    assert (REPO / constraint.removeprefix("-c ")).is_file()
    extras = re.fullmatch(r"-e \.\[([\w,]+)\]", install)[1].split(",")
    assert set(extras) == PROJECT["project"]["optional-dependencies"].keys() - {"sam2", "browser"}


def test_a_notebook_on_colab_keeps_what_it_has():
    """What is loaded when the first cell runs, or was built for that machine, must not be replaced by pip.

    The table has the versions that Colab listed in that month; transformers may be replaced, nothing has imported it.
    """
    with (REPO / "tests" / "colab_versions.csv").open(newline="") as file:
        rows = {row["package"]: row for row in csv.DictReader(file)}
    assert all(re.fullmatch(r"20\d\d-\d\d", row["listed"]) for row in rows.values())
    assert SpecifierSet(PROJECT["project"]["requires-python"]).contains(rows["python"]["version"])
    bounds = {canonicalize_name(r.name): r for r in map(Requirement, PROJECT["project"]["dependencies"])}
    kept = ("torch", "numpy", "pillow", "ipykernel", "ipywidgets")
    assert not [str(bounds[name]) for name in kept if not bounds[name].specifier.contains(rows[name]["version"])]
    assert not [str(r) for r in bounds.values() if any(s.operator in ("==", "<", "<=", "~=") for s in r.specifier)]
    assert not {"jupyterlab", "notebook", "voila"} & bounds.keys(), "for the lab alone: into the extra `lab`"
    (install,) = re.findall(r"^ +%pip install (.+)$", (REPO / "CONTRIBUTING.md").read_text(), flags=re.MULTILINE)
    assert not re.search(r"-U|--upgrade|--force|\[", install), "an upgrade or an extra would replace what Colab has"


def test_the_wheel_carries_every_package():
    folders = {dotted(path) for path in TREES if path.name == "__init__.py"}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == folders | {"wsris_lib.data", "wsris_lib.zoo"}
    assert {dotted(path.parent) for path in TREES} <= folders, "a folder of modules lacks its __init__.py"


# -- the README -------------------------------------------------------------------------------------------------------


def test_the_readme_names_what_exists():
    readme = (REPO / "README.md").read_text()
    makefile = (REPO / "Makefile").read_text()
    commands = set(re.findall(r"^make ([a-z]+)|`make ([a-z]+)", readme, flags=re.MULTILINE))
    targets = {first or second for first, second in commands}
    assert {"reproduce", "test"} <= targets <= set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    listed = re.findall(r"^\|[^|]*\| \[[^]]*\]\(notebooks/([^)]+)\)", readme, flags=re.MULTILINE)
    assert listed == sorted(path.name for path in (REPO / "notebooks").glob("*.ipynb"))


# -- the documents ----------------------------------------------------------------------------------------------------


DOCUMENTS = sorted((REPO / "docs").glob("deviations_*.md"))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_a_list_of_deviations_is_one_table_whose_links_and_settings_exist(path):
    text = path.read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.split(r"(?<!\\)\|", row)) for row in rows}) == 1 and rows[0].split("|")[1].startswith(" what")
    assert sum(set(row) <= set("|- ") and "---" in row for row in rows) == 1
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (path.parent / link).exists(), link
    classes = [profiles.Profile, *(cls for cls in vars(settings).values() if is_dataclass(cls))]
    fields = {name for cls in classes for name in cls.__dataclass_fields__}
    assert set(re.findall(r"`(\w+)=", text)) <= fields
