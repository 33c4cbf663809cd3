"""Where an exported student may be written; apart from the export, which imports torch."""

from pathlib import Path

from wsris_lib.infra import artefacts


def check_target(path: Path, compiled: bool = False) -> None:
    """Before a student is trained for it: can an export be written there, and compiled?

    Raises ValueError for a path that doesn't end in .pt2 or has somebody's .json beside it, OSError for a place that
    can't be written to and where there is no C++ compiler.
    """
    if path.suffix != ".pt2" or path.is_dir():
        raise ValueError(f"{path}: an exported program is a .pt2 file; name it so")
    words = path.with_suffix(".json")
    if words.exists() and not notes_path(path).is_file():
        raise ValueError(f"{words}: is there, and not by export, which puts a tokenizer there; name another file by -o")
    artefacts.check_folder(path.parent)
    if compiled:
        from torch._inductor.cpp_builder import get_cpp_compiler  # 3 s of imports that nothing else needs
        from torch._inductor.exc import InvalidCxxCompiler

        try:
            get_cpp_compiler()
        except InvalidCxxCompiler:
            raise OSError("compiling wants a C++ compiler; install g++ or leave --compile out") from None


def notes_path(path: Path) -> Path:
    """Where the notes of an exported program are."""
    return path.with_suffix(".about.json")
