"""`python -m serve.predict`, as people call it."""

import json
import subprocess
import sys

import pytest
from PIL import Image

from records.command_line import printable
from serve.predict import below
from tests.serve.conftest import encoded, stripe

pytestmark = pytest.mark.slow


@pytest.fixture
def predict(run_module, best):
    return lambda *words, **options: run_module(
        "serve.predict", *words, "--model", best, **options
    )


@pytest.fixture
def predict_here(run_here, best):
    return lambda *words: run_here("serve.predict", *words, "--model", best)


def test_files_folders_and_bad_ones_together(predict, tmp_path) -> None:
    album = tmp_path / "album" / "deep"
    album.mkdir(parents=True)
    (album / ".hidden.png").write_bytes(encoded(stripe()))
    (album / "notes.txt").write_text("not looked at")
    (album / "one.png").write_bytes(encoded(stripe(0)))
    (album / "two.PNG").write_bytes(encoded(stripe(1)))
    (tmp_path / "called-anything").write_bytes(encoded(stripe(2), "JPEG", quality=95))
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    done = predict("album", "broken.jpg", "called-anything", "gone.png")
    assert done.returncode == 1
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[:2] for row in rows] == [
        ["album/deep/one.png", "a"], ["album/deep/two.PNG", "b"], ["called-anything", "c"],
    ]  # fmt: skip
    assert done.stderr.splitlines() == [
        "error: broken.jpg: not a picture of a format that is read",
        "error: gone.png: No such file or directory",
    ]


def test_a_folder_that_cannot_be_opened_is_named(predict, tmp_path) -> None:
    (tmp_path / "album" / "closed").mkdir(mode=0, parents=True)
    (tmp_path / "album" / "one.png").write_bytes(encoded(stripe(0)))
    done = predict("album", bound=True)
    assert done.returncode == 1
    assert done.stdout.split()[:2] == ["album/one.png", "a"]
    assert done.stderr == "error: album/closed: Permission denied\n"


def test_json_lines_name_everything(predict_here, tmp_path) -> None:
    (tmp_path / "one.png").write_bytes(encoded(stripe(1)))
    (tmp_path / "broken.png").write_bytes(b"")
    done = predict_here("one.png", "broken.png", "--json", "--top", 2)
    one, broken = map(json.loads, done.stdout.splitlines())
    assert one["class"] == "b"
    assert len(one["top"]) == 2
    assert one["probability"] == one["top"][0]["probability"] > 0.4
    assert broken == {"path": "broken.png", "error": "not a picture of a format that is read"}
    assert done.returncode == 1


def test_stdin_is_a_picture(best) -> None:
    command = [sys.executable, "-m", "serve.predict", "-", "--model", str(best), "--json"]
    done = subprocess.run(command, input=encoded(stripe(2)), capture_output=True, check=True)
    assert json.loads(done.stdout)["class"] == "c"


def test_many_pictures_stay_in_order(predict_here, tmp_path) -> None:
    for number in range(150):
        Image.fromarray(stripe(number % 3, seed=number)).save(tmp_path / f"{number:03}.png")
    done = predict_here(".", "--json")
    assert done.returncode == 0, done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["path"] for one in said] == [f"{number:03}.png" for number in range(150)]
    right = sum(one["class"] == "abc"[n % 3] for n, one in enumerate(said))
    assert right > 120


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["x.png", "--model", "none"], "a model must be a folder that a search exported"),
        (["x.png"], "without --model there must be exactly one model in runs/*/best"),
        (["empty", "--model", "BEST"], "there must be pictures to look at, but 'empty' hold none"),
        (["x.png", "--top", "0"], "Input should be greater than or equal to 1"),
        ([], "Missing argument 'images'"),
    ],
)
def test_mistakes_are_one_line(run_here, best, tmp_path, words, message) -> None:
    (tmp_path / "empty").mkdir()
    done = run_here("serve.predict", *[best if word == "BEST" else word for word in words])
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr


def test_a_reader_that_has_enough_is_no_fault(best, tmp_path) -> None:
    for number in range(70):
        Image.fromarray(stripe()).save(tmp_path / f"{number}.png")
    words = f"'{sys.executable}' -W error -m serve.predict '{tmp_path}' --model '{best}' --top 3"
    script = f"set -o pipefail; for i in 1 2 3; do {words}; done | head -n 1"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_names_cannot_steer_a_terminal() -> None:
    assert printable("a\x1b[2J\nb\udcff ü") == r"a\x1b[2J\nb\udcff ü"


def test_what_systems_leave_behind_is_no_picture_and_links_are_followed(tmp_path) -> None:
    album, store = tmp_path / "album", tmp_path / "store"
    for path in ("a.png", "._a.png", "@eaDir/a.png", "__MACOSX/a.png", "b/c.tiff", "notes.txt"):
        (album / path).parent.mkdir(parents=True, exist_ok=True)
        (album / path).write_bytes(b"")
    store.mkdir()
    (store / "d.jfif").write_bytes(b"")
    (album / "linked").symlink_to(store)
    (store / "round").symlink_to(album)
    found = [str(path.relative_to(album)) for path in below(album)]
    assert found == ["a.png", "b/c.tiff", "linked/d.jfif"]
