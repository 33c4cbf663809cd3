"""The lessons of the course as steps of a run: each is executed once for what it was made from.

A process that runs one needs no torch, its kernel does: so nothing here imports any.
"""

from dataclasses import asdict
from pathlib import Path

from wsris_lib.config.folders import run_folder
from wsris_lib.config.profiles import Profile
from wsris_lib.infra import artefacts
from wsris_lib.infra.clock import timed
from wsris_lib.infra.code_digest import code_digest


def paths() -> list[Path]:
    """The notebooks of the checkout, in the order of teaching. Raises FileNotFoundError if there is none."""
    folder = artefacts.REPO / "notebooks"
    notebooks = sorted(folder.glob("*.ipynb"))
    if not notebooks:
        raise FileNotFoundError(f"no notebook in {folder}; the lessons need a checkout of the project")
    return notebooks


def run(profile: Profile, lesson: Path) -> None:
    """Execute a notebook unless its copy in the run's folder was made from this notebook, profile, data and library."""
    out = run_folder(profile) / "notebooks" / lesson.name
    made_from = artefacts.content_hash(lesson, asdict(profile), code_digest(""))
    stamp = out.with_suffix(".json")
    if out.is_file() and stamp.is_file() and artefacts.read_json(stamp) == made_from:
        return
    from wsris_lib.experiments import notebooks

    with timed(run_folder(profile), f"notebook {lesson.stem}"):
        notebooks.execute(lesson, out, PROFILE=profile.name, DATA=profile.data)
    artefacts.write_json(stamp, made_from)
