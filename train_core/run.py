"""`python -m train_core.run CONFIG.toml`: train one configuration, without any search."""

import os
import sys
import time
from contextlib import suppress
from hashlib import blake2s
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from records.command_line import USER_MISTAKE, complain, new_app, run_app, user_mistakes
from records.files import absolute
from records.machine.interrupts import StopNow, interruptible
from records.toml import read_toml, write_toml
from records.words import duration
from train_core import Diverged, TrainingStopped
from train_core.config import DeviceName, TrainConfig, refuse_larger
from train_core.data.config import DataConfig
from train_core.data.prepare import PreparedData, at_absolute_paths, prepare
from train_core.recipes import RunConfig, resolve_run

if TYPE_CHECKING:
    from records.outcome import EpochRecord
    from train_core.checkpoint import Checkpoint
    from train_core.engine import EnginePool

app = new_app()


@app.command()
def main(  # noqa: PLR0913 - one argument per flag
    config: Annotated[str, typer.Argument(help="TOML file with [data] and [training]")],
    test: Annotated[bool, typer.Option(help="score on the test part at the end, once")] = False,
    out: Annotated[
        Path | None, typer.Option(help="folder to write model.safetensors and config.toml to")
    ] = None,
    device: Annotated[DeviceName, typer.Option(help="what trains")] = "auto",
    fresh: Annotated[
        bool, typer.Option("--fresh", help="begin again where a stopped run would go on")
    ] = False,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="file that a stopped run goes on from [one in runs/trainings/]"),
    ] = None,
    checkpoint_every: Annotated[
        float, typer.Option(min=0, help="least seconds between two writes of it")
    ] = 30.0,
) -> int:
    """Train one configuration and print a line per epoch; after a stop, go on where it was."""
    place = checkpoint or _place(config)
    with user_mistakes():
        run, prepared = _resolved(config)
        _refuse_closed(place.parent)
    # Only from here on: torch takes seconds to import, and mistakes should not have to wait.
    from train_core.checkpoint import Checkpoint

    state = Checkpoint(place, checkpoint_every, strict=True)
    if fresh:
        state.remove()
    code = _train(run, prepared, test, out, device, state)
    if checkpoint is None and code == 0:
        for folder in (place.parent, place.parent.parent):
            with suppress(OSError):  # Not empty, or not there.
                folder.rmdir()
    return code


def _resolved(config: str) -> tuple[RunConfig, PreparedData]:
    """What a file asks for, and its data, brought into the cache; ValueError if that is wrong."""
    tables, source = read_toml(config), f"file '{config}'"
    data = at_absolute_paths(resolve_run(tables, source).data)
    _refuse_folds(data)
    prepared = prepare(data)
    rows = prepared.rows(data)
    run = resolve_run(tables, source, len(rows.train))
    known = {"content": prepared.content, "image_size": prepared.crop_size}
    kept = data.model_copy(update=known)
    refuse_larger(run.training.resolution, prepared.crop_size)
    return run.model_copy(update={"data": kept}), prepared


def _place(config: str) -> Path:
    """Where the state of a training is kept, by the file that describes it."""
    path = absolute(config)
    name = f"{Path(path).stem}-{blake2s(path.encode(errors='surrogateescape')).hexdigest()[:8]}"
    return Path("runs", "trainings", f"{name}.safetensors")


def _refuse_closed(folder: Path) -> None:
    """ValueError, before hours of training, if no file can be written to a folder."""
    nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
        raise ValueError(
            f"the state of a training must be kept where files can be written, but '{nearest}' "
            f"is closed or no folder: name another file with --checkpoint"
        )


def _refuse_folds(data: DataConfig) -> None:
    if (data.folds or 1) > 1 and not data.train_on_validation:
        raise ValueError(
            f"folds must be 1 for a single training, which has one validation part, but got "
            f"{data.folds}: leave it out of [data]; a search trains on every fold"
        )


def _train(
    run: RunConfig, prepared: PreparedData, test: bool, out: Path | None, wanted: DeviceName,
    state: "Checkpoint",
) -> int:  # fmt: skip
    from train_core.device import device_name, keep_freed_memory, pick_device, resolve_precision
    from train_core.engine import EnginePool
    from train_core.images import load_test_part, load_training_data
    from train_core.model import save_model, score, trained_model

    keep_freed_memory()
    with user_mistakes():
        device = pick_device(wanted=wanted)
        run = _with_weights(run, prepared)
    data = load_training_data(prepared, run.data, device)
    dtype = resolve_precision(run.training.precision, device)
    print(f"{prepared.name}: {len(data.train)} training images, {len(data.classes)} classes")
    print(f"{device_name(device)}, {str(dtype).removeprefix('torch.')}")
    print(run.training.describe(), flush=True)
    engines = EnginePool(data)
    code = _epochs(run.training, engines, state)
    if code:
        return code
    model = trained_model(engines.engine(run.training))
    if test:
        part = load_test_part(prepared, device)
        loss, accuracy = score(model.network, part, model.normalisation, dtype)
        print(f"test accuracy {accuracy:.2%} on {len(part)} images, loss {loss:.3f}")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        save_model(out / "model.safetensors", model)
        write_toml(out / "config.toml", run.model_dump())
        print(f"saved to {out}")
    state.remove()
    return 0


class _Stop:
    """Whether somebody has asked to stop after the running epoch."""

    asked = False

    def set(self) -> None:
        """Ask, and say so: an epoch can be long."""
        self.asked = True
        line = b"stopping after the running epoch; Ctrl-C again stops at once\n"
        with suppress(OSError):  # Python's own streams may be in use just now.
            os.write(2, line)


def _epochs(training: TrainConfig, engines: "EnginePool", state: "Checkpoint") -> int:
    """Train to the end, a line per epoch; 0 if that is reached, else the code to exit with."""
    from train_core.checkpoint import OtherTraining
    from train_core.fit import fit

    stop, last = _Stop(), time.monotonic()
    try:
        with interruptible(stop) as interrupts:
            for record in fit(training, engines.data, engines, state):
                if record.epoch == 1 and state.resumed:
                    print(f"going on after epoch {state.resumed}, from {state.path}")
                now = time.monotonic()
                left = (now - last) * (training.epochs - record.epoch)
                last, known = now, record.epoch > state.resumed
                print(_in_words(record, training.epochs, left if known else 0.0), flush=True)
                if stop.asked and record.epoch < training.epochs:
                    state.write()
                    said = f"stopped after epoch {record.epoch}; the same command goes on there"
                    print(said, file=sys.stderr)
                    return 128 + (interrupts.signal or 0)
    except OtherTraining as other:
        complain(f"{other}: give what it was begun with, or --fresh to begin again without it")
        return USER_MISTAKE
    except TrainingStopped as stopped:
        if isinstance(stopped, Diverged):  # It would again.
            state.remove()
        print(f"stopped: {stopped}", file=sys.stderr)
        return 1
    except StopNow:
        raise KeyboardInterrupt from None
    return 0


def _with_weights(run: RunConfig, prepared: PreparedData) -> RunConfig:
    """The run with the hash of the weights that it starts from; ValueError if it cannot start."""
    from train_core.engine.curriculum import smaller_than
    from train_core.networks.weights.check import check_networks
    from train_core.networks.weights.files import at_absolute_path

    training = run.training
    side = training.resolution or prepared.crop_size
    settings = {**training.model_dump(), "image_size": side}
    names, classes = [training.network], len(prepared.classes)
    skips = names if training.drop_path > 0 else ()
    grows = training.curriculum != "none" and training.method != "probe"
    smaller = {training.network: smaller_than(side)} if grows else {}
    file = check_networks(names, settings, classes, drop_path=skips, smaller=smaller)
    if file is None:
        return run
    found = {"weights": at_absolute_path(training.weights), "weights_sha256": file.facts.sha256}
    return run.model_copy(update={"training": training.model_copy(update=found)})


def _in_words(record: "EpochRecord", epochs: int, left: float) -> str:
    validated = "-" if record.val_accuracy is None else f"{record.val_accuracy:.2%}"
    rest = f", about {duration(left)} left" if left >= 1 else ""
    return (
        f"epoch {record.epoch:3d}/{epochs}  loss {record.train_loss:.3f}  "
        f"train {record.train_accuracy:.2%}  validation {validated}  "
        f"{record.images_per_second:,.0f} images/s  {record.seconds:.1f} s{rest}"
    )


if __name__ == "__main__":
    raise SystemExit(run_app(app, lasting=True))
