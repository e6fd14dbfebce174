"""`python -m train_core.inspect`: what is in a folder, with names."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from records.command_line import run_app
from train_core import inspect
from train_core.data.alike import near_copies


@pytest.fixture
def inspected(image_folder, tmp_path, monkeypatch, capsys):
    """Inspect the folder, by the command."""
    monkeypatch.chdir(tmp_path)

    def run(*flags: str) -> str:
        monkeypatch.setattr("sys.argv", ["inspect", str(image_folder), *flags])
        assert run_app(inspect.app) == 0
        return capsys.readouterr().out

    return run


def test_what_is_suspicious_is_named(inspected, image_folder) -> None:
    first = image_folder / "train" / "a" / "000.png"
    shutil.copy(first, image_folder / "train" / "b" / "x.png")
    (image_folder / "test" / "a" / "bad.png").write_bytes(b"nothing")
    (image_folder / "train" / "notes.txt").write_text("")
    (image_folder / "train" / "a" / "notes.txt").write_text("")
    lines = inspected().splitlines()
    assert lines[:2] == [
        "classes: a 25, b 26, c 25",
        "parts: train train/, validation split from training ([data] validation_fraction), "
        "test test/",
    ]
    assert "passed over: 1 .txt" in lines
    assert "warning: the same picture in two classes: train/a/000.png = train/b/x.png" in lines
    assert "exact copies: 1" in lines
    assert "  train/a/000.png = train/b/x.png" in lines
    assert any(line.startswith("  test/a/bad.png (") for line in lines)
    found = json.loads(inspected("--json"))
    assert found["copies"] == [["train/a/000.png", "train/b/x.png"]]
    assert found["counts"]["test"] == {"a": 5, "b": 5, "c": 5}
    assert found["passed_over"] == {".txt": 1}


def test_a_config_says_the_rest(inspected, tmp_path) -> None:
    (tmp_path / "c.toml").write_text("[data]\nimage_size = 24\nmirror = false\n")
    assert "originals 16x16, used as 24x24, 75 of them enlarged; not mirrored" in inspected(
        "--config", "c.toml"
    )


def test_pictures_that_look_alike_are_found() -> None:
    """Resized and encoded again, beside pictures that are others, equal, or empty."""
    random = np.random.default_rng(0)

    def picture() -> Image.Image:
        rough = random.integers(0, 256, (6, 6, 3)).astype(np.uint8)
        return Image.fromarray(rough).resize((64, 64), Image.Resampling.BICUBIC)

    others = [picture() for _ in range(30)]
    again = others[3].resize((40, 40)).resize((64, 64))
    empty = Image.new("RGB", (64, 64))
    images = [np.asarray(p) for p in (*others, again, others[5], empty, empty.copy())]
    assert near_copies(images) == [(3, 30)]
