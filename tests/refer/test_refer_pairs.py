"""Pairs of image and sentence as people keep them: every kind of table, what is refused, what is the same in all."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wsris_lib.refer.errors import DataError
from wsris_lib.refer.mask_files import read_mask
from wsris_lib.refer.masks import decode_rle
from wsris_lib.refer.pairs import Pairs, open_corpus
from wsris_lib.refer.tables import SUFFIXES, read_rows, write_rows

H = 20
W = 30
ROWS = [
    {"image": "photos/a.png", "sentence": "The  red mug, left", "split": "train", "object": "1", "mask": ""},
    {"image": "photos/a.png", "sentence": "red one", "split": "train", "object": "1", "mask": ""},
    {"image": "photos/a.png", "sentence": "Über dem Tisch", "split": "train", "object": "2", "mask": ""},
    {"image": "photos/b.png", "sentence": "the dog", "split": "val", "object": "1", "mask": "masks/dog.png"},
    {"image": "photos/b.png", "sentence": "dog", "split": "val", "object": "1", "mask": "masks/dog.png"},
]


@pytest.fixture
def folder(tmp_path):
    """Two photographs and a mask, no table yet."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "masks").mkdir()
    for name, colour in (("a", "red"), ("b", "blue")):
        Image.new("RGB", (W, H), colour).save(tmp_path / "photos" / f"{name}.png")
    mask = np.zeros((H, W), np.uint8)
    mask[4:10, 5:25] = 255
    Image.fromarray(mask).save(tmp_path / "masks" / "dog.png")
    return tmp_path


def table(folder: Path, rows=ROWS, name: str = "pairs.csv") -> Path:
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    write_rows(folder / name, rows)
    return folder / name


def read(path: Path) -> list[tuple]:
    corpus = Pairs(path)
    views = {split: corpus.training_view(split) for split in corpus.splits}
    return [
        (split, view.image_path(s.image_id).name, s.image_id, s.ref_id, s.sent_id, s.sentence)
        for split, view in views.items()
        for s in view
    ]


EXPECTED = [
    ("train", "a.png", 1, 1, 1, "the red mug, left"),
    ("train", "a.png", 1, 1, 2, "red one"),
    ("train", "a.png", 1, 2, 3, "über dem tisch"),
    ("val", "b.png", 2, 3, 4, "the dog"),
    ("val", "b.png", 2, 3, 5, "dog"),
]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_kind_of_table_reads_the_same(folder, suffix):
    path = table(folder, name=f"pairs{suffix}")
    assert read(path) == EXPECTED
    assert isinstance(open_corpus(path, "refcoco", "unc"), Pairs)


def test_what_spreadsheets_write_is_read(folder):
    """A mark before UTF-8, semicolons, empty columns at the end, lines that end in two characters."""
    lines = ["image;sentence;split;object;mask;;"] + [";".join([*row.values(), "", ""]) for row in ROWS]
    (folder / "pairs.csv").write_bytes("\r\n".join(lines).encode("utf-8-sig"))
    assert read(folder / "pairs.csv") == EXPECTED


def test_a_folder_of_images_as_hugging_face_lays_it_out(folder):
    """metadata.jsonl beside the images; one in a folder for each split; sentences as a list are one object's."""
    for split, photo in (("train", "a"), ("validation", "b")):
        (folder / "set" / split).mkdir(parents=True)
        (folder / "photos" / f"{photo}.png").rename(folder / "set" / split / f"{photo}.png")
    train = [
        {"file_name": "a.png", "text": ["The red mug, left", "red one"]},
        {"file_name": "a.png", "text": "Über dem Tisch"},
    ]
    val = [{"file_name": "b.png", "text": ["the dog", "dog"], "mask_file_name": "../../masks/dog.png"}]
    for split, rows in (("train", train), ("validation", val)):
        lines = [json.dumps(row) for row in rows]
        (folder / "set" / split / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert read(folder / "set") == EXPECTED
    assert Pairs(folder / "set").masked("val") == 1
    whole = table(folder / "set", [{"file_name": "train/a.png", "text": "mug"}], "metadata.csv").parent
    assert [row[-1] for row in read(whole)] == ["mug"]  # one at the top counts before those of the splits


def test_names_are_read_as_people_write_them(folder):
    """Separators of Windows, the same file in two spellings, capitals in columns and splits, pandas' empty fields."""
    spellings = ("photos\\a.png", "./photos/a.png", "photos/../photos/a.png")
    rows = [row | {"image": spelling} for row, spelling in zip(ROWS, spellings)]
    rows += [row | {"split": "Validation"} for row in ROWS[3:]]
    rows = [{name.capitalize(): value for name, value in row.items()} for row in rows]
    assert read(table(folder, rows)) == EXPECTED
    lines = [json.dumps({"image": "photos/a.png", "text": " a  mug ", "mask": float("nan"), "object": None})]
    (folder / "pandas.jsonl").write_text("\n".join(lines))
    assert [row[-1] for row in read(folder / "pandas.jsonl")] == ["a mug"]
    with pytest.raises(DataError, match=r"1 row\(s\) with the address of an image: line 2.*; download it and name"):
        Pairs(table(folder, [{"image": "https://example.org/a.png", "sentence": "mug"}]))


def test_images_may_lie_elsewhere_than_their_table(folder):
    """Names count from --image-folder, those of masks from the table."""
    (folder / "photos").rename(folder / "disk")
    rows = [row | {"image": row["image"].removeprefix("photos/")} for row in ROWS]
    corpus = open_corpus(table(folder, rows), "refcoco", "unc", images=folder / "disk")
    assert corpus.masked("val") == 1 and corpus.training_view("train").image_path(1) == folder / "disk" / "a.png"
    assert corpus.image_folder == folder / "disk"
    with pytest.raises(DataError, match="no such folder; name the one that the names of images count from"):
        open_corpus(table(folder, rows), "refcoco", "unc", images=folder / "none")


def test_a_single_image_is_learnt_from(folder):
    corpus = Pairs(table(folder, [{"image": "photos/a.png", "sentence": "mug"}]))
    assert corpus.splits == {"train": 1}
    with pytest.raises(DataError, match="no split 'val'; it has 'train'; choose another to be judged by --split"):
        corpus.training_view("val")


def test_without_objects_each_sentence_stands_alone(folder):
    rows = [{"image": row["image"], "sentence": row["sentence"], "split": "train"} for row in ROWS]
    assert [row[3] for row in read(table(folder, rows))] == [1, 2, 3, 4, 5]


def test_without_splits_a_tenth_of_the_images_is_val_and_always_the_same(folder):
    names = [f"{n:02}.png" for n in range(30)]
    for name in names:
        Image.new("RGB", (W, H)).save(folder / name)
    rows = [{"image": name, "sentence": text} for name in names for text in ("mug", "the mug")]
    first = read(table(folder, rows))
    assert Counter(row[0] for row in first) == {"train": 54, "val": 6}
    val = {row[1] for row in first if row[0] == "val"}
    assert len(val) == 3 and not val & {row[1] for row in first if row[0] == "train"}
    again = read(table(folder, rows[::-1]))
    assert {row[1] for row in again if row[0] == "val"} == val


def test_masks_are_for_judging_alone(folder):
    corpus = Pairs(table(folder))
    assert (corpus.masked("train"), corpus.masked("val"), corpus.splits) == (0, 1, {"train": 2, "val": 1})
    view = corpus.evaluation_view("val")
    assert [(s.sentence, s.box, s.part) for s in view] == [
        ("the dog", (5, 4, 20, 6), None),
        ("dog", (5, 4, 20, 6), None),
    ]
    assert view.mask(view[0].ann_id).sum() == 120
    before = corpus.truth_digest()
    Image.new("L", (W, H), 1).save(folder / "masks" / "dog.png")
    assert corpus.truth_digest() != before
    with pytest.raises(
        DataError, match=r"2 object\(s\) of split 'train' without a mask to judge by; fill the column mask"
    ):
        corpus.evaluation_view("train")


def test_image_ids_keep_an_order(folder):
    rows = [row | {"image_id": {"photos/a.png": 9, "photos/b.png": 4}[row["image"]]} for row in ROWS]
    assert [row[2] for row in read(table(folder, rows))] == [9, 9, 9, 4, 4]


def test_a_photograph_is_upright_as_its_sentences_see_it(folder):
    picture = Image.new("RGB", (W, H), "black")
    picture.paste("white", (0, 0, W // 2, H))  # the left half, which the EXIF turns to the top
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(folder / "photos" / "a.png", exif=exif)
    view = Pairs(table(folder)).training_view("train")
    assert view.image_size(1) == (W, H)
    assert np.asarray(view.image(1))[:, :, 0].mean(1)[[0, -1]].tolist() == [255, 0]


def test_all_that_is_wrong_with_a_table_is_one_list(folder):
    (folder / "photos" / "c.png").write_bytes(b"<html>")
    rows = [
        *ROWS,
        ROWS[0] | {"image": "photos/none.png"},
        ROWS[0] | {"image": "photos/c.png"},
        *[ROWS[0] | {"sentence": "  "}] * 5,
        ROWS[3] | {"mask": "masks/cat.png"},
        ROWS[0] | {"split": ""},
        ROWS[0] | {"image": ""},
    ]
    with pytest.raises(DataError) as error:
        Pairs(table(folder, rows))
    message = str(error.value)
    for part in (
        f"line 7: {folder}/photos/none.png: can't be read as an image (No such file or directory)",
        f"line 8: {folder}/photos/c.png: can't be read as an image: it is a web page",
        "5 row(s) with an empty sentence\n    line 9\n    line 10\n    line 11\n    and 2 more",
        "1 row(s) with another mask than an earlier one of the same object: line 14",
        '1 object(s) without a split, where others have one: "the red mug, left"',
        "1 row(s) with no name of an image, or a sentence that is no text: line 16",
    ):
        assert part in message, part


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.csv", b"photo,words\na.png,mug\n", "no column 'image', it has photo, words; its first line names"),
        ("p.csv", b"image,sentence\na.png,the mug, left\n", "line 2 has more fields than the header; put a sentence"),
        ("p.csv", "image,sentence\na.png,für\n".encode("latin-1"), 'byte 22 is no UTF-8; save it again as "CSV UTF-8"'),
        ("p.csv", b'image,sentence\na.png,"the mug\n', "look for a quote too many"),
        ("p.csv", b"image,sentence\n", "has no row"),
        ("p.jsonl", b'{"image": "a.png"\n', "line 1 is no JSON"),
        ("p.jsonl", b"[1]\n", "expected an object"),
        ("p.xlsx", b"PK", "not a table that is read here; give one of .csv"),
        ("p.parquet", b"PAR1", "parquet"),
        ("p.csv", b"image,sentence,sentence\na.png,mug,cup\n", "has the column 'sentence' twice"),
        ("p.csv", b"Image,image,sentence\na.png,b.png,cup\n", "has the columns 'Image' and 'image'; rename one"),
        ("p.csv", b"image,sentence\n,\n,\n", "has no row"),
    ],
)
def test_a_table_that_cant_be_read_says_why(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as error:
        Pairs(tmp_path / name)
    assert message in str(error.value).replace("Parquet", "parquet") and "\n" not in str(error.value)


def test_a_missing_table_and_a_folder_without_one_say_so(tmp_path):
    with pytest.raises(DataError, match=r"none.csv: no such file"):
        open_corpus(tmp_path / "none.csv", "refcoco", "unc")
    with pytest.raises(DataError, match=r"no table of pairs; give one, or a folder with metadata.csv"):
        Pairs(tmp_path)


def test_what_programs_write_around_the_rows_is_passed_over(folder):
    """Excel's line with the separator; rows of a spreadsheet that were emptied; Mac's old line ends."""
    lines = ["image|sentence|split|object|mask"] + ["|".join(row.values()) for row in ROWS] + ["||||", "||||"]
    (folder / "pairs.csv").write_text("\n".join(["sep=|", *lines]))
    assert read(folder / "pairs.csv") == EXPECTED
    assert read_rows(folder / "pairs.csv")[0][0] == "line 3"
    (folder / "pairs.csv").write_bytes("\r".join(lines).replace("|", "\t").encode())
    assert read(folder / "pairs.csv") == EXPECTED


def test_a_line_of_json_may_hold_what_unicode_calls_the_end_of_one(folder):
    rows = [{"image": "photos/a.png", "sentence": f"red{end}mug"} for end in "\u2028\u2029\x85\x0b\x0c"]
    assert {row[-1] for row in read(table(folder, rows, "pairs.jsonl"))} == {"red mug"}


@pytest.mark.parametrize("text", ["['the mug', 'a mug']", '["the mug"]'])
def test_a_list_that_a_program_wrote_into_one_field_is_no_sentence(folder, text):
    rows = [{"image": "photos/a.png", "sentence": text}, {"image": "photos/a.png", "sentence": "the [left] mug"}]
    with pytest.raises(DataError, match=r"1 row\(s\) with a list in place of a sentence: line 2: .*; write a row for"):
        Pairs(table(folder, rows))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"image": "the mug on the left " * 20, "text": "photos/a.png"}, "line 1: 'the mug on"),
        ({"image": "photos/a.png", "text": "mug", "mask": "m" * 300}, "line 1: 'mmmm"),
        ({"image": "photos/a\0.png", "text": "mug"}, r"line 1: 'photos/a\x00.png'"),
        ({"image": "photos/a\ud83d.png", "text": "mug"}, r"line 1: 'photos/a\ud83d.png'"),
    ],
)
def test_what_no_file_can_be_called_is_said_with_its_line(folder, row, message):
    (folder / "p.jsonl").write_text(json.dumps(row))
    with pytest.raises(DataError) as error:
        Pairs(folder / "p.jsonl")
    assert f"1 row(s) with what no file can be called: {message}" in str(error.value)


def test_half_a_character_is_named(folder):
    (folder / "p.jsonl").write_text(json.dumps({"image": "photos/a.png", "text": "mug \ud83d"}))
    with pytest.raises(DataError, match=r"1 row\(s\) with half a character, which can't be stored: line 1"):
        Pairs(folder / "p.jsonl")


def test_names_in_other_capitals_and_accents_are_those_of_the_disk(folder):
    """Of Windows and a Mac, whose disks don't tell capitals apart; the latter writes an accent as a letter."""
    (folder / "photos" / "a.png").rename(folder / "photos" / "u\u0308ber.png")
    rows = [{"image": name, "sentence": "mug"} for name in ("Photos/\u00dcber.PNG", "photos\\u\u0308ber.png")]
    assert {row[1:3] for row in read(table(folder, rows))} == {("u\u0308ber.png", 1)}
    Image.new("RGB", (W, H)).save(folder / "photos" / "B.png")
    with pytest.raises(DataError, match=r"1 row\(s\) with an image that can't be read"):
        Pairs(table(folder, [{"image": "photos/b.PNG", "sentence": "mug"}]))  # b.png or B.png?


def test_image_ids_are_whole_numbers_from_anywhere(folder):
    images = ("photos/a.png", "photos/b.png")
    for given, ids in (("0", "1"), (0, 1)), (("-1", "7.0"), (-1, 7)):
        rows = [{"image": image, "sentence": "mug", "image_id": i} for image, i in zip(images, given)]
        assert tuple(row[2] for row in read(table(folder, rows))) == ids
    for bad in ("a7", "1.5", "9" * 30):
        rows = [{"image": images[0], "sentence": "mug", "image_id": bad}]
        with pytest.raises(DataError, match=r"image_id that is no whole number.*leave it out, it isn't needed"):
            Pairs(table(folder, rows))


def test_only_columns_of_pictures_are_named_so(folder):
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    rows = [{"image": "photos/a.png", "text": "mug", "by": {"whom": "me"}}]
    assert [row[-1] for row in read(table(folder, rows, "p.parquet"))] == ["mug"]
    with pytest.raises(DataError, match="the column image holds pictures and not their names"):
        Pairs(table(folder, [{"image": b"x", "text": "mug"}], "p.parquet"))


def test_pictures_inside_parquet_are_named(tmp_path):
    arrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")

    rows = [{"image": {"bytes": b"x", "path": "a.png"}, "text": "mug"}]
    arrow.parquet.write_table(arrow.Table.from_pylist(rows), tmp_path / "p.parquet")
    with pytest.raises(DataError, match="the column image holds pictures and not their names"):
        Pairs(tmp_path / "p.parquet")


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((H, W), np.uint8), "0 pixel"),
        (np.tile(np.arange(W, dtype=np.uint8), (H, 1)), "has the values 0, 1, 2, 3 ...; a mask has 0 outside"),
        (np.full((H, W - 1), 255, np.uint8), "the mask is 20 x 29 (height x width), its image 20 x 30"),
    ],
)
def test_a_mask_that_is_none_is_refused(tmp_path, picture, message):
    Image.fromarray(picture).save(tmp_path / "m.png")
    with pytest.raises(DataError) as error:
        read_mask(tmp_path / "m.png", H, W)
    assert message in str(error.value) and str(tmp_path / "m.png") in str(error.value)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "I;16"])
def test_a_mask_of_any_mode_is_read(tmp_path, mode):
    plane = np.zeros((H, W), np.uint8)
    plane[2:5, 3:9] = 1 if mode == "P" else 255
    picture = Image.fromarray(plane)
    if mode == "P":
        picture = picture.copy()
        picture.putpalette([0, 0, 0, 200, 0, 0])
    elif mode == "I;16":
        picture = Image.fromarray(plane.astype(np.uint16) * 257)
    else:
        picture = picture.convert(mode)
    picture.save(tmp_path / "m.png")
    rle, box = read_mask(tmp_path / "m.png", H, W)
    assert rle["size"] == [H, W] and box == (3, 2, 6, 3)


def test_a_mask_is_where_a_picture_is_neither_black_nor_transparent(tmp_path):
    """A palette's first entry may be white, a cut-out is white all over, blue is dark as grey."""
    inside = np.zeros((H, W), bool)
    inside[2:5, 3:9] = True
    palette = Image.fromarray((~inside).astype(np.uint8))
    palette.putpalette([255, 255, 255, 0, 0, 0])
    cut_out = Image.fromarray(np.dstack([np.full((H, W, 3), 255, np.uint8), inside * np.uint8(255)]))
    blue = Image.fromarray(inside[..., None] * np.array([0, 0, 3], np.uint8))
    for picture in (palette, cut_out, blue):
        picture.save(tmp_path / "m.png")
        rle, box = read_mask(tmp_path / "m.png", H, W)
        assert box == (3, 2, 6, 3) and np.array_equal(decode_rle(rle), inside)


def test_whatever_a_decoder_raises_of_a_mask_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "open", lambda path: [][0])
    with pytest.raises(DataError, match=r"m.png: can't be read as a mask \(list index out of range\)"):
        read_mask(tmp_path / "m.png", H, W)


def test_rows_keep_their_places(folder):
    places = [where for where, _ in read_rows(table(folder))]
    assert places == ["line 2", "line 3", "line 4", "line 5", "line 6"]
