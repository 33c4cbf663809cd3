"""The pictures and sentences that a command line names."""

import os
from collections.abc import Sequence
from pathlib import Path

from wsris_lib.refer.images import load_image

SUFFIXES = tuple(
    ".jpg .jpeg .jpe .jfif .png .webp .bmp .gif .tif .tiff .heic .heif .avif .jp2 .ppm .pgm .tga .psd .jxl".split()
)


def check_image(place: Path) -> None:
    """Raises DataError where neither a file nor a folder is there."""
    if not place.exists():
        load_image(place)


def images_in(place: Path) -> list[Path]:
    """The picture itself, or all in a folder by name, hidden files left out; what else lies there is printed.

    Raises FileNotFoundError where a folder has none.
    """
    if not place.is_dir():
        return [place]
    there = sorted(p for p in place.iterdir() if not p.name.startswith("."))
    files = [p for p in there if p.suffix.lower() in SUFFIXES and not p.is_dir()]
    folders = [f"{p}/" for p in there if p.is_dir()]
    others = folders + [p.name for p in there if not p.is_dir() and p not in files]
    if not files:
        below = f"; of the folders in it, such as {folders[0]}, name one" if folders else ""
        endings = ", ".join(SUFFIXES)
        raise FileNotFoundError(f"{place}: no picture in this folder; expected files that end in {endings}{below}")
    if others:
        print(f"{place}: of {len(there)} files and folders {len(others)} are left out, such as {others[0]}")
    return files


def sentences_of(given: Sequence[str]) -> list[str]:
    """The sentences of a command line, where @FILE has one a line.

    Raises ValueError for a picture among them, as the shell makes of *.jpg, and what `sentences_in` raises.
    """
    sentences = []
    for one in given:
        if one.lower().endswith(SUFFIXES) and os.path.isfile(one):
            raise ValueError(f"{one}: is a picture and not a sentence; to ask several pictures name their folder")
        sentences += sentences_in(Path(one[1:]).expanduser()) if one.startswith("@") else [one]
    return sentences


def sentences_in(path: Path) -> list[str]:
    """The sentences of a text file, one a line; empty lines are left out. Raises ValueError where there is none."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path}: no text in UTF-8; write one sentence a line and save it so") from None
    except OSError as why:
        raise OSError(f"{path}: can't be read ({why.strerror}); @FILE is a text with one sentence a line") from None
    if not any(line.strip() for line in lines):
        raise ValueError(f"{path}: no sentence in it; write one a line")
    return [line.strip() for line in lines if line.strip()]
