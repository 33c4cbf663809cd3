"""Rows of a table as people keep them: CSV, JSON lines or Parquet, read into dicts and written again."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from wsris_lib.infra.artefacts import atomic_write
from wsris_lib.refer.errors import DataError
from wsris_lib.refer.image_kinds import stand_in

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
Row = dict[str, Any]
SEPARATOR = re.compile(r"sep=(.)\r?\n")  # a line that Excel writes before the header


def read_rows(path: Path) -> list[tuple[str, Row]]:
    """(where it stands, its fields) of each row of a table; fields and rows that are empty are left out.

    A CSV's separator is the one of comma, semicolon and tabulator that its header has most of, as spreadsheets write
    all three; its text is UTF-8, with or without a mark at its beginning. Raises DataError for another kind of file,
    and for one that is missing, of another encoding or damaged.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{path}: not a table that is read here; give one of {', '.join(SUFFIXES)}")
    try:
        rows = list(_parquet(path) if path.suffix.lower() == ".parquet" else _text(path))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as why:
        raise DataError(f"{path}: can't be read ({why.strerror or why})") from None
    except UnicodeDecodeError as why:
        problem = f"byte {why.start} is no UTF-8"
        raise DataError(f'{path}: {problem}; save it again as "CSV UTF-8"') from None
    empty = (None, "")
    fields = [(w, {n: v for n, v in row.items() if v not in empty and v == v}) for w, row in rows]  # NaN isn't itself
    filled = [(where, row) for where, row in fields if row]
    if not filled:
        raise DataError(f"{path}: has no row; write one for each sentence")
    return filled


def check_table(path: Path) -> None:
    """Raises DataError for a table that can't be written: of another kind, there already, or without its package."""
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{path}: not a table that is written here; end it in one of {', '.join(SUFFIXES)}")
    if path.exists():
        raise DataError(f"{path}: is there already; name another, or remove it if nothing in it is wanted")
    if path.suffix.lower() == ".parquet":
        _arrow(path)


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write rows with the same fields as a table of the kind that the path's suffix says, whole or not at all."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path}: not a table that is written here; end it in one of {', '.join(SUFFIXES)}")
    with atomic_write(path) as temporary:
        if suffix == ".parquet":
            arrow = _arrow(path)
            arrow.parquet.write_table(arrow.Table.from_pylist(list(rows)), temporary)
        elif suffix == ".jsonl":
            lines = [json.dumps(row, ensure_ascii=False) for row in rows]
            temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        else:
            with open(temporary, "w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(
                    file, list(rows[0]) if rows else [], delimiter="\t" if suffix == ".tsv" else ","
                )
                writer.writeheader()
                writer.writerows(rows)


def _text(path: Path) -> Iterator[tuple[str, Row]]:
    data = path.read_bytes()
    if other := stand_in(data):
        raise DataError(f"{path}: {other}")
    text = data.decode("utf-8-sig")
    return _json_lines(path, text) if path.suffix.lower() == ".jsonl" else _csv(path, text)


def _csv(path: Path, text: str) -> Iterator[tuple[str, Row]]:
    mark = SEPARATOR.match(text)
    body = text[mark.end() :] if mark else text
    header = body.lstrip().partition("\n")[0]
    separator = mark[1] if mark else max(",;\t", key=header.count)
    reader = csv.DictReader(io.StringIO(body, newline=""), delimiter=separator, strict=True)
    try:
        names = Counter((name or "").strip() for name in reader.fieldnames or ())
        if twice := [name for name, count in names.items() if name and count > 1]:
            raise DataError(f"{path}: has the column {twice[0]!r} twice; give each column a name of its own")
        for row in reader:
            where = f"line {reader.line_num + bool(mark)}"
            if None in row:
                raise DataError(
                    f"{path}: {where} has more fields than the header; put a sentence with commas in quotes"
                )
            yield where, {(name or "").strip(): (value or "").strip() for name, value in row.items()}
    except csv.Error as why:
        raise DataError(f"{path}: line {reader.line_num} can't be read ({why}); look for a quote too many") from None


def _json_lines(path: Path, text: str) -> Iterator[tuple[str, Row]]:
    for number, line in enumerate(text.split("\n"), 1):  # splitlines() would cut within a sentence, at U+2028
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as why:
                raise DataError(f"{path}: line {number} is no JSON ({why}); write one object a line") from None
            if not isinstance(row, dict):
                raise DataError(f'{path}: line {number} is {row!r:.40}, expected an object, {{"image": ..., ...}}')
            yield f"line {number}", row


def _parquet(path: Path) -> Iterator[tuple[str, Row]]:
    arrow = _arrow(path)
    try:
        table = arrow.parquet.read_table(path)
    except arrow.ArrowException as why:
        raise DataError(f"{path}: can't be read as Parquet ({' '.join(str(why).split())})") from None
    if pictures := [column.name for column in table.schema if _holds_bytes(arrow, column.type)]:
        what = f"the column {pictures[0]} holds pictures and not their names"
        raise DataError(f"{path}: {what}; write each to a file and give the files' names")
    for number, row in enumerate(table.to_pylist(), 1):
        yield f"row {number}", row


def _holds_bytes(arrow: Any, kind: Any) -> bool:
    """Whether a column is of files: bytes, or as Hugging Face's datasets has them, {"bytes", "path"}."""
    inner = [field.type for field in kind] if arrow.types.is_struct(kind) else [kind]
    return any(arrow.types.is_binary(each) or arrow.types.is_large_binary(each) for each in inner)


def _arrow(path: Path) -> Any:
    """pyarrow, which is no part of the smallest installation."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise DataError(f'{path}: Parquet needs pyarrow; pip install "wsris[parquet]", or give a CSV') from None
    return pyarrow
