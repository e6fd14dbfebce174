"""What belongs together stays together: groups of the user's, and exact copies."""

import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.conftest import write_images
from train_core.data.config import DataConfig
from train_core.data.groups import same, tied
from train_core.data.prepare import load_part, prepare
from train_core.data.split import stratified_split


def config(folder, tmp_path, **changes) -> DataConfig:
    return DataConfig(dataset=str(folder), root=str(tmp_path / "data"), image_size=16, **changes)


@given(
    sizes=st.lists(st.integers(1, 6), min_size=12, max_size=60),
    classes=st.integers(1, 4),
    fraction=st.floats(0.05, 0.5),
    seed=st.integers(0, 2**32),
)
def test_groups_are_never_parted_and_classes_get_their_share(
    sizes, classes, fraction, seed
) -> None:
    groups = np.repeat(np.arange(len(sizes)), sizes)
    labels = groups % classes
    stay, aside = stratified_split(labels, fraction, seed, groups)
    assert sorted([*stay, *aside]) == list(range(len(labels)))
    assert set(groups[stay]).isdisjoint(groups[aside])
    total, taken = np.bincount(labels), np.bincount(labels[aside], minlength=classes)
    assert (taken > 0).all()
    assert (taken < total).all()
    # A group more or less: they hold at most 6 images.
    assert (np.abs(taken - fraction * total) <= 6).all()


def test_groups_may_hold_several_classes() -> None:
    groups = np.repeat(np.arange(20), 5)
    labels = np.tile([0, 0, 1, 1, 2], 20)
    stay, aside = stratified_split(labels, 0.2, 0, groups)
    assert set(groups[stay]).isdisjoint(groups[aside])
    assert np.bincount(labels[aside]).tolist() == [8, 8, 4]


def test_copies_do_not_crowd_the_images_that_are_set_aside() -> None:
    """Of 1,000 images 200 have a copy among them; the share is about the same on both sides."""
    groups = np.concatenate([np.repeat(np.arange(100), 2), np.arange(100, 900)])
    _, aside = stratified_split(np.zeros(1000, dtype=np.int64), 0.2, 0, groups)
    assert len(aside) == 200
    assert 20 <= (aside < 200).sum() <= 60


def test_what_cannot_be_parted_is_refused() -> None:
    with pytest.raises(ValueError, match="the 1 groups of 4 images cannot be parted"):
        stratified_split(np.array([0, 0, 1, 1]), 0.5, 0, np.zeros(4, dtype=np.int64))


def test_a_class_in_one_group_stays_in_training() -> None:
    groups = np.array([0, 0, 1, 2, 3, 4])
    _, aside = stratified_split(np.array([0, 0, 1, 1, 1, 1]), 0.5, 0, groups)
    assert aside.min() > 1


def test_groups_and_copies_that_overlap_are_joined() -> None:
    found = tied(["x", "x", None, "y", None, None], [[1, 3], [4, 5]])
    assert found is not None
    assert [rows for rows in same(found.tolist())] == [[0, 1, 3], [4, 5]]
    assert tied([None, None], []) is None
    assert tied(["x", "y"], []) is None


def test_copies_stay_in_one_part_and_are_counted(tmp_path) -> None:
    """`copies` of the bug report; some of them in another format."""
    root = tmp_path / "pictures"
    write_images(root, 60)
    for path in sorted(root.rglob("*.png")):
        Image.open(path).save(path.with_name(f"{path.stem} (1).bmp"))
    prepared = prepare(config(root, tmp_path))
    assert prepared.findings.copies == 60
    rows = prepared.rows(config(root, tmp_path, validation_fraction=0.2))
    stems = {part: {p.split(" ")[0].split(".")[0] for p in prepared.paths(part)} for part in
             ("train", "test")}  # fmt: skip
    assert stems["train"].isdisjoint(stems["test"])
    paths = np.array([p.split(" ")[0].split(".")[0] for p in prepared.paths("train")])
    assert set(paths[rows.train]).isdisjoint(paths[rows.validation])
    assert (prepared.test.count, len(rows.validation)) == (24, 18)


def test_the_split_of_data_without_copies_is_as_ever(tmp_path) -> None:
    root = tmp_path / "pictures"
    write_images(root, 30)
    prepared = prepare(config(root, tmp_path))
    labels = np.repeat([0, 1, 2], 10)
    kept, aside = stratified_split(labels, 0.2, 0)
    every = sorted(p.relative_to(root).as_posix() for p in root.rglob("*.png"))
    assert prepared.paths("train") == tuple(every[row] for row in kept)
    assert prepared.paths("test") == tuple(every[row] for row in aside)
    rows = prepared.rows(config(root, tmp_path, split_seed=3))
    expected = stratified_split(load_part(prepared, "train").labels, 0.1, 3)
    assert (rows.train.tolist(), rows.validation.tolist()) == tuple(e.tolist() for e in expected)


def test_pictures_of_one_patient_stay_in_one_part(tmp_path) -> None:
    root = tmp_path / "pictures"
    write_images(root, 90)
    for path in sorted(root.rglob("*.png")):
        path.rename(path.with_name(f"p{int(path.stem) // 6:02}_{path.name}"))
    settings = config(root, tmp_path, group=r"/(p\d+)_", validation_fraction=0.25)
    prepared = prepare(settings)
    rows, paths = prepared.rows(settings), prepared.paths("train")
    parts = [[paths[r] for r in rows.train], [paths[r] for r in rows.validation]]
    patients = [{p.split("/")[1][:3] for p in part} for part in (*parts, prepared.paths("test"))]
    assert [len(p) for p in patients] == [9, 3, 3]
    assert len(set.union(*patients)) == 15
    assert "groups: 15 by '/(p\\d+)_' in the path, none of them is split" in list(
        prepared.findings.facts()
    )


@pytest.mark.parametrize(
    ("pattern", "message"),
    [(r"/(x\d+)_", "does not match 75: test/a/"), ("(", "a regular expression, but got '\\('")],
)
def test_a_pattern_that_finds_nothing_is_refused(image_folder, tmp_path, pattern, message) -> None:
    with pytest.raises(ValueError, match=message.replace("test/a", "train/a")):
        prepare(config(image_folder, tmp_path, group=pattern))


def test_copies_between_given_parts_are_counted_and_known_by_row(image_folder, tmp_path) -> None:
    """`test_in_train` of the bug report, in part."""
    for number, name in ((0, "000"), (3, "003")):
        shutil.copy(image_folder / "train" / "a" / f"{name}.png",
                    image_folder / "test" / "a" / f"x{number}.png")  # fmt: skip
    prepared = prepare(config(image_folder, tmp_path))
    paths = prepared.paths("test")
    assert [paths[row] for row in prepared.copies()] == ["test/a/x0.png", "test/a/x3.png"]
    assert prepared.findings.copies_between == {"train and test": 2}
    assert "2 of 17 test pictures are exact copies of train pictures" in "".join(
        prepared.findings.warnings()
    )


def test_the_same_picture_in_two_classes_is_named(image_folder, tmp_path) -> None:
    shutil.copy(image_folder / "train/a/000.png", image_folder / "train/b/x.png")
    found = prepare(config(image_folder, tmp_path)).findings
    assert found.two_classes == (("train/a/000.png", "train/b/x.png"),)
    assert "the same picture in two classes: train/a/000.png = train/b/x.png" in list(
        found.warnings()
    )


@pytest.mark.parametrize("join", [False, True])
def test_a_validation_part_is_what_is_scored_on(image_folder, tmp_path, join) -> None:
    write_images(image_folder / "Val", 12, seed=5)
    settings = config(image_folder, tmp_path, train_on_validation=join)
    prepared = prepare(settings)
    rows, paths = prepared.rows(settings), prepared.paths("train")
    assert prepared.train.count == 72
    if join:
        assert (len(rows.train), len(rows.validation)) == (72, 0)
    else:
        assert {paths[row].split("/")[0] for row in rows.validation} == {"Val"}
        assert {paths[row].split("/")[0] for row in rows.train} == {"train"}
    assert prepared.findings.counts["validation"] == {"a": 4, "b": 4, "c": 4}
