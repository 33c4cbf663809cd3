"""What `predict` leaves on disk: of each picture and sentence a mask, an overlay, and a row of JSON."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import to_rgb
from numpy.typing import NDArray
from PIL import Image

from wsris_lib.frozen.working_size import shrunk
from wsris_lib.infra import artefacts
from wsris_lib.metrics import bounding_box
from wsris_lib.pipeline.predict import Answer, load_image
from wsris_lib.plotting import MASK, TRUTH

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".heic", ".heif", ".avif")
TINTS = (MASK, TRUTH, "#e5007d", "#39d353", "#ffffff")  # of an overlay, far from each other
STRENGTH = 0.6  # of the tint


def images_in(place: Path) -> list[Path]:
    """The picture itself, or all in a folder by name, hidden files left out.

    Raises FileNotFoundError where there is neither, or no picture in the folder.
    """
    if not place.is_dir():
        if not place.exists():
            raise FileNotFoundError(f"{place}: no such file or folder")
        return [place]
    files = sorted(p for p in place.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    if not files:
        raise FileNotFoundError(f"{place}: no picture in this folder; expected files that end in {', '.join(SUFFIXES)}")
    return files


def sentences_in(path: Path) -> list[str]:
    """The sentences of a text file, one a line; empty lines are left out. Raises ValueError where there is none."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path}: no text in UTF-8; write one sentence a line and save it so") from None
    if not any(line.strip() for line in lines):
        raise ValueError(f"{path}: no sentence in it; write one a line")
    return [line.strip() for line in lines if line.strip()]


def names(images: Sequence[Path], sentences: int) -> Iterator[tuple[Path, int, str]]:
    """Each picture with each sentence's number, and what its files are called: desk-1, desk-2; desk, if there is one.

    Pictures that differ in their endings alone keep these: desk.jpg-1, desk.png-1.
    """
    stems = [image.stem.lower() for image in images]
    for image in images:
        name = image.stem if stems.count(image.stem.lower()) == 1 else image.name
        for number in range(sentences):
            yield image, number, f"{name}-{number + 1}" if sentences > 1 else name


def write_mask(path: Path, soft: NDArray[np.float32]) -> None:
    """A black and white PNG of the image's size, 255 where soft [H, W] is above 0.5."""
    with artefacts.atomic_write(path) as temporary:
        Image.fromarray((soft > 0.5).astype(np.uint8) * 255).save(temporary, format="PNG")


def write_overlay(path: Path, image: Image.Image, soft: NDArray[np.float32]) -> None:
    """A JPEG of the image with the mask tinted, in the colour of TINTS that is farthest from the object's own.

    A large photograph's is smaller than itself.
    """
    small = shrunk(image)
    mask = np.asarray(Image.fromarray(soft > 0.5).resize(small.size, Image.Resampling.NEAREST))
    pixels = np.array(small)
    if mask.any():
        tints = np.array([to_rgb(tint) for tint in TINTS]) * 255
        own = pixels[mask].mean(0)
        tint = tints[np.linalg.norm(tints - own, axis=1).argmax()]
        pixels[mask] = (STRENGTH * tint + (1 - STRENGTH) * pixels[mask]).round().astype(np.uint8)
    with artefacts.atomic_write(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="JPEG", quality=90)


def row(answer: Answer) -> dict[str, Any]:
    """What JSON says of an answer: the box is x0, y0, x1, y1 in pixels, x1 and y1 exclusive; None where all is empty."""
    mask = answer.soft > 0.5
    x0, y0, x1, y1 = bounding_box(mask) if mask.any() else (0, 0, -1, -1)
    return {
        "sentence": answer.text,
        "size": list(mask.shape),
        "area": float(mask.mean()),
        "box": [x0, y0, x1 + 1, y1 + 1] if mask.any() else None,
        "highest": float(answer.soft.max()),
        "confidence": answer.confidence,
        "notes": answer.notes,
    }
