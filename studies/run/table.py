"""The trials of a study as a table, for other programs: CSV or Parquet."""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from records.files import part_of, write_whole
from records.trial import TrialRecord
from studies.attributes import trial_records
from studies.study import Place, find

# One value per epoch, or the training's whole config: no cells.
_LEFT_OUT = {"config", "curve", "history"}


def export(place: Place, path: Path) -> int:
    """Write a row per trial, by number; an older file is replaced.

    Args:
        place: Where the study is.
        path: Ends with .csv or .parquet.

    Returns:
        How many rows there are.

    Raises:
        ValueError: In one sentence, if there is no such study, the file cannot be written, or its
            kind is unknown or needs what is not installed.
    """
    if path.suffix not in (".csv", ".parquet"):
        raise ValueError(f"trials are exported as .csv or .parquet, but got '{path}'")
    rows = [row(record) for record in trial_records(find(place, to_write=False))]
    names = list(dict.fromkeys(name for one in rows for name in one))
    columns = {name: [one.get(name) for one in rows] for name in names}
    try:
        if path.suffix == ".csv":
            write_whole(path, _csv(columns))
        else:
            _write_parquet(path, columns)
    except OSError as error:
        raise ValueError(f"'{path}' must be writable, but: {error.strerror}") from None
    return len(rows)


def row(record: TrialRecord) -> dict[str, Any]:
    """Column -> value of one trial; a table within it becomes a column per key."""
    found: dict[str, Any] = {}
    for name, value in record:
        if name in _LEFT_OUT:
            continue
        if isinstance(value, Mapping):
            found |= {f"{name}.{key}": inner for key, inner in value.items()}
        else:
            found["score" if name == "accuracy" else name] = value
        if name == "ended":
            found["seconds"] = record.seconds
    return {**found, "epochs": len(record.curve), "method": record.method}


def _csv(columns: Mapping[str, Sequence[Any]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return file.getvalue()


def _write_parquet(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    try:
        from pyarrow import parquet, table
    except ImportError:
        raise ValueError(
            "Parquet needs pyarrow, which is not installed: pip install convsearch[parquet], or "
            "export as .csv"
        ) from None
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = part_of(path)
    try:
        parquet.write_table(table({k: _of_one_type(v) for k, v in columns.items()}), scratch)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def _of_one_type(cells: Sequence[Any]) -> list[Any]:
    """The same cells; as text where a parameter is of several types, which Parquet has not."""
    types = {type(cell) for cell in cells if cell is not None}
    if types == {int, float}:
        return [None if cell is None else float(cell) for cell in cells]
    if len(types) <= 1 and types <= {bool, int, float, datetime}:
        return list(cells)
    return [None if cell is None else str(cell) for cell in cells]
