import os
import shutil
from itertools import chain

import numpy as np
import pytest
from PIL import Image

from tests.conftest import stripes, write_images
from train_core.data.config import DataConfig
from train_core.data.decode import chunks
from train_core.data.prepare import find_source, load_labels, load_part, prepare


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


def test_every_row_knows_its_file(image_folder, tmp_path) -> None:
    shutil.rmtree(image_folder / "test")
    (image_folder / "train" / "b" / "0.png").write_bytes(b"nothing")
    prepared = prepare(config(image_folder, tmp_path, skip_bad_images=True))
    for part in ("train", "test"):
        arrays, paths = load_part(prepared, part), prepared.paths(part)
        assert len(paths) == len(arrays.labels)
        for path, image, label in zip(paths, arrays.images, arrays.labels, strict=True):
            assert path.split("/")[1] == "abc"[label]
            np.testing.assert_array_equal(image, np.asarray(Image.open(image_folder / path)))


def test_class_folders_may_stand_alone(tmp_path) -> None:
    write_images(tmp_path / "pictures", 30)
    prepared = prepare(config(tmp_path / "pictures", tmp_path))
    assert (prepared.train.count, prepared.test.count) == (24, 6)


def test_the_second_start_decodes_nothing(image_folder, tmp_path, monkeypatch) -> None:
    first = prepare(config(image_folder, tmp_path))

    def forbidden(*args):
        raise AssertionError("decoded again")

    monkeypatch.setattr("train_core.data.decode.decode_sized", forbidden)
    monkeypatch.setattr("train_core.data.listing._content", forbidden)
    assert prepare(config(image_folder, tmp_path)) == first


def test_a_copy_elsewhere_is_known_by_its_content(image_folder, tmp_path, monkeypatch) -> None:
    first = prepare(config(image_folder, tmp_path))
    copy = tmp_path / "elsewhere" / "pictures"
    shutil.copytree(image_folder, copy)
    for path in copy.rglob("*.png"):
        path.touch()
    monkeypatch.setattr("train_core.data.decode.decode_sized", None)
    assert prepare(config(copy, tmp_path)) == first


def test_a_changed_image_is_decoded_again(image_folder, tmp_path) -> None:
    first = prepare(config(image_folder, tmp_path))
    path = image_folder / "train" / "a" / "000.png"
    Image.new("RGB", (16, 16), "red").save(path)
    second = prepare(config(image_folder, tmp_path))
    assert second.train.sha256 != first.train.sha256
    assert second.test == first.test
    assert (load_part(second, "train").images[0] == (255, 0, 0)).all()


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


@pytest.mark.parametrize(
    ("place", "message"),
    [("test/*", "test images .*, but a, b, c have"), ("train/b", "but b has")],
)
def test_what_is_left_must_be_enough(image_folder, tmp_path, place, message) -> None:
    """A test part without a picture would be found out after the search."""
    for path in image_folder.glob(f"{place}/*.png"):
        path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=message):
        prepare(config(image_folder, tmp_path, skip_bad_images=True))


def test_a_class_with_too_few_pictures_to_split_is_named(image_folder, tmp_path) -> None:
    shutil.rmtree(image_folder / "test")
    for path in sorted((image_folder / "train" / "b").iterdir())[2:]:
        path.unlink()
    with pytest.raises(ValueError, match="at least 3 pictures .* but b has 2: add pictures or"):
        prepare(config(image_folder, tmp_path))
    assert prepare(config(image_folder, tmp_path, validation_fraction=0.0)).test.count


def test_names_that_mirrored_pictures_would_swap_are_a_hint(image_folder, tmp_path) -> None:
    for part in ("train", "test"):
        (image_folder / part / "a").rename(image_folder / part / "turn_left")
        (image_folder / part / "b").rename(image_folder / part / "turn-right")
    notes = find_source(config(image_folder, tmp_path)).listed["notes"]
    assert "mirror = false under [data]" in notes[0]
    assert not find_source(config(image_folder, tmp_path, mirror=True)).listed["notes"]


def test_other_files_and_hidden_ones_are_passed_over(image_folder, tmp_path) -> None:
    for name in ("notes.txt", "._000.png", ".DS_Store", "Thumbs.db"):
        (image_folder / "train" / "a" / name).write_bytes(b"nothing")
    assert prepare(config(image_folder, tmp_path)).train.count == 60


def test_hidden_folders_and_folders_called_like_images_are_passed_over(
    image_folder, tmp_path
) -> None:
    first = image_folder / "train" / "a" / "000.png"
    for folder in (".ipynb_checkpoints", "more/.thumbnails/large"):
        (image_folder / "train" / "a" / folder).mkdir(parents=True)
        shutil.copy(first, image_folder / "train" / "a" / folder / "x.png")
    (image_folder / "train" / "a" / "x.png").mkdir()
    assert prepare(config(image_folder, tmp_path)).train.count == 60
    shutil.copy(first, image_folder / "train" / "a" / "more")
    assert prepare(config(image_folder, tmp_path)).train.count == 61


def test_hidden_folders_above_the_images_do_not_matter(tmp_path) -> None:
    write_images(tmp_path / ".hidden" / "pictures", 30)
    assert prepare(config(tmp_path / ".hidden" / "pictures", tmp_path)).train.count == 24


def test_classes_may_be_called_train_and_test(image_folder, tmp_path) -> None:
    for part in ("train", "test"):
        (image_folder / part / "b").rename(image_folder / part / "test")
        (image_folder / part / "c").rename(image_folder / part / "train")
    prepared = prepare(config(image_folder, tmp_path))
    assert prepared.classes == ("a", "test", "train")
    assert (prepared.train.count, prepared.test.count) == (60, 15)


def test_a_test_folder_beside_the_classes_is_the_test_part(image_folder, tmp_path) -> None:
    for path in (image_folder / "train").iterdir():
        path.rename(image_folder / path.name)
    (image_folder / "train").rmdir()
    prepared = prepare(config(image_folder, tmp_path))
    assert prepared.classes == ("a", "b", "c")
    assert (prepared.train.count, prepared.test.count) == (60, 15)


@pytest.mark.parametrize("part", ["train", "test"])
def test_links_to_nothing_are_named_and_refused_or_left_out(image_folder, tmp_path, part) -> None:
    link = image_folder / part / "b" / "link.png"
    link.symlink_to(tmp_path / "gone.png")
    with pytest.raises(ValueError, match=rf"1 are not: {part}/b/link.png \(No such file"):
        prepare(config(image_folder, tmp_path))
    left_out = prepare(config(image_folder, tmp_path, skip_bad_images=True))
    assert (left_out.train.count, left_out.test.count) == (60, 15)
    assert f"{part}/b/link.png" in left_out.skipped[0]
    # As soon as the link leads somewhere it is an image like any other.
    shutil.copy(image_folder / "train" / "b" / "001.png", tmp_path / "gone.png")
    mended = prepare(config(image_folder, tmp_path, skip_bad_images=True))
    assert mended.train.count + mended.test.count == 76
    assert mended.skipped == ()


def test_a_file_that_may_be_read_from_now_on_is_looked_at_again(image_folder, tmp_path) -> None:
    file = image_folder / "train" / "a" / "000.png"
    file.chmod(0o000)
    locked = find_source(config(image_folder, tmp_path)).stamp
    file.chmod(0o644)
    assert find_source(config(image_folder, tmp_path)).stamp != locked


@pytest.mark.parametrize("suffix", ["bmp", "tiff", "gif", "jfif", "tga", "ppm", "jp2", "ico"])
def test_every_format_that_pillow_reads_is_read(image_folder, tmp_path, suffix) -> None:
    picture = Image.new("RGB", (16, 16), (200, 40, 40))
    picture.save(image_folder / "train" / "a" / f"zzz.{suffix}")
    prepared = prepare(config(image_folder, tmp_path))
    row = prepared.paths("train").index(f"train/a/zzz.{suffix}")
    shown = load_part(prepared, "train").images[row].astype(int)
    assert np.abs(shown - (200, 40, 40)).max() < 5


def test_heic_is_read_where_its_plug_in_is(image_folder, tmp_path) -> None:
    pytest.importorskip("pillow_heif")
    Image.new("RGB", (16, 16), "white").save(image_folder / "train" / "a" / "zzz.heic")
    assert prepare(config(image_folder, tmp_path)).train.count == 61


def test_files_that_a_table_names_but_are_not_there_are_named(image_folder, tmp_path) -> None:
    names = [f"{c}/{n:03}.png" for n, c in enumerate("abcabcabc")]
    rows = "".join(f"train/{name},{name[0]}\n" for name in [*names, "a/gone.png"])
    table = image_folder / "labels.csv"
    table.write_text(f"path,label\n{rows}")
    with pytest.raises(ValueError, match=r"1 are not: train/a/gone.png \(No such file"):
        prepare(config(table, tmp_path))
    prepared = prepare(config(table, tmp_path, skip_bad_images=True))
    assert prepared.train.count + prepared.test.count == 9
    assert prepared.name == "labels"


def test_labels_that_change_places_are_other_data(image_folder, tmp_path) -> None:
    """In a table the names of the classes are no part of the paths."""
    names = [f"train/{c}/{n:03}.png" for n, c in enumerate("abcabcabc")]
    table = image_folder / "labels.csv"

    def prepared(labels: str):
        rows = "".join(f"{name},{labels[n % 3]}\n" for n, name in enumerate(names))
        table.write_text(f"path,label\n{rows}")
        return prepare(config(table, tmp_path))

    assert prepared("xyz").classes == ("x", "y", "z")
    assert prepared("xyw").classes == ("w", "x", "y")
    assert prepared("pqr").classes == ("p", "q", "r")


def test_files_passed_over_are_counted_as_they_are_now(image_folder, tmp_path) -> None:
    assert prepare(config(image_folder, tmp_path)).findings.passed_over == {}
    (image_folder / "train" / "a" / "notes.txt").write_text("")
    assert prepare(config(image_folder, tmp_path)).findings.passed_over == {".txt": 1}


def test_files_of_one_size_and_time_that_change_places_are_noticed(tmp_path) -> None:
    root = tmp_path / "pictures"
    write_images(root, 30)
    files = sorted(root.rglob("*.png"))
    for path in files:
        os.truncate(path, 5000)  # A PNG reader stops where the picture ends.

    def prepared():
        for path in files:
            os.utime(path, (315532800, 315532800))
        return prepare(config(root, tmp_path))

    first = prepared()
    one, other, spare = files[0], files[-1], root / "spare"
    one.rename(spare)
    other.rename(one)
    spare.rename(other)
    second = prepared()
    both = [load_part(data, part).images for data in (first, second) for part in ("train", "test")]
    assert any((a != b).any() for a, b in zip(both[:2], both[2:], strict=True))


@pytest.mark.slow
def test_many_files_are_decoded_by_several_processes(tmp_path) -> None:
    write_images(tmp_path / "pictures", 1500)
    prepared = prepare(config(tmp_path / "pictures", tmp_path))
    assert prepared.train.count == 1200


@pytest.mark.slow
def test_large_files_are_decoded_by_several_processes(image_folder, tmp_path, monkeypatch) -> None:
    # PNG readers stop where the image ends, so a long file with a small image will do.
    for path in image_folder.rglob("*.png"):
        os.truncate(path, 2_000_000)
    monkeypatch.setattr("train_core.data.decode.decode_sized", None)  # In this process only.
    assert prepare(config(image_folder, tmp_path)).train.count == 60


def test_work_is_cut_so_that_several_processes_have_some() -> None:
    paths = [f"{number}.jpg" for number in range(300)]
    assert [len(chunk) for chunk in chunks(paths, 300 * 1_000)] == [256, 44]
    assert [len(chunk) for chunk in chunks(paths, 300 * 300_000)] == [6] * 50
    assert [len(chunk) for chunk in chunks(paths, 300 * 5_000_000)] == [1] * 300
    assert list(chain(*chunks(paths, 300 * 300_000))) == paths


def test_the_test_part_need_not_have_every_class(image_folder, tmp_path) -> None:
    shutil.rmtree(image_folder / "test" / "c")
    prepared = prepare(config(image_folder, tmp_path))
    assert prepared.classes == ("a", "b", "c")
    assert load_labels(prepared, "test").tolist() == [0] * 5 + [1] * 5


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
    assert prepared.paths("train") == ()
    assert prepare(DataConfig(dataset="digits", root=str(tmp_path), mirror=True)).mirror


def test_unknown_names_show_the_known_ones(tmp_path) -> None:
    with pytest.raises(ValueError, match="'cifar1O': did you mean 'cifar10'"):
        prepare(DataConfig(dataset="cifar1O", root=str(tmp_path)))
