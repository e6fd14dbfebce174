"""Which folders are parts and which are classes; nothing here is decoded, so that names do."""

import os
import unicodedata

import pytest

from train_core.data.config import DataConfig
from train_core.data.files import list_images


@pytest.fixture
def root(tmp_path):
    return tmp_path / "pictures"


def fill(root, *places: str, count: int = 3) -> None:
    """Folders with files that are called like pictures; `train/{a,b}` is two of them."""
    for place in places:
        before, _, names = place.partition("{")
        for name in names.rstrip("}").split(","):
            folder = root / f"{before}{name}"
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{number}.png").write_bytes(b"")


def listed(root, **settings):
    return list_images(DataConfig(dataset=str(root), **settings))


def counts(listing) -> dict[str, int]:
    parts = [file.part for file in listing.files]
    return {part: parts.count(part) for part in dict.fromkeys(parts)}


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [("Train", "Val", "Test"), ("training", "validation", "testing"), ("TRAIN", "dev", "eval"),
     ("train", "Valid", "TEST")],
)  # fmt: skip
def test_parts_have_many_names(root, train, validation, test) -> None:
    fill(root, f"{train}/{{a,b}}", count=4)
    fill(root, f"{validation}/{{a,b}}", count=3)
    fill(root, f"{test}/{{a,b}}", count=2)
    listing = listed(root)
    assert listing.classes == ("a", "b")
    assert counts(listing) == {"train": 8, "validation": 6, "test": 4}
    assert listing.where == {
        "train": f"{train}/", "validation": f"{validation}/", "test": f"{test}/",
    }  # fmt: skip


def test_it_is_told_where_a_part_comes_from_that_is_not_there(root) -> None:
    fill(root, "train/{a,b}", "val/{a,b}")
    where = listed(root).where
    assert where["validation"] == "val/"
    assert where["test"] == "split from training ([data] test_fraction)"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda root: fill(root, "test{}", count=9), "9 pictures without class folders"),
        (lambda root: (root / "test" / "a").mkdir(parents=True), "it holds no pictures"),
    ],
)
def test_a_test_part_without_labels_or_pictures_is_left_out_at_once(root, make, said) -> None:
    fill(root, "train/{a,b}")
    make(root)
    listing = listed(root)
    assert f"test/ is left out: {said}" in listing.notes[0]
    assert counts(listing) == {"train": 6}
    assert "split from training" in listing.where["test"]


@pytest.mark.parametrize(
    "places",
    [
        ["{apple,bear,train}"],  # As in CIFAR-100's own folders.
        ["train/{a,b}", "c{}"],
        ["{train,test}"],
        ["{a,b,test}"],
        ["{valid,invalid,unsure}"],
    ],
)
def test_what_can_mean_two_things_is_asked(root, places) -> None:
    fill(root, *places)
    with pytest.raises(
        ValueError, match=r'say layout = "parts" .* or layout = "classes"'
    ) as error:
        listed(root)
    assert "\n" not in str(error.value)


def test_the_answer_is_kept_to(root) -> None:
    fill(root, "{apple,bear,train}", "train/{x,y}")
    assert listed(root, layout="classes").classes == ("apple", "bear", "train")
    parts = listed(root, layout="parts")
    assert parts.classes == ("x", "y")
    assert "apple, bear beside the parts" in parts.notes[0]
    assert parts.passed_over == {"not in a class folder": 3}


def test_classes_may_be_called_valid_and_invalid(root) -> None:
    fill(root, "{valid,invalid}")
    with pytest.raises(ValueError, match='say layout = "classes"'):
        listed(root)
    assert listed(root, layout="classes").classes == ("invalid", "valid")


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (["train/{a,b}", "Training/{a,b}"], "one folder per part, .* holds Training and train"),
        (["a/{train,test}", "b/{train,test}"], "parts must be folders right in"),
        (["data/train/{a,b}", "data/test/{a,b}"], "only 'data', .* give --dataset .*/data$"),
        (["train/{a,b}", "test/{a,B}"], "may only hold the classes .* B: rename"),
    ],
)
def test_what_would_be_mixed_up_is_refused(root, places, message) -> None:
    fill(root, *places)
    with pytest.raises(ValueError, match=message):
        listed(root)


def test_a_name_is_one_however_its_accents_are_encoded(root) -> None:
    names = [unicodedata.normalize(form, "café") for form in ("NFC", "NFD")]
    fill(root, f"train/{{{names[0]},tea}}", f"test/{{{names[1]},tea}}")
    listing = listed(root)
    assert listing.classes == (names[0], "tea")
    assert counts(listing) == {"train": 6, "test": 6}


def test_what_systems_leave_behind_is_no_picture_and_counted(root) -> None:
    fill(root, "{a,b}", "a/@eaDir/{0.png}", "__MACOSX/{a}", "a/.cache{}")
    for name in ("._0.png", "notes.txt", "Thumbs.db"):
        (root / "a" / name).write_bytes(b"")
    listing = listed(root)
    assert listing.classes == ("a", "b")
    assert counts(listing) == {"train": 6}
    assert listing.passed_over == {"@eaDir": 3, "hidden": 4, ".txt": 1, "Thumbs.db": 1}


def test_links_to_folders_are_followed_but_not_in_circles(root, tmp_path) -> None:
    fill(root, "{a,b}")
    fill(tmp_path / "store", "day{}", count=5)
    (root / "a" / "day").symlink_to(tmp_path / "store" / "day")
    (root / "a" / "again").symlink_to(root / "a")
    (tmp_path / "store" / "day" / "up").symlink_to(root)
    assert counts(listed(root)) == {"train": 11}


def test_the_home_folder_may_be_written_as_a_tilde(root, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    fill(root, "{a,b}")
    assert counts(listed("~/pictures")) == {"train": 6}


def test_files_that_change_places_change_the_state(root) -> None:
    """Even with the same sizes and times: `same_size_and_time` of the bug report."""
    fill(root, "{a,b}")
    one, other, spare = root / "a" / "0.png", root / "b" / "0.png", root / "spare"
    one.write_bytes(b"1")
    other.write_bytes(b"2")

    def state() -> str:
        for path in (one, other):
            os.utime(path, (315532800, 315532800))
        return listed(root).digest(lambda file: file.state.rpartition("\0")[2])

    before = state()
    one.rename(spare)
    other.rename(one)
    spare.rename(other)
    assert state() != before
    again = listed(root).digest(lambda file: file.state)
    one.write_bytes(b"3")  # Replaced in its place by what has the same size, and then the time.
    os.utime(one, (315532800, 315532800))
    assert listed(root).digest(lambda file: file.state) != again
