"""Eight public picture sets as people have them: DEST/NAME/train and test, a folder per class.

    python -m benchmarks.picture_sets NAME REPOSITORY DEST

REPOSITORY is a git clone of the set's source (a directory without a work tree will do) that has
the commit below. Where the authors have made a test part it is kept; of the others a quarter of
every class (a third of caltech101's) goes there, by the hash of the content, so that everybody
has the same. A file that comes twice is kept once, in the test part if it is in both.
"""

import argparse
import csv
import hashlib
import re
import statistics
import subprocess
import sys
import tomllib
from collections import Counter, defaultdict
from pathlib import Path

from PIL import Image
from pydantic import BaseModel, ConfigDict

_TABLE = Path(__file__).with_suffix(".toml")


class PictureSet(BaseModel):
    """Where a set is, and how its paths are read: the keys are explained in the TOML file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    commit: str
    licence: str
    pattern: str
    test: tuple[str, ...] = ()
    share: float = 0.25
    table: str = ""
    names: tuple[str, ...] = ()


SETS = {name: PictureSet(**keys) for name, keys in tomllib.loads(_TABLE.read_text()).items()}


def main() -> None:
    """Write the set's pictures, and print what it has."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("name", choices=SETS)
    parser.add_argument("repository", type=Path)
    parser.add_argument("dest", type=Path)
    options = parser.parse_args()
    chosen, dest = SETS[options.name], options.dest / options.name
    if dest.exists():
        parser.error(f"folder '{dest}' must not exist, or old pictures would be among the new")
    for part, label, path, blob in _split(chosen, _listed(chosen, options.repository)):
        try:
            content = _git(options.repository, "cat-file", "blob", blob)
        except subprocess.CalledProcessError:  # A partial clone.
            print(f"left out, since the clone lacks it: {path}", file=sys.stderr)
            continue
        target = dest / part / label / path.replace("/", "__")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    print(" | ".join([options.name, chosen.source, chosen.commit[:7], chosen.licence]), end=" | ")
    print(" | ".join(_facts(dest)))


def _git(repository: Path, *command: str) -> bytes:
    return subprocess.run(
        ["git", "-C", str(repository), *command], check=True, capture_output=True
    ).stdout


def _listed(chosen: PictureSet, repository: Path) -> list[tuple[re.Match[str], str, str]]:
    """What is known of each picture by its path, its class, and the hash of its content."""
    labels = {}
    if chosen.table:
        rows = _git(repository, "show", f"{chosen.commit}:{chosen.table}").decode().splitlines()
        labels = {row[0]: chosen.names[int(row[1])] for row in list(csv.reader(rows))[1:]}
    found = []
    for line in _git(repository, "ls-tree", "-r", "-z", chosen.commit).decode().split("\0")[:-1]:
        facts, path = line.split("\t")
        match = re.fullmatch(chosen.pattern, path, re.IGNORECASE)
        if match and (label := labels.get(match["id"]) if chosen.table else match["label"]):
            found.append((match, label, facts.split()[2]))
    return found


def _split(
    chosen: PictureSet, listed: list[tuple[re.Match[str], str, str]]
) -> list[tuple[str, str, str, str]]:
    """Part, class, path and content of each picture; a content once, of the test part first."""
    kept: dict[str, tuple[str, str, str, str]] = {}
    by_class = defaultdict(list)
    for match, label, blob in sorted(listed, key=lambda one: one[0].string):
        by_class[label].append((match, blob))
    for label, pictures in by_class.items():
        unique = {blob: match for match, blob in pictures}
        shuffled = sorted(unique, key=lambda blob: hashlib.sha256(blob.encode()).digest())
        drawn = set(shuffled[: round(chosen.share * len(shuffled))])
        for match, blob in pictures:
            in_test = match["part"] in chosen.test if chosen.test else blob in drawn
            if in_test or blob not in kept:
                kept[blob] = ("test" if in_test else "train", label, match.string, blob)
    return list(kept.values())


def _facts(folder: Path) -> list[str]:
    """Pictures and classes of both parts, and the sides of the pictures in pixels."""
    words: list[str] = []
    sides: list[int] = []
    for part in ("train", "test"):
        paths = list((folder / part).glob("*/*"))
        counts = Counter(path.parent.name for path in paths).values()
        words.append(f"{part} {len(paths)} ({len(counts)}: {min(counts)} to {max(counts)})")
        for path in paths:
            with Image.open(path) as picture:
                sides += picture.size
    return [*words, f"sides {statistics.median(sides):.0f} ({min(sides)} to {max(sides)})"]


if __name__ == "__main__":
    main()
