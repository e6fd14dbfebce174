"""The two commands, as users start them."""

import json
import shutil

import pytest

from reports.compare import compare, place_of, write_comparison
from reports.source import read_source
from studies.study import Place
from tests.reports.making import SPACE, make_study, usual
from tests.reports.pages import PHONE, opened

pytestmark = pytest.mark.slow


def test_the_command_writes_the_page_and_the_numbers(made, tmp_path, run_module) -> None:
    shutil.copytree(made.folder, tmp_path / "runs" / "made")
    shutil.rmtree(tmp_path / "runs" / "made" / "report")
    outcome = run_module("reports.run", "--study", "made", env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.startswith("report  runs/made/report/index.html (")
    folder = tmp_path / "runs" / "made" / "report"
    assert {path.name for path in folder.iterdir()} == {"index.html", "summary.json"}
    assert json.loads((folder / "summary.json").read_text())["winner"]["trial"] == 0
    imported = {line.split("|")[-1].strip() for line in outcome.stderr.splitlines()}
    assert "plotly" in imported
    assert not imported & {"torch", "torchvision", "train_core", "search", "sklearn.datasets"}


@pytest.mark.parametrize(
    ("module", "arguments", "message"),
    [
        ("reports.run", ["--study", "nope"], "there is no study 'nope' in 'runs': it holds none"),
        ("reports.run", [], "Missing option '--study'"),
        ("reports.run", ["--study", "x", "--storage", "nonsense"], "storage must be the URL"),
        ("reports.compare", ["one"], "a comparison needs at least two different studies"),
        ("reports.compare", ["one", "one"], "a comparison needs at least two different studies"),
        ("reports.compare", ["one", "two"], "there is no study 'one' in 'runs'"),
        ("reports.compare", [], "Missing argument 'studies'"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(run_here, module, arguments, message) -> None:
    outcome = run_here(module, *arguments)
    assert outcome.returncode == 2
    assert outcome.stderr.startswith("error: ")
    assert message in outcome.stderr
    assert outcome.stderr.count("\n") == 1


def test_a_folder_that_cannot_be_written_is_one_line_that_names_out(
    made, tmp_path, run_here
) -> None:
    shutil.copytree(made.folder, tmp_path / "runs" / "made")
    shutil.rmtree(tmp_path / "runs" / "made" / "report")
    for path in ("runs/made/report", "runs/comparisons"):
        (tmp_path / path).write_text("a file")
    for arguments in (
        ("reports.run", "--study", "made"),
        ("reports.compare", "made", made.folder),
    ):
        outcome = run_here(*arguments)
        assert outcome.returncode == 2
        assert "a report must be able to write its files, but 'runs/" in outcome.stderr
        assert "--out" in outcome.stderr
        assert outcome.stderr.count("\n") == 1


def test_a_page_goes_where_out_says(made, tmp_path, run_here) -> None:
    shutil.copytree(made.folder, tmp_path / "runs" / "made")
    shutil.rmtree(tmp_path / "runs" / "made" / "report")
    for arguments, said in (
        (("reports.run", "--study", "made"), "report  my/pages/index.html ("),
        (("reports.compare", "made", made.folder), "compared  my/pages/made-made.html ("),
    ):
        outcome = run_here(*arguments, "--out", "my/pages")
        assert outcome.returncode == 0, outcome.stderr
        assert outcome.stdout.startswith(said)
    written = {path.name for path in (tmp_path / "my" / "pages").iterdir()}
    assert written == {"index.html", "summary.json", "made-made.html", "made-made.json"}
    assert not (tmp_path / "runs" / "made" / "report").exists()
    assert not (tmp_path / "runs" / "comparisons").exists()


def test_a_study_is_named_found_by_folder_or_by_url(tmp_path) -> None:
    assert place_of("a", tmp_path) == Place("a", tmp_path / "a")
    assert place_of("a", tmp_path, "sqlite:///x.db").storage == "sqlite:///x.db"
    assert place_of("other/a", tmp_path) == Place("a", type(tmp_path)("other/a"))
    assert place_of("a@sqlite:///x.db", tmp_path) == Place("a", tmp_path / "a", "sqlite:///x.db")


@pytest.mark.parametrize(
    ("data", "differ"),
    [
        ({"images": "abc"}, False),
        ({"images": "abc", "name": "pictures"}, False),
        ({"images": "abc", "mirror": False}, True),
        ({"images": "abd"}, True),
    ],
)
def test_images_are_compared_and_not_their_folders_name(tmp_path, data, differ) -> None:
    make_study(tmp_path, usual(2), name="new", data={"images": "abc", "mirror": True})
    make_study(tmp_path, usual(2), name="old", data={"mirror": True, **data})
    sources = [read_source(Place(name, tmp_path / name)) for name in ("new", "old")]
    said = ["the images differ: the accuracies cannot be held against one another"]
    assert list(compare(sources).differences) == (said if differ else [])


def test_a_page_of_studies_that_may_only_be_read_goes_where_out_says(tmp_path, run_module) -> None:
    place = make_study(tmp_path / "runs", usual(12))
    make_study(tmp_path / "runs", usual(12), name="other")
    (place.folder / "study.db").chmod(0o444)
    for folder in (place.folder, tmp_path / "runs"):
        folder.chmod(0o555)
    for words in (("reports.run", "--study", "made"), ("reports.compare", "made", "other")):
        outcome = run_module(*words, "--out", "pages", bound=True)
        assert outcome.returncode == 0, outcome.stderr
    for folder in (tmp_path / "runs", place.folder):
        folder.chmod(0o755)
    written = {path.name for path in (tmp_path / "pages").iterdir()}
    assert written == {"index.html", "summary.json", "made-other.html", "made-other.json"}
    assert "study.db-wal" not in {path.name for path in place.folder.iterdir()}


def test_studies_of_two_databases_are_compared(browser, made, tmp_path) -> None:
    url = f"sqlite:///{tmp_path}/elsewhere.db"
    make_study(tmp_path / "other", usual(12), name="made", storage=url, split="another")
    places = [made, place_of(f"made@{url}", tmp_path / "other")]
    page = write_comparison(places, tmp_path / "comparisons")
    numbers = json.loads(page.with_suffix(".json").read_text())
    first, second = numbers["entries"]
    assert (len(first["course"]), len(second["course"])) == (23, 12)
    best = max(t.result or 0 for t in read_source(made).trials)
    assert first["course"][-1]["best"] == best
    assert first["course"][-1]["trials"] == 23
    assert numbers["differences"] == [
        "the split into training and validation differs: the accuracies cannot be held against "
        "one another"
    ]
    with opened(browser, page, PHONE) as shown:
        assert shown.complaints == []
        assert {r for r in shown.requests if not r.startswith("data:")} == {page.as_uri()}
        assert shown.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert shown.figures().keys() == {"by-trials", "by-seconds", "by-epochs"}
        assert all(figure["marks"] >= 2 for figure in shown.figures().values())
        assert "cannot be held against one another" in shown.page.inner_text("main")
        assert shown.page.locator("#table tr").count() == (1 + 2) + (1 + len(SPACE))
