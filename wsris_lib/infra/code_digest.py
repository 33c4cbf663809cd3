"""A digest of what the library's code does, so that a stored result is known to be of this code and of no other."""

import ast
import hashlib
from functools import lru_cache
from pathlib import Path

LIBRARY = Path(__file__).resolve().parents[1]


@lru_cache
def code_digest(*names: str) -> str:
    """64 hex digits that change with any statement of these modules and packages, and with no comment or docstring.

    Read once per process: code that is edited while a kernel runs isn't what that kernel has imported either.

    Args:
        names: from the library's folder on, as "es3net" (all modules below it) or "frozen.clip"; "" is all of it.

    Raises KeyError for a name that is neither a module nor a package.
    """
    statements = {}
    for name in names:
        for path in _files(name):
            tree = _Bare().visit(ast.parse(path.read_text(encoding="utf-8")))
            statements[path.relative_to(LIBRARY).as_posix()] = ast.dump(tree)  # without line numbers
    return hashlib.sha256(repr(sorted(statements.items())).encode()).hexdigest()


def _files(name: str) -> list[Path]:
    place = LIBRARY.joinpath(*filter(None, name.split(".")))
    if place.is_dir():
        return sorted(place.rglob("*.py"))
    module = place.with_name(f"{place.name}.py")
    if not module.is_file():
        raise KeyError(f"no module or package {name!r} in {LIBRARY.name}")
    return [module]


class _Bare(ast.NodeTransformer):
    """Drops texts that stand alone: docstrings, and what some write in place of a comment."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        alone = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if alone else node
