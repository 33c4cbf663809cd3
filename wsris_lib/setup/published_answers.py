"""What public checkpoints answered where somebody printed it, and the pictures that were asked about."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsris_lib.frozen.checkpoints import PINS
from wsris_lib.infra.artefacts import read_json, runs_dir

ANSWERS = PINS.with_name("published_answers.json")


@dataclass(frozen=True)
class Answer:
    """A published answer: of which repository, to what, which numbers, how near they must come, printed where."""

    checkpoint: str
    ask: str  # one of `verify.ASK`
    input: str  # a picture's name, or "" where none is needed
    expected: list[Any]
    tolerance: float
    source: str
    point: list[float] | None = None  # x, y in pixels, of SAM2's


def known_answers() -> list[Answer]:
    """All that are known."""
    return [Answer(**row) for row in read_json(ANSWERS)["answers"]]


def pictures() -> dict[str, dict[str, Any]]:
    """The pictures that are asked about: name -> {"urls", "size" (width, height) or None, "what"}."""
    return read_json(ANSWERS)["pictures"]


def picture_path(name: str) -> Path:
    """Where `fetch pictures` puts one."""
    suffix = Path(pictures()[name]["urls"][0]).suffix
    return runs_dir() / "cache" / "pictures" / f"{name}{suffix}"
