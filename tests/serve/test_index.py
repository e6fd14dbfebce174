"""The index of a collection: brought up to date, killed, refused; and what is near in it."""

import io
import os
import shutil
import signal
import sqlite3
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from serve.index import Entry, Index, index_for, update
from serve.model import Model
from serve.similar import Collection, load_collection
from tests.serve.conftest import encoded, stripe, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def album(collection, tmp_path):
    return shutil.copytree(collection, tmp_path / "album")


@pytest.fixture
def indexed(run_here, best):
    def run(*words):
        return run_here("serve.index", *words, "--model", best)

    return run


def test_only_what_changed_is_looked_at(run_module, indexed, best, album, tmp_path) -> None:
    (album / "broken.png").write_bytes(b"no")
    first = run_module("serve.index", "album", "--model", best)
    assert first.returncode == 1
    assert "30 pictures (30 new or changed, 0 as before, 0 gone, 1 not readable)" in first.stdout
    assert "error: album/broken.png: not a picture" in first.stderr
    (album / "broken.png").unlink()
    (album / "a" / "000.png").write_bytes(encoded(stripe(1)))
    os.utime(album / "a" / "003.png", (1, 1))
    (album / "b" / "001.png").unlink()
    (album / "b" / "004.png").write_bytes(b"broken now")
    (album / "new.png").write_bytes(encoded(stripe(2)))
    second = indexed("album")
    assert "29 pictures (3 new or changed, 26 as before, 2 gone, 1 not readable)" in second.stdout
    paths, names, _ = Index(tmp_path / "album.index").load()
    assert len(paths) == 29
    assert dict(zip(paths, names, strict=True))["new.png"] == "c"
    assert dict(zip(paths, names, strict=True))["a/000.png"] == "b"


def same_size_and_time(album, names) -> None:
    for label, name in enumerate(names):
        written = io.BytesIO()
        Image.fromarray(stripe(label % 3, label)).save(written, "PNG", compress_level=0)
        (album / name).write_bytes(written.getvalue())
        os.utime(album / name, (315532800, 315532800))


def test_files_that_change_places_are_noticed(best, tmp_path) -> None:
    album, model = tmp_path / "album", Model(best)
    for folder in ("x", "y"):
        (album / folder).mkdir(parents=True)
    same_size_and_time(album, ["0.png", "1.png", "x/2.png", "y/2.png"])
    index = index_for(tmp_path / "album.index", model, album)
    assert update(index, model, album) == (4, 0, 0, 0)
    assert update(index, model, album) == (0, 4, 0, 0)

    def swap(one: str, two: str) -> None:
        (album / one).rename(album / "aside")
        (album / two).rename(album / one)
        (album / "aside").rename(album / two)

    swap("0.png", "1.png")
    assert update(index, model, album) == (2, 2, 0, 0)
    swap("x", "y")  # What is in them has the times that it had.
    assert update(index, model, album) == (2, 2, 0, 0)
    paths, _, embeddings = index.load()
    found = dict(zip(paths, embeddings, strict=True))
    fresh = index_for(tmp_path / "fresh.index", model, album)
    update(fresh, model, album)
    for path, embedding in zip(*fresh.load()[::2], strict=True):
        np.testing.assert_array_equal(found[path], embedding)


def test_a_set_replaced_by_one_of_equal_sizes_and_times_is_noticed(best, tmp_path) -> None:
    album, model = tmp_path / "album", Model(best)
    album.mkdir()
    same_size_and_time(album, ["0.png", "1.png", "2.png"])
    index = index_for(tmp_path / "album.index", model, album)
    update(index, model, album)
    before = [path.stat() for path in sorted(album.iterdir())]
    same_size_and_time(album, ["2.png", "1.png", "0.png"])
    after = [path.stat() for path in sorted(album.iterdir())]
    for one, two in zip(before, after, strict=True):
        assert (one.st_size, one.st_mtime_ns) == (two.st_size, two.st_mtime_ns)
    assert update(index, model, album)[0] == 3


def test_a_killed_one_goes_on(best, collection, indexed, tmp_path) -> None:
    many = tmp_path / "many"
    many.mkdir()
    for number in range(6000):
        os.link(collection / "a" / "000.png", many / f"{number}.png") if number else shutil.copy(
            collection / "a" / "000.png", many / "0.png"
        )
    command = [sys.executable, "-m", "serve.index", "many", "--model", str(best)]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE)
    path = tmp_path / "many.index"
    wait_until(lambda: path.exists() and Index(path).states())
    process.send_signal(signal.SIGKILL)
    with process:
        pass
    assert process.returncode == -signal.SIGKILL
    kept = len(Index(path).states())
    assert 0 < kept < 6000
    assert kept % 256 == 0
    done = indexed("many")
    assert f"6000 pictures ({6000 - kept} new or changed, {kept} as before" in done.stdout


def test_an_index_belongs_to_its_model_and_folder(
    run_module, run_here, index, other, tmp_path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    picture = tmp_path / "one.png"
    picture.write_bytes(encoded(stripe()))
    album = Index(index).root
    for words in (
        ["serve.index", album, "--index", index, "--model", other],
        ["serve.similar", picture, "--index", index, "--model", other],
        ["serve.run", "--port", 0, "--index", index, "--model", other],
    ):
        # A service that does not refuse it would answer for ever.
        done = (run_module if "serve.run" in words else run_here)(*words)
        assert done.returncode == 2
        assert "an index and the model must belong together" in done.stderr
    assert len(Index(index).states()) == 30


def test_another_folder_is_refused(indexed, index, tmp_path) -> None:
    (tmp_path / "elsewhere").mkdir()
    done = indexed("elsewhere", "--index", index)
    assert done.returncode == 2
    assert "an index is of one folder" in done.stderr


@pytest.mark.parametrize("content", [b"", b"my diary", b"SQLite format 3\0" + bytes(200)])
def test_other_files_are_left_alone(indexed, album, tmp_path, content) -> None:
    (tmp_path / "album.index").write_bytes(content)
    done = indexed("album")
    assert done.returncode == 2
    assert "an index must be a file that `python -m serve.index` made" in done.stderr
    assert (tmp_path / "album.index").read_bytes() == content


def test_other_databases_are_left_alone(indexed, album, tmp_path) -> None:
    with sqlite3.connect(tmp_path / "album.index") as database:
        database.execute("CREATE TABLE pictures (path TEXT)")
    database.close()
    assert "not an index" in indexed("album").stderr


def test_similar_pictures_are_named(run_module, best, index, collection) -> None:
    picture = collection / "b" / "004.png"
    done = run_module("serve.similar", picture, "--index", index, "--model", best, "--top", 4)
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0] == ["1.0000", "b", str(picture)]
    assert [row[1] for row in rows] == ["b"] * 4
    assert [float(row[0]) for row in rows] == sorted((float(r[0]) for r in rows), reverse=True)


def test_a_picture_that_cannot_be_read_has_no_similar_ones(run_here, best, index) -> None:
    done = run_here("serve.similar", "gone.png", "--index", index, "--model", best)
    assert (done.returncode, done.stderr) == (1, "error: gone.png: No such file or directory\n")


def test_an_index_that_cannot_be_written_can_be_used(index, best, tmp_path) -> None:
    path = shutil.copy(index, tmp_path / "album.index")
    path.chmod(0o400)
    assert len(load_collection(path, Model(best))) == 30


def test_names_that_are_not_text_come_back(tmp_path) -> None:
    index = Index.new(tmp_path / "x.index", "m", "/", 2)
    index.put([Entry("b\udcff.png", 1, 2, "a", np.ones(2, np.float32))])
    assert index.states() == {"b\udcff.png": (1, 2)}
    assert index.load()[0] == ["b\udcff.png"]


@pytest.mark.parametrize("count", [1, 5, 40, 99])
def test_the_nearest_are_those_that_sorting_everything_finds(tmp_path, count) -> None:
    random = np.random.default_rng(0)
    embeddings = random.normal(size=(40, 8)).astype(np.float32)
    embeddings[7], embeddings[9] = 3 * embeddings[5], 0
    near = Collection(tmp_path, list("x" * 40), list("y" * 40), embeddings).nearest(
        embeddings[5], count
    )
    lengths = np.linalg.norm(embeddings, axis=1) * np.linalg.norm(embeddings[5])
    cosines = embeddings @ embeddings[5] / np.maximum(lengths, 1e-9)
    expected = np.argsort(-cosines.round(5), kind="stable")[:count]
    assert [n.similarity for n in near] == pytest.approx(cosines[expected], abs=1e-5)
    assert {near[0].picture} <= {5, 7}


def test_an_empty_collection_has_nothing_near(tmp_path) -> None:
    empty = Collection(tmp_path, [], [], np.zeros((0, 8), np.float32))
    assert empty.nearest(np.ones(8, np.float32), 5) == []
