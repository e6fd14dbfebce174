"""One part of a data set as files of the cache: images, labels, and what is known of each row."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from records.files import write_whole
from train_core.data import Content, PartName
from train_core.data.split import Ties


def array_files(folder: Path, part: str) -> tuple[Path, Path]:
    """Those of the images and of the labels."""
    return folder / f"{part}.images.npy", folder / f"{part}.labels.npy"


def known_file(folder: Path, part: str) -> Path:
    """That of what is known of every row besides its image and label."""
    return folder / f"{part}.rows.json"


def read_known(folder: Path, part: PartName) -> dict[str, Any]:
    """What `Content` says of the rows: paths, groups, validation, copies."""
    known: dict[str, Any] = json.loads(known_file(folder, part).read_text(encoding="ascii"))
    return known


def read_ties(folder: Path) -> Ties:
    """What splits of the training part have to keep to."""
    known = read_known(folder, "train")
    found = (known["groups"], known["validation"])
    return Ties(*(None if rows is None else np.array(rows, dtype=np.int64) for rows in found))


def write_part(folder: Path, part: PartName, content: Content) -> None:
    """Write one part, image by image, as they may be rows of a larger array."""
    images, labels = array_files(folder, part)
    shape = (
        (len(content.images), *content.images[0].shape) if len(content.images) else (0, 0, 0, 3)
    )
    head = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with images.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, head)
        for image in content.images:
            file.write(np.ascontiguousarray(image).data)
    np.save(labels, content.labels)
    rows = {"groups": content.groups, "validation": content.validation, "copies": content.copies}
    known = {key: None if value is None else value.tolist() for key, value in rows.items()}
    write_whole(known_file(folder, part), json.dumps({"paths": content.paths, **known}))


def counts_by_part(
    content: Content, part: str, classes: Sequence[str]
) -> dict[str, dict[str, int]]:
    """Images by part and class; a validation part that is given counts by itself."""
    labels, found = content.labels, dict[str, np.ndarray]()
    if content.validation is not None:
        found["validation"] = labels[content.validation]
        labels = np.delete(labels, content.validation)
    found[part] = labels
    return {
        name: dict(zip(classes, np.bincount(its, minlength=len(classes)).tolist(), strict=True))
        for name, its in sorted(found.items())
    }
