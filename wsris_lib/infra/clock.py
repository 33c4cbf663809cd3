"""How long the stages of a run took, in its folder; a file a stage, as several may end at once."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wsris_lib.infra import artefacts


@contextmanager
def timed(folder: Path, stage: str) -> Iterator[None]:
    """Note how long a stage took; of several runs the longest counts, since later ones find its result stored."""
    start = time.perf_counter()
    path = folder / "seconds" / f"{stage}.json"
    yield
    before = artefacts.read_json(path) if path.is_file() else 0.0
    took = round(time.perf_counter() - start, 1)
    if took > before or not path.is_file():
        with suppress(OSError):  # a finished run may lie in a folder that can't be written to
            artefacts.write_json(path, took)


def seconds(folder: Path) -> dict[str, float]:
    """Of each stage that was noted."""
    return {path.stem: artefacts.read_json(path) for path in sorted((folder / "seconds").glob("*.json"))}
