"""A whole search by convsearch, by Optuna alone and by Ray Tune: time, accuracy, memory.

    python -m benchmarks.peers --dataset FOLDER [--ray-python PYTHON] [--same-points]

Everybody searches the default space with the network of recipe `cpu`, on the same split of the
same images, which are decoded before the clock starts, and nobody prunes. The peers train by the
usual loop (`peer_searches.py`) and hand over the best trial's weights; convsearch trains by `fit`,
confirms, and trains the winner again on the training and the validation images. How long an epoch
takes depends on depth and batch size, which each search samples for itself: with `--same-points`
the peers try those of convsearch's trials, and sample the learning rate only. One search of each
contestant, one after the other: the machine must have nothing else to do.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import optuna

from benchmarks.measure import Watched, head, watch
from benchmarks.peer_searches import Answer, Job, trials_of
from records.toml import write_toml
from studies.study import Place
from train_core.config import TrainConfig, load_recipe
from train_core.data.config import DataConfig
from train_core.data.prepare import prepare

_NAME = "convsearch"


@dataclass(frozen=True)
class Entry:
    """A contestant, its answer, and what it took."""

    name: str
    answer: Answer
    watched: Watched

    @property
    def ended(self) -> float:
        """When the last trial did, in seconds since 1970."""
        return max(trial.ended for trial in self.answer.trials)

    @property
    def seconds(self) -> float:
        """From the start of the command to the end of the last trial."""
        return self.ended - self.watched.started

    @property
    def epochs(self) -> int:
        """Trained in all trials together."""
        return sum(trial.epochs for trial in self.answer.trials)

    def best_after(self, seconds: float = float("inf")) -> float:
        """The best validation accuracy so many seconds after the start; 0 = none yet."""
        end = self.watched.started + seconds
        done = (t for t in self.answer.trials if t.complete and t.ended <= end)
        return max((t.accuracy for t in done if t.accuracy is not None), default=0.0)


_ROWS: Mapping[str, Callable[[Entry], str]] = {
    "search, until the last trial ended [s]": lambda e: f"{e.seconds:.1f}",
    "the whole command, with what follows the search [s]": lambda e: f"{e.watched.seconds:.1f}",
    "trials complete": lambda e: str(sum(trial.complete for trial in e.answer.trials)),
    "epochs trained": lambda e: str(e.epochs),
    "seconds of the search per trained epoch": lambda e: f"{e.seconds / e.epochs:.2f}",
    "best validation accuracy": lambda e: f"{e.best_after():.2%}",
    "test accuracy": lambda e: f"{e.answer.test:.2%}",
    "peak memory in the search, all processes [MiB]": lambda e: (
        f"{e.watched.peak(e.ended) / 2**20:,.0f}"
    ),
    "peak memory of the whole command [MiB]": lambda e: f"{e.watched.peak() / 2**20:,.0f}",
}


def main() -> None:
    """Let everybody search, one after the other, and print the comparison."""
    options = _options()
    if options.ray_python:
        _need_ray(options.ray_python)
    with tempfile.TemporaryDirectory() as scratch:
        base = _job(options, Path(options.keep or scratch).resolve())
        entries = [_convsearch(_in_folder(base, _NAME))]
        if options.same_points:
            base = base.model_copy(update={"points": _points(entries[0], base)})
        entries.append(_peer("optuna", sys.executable, base))
        if options.ray_python:
            entries.append(_peer("ray", options.ray_python, base))
    print(_report(entries, base))


def _need_ray(python: str) -> None:
    """Find out before the others have searched for an hour; it warms Ray's files, too."""
    try:
        subprocess.run([python, "-c", "import optuna, ray.tune, torchvision"], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"error: --ray-python must have Ray and what we need: {error}") from None


def _job(options: argparse.Namespace, folder: Path) -> Job:
    """The job, with its images decoded; every contestant gets a folder of its own in `folder`."""
    if folder.exists() and any(folder.iterdir()):
        raise SystemExit(f"error: folder '{folder}' must be empty, or an old search would go on")
    # Absolute, because Ray runs every trial in a folder of its own.
    root, dataset = Path(options.root).resolve(), options.dataset
    dataset = str(Path(dataset).resolve()) if Path(dataset).is_dir() else dataset
    data = DataConfig(dataset=dataset, root=str(root), train_size=options.images, split_seed=0)
    recipe = load_recipe("cpu").model_dump()
    return Job(
        folder=str(folder),
        data=data,
        prepared=prepare(data),
        training=TrainConfig(**{**recipe, "optimizer": "sgd", "epochs": options.epochs}),
        trials=options.trials,
        cpus=options.ray_cpus,
        seed=options.seed,
    )


def _in_folder(base: Job, name: str) -> Job:
    print(f"{name} searches", file=sys.stderr, flush=True)
    folder = str(Path(base.folder) / name)
    job = base.model_copy(update={"folder": folder})
    job.write(folder)
    return job


def _convsearch(job: Job) -> Entry:
    folder = Path(job.folder)
    tables = {
        "recipe": "cpu",
        "runs": job.folder,
        "data": job.data.model_dump(exclude={"dataset"}, exclude_none=True),
        "training": {"epochs": job.training.epochs},
        "study": {"name": _NAME, "seed": job.seed, "pruner": "none"},
    }
    write_toml(folder / "search.toml", tables)
    flags = ["--dataset", job.data.dataset, "--trials", str(job.trials)]
    flags += ["--config", str(folder / "search.toml")]
    watched = watch([sys.executable, "-m", "search.run", *flags])
    metrics = json.loads((folder / _NAME / "best" / "metrics.json").read_text(encoding="utf-8"))
    answer = Answer(
        description="python -m search.run, recipe cpu, TPE, no pruner",
        trials=trials_of(_study(folder)),
        test=metrics["test"]["accuracy"],
    )
    return Entry(_NAME, answer, watched)


def _study(folder: Path) -> optuna.Study:
    return optuna.load_study(study_name=_NAME, storage=Place(_NAME, folder / _NAME).url)


def _points(ours: Entry, base: Job) -> tuple[dict[str, bool | int | float | str], ...]:
    """What our trials had, in order, of the parameters that mean the same to all contestants."""
    common = base.space.parameters.keys() - {"lr"}
    trials = _study(Path(base.folder) / ours.name).get_trials(deepcopy=False)
    return tuple({n: v for n, v in t.params.items() if n in common} for t in trials)


def _peer(name: str, python: str, base: Job) -> Entry:
    job = _in_folder(base, name)
    # Not by `-m`: Ray's processes have to import what is handed to them, and not from `__main__`.
    code = "from benchmarks.peer_searches import main; main()"
    watched = watch([python, "-c", code, name, job.folder])
    return Entry(name, Answer.read(job.folder), watched)


def _report(entries: list[Entry], job: Job) -> str:
    """A table with a column for each contestant, and the ratios to the first one."""
    images, first = job.images(), entries[0]
    points = "those of convsearch, learning rate apart" if job.points else "their own"
    lines = [
        head(),
        f"images: {job.prepared.name}, {len(images.train):,} training, "
        f"{len(images.validation or ()):,} validation, {job.prepared.test.count:,} test",
        f"search: {job.trials} trials of {job.training.epochs} epochs, space default, seed "
        f"{job.seed}, points of the peers: {points}, n = 1 search of each",
        *(f"{entry.name}: {entry.answer.description}" for entry in entries),
        _line("", [entry.name for entry in entries]),
        *(_line(label, [cell(e) for e in entries]) for label, cell in _ROWS.items()),
        _line(
            f"best validation accuracy after {first.seconds:.1f} s",
            [f"{entry.best_after(first.seconds):.2%}" for entry in entries],
        ),
        *(f"ratio {e.name} / convsearch: {e.seconds / first.seconds:.2f}" for e in entries[1:]),
    ]
    return "\n".join(lines)


def _line(label: str, cells: list[str]) -> str:
    return f"{label:52}" + "".join(f"{cell:>14}" for cell in cells)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--dataset", required=True, help="a data set or a folder of images")
    parser.add_argument("--trials", type=int, default=20, help="trials of each search [20]")
    parser.add_argument("--images", type=int, default=10_000, help="training images [10,000]")
    parser.add_argument("--epochs", type=int, default=6, help="epochs of each trial [6]")
    parser.add_argument("--same-points", action="store_true", help="peers try convsearch's trials")
    parser.add_argument("--seed", type=int, default=0, help="of each search [0]")
    parser.add_argument("--ray-python", help="interpreter that has Ray [no Ray]")
    parser.add_argument("--ray-cpus", type=int, default=1, help="per trial [1, as in Ray]")
    parser.add_argument("--root", default="data", help="for downloads and decoded images [data]")
    parser.add_argument("--keep", help="empty folder for what the searches write [none]")
    return parser.parse_args()


if __name__ == "__main__":
    main()
