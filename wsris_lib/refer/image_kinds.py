"""What a file that isn't opened as a picture is, by its first bytes, and what to do with it."""

import codecs
import re

from PIL import UnidentifiedImageError

AGAIN = "fetch or copy it again"
JPEG = "save it as JPEG"
SAVE = "save it as PNG or JPEG"
PICTURE = "download the picture itself"
POINTER = "a pointer of Git LFS"
PAGE = "a web page"

# The first bytes -> what that is, what to do. Pillow may read some of them, of another make or by a plug-in.
KINDS = [
    (re.compile(pattern, re.DOTALL), name, advice)
    for pattern, name, advice in (
        (rb"\0+$", "nothing but zeros", AGAIN),
        (rb".{4}ftyp(hei|hev|mif1|msf1)", "a HEIC photograph, as an iPhone takes them", JPEG),
        (rb".{4}ftypavi[fs]", "an AVIF picture that this Pillow can't read", JPEG),
        (rb".{4}ftypcrx|FUJIFILMCCD-RAW|II\*\0.{4}CR|II(RO|U\0)", "a camera's raw file", JPEG),
        (rb".{4}ftyp|\x1aE\xdf\xa3|RIFF.{4}AVI ", "a video", "save one frame of it as JPEG"),
        (rb"\0{3}\x0cJXL |\xff\x0a", "a JPEG XL picture", JPEG),
        (rb".{128}DICM", "a DICOM file", SAVE),
        (rb"\x93NUMPY", "an array of numpy", SAVE),
        (rb"\x76\x2f\x31\x01|#\?RADIANCE|#\?RGBE", "a picture of high dynamic range", SAVE),
        (rb"%PDF", "a PDF", "save its page or picture as PNG"),
        (rb"PK\x03\x04|\x1f\x8b|Rar!|7z\xbc\xaf", "an archive", "unpack it"),
        (rb"version https://git-lfs", POINTER, "get the file itself by `git lfs pull`"),
        (rb"(data:image/|iVBORw0KGgo|/9j/)", "a picture in base64 text", "decode it"),
        (rb"(?i)\s*(<!--.*?-->\s*)?<(!doctype html|html|head|body|script)", PAGE, PICTURE),
        (rb"\s*<(.*<)?svg", "an SVG drawing", "save it as PNG"),
        (rb"\s*<(\?xml|Error)", "XML", PICTURE),
        (rb"\s*[{\[]\s*[\"{\[]", "JSON", PICTURE),
    )
]

# The first bytes -> a format that Pillow reads, and the bytes that end a whole file; None: not known.
FORMATS = (
    (re.compile(rb"\xff\xd8"), "a JPEG", b"\xff\xd9"),
    (re.compile(rb"\x89PNG"), "a PNG", b"IEND"),
    (re.compile(rb"GIF8"), "a GIF", b";"),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), "a WebP", None),
    (re.compile(rb"BM"), "a BMP", None),
    (re.compile(rb"II[*+]\0|MM\0[*+]"), "a TIFF", None),
    (re.compile(rb"8BPS"), "a Photoshop file", None),
    (re.compile(rb"\0{3}\x0cjP  |\xff\x4f\xff\x51"), "a JPEG 2000", None),
)


def stand_in(data: bytes) -> str:
    """What lies in place of a file that was never fetched, of whatever kind, and what to do; "" for anything else."""
    for pattern, name, advice in KINDS:
        if name in (POINTER, PAGE) and pattern.match(data[:1024]):
            return f"{name}; {advice if name == POINTER else 'download the file itself'}"
    return ""


def describe(data: bytes, why: object) -> str:
    """What the file holds and what to do with it, in one line.

    why: what the decoder raised; it is repeated where the bytes say no more.
    """
    if not data:
        return f"empty (0 bytes); {AGAIN}"
    text = _text(data[:1024])
    start = text.encode() or data[:1024]
    for pattern, name, advice in KINDS:
        if pattern.match(start if name != "nothing but zeros" else data):
            return f"{name}; {advice}"
    unknown = isinstance(why, UnidentifiedImageError)  # whose message is an address in memory
    reason = "Pillow knows no such kind" if unknown else " ".join(f"{type(why).__name__}: {why}".split())
    for pattern, name, end in FORMATS:
        if pattern.match(start):
            if (end and end not in data[-1024:]) or "truncated" in reason:
                return f"{name}, cut off after {len(data):,} bytes; {AGAIN}"
            return f"{name}, damaged or of a rare kind ({reason}); {AGAIN}, or {SAVE}"
    if text:
        return f"text; {PICTURE}"
    return f"none of the formats known here; {SAVE}"


def _text(start: bytes) -> str:
    """A file's first bytes as text; "" where they are none."""
    encoding = "utf-16" if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(start)  # the last letter may be cut
    except UnicodeDecodeError:
        return ""
    return text if "".join(text.split()).isprintable() else ""
