"""Labels from a table: a CSV file with the columns path, label and perhaps part and group."""

import csv
import io
import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from train_core.data.layout import PART_NAMES, SPLIT_OFF, part_named
from train_core.data.listing import ImageFile, Listing, Part, image_file

_KNOWN = ("path", "label", "part", "group")


def list_table(table: Path, group: str | None) -> Listing:
    """All images that a table names, with paths relative to the table's own folder.

    The delimiter is a comma, semicolon or tab. `group` may be the name of a column; None is that
    of "group", if there is one.

    Raises:
        ValueError: In one sentence with the line, if the table does not say what it must.
    """
    columns, rows = _read(table)
    column = next((name for name in columns if name == (group or "group")), None)
    files: dict[str, ImageFile] = {}
    labels = sorted({row["label"] for _, row in rows})
    repeated = 0
    for line, row in rows:
        file = _file(table, row, line, labels)
        if column and row[column]:
            file = replace(file, group=row[column])
        if (known := files.setdefault(file.path, file)) is not file:
            repeated += 1
            _refuse_contradiction(table, line, known, file, labels)
    ordered = [file for part in PART_NAMES for file in files.values() if file.part == part]
    _refuse_untrained(table, ordered, labels)
    notes = [f"{repeated} rows of the table say again what others said"] if repeated else []
    if ignored := [name for name in columns if name not in (*_KNOWN, column)]:
        notes.append(f"columns of the table that mean nothing here: {', '.join(ignored)}")
    grouped_by = f"the column {column}" if column else None
    return Listing(
        table.parent, table.stem, tuple(labels), ordered, _where(ordered), {}, tuple(notes),
        grouped_by,
    )  # fmt: skip


def _read(table: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """The names of the columns, and the rows with their lines in the file."""
    try:
        text = table.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"a table must be UTF-8 text, but '{table}': {error.reason}") from None
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns = [name.strip() for name in next(reader, [])]
    columns = [name.casefold() if name.casefold() in _KNOWN else name for name in columns]
    if missing := [name for name in _KNOWN[:2] if name not in columns]:
        raise ValueError(
            f"a table must have the columns path and label, but '{table}' lacks "
            f"{' and '.join(missing)}: its first line has {', '.join(columns) or 'nothing'}"
        )
    try:
        return columns, list(_rows(table, columns, reader))
    except csv.Error as error:
        raise ValueError(f"a table must be CSV, but '{table}': {error}") from None


def _rows(
    table: Path, columns: list[str], reader: Iterator[list[str]]
) -> Iterator[tuple[int, dict[str, str]]]:
    for cells in reader:
        line = reader.line_num  # type: ignore[attr-defined]
        if not any(cell.strip() for cell in cells):
            continue
        if any(cells[len(columns) :]):
            raise ValueError(
                f"every row must have as many cells as the first line ({len(columns)}), but "
                f"'{table}' line {line} has {len(cells)}: put paths with a delimiter in quotes"
            )
        row = dict(zip(columns, (cell.strip() for cell in cells), strict=False))
        if not row.get("path") or not row.get("label"):
            raise ValueError(f"every row must have a path and a label, but '{table}' line {line}")
        row["label"] = unicodedata.normalize("NFC", row["label"])
        row["path"] = _path(table.parent, row["path"])
        yield line, {name: row.get(name, "") for name in columns}


def _path(root: Path, path: str) -> str:
    """As the file system knows it: tables made on Windows have backslashes."""
    turned = path.replace("\\", "/")
    return os.path.normpath(path if (root / path).exists() else turned)


def _file(table: Path, row: Mapping[str, str], line: int, labels: list[str]) -> ImageFile:
    part: Part | None = part_named(row["part"]) if row.get("part") else "train"
    if part is None:
        names = ", ".join(sorted(name for names in PART_NAMES.values() for name in names))
        raise ValueError(
            f"a part must be one of {names} or empty, but '{table}' line {line} has "
            f"'{row['part']}'"
        )
    file = image_file(table.parent, row["path"], part, labels.index(row["label"]))
    if file is None:
        raise ValueError(f"a path must be a file, but '{table}' line {line}: '{row['path']}'")
    return file


def _refuse_contradiction(
    table: Path, line: int, known: ImageFile, file: ImageFile, labels: list[str]
) -> None:
    for one, other, what in (
        (labels[known.label], labels[file.label], "label"),
        (known.part, file.part, "part"),
        (known.group or "none", file.group or "none", "group"),
    ):
        if one != other:
            raise ValueError(
                f"a picture must have one {what}, but '{table}' has {one} and, in line {line}, "
                f"{other} for '{file.path}'"
            )


def _refuse_untrained(table: Path, files: list[ImageFile], labels: list[str]) -> None:
    counts = Counter(file.label for file in files if file.part == "train")
    if len(labels) < 2:
        raise ValueError(f"a table must name at least 2 labels, but '{table}' has {labels}")
    if missing := [name for label, name in enumerate(labels) if not counts[label]]:
        raise ValueError(
            f"every label must have training pictures, but '{table}' has none of "
            f"{', '.join(missing)}"
        )


def _where(files: list[ImageFile]) -> dict[str, str]:
    given: dict[str, str] = {file.part: "by the table" for file in files}
    return {"train": "", **SPLIT_OFF, **given}
