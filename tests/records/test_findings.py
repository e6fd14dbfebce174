"""What was found in a data set, in words, and the files that count as pictures."""

import pytest
from PIL import Image

from records.findings import Findings, Originals
from records.pixels import FORMATS, SUFFIXES


def findings(**more) -> Findings:
    where = {"train": "train/", "validation": "split", "test": "test/"}
    counts = {"train": {"a": 5, "b": 7}, "test": {"a": 2, "b": 0}}
    return Findings.model_validate({"where": where, "counts": counts, "image_size": 32, **more})


def test_facts_are_a_line_each() -> None:
    sizes = Originals(smallest=(20, 30), median=(64, 48), largest=(400, 300), enlarged=3)
    found = findings(
        originals=sizes, mirror=False, mirror_why="because", passed_over={".txt": 2, "@eaDir": 60}
    )
    assert list(found.facts()) == [
        "classes: a 7, b 7",
        "parts: train train/, validation split, test test/",
        "pictures: originals 20x30 to 400x300 (median 64x48), used as 32x32, 3 of them enlarged; "
        "not mirrored, because",
        "passed over: 60 in @eaDir, 2 .txt",
    ]


def test_of_many_classes_the_first_and_the_smallest_are_named() -> None:
    counts = {"train": {f"c{n:02}": 100 - n for n in range(40)}}
    line = next(findings(counts=counts).facts())
    assert line == (
        "classes: 40: c00 100, c01 99, c02 98, ...; the smallest: c39 61, c38 62, c37 63"
    )


def test_warnings_say_what_follows() -> None:
    found = findings(copies_between={"train and test": 2})
    assert list(found.lines())[3:] == [
        "warning: no test pictures of b: nothing is known of these classes",
        "warning: 2 of 2 test pictures are exact copies of train pictures, so that test accuracy "
        "is partly memory: no other picture is left to tell",
    ]


def test_formats_and_suffixes_belong_together() -> None:
    Image.init()
    assert set(FORMATS) <= set(Image.OPEN)
    known = {end for end, name in Image.registered_extensions().items() if name in FORMATS}
    assert known <= SUFFIXES


@pytest.mark.parametrize("name", ["EPS", "WMF", "MPEG"])
def test_nothing_is_read_that_starts_a_program(name) -> None:
    assert name not in FORMATS


def test_names_that_are_no_text_are_escaped() -> None:
    found = findings(two_classes=[["a/caf\udce9.png", "b/x.png"]], passed_over={".d\udce9c": 1})
    assert found.two_classes == (("a/caf\\udce9.png", "b/x.png"),)
    "\n".join(found.lines()).encode()
    found.model_dump_json()
