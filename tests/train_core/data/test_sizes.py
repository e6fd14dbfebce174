"""The size that networks see images at, where nobody says which."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.records.deep_pictures import deep_png
from train_core.data.config import DataConfig
from train_core.data.decode import usual_size
from train_core.data.prepare import PreparedData, load_part, prepare


def write(root: Path, width: int, height: int, per_class: int = 4) -> Path:
    random = np.random.default_rng(0)
    for name in "ab":
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(per_class):
            pixels = random.integers(0, 256, (height, width, 3), np.uint8)
            Image.fromarray(pixels).save(root / name / f"{width}-{number}.png")
    return root


def prepared(root: Path, **changes) -> PreparedData:
    return prepare(DataConfig(dataset=str(root), root=str(root.parent / "cache"), **changes))


@pytest.mark.parametrize(
    ("size", "kept", "seen"), [((64, 90), 32, 32), ((65, 90), 256, 224), ((90, 65), 256, 224)]
)
def test_the_median_shorter_side_decides(tmp_path, size, kept, seen) -> None:
    found = prepared(write(tmp_path / "p", *size))
    assert (found.image_size, found.crop_size) == (kept, seen)
    assert load_part(found, "train").images.shape[1:] == (kept, kept, 3)


def test_a_few_others_change_nothing(tmp_path) -> None:
    write(tmp_path / "p", 20, 20, per_class=5)
    assert prepared(write(tmp_path / "p", 300, 300, per_class=4)).crop_size == 32


def test_what_cannot_be_read_does_not_count(tmp_path) -> None:
    paths = sorted(write(tmp_path / "p", 100, 100).rglob("*.png"))
    broken = [tmp_path / f"{n}.png" for n in range(20)]
    for path in broken:
        path.write_bytes(b"nothing")
    assert usual_size([*broken, *paths]) == 224
    assert usual_size(broken) == 32


def test_a_data_set_that_comes_along_is_small(tmp_path) -> None:
    digits = prepare(DataConfig(dataset="digits", root=str(tmp_path)))
    assert (digits.image_size, digits.crop_size) == (32, 32)
    larger = prepare(DataConfig(dataset="digits", root=str(tmp_path), image_size=96))
    assert (larger.image_size, larger.crop_size) == (110, 96)


def test_every_fit_has_its_own_images(tmp_path) -> None:
    root = write(tmp_path / "p", 60, 30)
    crop, squash, pad = (prepared(root, fit=fit) for fit in ("crop", "squash", "pad"))
    hashes = {found.train.sha256 for found in (crop, squash, pad)}
    assert len(hashes) == 3
    assert [found.fit for found in (crop, squash, pad)] == ["crop", "squash", "pad"]
    assert prepared(root).folder == crop.folder


def test_what_was_done_is_said(tmp_path) -> None:
    root = write(tmp_path / "p", 240, 230)
    said = list(prepared(root, image_size=96).findings.facts())[2]
    assert "originals 240x230, used as 110x110, seen at 96; " in said
    said = list(prepared(root, image_size=240, fit="pad").findings.facts())[2]
    assert "used as 240x240 with borders, 8 of them enlarged; " in said


def test_grey_pictures_of_16_bits_are_read(tmp_path) -> None:
    random = np.random.default_rng(0)
    for name in "ab":
        (tmp_path / "p" / name).mkdir(parents=True)
        for number in range(4):
            levels = random.integers(0, 65_536, (70, 80), np.uint16)
            (tmp_path / "p" / name / f"{number}.png").write_bytes(deep_png(levels))
    images = load_part(prepared(tmp_path / "p", image_size=70), "train").images
    assert images.shape[1:] == (80, 80, 3)
    assert (images[..., 0] == images[..., 1]).all()
    assert (images[..., 0] == images[..., 2]).all()
    assert 100 < images.mean() < 155
