"""The one way to open a picture, for corpora, `predict` and lessons: as a viewer shows it, or refused by name."""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from wsris_lib.refer.errors import DataError, DataWarning
from wsris_lib.refer.image_kinds import AGAIN, JPEG, SAVE, describe
from wsris_lib.refer.photos import Photo

ORIENTATION = 0x0112  # the EXIF tag
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
STILL = ("MPO", "PSD", "ICO", "ICNS")  # several pictures in one file, none of them the next moment or page of another
FLOATS = ((0, 1), (16, 255))  # the least maximum and the white of the greys in floats that are read
BITS = (8, 10, 12, 14, 16)  # of a grey in integers
ON_WHITE = "is transparent in places, which are laid on white"
WARNED: set[str] = set()  # what was said in this process


def most_pixels() -> int:
    """Of a picture that is read: Pillow's limit, which a program may have set."""
    return 2 * (Image.MAX_IMAGE_PIXELS or 0)


def load_image(source: Photo | str, upright: bool = True) -> Image.Image:
    """A picture's file as RGB, 8 bits a colour.

    Transparent parts are laid on white, greys of 16 bits or floats are scaled by what they hold, of an animation or of
    several pages the first is taken; each of these is said once, as a DataWarning.

    Args:
        upright: turn it as its EXIF says, as viewers do. COCO's annotations are drawn on the pixels as stored.

    Raises DataError, in one line with the file and the way out, for what can't be read, whatever the decoder raised.
    """
    return decoded(read_bytes(source), str(source), upright)


def read_bytes(source: Photo | str) -> bytes:
    """The bytes of a picture's file. Raises DataError that names what is there instead."""
    path = Path(source) if isinstance(source, str) else source
    if re.match(r"file:/", str(source)):
        raise DataError(f"{source}: can't be read as an image: it is an address; give the path without its file:")
    if re.match(r"[A-Za-z][\w+.-]+:/", str(source)):
        raise DataError(f"{source}: can't be read as an image: it is a web address; download it and name the file")
    try:
        return path.read_bytes()
    except IsADirectoryError:
        raise DataError(f"{path}: can't be read as an image: it is a folder; name a file in it") from None
    except OSError as why:
        raise DataError(f"{path}: can't be read as an image ({why.strerror}); {AGAIN}, or mend its name") from None


def decoded(data: bytes, where: str, upright: bool = True, side: int = 0) -> Image.Image:
    """`load_image` of a file's bytes; `where` names it in messages.

    side: a JPEG that is several times larger is decoded at a half, a quarter or an eighth of its size, no longer side
    below `side`; 0: as it is.
    """
    with _named(data, where), Image.open(io.BytesIO(data)) as file:
        _refuse(file, where)
        if side and max(file.size) > side:
            share = side / max(file.size)
            file.draft(None, (round(share * file.width), round(share * file.height)))
        if file.format not in STILL and getattr(file, "is_animated", False):
            _say_once(where, "holds several frames or pages, the first is taken")
        deep = ";16" in str(getattr(file, "tile", ""))  # 16 bits a colour, of which Pillow keeps the upper 8
        file.load()
        picture = _rgb(file, where, deep)
        turn = UPRIGHT.get(_orientation(file)) if upright else None
        return picture.transpose(turn) if turn is not None else picture


def measured(data: bytes, where: str) -> tuple[int, int, int]:
    """Height and width in pixels as stored and the EXIF orientation (1 to 8; 1: upright), by the file's header alone.

    From 5 on the picture is shown with height and width exchanged. Raises DataError as `decoded`.
    """
    with _named(data, where), Image.open(io.BytesIO(data)) as file:
        return file.height, file.width, _orientation(file)


def measured_by_header(source: Photo) -> tuple[int, int, int]:
    """`measured` of a file of which no more is read than that takes, unless something is wrong with it."""
    try:
        with source.open("rb") as data, Image.open(data) as file:
            return file.height, file.width, _orientation(file)
    except Exception:  # what it is the whole file tells
        return measured(read_bytes(source), str(source))


@contextmanager
def _named(data: bytes, where: str) -> Iterator[None]:
    """Whatever a decoder raises within, as a DataError that says what the bytes are."""
    try:
        yield
    except DataError:
        raise
    except Image.DecompressionBombError:
        raise DataError(
            f"{where}: has more than {most_pixels():,} pixels; make it smaller, or cut it into tiles"
        ) from None
    except MemoryError:
        raise DataError(f"{where}: doesn't fit into memory; make it smaller") from None
    except Exception as why:  # struct's, zlib's, whatever it stumbles on
        raise DataError(f"{where}: can't be read as an image: it is {describe(data, why)}") from None


def _orientation(file: Image.Image) -> int:
    """1 for what can't be read: a picture isn't worse for a broken EXIF. A TIFF is turned by Pillow itself."""
    if file.format == "TIFF":
        return 1
    try:
        orientation = file.getexif().get(ORIENTATION)
    except Exception:
        return 1
    return orientation if orientation in UPRIGHT else 1


def _refuse(file: Image.Image, where: str) -> None:
    """What Pillow opens and nobody means: it would run Ghostscript on a program in PostScript, and of a camera's raw
    file, a TIFF that begins with a thumbnail, it takes the thumbnail for the picture."""
    if file.format == "EPS":
        raise DataError(f"{where}: can't be read as an image: it is PostScript; {SAVE}")
    tags = getattr(file, "tag_v2", {}) if file.format == "TIFF" else {}
    reduced = tags.get(254, 0)
    if 50706 in tags or (isinstance(reduced, int) and reduced & 1):  # DNGVersion, NewSubfileType
        raise DataError(f"{where}: can't be read as an image: it is a camera's raw file; {JPEG}")


def _rgb(image: Image.Image, where: str, deep: bool) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _grey(image, where).convert("RGB")
    if deep and 0 < np.asarray(image.convert("RGB")).max() < 16:
        raise DataError(f"{where}: its 16 bits a colour hold 12 or fewer, and would come out black; {SAVE}, 8 bits")
    return (_on_white(image, where) if image.has_transparency_data else image).convert("RGB")


def _grey(image: Image.Image, where: str) -> Image.Image:
    """uint16, int32 or float32 to 8 bits: white is the most that as many bits hold, or 1 or 255 in floats."""
    values = np.asarray(image)
    low = float(values.min())
    high = float(values.max())
    if image.mode == "F":
        whites = [white for least, white in FLOATS if least <= high <= 1.1 * white and low >= -0.1 * white]
    else:
        whites = [2**bits - 1 for bits in BITS if high < 2**bits and low >= 0]
    if not whites:
        span = f"lie in {low:,.6g} to {high:,.6g}" if np.isfinite([low, high]).all() else "aren't all numbers"
        scales = "floats of 0 to 1 or 0 to 255, integers of 0 to 65,535"
        raise DataError(f"{where}: its greys {span}, expected {scales}; {SAVE}, 8 bits")
    if image.mode != "F" and whites[0] < 65535:
        _say_once(where, f"holds greys of {whites[0].bit_length()} bits in 16 or 32, scaled by these")
    grey = (values * np.float32(255 / whites[0])).clip(0, 255).round().astype(np.uint8)
    if getattr(image, "tag_v2", {}).get(262) == 0:  # a TIFF whose 0 is white, which Pillow minds up to 8 bits alone
        grey = 255 - grey
    clear = image.info.get("transparency")  # a PNG's grey that means nothing is there
    if isinstance(clear, int) and (values == clear).any():
        _say_once(where, ON_WHITE)
        grey[values == clear] = 255
    return Image.fromarray(grey)


def _on_white(image: Image.Image, where: str) -> Image.Image:
    image = image.convert("RGBA")
    least, most = image.getchannel("A").getextrema()
    if most == 0:
        raise DataError(f"{where}: is transparent all over; save it without its alpha channel")
    if least == 255:
        return image
    _say_once(where, ON_WHITE)
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def _say_once(where: str, what: str) -> None:
    """Of the first picture of each kind: a corpus may have thousands."""
    if what not in WARNED:
        WARNED.add(what)
        warnings.warn(f"{where}: {what} (said of the first such picture alone)", DataWarning, stacklevel=6)
