"""Figures of `benchmarks.own_pictures`, and the split of `benchmarks.picture_sets`."""

import subprocess
import sys

import pytest
from PIL import Image

from benchmarks import own_pictures, picture_sets
from benchmarks.own_pictures import Answer, Comparison, difference
from benchmarks.picture_sets import PictureSet

TRUE = {"test/a/0": "a", "test/a/1": "a", "test/a/2": "a", "test/b/0": "b"}


def answer(way: str = "probe", seed: int = 0, **wrong: str) -> Answer:
    """Right but for `a0="b"`, which says class b of test/a/0."""
    predicted = TRUE | {f"test/{name[0]}/{name[1]}": said for name, said in wrong.items()}
    facts = {"set": "s", "chosen": "C 1", "cpu": 2.0, "wall": 1.0}
    return Answer(**facts, way=way, seed=seed, predicted=predicted)


def test_macro_recall_counts_every_class_alike() -> None:
    assert answer(b0="a").accuracy == 0.75
    assert answer(b0="a").macro_recall == 0.5


def test_differences_are_of_the_same_pictures_and_of_the_mean_of_the_seeds() -> None:
    ours = [answer("x"), answer("x", seed=1, a0="b")]
    gain, error = difference([answer(a0="b")], ours)
    assert gain == pytest.approx(12.5)  # 50 points of one picture in four.
    assert error == pytest.approx(12.5)
    other = answer("x").model_copy(update={"predicted": {"test/a/0": "a"}})
    with pytest.raises(ValueError, match="test parts differ"):
        difference([answer()], [other])


def test_the_tables_have_a_row_for_every_set_and_one_for_the_mean() -> None:
    text = Comparison([answer(a0="b"), answer("x")], ["s"], ["probe", "x"]).report()
    assert "| s | 75.0 | 100.0 |" in text
    assert "| mean of the sets | 75.0 | 100.0 |" in text
    assert "| s | +25.0 ± 25.0 |" in text


def test_what_was_answered_before_is_not_done_again(tmp_path, monkeypatch, capsys) -> None:
    kept, done = tmp_path / "kept.jsonl", []

    def do(folder, way, seed, options):
        done.append((folder.name, way, seed))
        return answer(way, seed)

    monkeypatch.setattr(own_pictures, "_answer", do)
    for budgets in (["--budget=--trials 5"], ["--budget=--trials 5", "--budget=--trials 9"]):
        asked = [str(tmp_path / "s"), "--ways", "probe", *budgets, "--answers", str(kept)]
        monkeypatch.setattr(sys, "argv", ["own_pictures", *asked])
        own_pictures.main()
    assert done == [("s", "probe", 0), ("s", "--trials 5", 0), ("s", "--trials 9", 0)]
    assert "|  | probe | --trials 5 | --trials 9 |" in capsys.readouterr().out


@pytest.fixture
def repository(tmp_path):
    """Two classes of eight, of which one picture comes three times; its git folder and commit."""
    for number in range(8):
        for label in ("ant", "bee"):
            path = tmp_path / "repo" / "train" / label / f"{number} {label}.bmp"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (4, 6), 10 * number + (label == "bee")).save(path)
    copied = (tmp_path / "repo/train/ant/0 ant.bmp").read_bytes()
    (tmp_path / "repo/train/ant/copy.BMP").write_bytes(copied)
    (tmp_path / "repo/val/bee").mkdir(parents=True)
    (tmp_path / "repo/val/bee/copy.bmp").write_bytes(copied)
    git = ["git", "-C", str(tmp_path / "repo"), "-c", "user.name=n", "-c", "user.email=n@n"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "pictures"]):
        subprocess.run([*git, *command], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return tmp_path / "repo" / ".git", head.stdout.strip()


@pytest.mark.parametrize(("test", "parts"), [(("val",), (15, 1)), ((), (12, 4))])
def test_a_set_is_split_once_and_copies_are_kept_once(
    test, parts, repository, tmp_path, monkeypatch, capsys
) -> None:
    git, commit = repository
    pattern = r"(?P<part>train|val)/(?P<label>\w+)/[^/]+\.bmp"
    chosen = PictureSet(source="o/n", commit=commit, licence="L", pattern=pattern, test=test)
    monkeypatch.setattr(picture_sets, "SETS", {"insects": chosen})
    found = []
    for dest in ("once", "again"):
        argv = ["picture_sets", "insects", str(git), str(tmp_path / dest)]
        monkeypatch.setattr(sys, "argv", argv)
        picture_sets.main()
        folder = tmp_path / dest / "insects"
        found.append({p.relative_to(folder): p.read_bytes() for p in folder.glob("*/*/*")})
    assert found[0] == found[1]
    assert len(set(found[0].values())) == len(found[0]) == 16
    counts = tuple(sum(p.parts[0] == part for p in found[0]) for part in ("train", "test"))
    assert counts == parts
    assert "sides 5 (4 to 6)" in capsys.readouterr().out
