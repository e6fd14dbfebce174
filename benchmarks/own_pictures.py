"""People's own pictures: what they would do without us, and a search, on the same split.

    python -m benchmarks.own_pictures FOLDER... [--ways probe tune] [--budget="--trials 20"]...
        [--seeds 0 1] --answers ANSWERS.jsonl

FOLDERs have train and test (`benchmarks.picture_sets` makes some). Every way of
`benchmarks.usual_ways` and every budget, flags for `python -m search.run`, is tried with every
seed, one command after the other. CPU seconds are those of the command with its children, user
and system. What is in ANSWERS already is not done again, so that a comparison can go on; on
another machine, or with other code, take a new file. The table is printed in the end.
"""

import argparse
import csv
import json
import math
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from benchmarks.measure import ROOT, environment, head
from benchmarks.usual_ways import WAYS

_FIRST = "probe"
"""The way that the others are compared with."""

_MEAN = "mean of the sets"


class Answer(BaseModel):
    """What one way said of one set's test pictures.

    Attributes:
        way: One of `WAYS`, or the flags of a search.
        predicted: Class by path, test/CLASS/FILE; every picture of the test part.
        chosen: What it settled for, in words.
        cpu: Seconds of all processes together, user and system.
        wall: Seconds from start to end.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    set: str
    way: str
    seed: int
    predicted: dict[str, str]
    chosen: str
    cpu: float
    wall: float

    @property
    def right(self) -> dict[str, bool]:
        """By path, whether the class is the folder's."""
        return {path: named == path.split("/")[1] for path, named in self.predicted.items()}

    @property
    def accuracy(self) -> float:
        """In [0, 1]."""
        return statistics.fmean(self.right.values())

    @property
    def macro_recall(self) -> float:
        """The mean over the classes of the share found, in [0, 1]."""
        by_class = defaultdict(list)
        for path, right in self.right.items():
            by_class[path.split("/")[1]].append(right)
        return statistics.fmean(map(statistics.fmean, by_class.values()))


_SHOWN: Mapping[str, Callable[[Answer], float]] = {
    "Test accuracy [%]": lambda answer: 100 * answer.accuracy,
    "Macro recall [%]": lambda answer: 100 * answer.macro_recall,
    "CPU seconds": lambda answer: answer.cpu,
    "Seconds from start to end": lambda answer: answer.wall,
}


def main() -> None:
    """Do what is not done yet, and print the comparison."""
    options = _options()
    folders = [folder.resolve() for folder in options.folders]
    sets, ways = [folder.name for folder in folders], [*options.ways, *options.budget]
    answers = {(a.set, a.way, a.seed): a for a in _read(options.answers)}
    for folder, way, seed in product(folders, ways, options.seeds):
        if (folder.name, way, seed) not in answers:
            print(f"{folder.name}: {way}, seed {seed}", file=sys.stderr, flush=True)
            answer = _answer(folder, way, seed, options)
            with options.answers.open("a", encoding="utf-8") as file:
                file.write(answer.model_dump_json() + "\n")
            answers[folder.name, way, seed] = answer
    asked = [answers[key] for key in product(sets, ways, options.seeds)]
    print(Comparison(asked, sets, ways).report())


def _answer(folder: Path, way: str, seed: int, options: argparse.Namespace) -> Answer:
    asked = {"set": folder.name, "way": way, "seed": seed}
    if way not in WAYS:
        return Answer.model_validate({**asked, **search(folder, shlex.split(way), seed)})
    command = ["benchmarks.usual_ways", way, str(folder), "--seed", str(seed)]
    if options.pictures:
        command += ["--pictures", str(options.pictures)]
    printed, cpu, wall = _run(command)
    return Answer.model_validate({**asked, **json.loads(printed), "cpu": cpu, "wall": wall})


def search(folder: Path, flags: Sequence[str], seed: int) -> dict[str, object]:
    """Our answer: a whole search as people start it, its test predictions and its seconds."""
    with tempfile.TemporaryDirectory() as runs:
        command = ["search.run", "--dataset", str(folder), "--runs", runs, "--seed", str(seed)]
        _, cpu, wall = _run([*command, *flags])
        (best,) = Path(runs).glob("*/best")
        metrics = json.loads((best / "metrics.json").read_text(encoding="utf-8"))
        with (best / "predictions.csv").open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["part"] == "test"]
    tried = metrics["search"]["complete"] + metrics["search"]["pruned"]
    chosen = f"{metrics['training']['network']}, {tried} trials"
    predicted = {row["path"]: row["predicted"] for row in rows}
    return {"predicted": predicted, "chosen": chosen, "cpu": cpu, "wall": wall}


def _run(command: Sequence[str]) -> tuple[str, float, float]:
    """What a command prints on stdout, its CPU seconds and its seconds."""
    started = time.monotonic()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=ROOT, env=environment(), stdout=output
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"error: {' '.join(command)} ended with {process.returncode}")
        output.seek(0)
        printed = output.read()
    return printed, used.ru_utime + used.ru_stime, time.monotonic() - started


def _read(path: Path) -> list[Answer]:
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [Answer.model_validate_json(line) for line in lines]


class Comparison:
    """Answers by set and way, and their tables in Markdown."""

    def __init__(
        self, answers: Sequence[Answer], sets: Sequence[str], ways: Sequence[str]
    ) -> None:
        self._sets, self._ways = sets, ways
        self._cells: dict[tuple[str, str], list[Answer]] = defaultdict(list)
        for answer in answers:
            self._cells[answer.set, answer.way].append(answer)
        self._seeds = sorted({answer.seed for answer in answers})

    def report(self) -> str:
        """Accuracy, macro recall, CPU seconds, differences to the first way, and the choices."""
        rows, lines = [*self._sets, _MEAN], ["```", head(), f"seeds: {self._seeds}", "```"]
        for title, value in _SHOWN.items():
            cell = partial(self._figure, value)
            lines += _table(f"{title}, mean (least to most)", self._ways, rows, cell)
        others = [way for way in self._ways if way != _FIRST]
        if len(others) < len(self._ways):
            title = f"Accuracy above {_FIRST} [points], with its standard error"
            lines += _table(title, others, rows, self._gain)
        return "\n".join([*lines, *_table("Chosen", self._ways, self._sets, self._choice)])

    def _figure(self, value: Callable[[Answer], float], name: str, way: str) -> str:
        if name == _MEAN:
            means = [statistics.fmean(map(value, self._cells[n, way])) for n in self._sets]
            return f"{statistics.fmean(means):,.1f}"
        values = [value(answer) for answer in self._cells[name, way]]
        several = f" ({min(values):,.1f} to {max(values):,.1f})" if len(values) > 1 else ""
        return f"{statistics.fmean(values):,.1f}{several}"

    def _gain(self, name: str, way: str) -> str:
        names = self._sets if name == _MEAN else [name]
        pairs = [difference(self._cells[n, _FIRST], self._cells[n, way]) for n in names]
        error = math.sqrt(sum(error**2 for _, error in pairs)) / len(pairs)
        return f"{statistics.fmean(gain for gain, _ in pairs):+.1f} ± {error:.1f}"

    def _choice(self, name: str, way: str) -> str:
        return "; ".join(answer.chosen for answer in self._cells[name, way])


def difference(first: Sequence[Answer], other: Sequence[Answer]) -> tuple[float, float]:
    """Accuracy above the first's in points, and its standard error over the test pictures.

    Both are about the same pictures, so that the error is that of the mean of the differences;
    of several seeds the mean is taken for every picture first.

    Raises:
        ValueError: The test parts differ.
    """
    ours, theirs = _by_picture(other), _by_picture(first)
    if ours.keys() != theirs.keys():
        raise ValueError("answers must be about the same pictures, but the test parts differ")
    gains = [100 * (ours[path] - theirs[path]) for path in ours]
    return statistics.fmean(gains), statistics.stdev(gains) / math.sqrt(len(gains))


def _by_picture(answers: Sequence[Answer]) -> dict[str, float]:
    rights = [answer.right for answer in answers]
    return {path: statistics.fmean(right[path] for right in rights) for path in rights[0]}


def _table(
    title: str, ways: Sequence[str], rows: Sequence[str], cell: Callable[[str, str], str]
) -> list[str]:
    lines = ["", f"## {title}", "", _row(["", *ways]), _row(["---"] * (len(ways) + 1))]
    return [*lines, *(_row([name, *(cell(name, way) for way in ways)]) for name in rows)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=[*WAYS])
    parser.add_argument("--budget", action="append", default=[], help="flags of a search")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--pictures", type=int, help="seen by scratch and tune in training")
    parser.add_argument("--answers", type=Path, required=True, help="file that grows")
    options = parser.parse_args()
    names = [folder.resolve().name for folder in options.folders]
    if len(set(names)) < len(names):
        parser.error(f"folders are told apart by their names, but they are {', '.join(names)}")
    return options


if __name__ == "__main__":
    main()
