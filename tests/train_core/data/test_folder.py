import shutil

import numpy as np
import pytest
from PIL import Image

from tests.conftest import stripes, write_images
from train_core.data.config import DataConfig
from train_core.data.prepare import load_labels, load_part, prepare


def config(folder, tmp_path, **changes) -> DataConfig:
    return DataConfig(dataset=str(folder), root=str(tmp_path / "data"), image_size=16, **changes)


def test_a_folder_becomes_arrays(image_folder, tmp_path) -> None:
    prepared = prepare(config(image_folder, tmp_path))
    assert prepared.classes == ("a", "b", "c")
    assert (prepared.train.count, prepared.test.count) == (60, 15)
    images, labels = stripes(60)
    arrays = load_part(prepared, "train")
    order = np.argsort(labels, kind="stable")
    np.testing.assert_array_equal(arrays.labels, labels[order])
    np.testing.assert_array_equal(arrays.images, images[order])
    assert load_labels(prepared, "test").tolist() == [0] * 5 + [1] * 5 + [2] * 5


def test_without_a_test_folder_a_part_is_held_out(image_folder, tmp_path) -> None:
    shutil.rmtree(image_folder / "test")
    prepared = prepare(config(image_folder, tmp_path, test_fraction=0.25))
    assert (prepared.train.count, prepared.test.count) == (45, 15)
    assert np.bincount(load_part(prepared, "test").labels).tolist() == [5, 5, 5]


def test_class_folders_may_stand_alone(tmp_path) -> None:
    write_images(tmp_path / "pictures", 30)
    prepared = prepare(config(tmp_path / "pictures", tmp_path))
    assert (prepared.train.count, prepared.test.count) == (24, 6)


def test_the_second_start_decodes_nothing(image_folder, tmp_path, monkeypatch) -> None:
    first = prepare(config(image_folder, tmp_path))

    def forbidden(*args):
        raise AssertionError("decoded again")

    monkeypatch.setattr("train_core.data.folder.decode", forbidden)
    monkeypatch.setattr("train_core.data.folder._content_lines", forbidden)
    assert prepare(config(image_folder, tmp_path)) == first


def test_a_copy_elsewhere_is_known_by_its_content(image_folder, tmp_path, monkeypatch) -> None:
    first = prepare(config(image_folder, tmp_path))
    copy = tmp_path / "elsewhere" / "pictures"
    shutil.copytree(image_folder, copy)
    for path in copy.rglob("*.png"):
        path.touch()
    monkeypatch.setattr("train_core.data.folder.decode", None)
    assert prepare(config(copy, tmp_path)) == first


def test_a_changed_image_is_decoded_again(image_folder, tmp_path) -> None:
    first = prepare(config(image_folder, tmp_path))
    path = image_folder / "train" / "a" / "000.png"
    Image.new("RGB", (16, 16), "red").save(path)
    second = prepare(config(image_folder, tmp_path))
    assert second.train.sha256 != first.train.sha256
    assert second.test == first.test
    assert (load_part(second, "train").images[0] == (255, 0, 0)).all()


def test_a_damaged_cache_is_made_again(image_folder, tmp_path) -> None:
    first = prepare(config(image_folder, tmp_path))
    (file,) = (tmp_path / "data" / "cache").glob("*/train.images.npy")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert prepare(config(image_folder, tmp_path)) == first


def test_unreadable_files_are_named_and_refused(image_folder, tmp_path) -> None:
    for name in ("one.png", "two.jpg"):
        (image_folder / "train" / "b" / name).write_bytes(b"nothing")
    with pytest.raises(
        ValueError, match=r"2 are not: train/b/one.png .*, train/b/two.jpg"
    ) as error:
        prepare(config(image_folder, tmp_path))
    assert "skip_bad_images = true" in str(error.value)
    assert not list((tmp_path / "data" / "cache").glob("*/facts.json"))


def test_unreadable_files_can_be_left_out(image_folder, tmp_path) -> None:
    (image_folder / "train" / "b" / "zzz.png").write_bytes(b"nothing")
    prepared = prepare(config(image_folder, tmp_path, skip_bad_images=True))
    assert prepared.train.count == 60
    assert len(prepared.skipped) == 1
    assert "train/b/zzz.png" in prepared.skipped[0]
    # What was left out once is still refused when it is not to be left out.
    with pytest.raises(ValueError, match="zzz.png"):
        prepare(config(image_folder, tmp_path))


def test_other_files_and_hidden_ones_are_passed_over(image_folder, tmp_path) -> None:
    for name in ("notes.txt", "._000.png", ".DS_Store", "Thumbs.db"):
        (image_folder / "train" / "a" / name).write_bytes(b"nothing")
    assert prepare(config(image_folder, tmp_path)).train.count == 60


def test_many_files_are_decoded_by_several_processes(tmp_path) -> None:
    write_images(tmp_path / "pictures", 1500)
    prepared = prepare(config(tmp_path / "pictures", tmp_path))
    assert prepared.train.count == 1200


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: shutil.rmtree(root), "or a folder of images that exists"),
        (lambda root: shutil.rmtree(root / "train" / "a"), "'.*test' may only hold the classes"),
        (
            lambda root: [shutil.rmtree(root / "train" / c) for c in "ab"],
            "at least 2 class folders .* holds 1: c",
        ),
        (
            lambda root: [p.unlink() for p in (root / "train" / "b").iterdir()],
            "these hold none: b",
        ),
    ],
)
def test_wrong_folders_are_refused_in_one_sentence(
    image_folder, tmp_path, change, message
) -> None:
    change(image_folder)
    with pytest.raises(ValueError, match=message) as error:
        prepare(config(image_folder, tmp_path))
    assert "\n" not in str(error.value)


def test_digits_are_the_same_for_everybody(tmp_path) -> None:
    prepared = prepare(DataConfig(dataset="digits", root=str(tmp_path)))
    assert (prepared.train.count, prepared.test.count) == (1438, 359)
    assert not prepared.mirror
    assert load_part(prepared, "train").images.shape == (1438, 32, 32, 3)
    assert prepare(DataConfig(dataset="digits", root=str(tmp_path), mirror=True)).mirror


def test_unknown_names_show_the_known_ones(tmp_path) -> None:
    with pytest.raises(ValueError, match="'cifar1O': did you mean 'cifar10'"):
        prepare(DataConfig(dataset="cifar1O", root=str(tmp_path)))
