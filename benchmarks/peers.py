"""A whole search by convsearch, by Optuna alone and by Ray Tune: time, accuracy, memory.

    python -m benchmarks.peers --dataset FOLDER [--ray-python PYTHON]

Everybody searches the default space with the network of recipe `cpu`, on the same split of the
same images, which are decoded before the clock starts. The peers train by the usual loop
(`peer_training.py`: float32, torchvision's transforms in a DataLoader, SGD with one-cycle) and
hand over the best trial's weights; convsearch trains by `fit`, confirms, and trains the winner
again on the training and the validation images.

Nobody prunes, unless with `--pruner usual`, so that all train the same number of epochs. How long
an epoch takes depends on depth and batch size, which each search samples for itself: with
`--same-points` the peers try those of convsearch's trials, and sample the learning rate only.
One search of each contestant, one after the other: the machine must have nothing else to do.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import peer_convsearch
from benchmarks.machine import head
from benchmarks.peer_job import Answer, Job
from benchmarks.peer_report import Entry, report
from benchmarks.process_tree import watch
from train_core.config import TrainConfig, load_recipe
from train_core.data.config import DataConfig
from train_core.data.prepare import prepare


def main() -> None:
    """Let everybody search, one after the other, and print the comparison."""
    options = _options()
    if options.ray_python:
        _need_ray(options.ray_python)
    with tempfile.TemporaryDirectory() as scratch:
        base = _job(options, Path(options.keep or scratch).resolve())
        ours = _in_folder(base, "convsearch")
        entries = [_convsearch(ours)]
        if options.same_points:
            base = base.model_copy(update={"points": peer_convsearch.points_of(ours)})
        entries.append(_peer("optuna", sys.executable, base))
        if options.ray_python:
            entries.append(_peer("ray", options.ray_python, base))
    _print_head(options, base)
    print(report(entries))


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
        prune=options.pruner == "usual",
        light=options.light,
        cpus=options.ray_cpus,
        seed=options.seed,
    )


def _in_folder(base: Job, name: str) -> Job:
    job = base.model_copy(update={"folder": str(Path(base.folder) / name)})
    job.write()
    return job


def _convsearch(job: Job) -> Entry:
    _say("convsearch searches")
    watched = watch(peer_convsearch.command_for(job))
    return Entry("convsearch", peer_convsearch.answer_of(job), watched)


def _peer(name: str, python: str, base: Job) -> Entry:
    _say(f"{name} searches")
    job = _in_folder(base, name)
    watched = watch([python, "-m", f"benchmarks.peer_{name}", job.folder])
    return Entry(name, Answer.read(job.folder), watched)


def _print_head(options: argparse.Namespace, job: Job) -> None:
    images, training = job.images(), job.training
    assert images.validation is not None
    print(head())
    print(
        f"images: {job.prepared.name}, {len(images.train):,} training, {len(images.validation):,} "
        f"validation, {job.prepared.test.count:,} test, decoded before the start"
    )
    print(
        f"search: {job.trials} trials of {training.epochs} epochs, {training.network} width "
        f"{training.width}, space default, seed {job.seed}, n = 1 search of each"
    )
    augmentation = "crop and flip only" if job.light else "the same augmentation"
    points = "those of convsearch, learning rate apart" if job.points else "their own"
    print(f"peers: {augmentation}, points {points}")
    print("test: best trial of the peers; of convsearch, its winner trained again with validation")
    if not options.ray_python:
        print("ray: left out, since no --ray-python names an interpreter that has it")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--dataset", required=True, help="a data set or a folder of images")
    parser.add_argument("--trials", type=int, default=20, help="trials of each search [20]")
    parser.add_argument("--images", type=int, default=10_000, help="training images [10,000]")
    parser.add_argument("--epochs", type=int, default=6, help="epochs of each trial [6]")
    parser.add_argument("--pruner", choices=["none", "usual"], default="none", help="[none]")
    parser.add_argument("--light", action="store_true", help="peers crop and flip only")
    parser.add_argument("--same-points", action="store_true", help="peers try convsearch's trials")
    parser.add_argument("--seed", type=int, default=0, help="of each search [0]")
    parser.add_argument("--ray-python", help="interpreter that has Ray [no Ray]")
    parser.add_argument(
        "--ray-cpus", type=int, default=1, help="per trial, Ray's default is 1 [1]"
    )
    parser.add_argument("--root", default="data", help="for downloads and decoded images [data]")
    parser.add_argument("--keep", help="empty folder for what the searches write [none]")
    return parser.parse_args()


if __name__ == "__main__":
    main()
