"""A student that `export` wrote, read again: its notes are checked before it answers."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor

from wsris_lib.cadd.destination import notes_path
from wsris_lib.cadd.export import COMPILED, PLAIN, processor
from wsris_lib.segmentation.predict import soft_mask

AGAIN = "export it again here: python -m wsris_lib export"


class Exported:
    """Answers as `pipeline.predict.load` says: an image and a sentence to a soft mask, float [H, W] in [0, 1]."""

    def __init__(self, program: Any, words: Tokenizer, size: int):
        self.program = program
        self.words = words
        self.size = size

    def prepare(self, image: Image.Image) -> Tensor:
        """uint8 [1, 3, P, P], contiguous."""
        squashed = image.convert("RGB").resize((self.size, self.size), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(squashed)).permute(2, 0, 1)[None].contiguous()

    @torch.no_grad()
    def __call__(self, image: Image.Image, sentence: str) -> NDArray[np.float32]:
        """The sentence's soft mask."""
        tokens = torch.tensor([self.words.encode(sentence).ids])
        logits = self.program(self.prepare(image), tokens)  # [1, P, P]
        return soft_mask(logits[0], image.height, image.width).numpy()


def load(path: Path | str) -> Exported:
    """The exported student of a .pt2 file, for the CPU.

    Only of a file of your own: torch reads a program as code, and a compiled one is code.

    Raises ValueError, in one line, where it was made by a newer torch or for another processor, or isn't the file that
    its notes are of; FileNotFoundError where the file, its notes or its tokenizer are missing.
    """
    path = Path(path)
    for place in (path, notes_path(path), path.with_suffix(".json")):
        if not place.is_file():
            raise FileNotFoundError(f"{place}: no such file; an export is {path.name} and both .json files beside it")
    notes = _checked(path)
    words = _words(path.with_suffix(".json"))
    read = torch._inductor.aoti_load_package if notes["kind"] == COMPILED else _plain
    return Exported(read(str(path)), words, notes["image_size"])


def _words(path: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(path))
    except Exception as why:  # it has no other
        raise ValueError(
            f"{path}: isn't the tokenizer that an export writes ({why}); copy it anew, or {AGAIN}"
        ) from None


def _plain(path: str) -> Any:
    return torch.export.load(path).module()


def _checked(path: Path) -> dict[str, Any]:
    """The notes of an export that can be read here."""
    try:
        notes: dict[str, Any] = json.loads(notes_path(path).read_text(encoding="utf-8"))
        theirs = (notes["torch"], notes["processor"])
        kind = notes["kind"]
        digest = notes["sha256"]
        release = _release(notes["torch"])
        range(notes["image_size"])
    except (ValueError, KeyError, TypeError, AttributeError) as why:
        raise ValueError(f"{notes_path(path)}: isn't what an export writes ({why}); copy it anew, or {AGAIN}") from None
    if digest != hashlib.sha256(path.read_bytes()).hexdigest():
        raise ValueError(f"{path}: isn't the file that {notes_path(path).name} is of; copy both anew, or {AGAIN}")
    if kind not in (PLAIN, COMPILED):
        raise ValueError(f"{path}: is of the kind {kind!r}, expected {PLAIN} or {COMPILED}; {AGAIN}")
    if kind == COMPILED:
        ours = (torch.__version__, processor())
        if theirs != ours:
            source = f"compiled by torch {theirs[0]} for {theirs[1]}; here is torch {ours[0]} on {ours[1]}"
            raise ValueError(f"{path}: was {source}; {AGAIN} --compile")
    elif release > _release(torch.__version__):
        source = f"exported by torch {notes['torch']}, newer than torch {torch.__version__} here"
        raise ValueError(f"{path}: was {source}; install that or a later one, or {AGAIN}")
    return notes


def _release(version: str) -> tuple[int, ...]:
    """2.15.0+cu132 -> (2, 15)."""
    return tuple(int(number) for number in version.split(".")[:2])
