"""A picture is opened as a viewer shows it, or refused in one line that says what it is."""

import io
import struct
import warnings
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from wsris_lib.refer import images
from wsris_lib.refer.errors import DataError, DataWarning
from wsris_lib.refer.images import decoded, load_image, measured
from wsris_lib.refer.photos import photos
from wsris_lib.refer.views import ImageFile, Sample, TrainingView

RAMP = np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6)  # no two pixels alike
COLOURS = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]], 2)
TURNED = (0x0112, 3, 1, struct.pack("<I", 6))  # a quarter turn clockwise makes it upright


@pytest.fixture(autouse=True)
def nothing_was_said_before():
    images.WARNED.clear()


def saved(picture: Image.Image | np.ndarray, kind: str, **options) -> bytes:
    file = io.BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(file, kind, **options)
    return file.getvalue()


def exif(*entries: tuple[int, int, int, bytes]) -> bytes:
    """EXIF of (tag, type, count, up to 4 bytes of value or the longer value itself), as broken as one likes."""
    table = b""
    behind = b""
    for tag, kind, count, value in entries:
        if len(value) > 4:
            place = 8 + 2 + 12 * len(entries) + 4 + len(behind)
            behind += value
            value = struct.pack("<I", place)
        table += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + table + b"\0\0\0\0" + behind


def png(pixels: np.ndarray, colour: int, clear: int | None = None) -> bytes:
    """A PNG of 16 bits a colour, which Pillow itself writes of greys alone. colour: PNG's number for the bands.

    clear: the grey that is transparent.
    """

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, colour, 0, 0, 0)
    head = chunk(b"IHDR", head) + (b"" if clear is None else chunk(b"tRNS", struct.pack(">H", clear)))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def pixels(data: bytes, **options) -> np.ndarray:
    return np.asarray(decoded(data, "a file", **options))


# -- orientation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        (),
        ((0x011A, 2, 6, b"72/1\0\0"),),  # a resolution as text
        ((0x011A, 10, 1, struct.pack("<ii", -1, 0)),),  # as a signed fraction
        ((0x0101, 9, 1, struct.pack("<i", -5)),),  # a negative length
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_picture_is_turned_upright_whatever_else_its_exif_says(kind, other):
    data = saved(COLOURS, kind, exif=exif(TURNED, *other))
    stored = pixels(data, upright=False)
    assert stored.shape == (4, 6, 3) and (pixels(data) == np.rot90(stored, -1)).all()
    assert measured(data, "a file") == (4, 6, 6)


def test_every_orientation_is_undone():
    for orientation in range(1, 9):
        data = saved(COLOURS, "PNG", exif=exif((0x0112, 3, 1, struct.pack("<I", orientation))))
        turned = pixels(data)
        flipped = orientation in (2, 4, 5, 7)
        turns = {1: 0, 2: 0, 3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}[orientation]
        assert (turned == np.rot90(COLOURS[:, ::-1] if flipped else COLOURS, turns)).all(), orientation


@pytest.mark.parametrize(
    "broken", [exif((0x0112, 3, 1, b"\x09")), exif((0x0112, 2, 2, b"6\0")), b"Exif\0\0garbage", b"Exif\0\0II*\0\x08"]
)
def test_an_orientation_that_says_nothing_turns_nothing(broken):
    assert pixels(saved(COLOURS, "PNG", exif=broken)).shape == (4, 6, 3)


def test_a_tiff_is_turned_once():
    assert pixels(saved(COLOURS, "TIFF", tiffinfo={0x0112: 6})).tolist() == np.rot90(COLOURS, -1).tolist()


# -- what is in the pixels --------------------------------------------------------------------------------------------


def test_ink_on_nothing_is_ink_on_white_and_that_is_said_once():
    ink = np.zeros((4, 6, 4), np.uint8)
    ink[1:3, 2:4, 3] = 255
    expected = np.where(ink[..., 3:] == 255, 0, 255) + np.zeros(3)
    palette = Image.fromarray(ink[..., 3] // 255, "P")
    palette.putpalette([255, 0, 0, 0, 0, 0])
    two = {"RGBA": saved(ink, "PNG"), "LA": saved(Image.fromarray(ink).convert("LA"), "PNG")}
    two["P"] = saved(palette, "PNG", transparency=b"\0\xff")
    two["L"] = saved(Image.fromarray(255 - ink[..., 3]), "PNG", transparency=255)
    with pytest.warns(DataWarning, match="a file: is transparent in places, which are laid on white") as warned:
        laid = {mode: pixels(data) for mode, data in two.items()}
    assert len(warned) == 1 and all((picture == expected).all() for picture in laid.values())


def test_an_opaque_alpha_is_nothing_to_be_said_and_an_empty_one_is_refused():
    opaque = np.dstack([COLOURS, np.full((4, 6), 255, np.uint8)])
    assert (pixels(saved(opaque, "PNG")) == COLOURS).all()
    with pytest.raises(DataError, match="a file: is transparent all over; save it without its alpha channel"):
        pixels(saved(opaque * np.uint8([1, 1, 1, 0]), "PNG"))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (RAMP.astype(np.uint16) * 257 + 100, "PNG"),
        (RAMP.astype(np.uint16) * 257 + 100, "TIFF"),
        (RAMP.astype(np.int32) * 257 + 100, "TIFF"),
        ((RAMP / 255).astype(np.float32), "TIFF"),
        (RAMP.astype(np.float32), "TIFF"),
    ],
)
def test_deep_greys_are_scaled_to_eight_bits(values, kind):
    grey = pixels(saved(values, kind)).astype(int)
    assert np.abs(grey - RAMP[..., None]).max() <= 1


def test_floats_a_little_outside_the_scale_are_cut_off():
    """As bicubic resizing leaves them."""
    values = np.linspace(-0.05, 1.05, 24, dtype=np.float32).reshape(4, 6)
    grey = pixels(saved(values, "TIFF"))[..., 0]
    assert np.abs(grey - values.clip(0, 1) * 255).max() <= 0.5


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_greys_of_fewer_bits_in_sixteen_are_scaled_by_these_and_that_is_said(bits):
    values = np.uint16(RAMP * ((2**bits - 1) / 255))
    with pytest.warns(DataWarning, match=f"holds greys of {bits} bits in 16 or 32, scaled by these"):
        assert np.abs(pixels(saved(values, "PNG"))[..., 0] - RAMP.astype(int)).max() <= 1


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (RAMP.astype(np.int32) - 1000, r"lie in -1,000 to -770"),  # a CT's
        (RAMP.astype(np.int32) * 1000, r"lie in 0 to 230,000"),
        (RAMP.astype(np.float32) * 10, r"lie in 0 to 2,300, expected floats of 0 to 1 or 0 to 255, integers"),
        (RAMP.astype(np.float32) / 100, r"lie in 0 to 2.3"),  # on which scale?
        (np.full((4, 6), np.nan, np.float32), r"aren't all numbers"),
    ],
)
def test_greys_of_no_known_scale_are_refused_by_name(values, named):
    with pytest.raises(DataError, match=f"a file: its greys {named}.*save it as PNG or JPEG, 8 bits"):
        pixels(saved(values, "TIFF"))


@pytest.mark.parametrize("values", [RAMP.astype(np.uint16) * 257, (RAMP / 255).astype(np.float32)])
def test_a_tiff_whose_zero_is_white_is_no_negative(values):
    """As scanners write X-rays; Pillow minds it up to 8 bits alone."""
    tag = struct.pack("<HHIH", 262, 3, 1, 1)
    data = saved(values, "TIFF")
    assert data.count(tag) == 1
    shown = pixels(data.replace(tag, struct.pack("<HHIH", 262, 3, 1, 0)))
    assert np.abs(shown.astype(int) - (255 - RAMP[..., None].astype(int))).max() <= 1


def test_a_deep_grey_that_means_nothing_is_there_is_white():
    ink = np.where(RAMP > 100, np.uint16(0), np.uint16(65535))
    with pytest.warns(DataWarning, match="a file: is transparent in places, which are laid on white"):
        assert (pixels(png(ink, 0, clear=0)) == 255).all()
    assert not pixels(png(ink, 0, clear=7))[RAMP > 100].any()


@pytest.mark.parametrize("mode", ["uint16", "int32", "float32"])
def test_a_black_picture_stays_black(mode):
    with warnings.catch_warnings(action="ignore"):
        assert not pixels(saved(np.zeros((4, 6), mode), "TIFF")).any()


@pytest.mark.parametrize(("colour", "bands"), [(2, 3), (6, 4)])
def test_deep_colours_keep_their_upper_half_or_are_refused(colour, bands):
    deep = np.dstack([COLOURS.astype(np.uint16) * 257, np.full((4, 6), 65535, np.uint16)])[..., :bands]
    assert (pixels(png(deep, colour)) == COLOURS).all()
    shallow = deep >> 4
    shallow[..., 3:] = 65535
    with pytest.raises(DataError, match="its 16 bits a colour hold 12 or fewer, and would come out black"):
        pixels(png(shallow, colour))


@pytest.mark.parametrize("mode", ["CMYK", "L", "P", "1", "YCbCr"])
def test_other_colours_become_rgb(mode):
    white = Image.new("RGB", (6, 4), "white").convert(mode)
    assert (pixels(saved(white, "TIFF")) == 255).all()
    if mode == "CMYK":
        assert (pixels(saved(white, "JPEG")) >= 254).all(), "JPEG stores them inverted"


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame_is_taken_and_that_is_said(kind):
    red, blue = (Image.new("RGB", (6, 4), name) for name in ("red", "blue"))
    data = saved(red, kind, save_all=True, append_images=[blue])
    with pytest.warns(DataWarning, match="holds several frames or pages, the first is taken"):
        first = pixels(data)
    assert first[..., 0].min() > 240 and first[..., 2].max() < 10


def test_the_second_picture_in_a_phones_jpeg_is_nothing_to_be_said():
    red, blue = (Image.new("RGB", (6, 4), name) for name in ("red", "blue"))
    assert pixels(saved(red, "MPO", save_all=True, append_images=[blue]))[..., 0].min() > 240


# -- what is no picture -----------------------------------------------------------------------------------------------

JPEG = saved(np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8), "JPEG")
PNG = saved(np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8), "PNG")


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 200, "a HEIC photograph, as an iPhone takes.*save it as JPEG"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + b"\0" * 200, "a HEIC photograph"),
        (b"\0\0\0\x18ftypisom" + b"\0" * 200, "a video; save one frame"),
        (b"II*\0\x10\0\0\0CR\2\0" + b"\0" * 99, "a camera's raw file; save it as JPEG"),
        (saved(COLOURS, "TIFF", tiffinfo={50706: b"\1\4\0\0"}), "a camera's raw file"),  # DNG begins with a thumbnail
        (saved(COLOURS, "EPS"), "PostScript; save it as PNG or JPEG"),
        (saved(COLOURS, "TIFF", tiffinfo={254: 1}), "a camera's raw file"),
        (b"<!DOCTYPE html><html>404</html>", "a web page; download the picture itself"),
        (b"\xef\xbb\xbf\n<HTML>", "a web page"),
        (b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>', "XML; download the picture"),
        (b'<?xml version="1.0"?>\n<!-- by hand -->\n<svg/>', "an SVG drawing; save it as PNG"),
        (b'{"error": "no such key"}', "JSON"),
        (b"Not Found", "text"),
        ("Доступ\nзапрещён".encode(), "text; download the picture itself"),
        ("\ufeff<html>".encode("utf-16-le"), "a web page"),
        (b"<!-- saved -->\n<html>404</html>", "a web page"),
        (b"8BPS\0\1" + bytes(60), r"a Photoshop file, damaged or of a rare kind \(Pillow knows no such kind\); fetch"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS; .*`git lfs pull`"),
        (b"data:image/jpeg;base64,AAAA", "a picture in base64 text; decode it"),
        (b"/9j/4AAQSkZJRgABAQ", "a picture in base64 text"),
        (b"PK\x03\x04 and more", "an archive; unpack it"),
        (b"%PDF-1.7", "a PDF"),
        (b"", r"empty \(0 bytes\); fetch or copy it again"),
        (b"\0" * 5000, "nothing but zeros; fetch or copy it again"),
        (JPEG[: len(JPEG) * 2 // 3], r"a JPEG, cut off after [\d,]+ bytes; fetch or copy it again"),
        (PNG[: len(PNG) // 2], "a PNG, cut off after"),
        (saved(COLOURS, "BMP")[:100], "a BMP, cut off after 100 bytes"),
        (PNG[:900] + b"\xff" * 50 + PNG[950:], r"a PNG, damaged or of a rare kind \(\w+: .*\); fetch or copy it again"),
        (b"\x81\x92\xa3\xb4" * 50, "none of the formats known here; save it as PNG or JPEG"),
    ],
)
def test_what_is_no_picture_is_named_in_one_line(tmp_path, data, named):
    path = tmp_path / "desk.jpg"
    path.write_bytes(data)
    with pytest.raises(DataError, match=rf"desk\.jpg: can't be read as an image: it is .*{named}") as refused:
        load_image(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("error", [TypeError("none"), struct.error("unpack"), IndexError("x"), SyntaxError("marker")])
def test_whatever_a_decoder_raises_is_one_line(monkeypatch, error):
    def stumble(*_):
        raise error

    monkeypatch.setattr("PIL.JpegImagePlugin.JpegImageFile.load", stumble)
    with pytest.raises(DataError, match=rf"it is a JPEG, damaged or of a rare kind \({type(error).__name__}: "):
        pixels(JPEG)


def test_a_picture_of_too_many_pixels_is_named(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    for read in (decoded, measured):
        with pytest.raises(DataError, match="a file: has more than 2,000 pixels; make it smaller"):
            read(PNG, "a file")


def test_what_is_no_file_is_named(tmp_path):
    with pytest.raises(DataError, match="it is a folder; name a file in it"):
        load_image(tmp_path)
    with pytest.raises(DataError, match="give the path without its file:"):
        load_image("file:///home/desk.jpg")
    with pytest.raises(DataError, match=r"desk\.jpg: can't be read as an image \(No such file or directory\)"):
        load_image(str(tmp_path / "desk.jpg"))
    for address in ("https://example.org/desk.jpg", "https:/example.org/desk.jpg", "s3://desk/1.jpg"):
        with pytest.raises(DataError, match="it is a web address; download it and name the file"):
            load_image(address)


def test_a_picture_in_a_zip_is_opened_alike(tmp_path):
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("desk.png", saved(COLOURS, "PNG"))
        archive.writestr("page.png", "<html>")
    place = photos(tmp_path / "images.zip")
    assert (np.asarray(load_image(place("desk.png"))) == COLOURS).all()
    with pytest.raises(DataError, match=r"images\.zip/page\.png: can't be read as an image: it is a web page"):
        load_image(place("page.png"))


@pytest.mark.parametrize("kind", ["grey", "ink", "turned", "page"])
def test_a_corpuss_image_is_opened_alike_but_not_turned(tmp_path, kind):
    ink = np.dstack([COLOURS // 255, RAMP])
    files = {
        "grey": saved(RAMP.astype(np.uint16) * 257, "PNG"),
        "ink": saved(ink, "PNG"),
        "turned": saved(COLOURS, "PNG", exif=exif(TURNED)),
        "page": b"<html>",
    }
    path = tmp_path / "desk.jpg"
    path.write_bytes(files[kind])
    view = TrainingView([Sample(1, 1, 1, "a mug")], {1: ImageFile(path, 4, 6)})
    with warnings.catch_warnings(action="ignore"):
        if kind == "page":
            with pytest.raises(DataError, match=r"desk\.jpg: can't be read as an image: it is a web page"):
                view.image(1)
        else:
            assert (np.asarray(view.image(1)) == np.asarray(load_image(path, upright=False))).all()
            assert view.image(1).size == (6, 4)
