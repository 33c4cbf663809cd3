"""Your own pairs of image and sentence as a corpus: a table with a row a sentence, and nothing that knows a mask.

    image,sentence,split,object,mask
    photos/desk.jpg,the mug on the left,train,1,

Image and sentence are all that training needs. `split` says which rows are judged or shown ("val"); without it a tenth
of the images, always the same, is. Rows of one image with the same `object` mean the same thing: the group of the
multi-text prior; without it each sentence stands alone. `mask` is a picture of what is meant, to judge by.

The table may be a CSV, JSON lines or Parquet, or the metadata of a folder of images as Hugging Face's datasets lays it
out (metadata.csv beside the images, or in a folder for each split). Names of files count from the table's folder.
"""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from wsris_lib.infra.artefacts import content_hash
from wsris_lib.refer.errors import DataError, Faults
from wsris_lib.refer.fields import is_file_name, is_text
from wsris_lib.refer.images import measured_by_header
from wsris_lib.refer.mask_files import read_mask
from wsris_lib.refer.masks import Segmentation
from wsris_lib.refer.pickles import Record
from wsris_lib.refer.places import existing
from wsris_lib.refer.reader import Refer, fewer
from wsris_lib.refer.tables import SUFFIXES, Row, read_rows
from wsris_lib.refer.views import TURNED, AnnotatedSample, EvaluationView, ImageFile

COLUMNS = {  # what a column is called here, and elsewhere
    "image": ("image", "file_name", "image_file_name", "image_path", "path"),
    "sentence": ("sentence", "sentences", "text", "caption", "expression"),
    "split": ("split",),
    "object": ("object", "object_id", "group", "group_id", "ref_id"),
    "mask": ("mask", "mask_file_name", "mask_path"),
    "image_id": ("image_id",),  # whole numbers: an export's, so that images keep their order
}
SPLITS = {  # the names of others, in any letters -> ours
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "validation", "valid", "dev"), "val"),
}
TABLES = tuple(f"metadata{suffix}" for suffix in SUFFIXES)
WHOLE = re.compile(r"(-?\d{1,18})(\.0)?")  # pandas writes whole numbers so where one of them is missing
LIST = re.compile(r"\[\s*(['\"]).*\1\s*\]")  # of texts, as programs write it into one field
HELD_OUT = 10  # one image in so many becomes val where nothing is said


class Pairs(Refer):
    """A corpus of pairs, with all that is asked of `Refer`; ids are numbers in the order of the table.

    path: the table, or a folder with metadata.csv (.jsonl, .parquet) or pairs.csv in it, or such a file for each split.
    most: as of `Refer`. images: a folder that names of images count from instead of the table's. Raises DataError that
    lists all that is wrong with the table, or says which file is missing.
    """

    corpus = "pairs"

    def __init__(self, path: str | Path, most: dict[str, int] | None = None, images: str | Path = ""):
        # Not that of `Refer`, which reads its files.
        self.root = Path(path).expanduser()
        self.split_by = "table"
        tables = some_tables(self.root)
        self.image_folder = self.root if self.root.is_dir() else self.root.parent
        if images:
            self.image_folder = Path(images).expanduser()
            if not self.image_folder.is_dir():
                raise DataError(f"{images}: no such folder; name the one that the names of images count from")
        self.refs_path = self.instances_path = self.root
        self._refs: list[Record] = []
        self._masks: dict[int, Path] = {}  # by ref_id
        self._files: dict[int, ImageFile] = {}
        rows = [row for table in tables for row in _rows(table, self.root)]
        self._take([(where, self.image_folder if images else folder, folder, row) for where, folder, row in rows])
        for split, count in (most or {}).items():
            self._refs = fewer(self._refs, split, count, self.corpus)
        self.splits = dict(Counter(ref["split"] for ref in self._refs))

    def masked(self, split: str) -> int:
        """How many objects of a split have a mask."""
        return sum(ref["ref_id"] in self._masks for ref in self._split(split))

    def truth_digest(self) -> str:
        """As of `Refer`, of the files of masks."""
        return content_hash([[ref_id, content_hash(path)] for ref_id, path in self._masks.items()])

    def for_evaluation(self, split: str) -> tuple[EvaluationView, Faults]:
        """As of `Refer`; every mask of the split is read here, and an object without one is a fault."""
        refs = self._split(split)
        faults = Faults()
        samples = []
        segmentations: dict[int, tuple[int, Segmentation | None]] = {}
        for ref in refs:
            file = self._files[ref["image_id"]]
            if ref["ref_id"] not in self._masks:
                what = f"object(s) of split {split!r} without a mask to judge by"
                faults.add(
                    self.root, what, f'"{ref["sentences"][0]["sent"]}"', "fill the column mask, or leave it empty"
                )
                continue
            try:
                rle, box = read_mask(self._masks[ref["ref_id"]], file.height, file.width)
            except DataError as why:
                faults.add(self.root, f"mask(s) of split {split!r} that can't be used", str(why))
                continue
            segmentations[ref["ref_id"]] = ref["image_id"], rle
            samples += [
                AnnotatedSample(
                    image_id=ref["image_id"],
                    ref_id=ref["ref_id"],
                    sent_id=sentence["sent_id"],
                    sentence=sentence["sent"],
                    ann_id=ref["ref_id"],
                    category="object",
                    box=box,
                    position_dependent=None,
                    part=None,
                )
                for sentence in ref["sentences"]
            ]
        return EvaluationView(samples, self._files, segmentations, self.root), faults

    def _take(self, rows: list[tuple[str, Path, Path, Row]]) -> None:
        """Fill refs, files and masks from (where, folder of images, of masks, fields); all faults are one list."""
        faults = Faults()
        images: dict[Path, int] = {}
        refs: dict[object, Record] = {}
        for where, photos, masks, row in rows:
            sentences = row["sentence"] if isinstance(row.get("sentence"), list) else [row.get("sentence", "")]
            if not isinstance(row.get("image"), str) or not all(isinstance(text, str) for text in sentences):
                faults.add(self.root, "row(s) with no name of an image, or a sentence that is no text", where)
                continue
            texts = [" ".join(text.split()).lower() for text in sentences]
            if not texts or not all(texts):
                faults.add(self.root, "row(s) with an empty sentence", where)
                continue
            if not all(map(is_text, texts)):
                what = "row(s) with half a character, which can't be stored"
                faults.add(self.root, what, where, "save the table again as UTF-8")
            if any(map(LIST.fullmatch, texts)):
                mend = "write a row for each sentence with the same entry in the column object"
                faults.add(self.root, "row(s) with a list in place of a sentence", f"{where}: {texts[0]:.60}", mend)
            unnamed = [row[c] for c in ("image", "mask") if not is_file_name(str(row.get(c, "")))]
            if unnamed:
                what = "row(s) with what no file can be called"
                faults.add(self.root, what, f"{where}: {unnamed[0]!a:.60}", "give the file's name; see the columns")
                continue
            path = _named(photos, row["image"])
            if path not in images:
                image_id = _whole(row.get("image_id", len(images) + 1))
                if image_id is None or image_id in self._files:
                    what = "row(s) with an image_id that is no whole number, or another image's"
                    faults.add(self.root, what, where, "call that column otherwise or leave it out, it isn't needed")
                images[path] = len(images) + 1 if image_id is None else image_id
                try:
                    self._files[images[path]] = ImageFile(path, *_size(path), upright=True)
                except DataError as why:
                    web = "row(s) with the address of an image" if "://" in row["image"] else ""
                    mend = "download it and name the file" if web else ""
                    faults.add(self.root, web or "row(s) with an image that can't be read", f"{where}: {why}", mend)
            image_id = images[path]
            split = str(row.get("split", "")).strip()
            same = (image_id, split, str(row["object"])) if "object" in row else object()
            ref = refs.setdefault(same, _new_ref(len(refs) + 1, image_id, path.name, SPLITS.get(split.lower(), split)))
            if "mask" in row:
                mask = _named(masks, str(row["mask"]))
                if self._masks.setdefault(ref["ref_id"], mask) != mask:
                    faults.add(self.root, "row(s) with another mask than an earlier one of the same object", where)
                elif not mask.is_file():
                    faults.add(self.root, "row(s) with a mask that isn't there", f"{where} ({mask})")
            ref["sentences"] += [{"sent": s, "raw": raw, "tokens": s.split()} for s, raw in zip(texts, sentences)]
        _number(list(refs.values()))
        self._refs = list(refs.values())
        bare = [ref for ref in self._refs if not ref["split"]]
        if len(bare) == len(self._refs):
            _hold_out(self._refs, images)
            bare = []
        for ref in bare:
            what = "object(s) without a split, where others have one"
            faults.add(self.root, what, f'"{ref["sentences"][0]["sent"]}"')
        faults.check()


def open_corpus(
    path: Path, corpus: str, split_by: str, most: dict[str, int] | None = None, images: str | Path = ""
) -> Refer:
    """The corpus at `path`: pairs, where there is a table of them, else a folder in the REFER layout, see `Refer`."""
    return Pairs(path, most, images) if tables_of(path) else Refer(path, corpus, split_by, most, images)


def tables_of(path: Path) -> list[Path]:
    """The tables of a corpus of pairs: the file itself, or those in a folder of images; none of another folder."""
    if path.is_file() or path.suffix.lower() in SUFFIXES:
        return [path]
    for pattern in (*TABLES, "pairs.csv", *(f"*/{name}" for name in TABLES)):
        if tables := sorted(path.glob(pattern)):
            return tables
    return []


def some_tables(path: Path) -> list[Path]:
    """`tables_of` where there must be one; raises DataError that says what else is there."""
    tables = tables_of(path)
    if not tables:
        others = sorted(entry.name for entry in path.glob("*") if entry.suffix.lower() in SUFFIXES)
        meant = f"; did you mean {path / others[0]}?" if others else ""
        raise DataError(f"{path}: no table of pairs; give one, or a folder with {', '.join(TABLES)} in it{meant}")
    return tables


def _rows(table: Path, root: Path) -> Iterator[tuple[str, Path, Row]]:
    """(where, the folder that names count from, fields by our names) of each row of a table."""
    rows = read_rows(table)
    columns: dict[str, str] = {}
    for name in dict.fromkeys(name for _, row in rows for name in row):
        if (lower := name.lower()) in columns and any(lower in others for others in COLUMNS.values()):
            raise DataError(f"{table}: has the columns {columns[lower]!r} and {name!r}; rename one of them")
        columns[lower] = name
    ours = {name: next((columns[o] for o in others if o in columns), None) for name, others in COLUMNS.items()}
    for name in ("image", "sentence"):
        if ours[name] is None:
            there = ", ".join(sorted(columns.values())) or "none"
            raise DataError(f"{table}: no column {name!r}, it has {there}; its first line names the columns")
    of_folder = {} if table.parent in (root, root.parent) else {"split": table.parent.name}
    before = f"{table.relative_to(root)}, " if of_folder else ""
    for where, row in rows:
        fields = {name: row[other] for name, other in ours.items() if other in row}
        yield before + where, table.parent, of_folder | fields


def _named(folder: Path, name: str) -> Path:
    """The file of a name, in one spelling: separators of Windows, capitals and accents are those of the disk."""
    path = folder / Path(os.path.normpath(name.strip())).expanduser()
    turned = Path(os.path.normpath(name.strip().replace("\\", "/"))).expanduser()
    if path.is_file():
        return path
    alike = existing(folder, turned.as_posix())
    return alike if alike and alike.is_file() else path


def _whole(value: object) -> int | None:
    """A whole number, also one that a table has as text or with ".0"; else None."""
    text = str(value).strip()
    whole = WHOLE.fullmatch(text)
    return int(whole[1]) if whole else None


def _size(path: Path) -> tuple[int, int]:
    """(height, width) of an image as viewers show it, by its header: "left" in a sentence is the viewer's."""
    height, width, orientation = measured_by_header(path)
    return (width, height) if orientation >= TURNED else (height, width)


def _new_ref(ref_id: int, image_id: int, file_name: str, split: str) -> Record:
    ids = {"ref_id": ref_id, "ann_id": ref_id, "category_id": 1, "image_id": image_id}
    return {**ids, "file_name": file_name, "split": split, "sentences": []}


def _number(refs: list[Record]) -> None:
    """Give each sentence its id."""
    sent_id = 0
    for ref in refs:
        for sentence in ref["sentences"]:
            sent_id += 1
            sentence["sent_id"] = sent_id
        ref["sent_ids"] = [sentence["sent_id"] for sentence in ref["sentences"]]


def _hold_out(refs: list[Record], images: dict[Path, int]) -> None:
    """Make a tenth of the images val: always the same ones, in no order that means anything."""
    names = {image_id: hashlib.sha256(path.name.encode()).digest() for path, image_id in images.items()}
    most = max(min(1, len(names) - 1), len(names) // HELD_OUT)  # a single image is learnt from
    val = set(sorted(names, key=lambda i: names[i])[:most])
    for ref in refs:
        ref["split"] = "val" if ref["image_id"] in val else "train"
