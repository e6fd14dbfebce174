"""Labels from a table, as people have them."""

import pytest

from train_core.data.config import DataConfig
from train_core.data.files import list_images


@pytest.fixture
def write(tmp_path):
    """Write a table beside four files, and list what it names."""

    def listed(text: str, encoding: str = "utf-8", **settings):
        for name in "abcd":
            path = tmp_path / "images" / f"{name}.png"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"")
        (tmp_path / "labels.csv").write_bytes(text.encode(encoding))
        return list_images(DataConfig(dataset=str(tmp_path / "labels.csv"), **settings))

    return listed


ROWS = "images/a.png,cat\nimages/b.png,dog\nimages/c.png,cat\nimages/d.png,dog\n"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_table_names_pictures_and_labels(write, delimiter, encoding) -> None:
    listing = write(f"Path,Label\n{ROWS}".replace(",", delimiter), encoding)
    assert listing.classes == ("cat", "dog")
    assert [(f.path, f.part, f.label) for f in listing.files] == [
        ("images/a.png", "train", 0), ("images/b.png", "train", 1),
        ("images/c.png", "train", 0), ("images/d.png", "train", 1),
    ]  # fmt: skip
    assert listing.where["train"] == "by the table"
    assert "split from training" in listing.where["test"]


def test_parts_and_groups_are_columns(write) -> None:
    text = (
        "path,label,part,group,patient\n"
        "images/a.png,cat,Training,g1,p1\nimages/b.png,dog,,g1,p2\n"
        "images/c.png,cat,VAL,,p3\nimages/d.png,dog,testing,g2,p4\n"
    )
    listing = write(text)
    assert [file.part for file in listing.files] == ["train", "train", "validation", "test"]
    assert [file.group for file in listing.files] == ["g1", "g1", None, "g2"]
    assert listing.grouped_by == "the column group"
    assert listing.notes == ("columns of the table that mean nothing here: patient",)
    assert [f.group for f in write(text, group="patient").files] == ["p1", "p2", "p3", "p4"]
    pattern = write(text, group=r"/(\w)\.png")
    assert [f.group for f in pattern.files] == list("abcd")


def test_rows_that_say_the_same_count_once(write) -> None:
    listing = write(f"path,label\n{ROWS}./images/a.png,cat\nimages\\b.png,dog\n")
    assert len(listing.files) == 4
    assert listing.notes == ("2 rows of the table say again what others said",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"path,class\n{ROWS}", "lacks label: its first line has path, class"),
        ("", "lacks path and label: its first line has nothing"),
        (
            f"path,label\n{ROWS}images/a.png,dog\n",
            "cat and, in line 6, dog for 'images/a.png'",
        ),
        (f"path,label\n{ROWS}images/a.png,\n", "a path and a label, but '.*' line 6"),
        (f"path,label\n{ROWS}images,dog\n", "must be a file, but .* line 6: 'images'"),
        ("path,label,part\nimages/a.png,cat,holdout\n", "line 2 has 'holdout'"),
        (f"path,label\n{ROWS}a,b.png,cat\n", "line 6 has 3: put paths with a delimiter in quotes"),
        (f"path,label\n{ROWS}\0{'x' * 140_000}", "a table must be CSV, but .* field larger"),
        ("path,label\nimages/a.png,cat\n", "at least 2 labels"),
        ("path,label,part\nimages/a.png,cat,\nimages/b.png,dog,test\n", "none of dog"),
    ],
)
def test_what_a_table_does_not_say_is_refused_in_one_line(write, text, message) -> None:
    with pytest.raises(ValueError, match=message) as error:
        write(text)
    assert "\n" not in str(error.value)


def test_a_table_in_another_encoding_is_refused(write) -> None:
    with pytest.raises(ValueError, match="must be UTF-8 text"):
        write(f"path,label\n{ROWS}".replace("cat", "café"), "latin-1")


def test_a_picture_in_two_groups_is_refused(write) -> None:
    rows = "images/a.png,cat,p1\nimages/b.png,dog,p2\nimages/a.png,cat,p2\n"
    with pytest.raises(ValueError, match=r"one group, but .* has p1 and, in line 4, p2 for"):
        write(f"path,label,group\n{rows}", group="group")
