"""Pictures on their way in and out: an upload as a working copy, masks and maps as small JPEGs for the screen."""

import base64
import io

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from wsris_lib.frozen.working_size import shrunk
from wsris_lib.pipeline.predictions import tinted
from wsris_lib.refer.images import decoded, measured

WORKING = 1024  # longer side that the models see here: as SAM2, the finest eye of all, and four times the miniatures'
SCREEN = 480  # longer side of a picture on the page
QUALITY = 85
LINE = 2  # pixels of an outline


def working_copy(data: bytes, where: str) -> tuple[Image.Image, tuple[int, int]]:
    """An uploaded file as RGB, upright, its longer side at most WORKING, and its height and width as a viewer shows it.

    A JPEG is decoded at a half, a quarter or an eighth of its size where that is enough, which takes a third of the
    time of a photograph of 12 megapixels. Raises DataError, as `refer.images.decoded`, for what is no picture.
    """
    height, width, orientation = measured(data, where)
    small = shrunk(decoded(data, where, side=WORKING), WORKING)
    return small, (width, height) if orientation >= 5 else (height, width)


def as_url(image: Image.Image, side: int = SCREEN) -> str:
    """A data: URL of the picture as a JPEG, its longer side at most `side`."""
    buffer = io.BytesIO()
    shrunk(image, side).save(buffer, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def with_mask(image: Image.Image, mask: NDArray[np.bool_], side: int = SCREEN) -> str:
    """The picture with a mask [H, W] of any size tinted and outlined, as `as_url`; an empty mask changes nothing."""
    small = shrunk(image, side)
    at_screen = _fitted(mask, small.size)
    tint = np.array(tinted(small, at_screen))
    tint[_border(at_screen)] = 255
    return as_url(Image.fromarray(tint), side)


def with_map(image: Image.Image, response: NDArray[np.float32], side: int = SCREEN) -> str:
    """The picture in grey under a map [h, w], blue where it is lowest and yellow where it is highest; as `as_url`."""
    small = shrunk(image, side)
    low = float(response.min())
    span = float(response.max()) - low
    level = (response - low) / (span or 1.0)
    heat = Image.fromarray((matplotlib.colormaps["viridis"](level)[..., :3] * 255).astype(np.uint8))
    grey = small.convert("L").convert("RGB")
    return as_url(Image.blend(grey, heat.resize(small.size, Image.Resampling.BILINEAR), 0.6), side)


def with_proposals(image: Image.Image, masks: NDArray[np.bool_], numbers: list[int], side: int = 2 * SCREEN) -> str:
    """The picture with the outline of each of masks [N, H, W], and at its middle the one of `numbers` [N] it has."""
    small = shrunk(image, side)
    pixels = np.array(small)
    colours = (matplotlib.colormaps["hsv"](np.linspace(0, 1, len(masks), endpoint=False))[:, :3] * 255).astype(np.uint8)
    centers = []
    for mask, colour in zip(masks, colours):
        at_screen = _fitted(mask, small.size)
        pixels[_border(at_screen)] = colour
        rows, columns = np.nonzero(at_screen)
        centers.append((columns.mean(), rows.mean()) if len(rows) else (0.0, 0.0))
    drawing = Image.fromarray(pixels)
    pen = ImageDraw.Draw(drawing)
    for number, center in zip(numbers, centers):
        style = dict(fill="white", stroke_width=2, stroke_fill="black", anchor="mm", font_size=16)
        pen.text(center, str(number), **style)  # type: ignore[arg-type]
    return as_url(drawing, side)


def _fitted(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    return np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))


def _border(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of a mask [H, W] within LINE of one that isn't in it, or of the frame."""
    inner = np.pad(mask, LINE)
    height, width = mask.shape
    for axis in (0, 1):
        inner = inner & np.roll(inner, LINE, axis) & np.roll(inner, -LINE, axis)
    return mask & ~inner[LINE : LINE + height, LINE : LINE + width]
