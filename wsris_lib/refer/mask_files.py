"""Masks as black and white pictures, one object each."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wsris_lib.infra.artefacts import atomic_write
from wsris_lib.refer.errors import DataError
from wsris_lib.refer.masks import Rle, encode_rle

Box = tuple[float, float, float, float]  # x, y, w, h in pixels


def write_mask(path: Path, mask: NDArray[Any]) -> None:
    """A PNG of the mask [H, W], 255 inside."""
    with atomic_write(path) as temporary:
        Image.fromarray(mask.astype(bool).astype(np.uint8) * 255).save(temporary, format="PNG")


def read_mask(path: Path, height: int, width: int) -> tuple[Rle, Box]:
    """A picture of two colours, black outside, as (run lengths, its box x, y, w, h in pixels).

    Transparent parts are outside. Raises DataError for another size than the image's, more colours, or fewer than two
    pixels inside.
    """
    try:
        with Image.open(path) as file:
            pixels = _values(file)
    except Exception as why:  # whatever a decoder stumbles on
        raise DataError(f"{path}: can't be read as a mask ({why})") from None
    if pixels.shape != (height, width):
        size = f"{pixels.shape[0]} x {pixels.shape[1]}"
        raise DataError(f"{path}: the mask is {size} (height x width), its image {height} x {width}")
    values = np.unique(pixels)
    if len(values) > 2 or (len(values) == 2 and values[0] != 0):
        some = ", ".join(map(str, values[:4].tolist()))
        raise DataError(f"{path}: has the values {some} ...; a mask has 0 outside and one value inside, as a PNG")
    mask = pixels > 0
    if mask.sum() < 2:
        raise DataError(f"{path}: the mask has {mask.sum()} pixel(s), expected 2 or more; empty that field")
    rows = np.flatnonzero(mask.any(1)).tolist()
    columns = np.flatnonzero(mask.any(0)).tolist()
    return encode_rle(mask), (columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1)


def _values(file: Image.Image) -> NDArray[Any]:
    """[H, W], 0 where a picture is black or transparent. A palette counts by its colours: its entry 0 may be white."""
    if file.mode in ("1", "L", "I", "I;16", "F") and not file.has_transparency_data:
        return np.asarray(file)
    colours = np.asarray(file.convert("RGBA"))
    return np.where(colours[..., 3] > 0, colours[..., :3].max(-1), 0)
