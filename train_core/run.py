"""`python -m train_core.run CONFIG.toml`: train one configuration, without any search."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from records.command_line import new_app, run_app, user_mistakes
from records.toml import read_toml, write_toml
from train_core import TrainingStopped
from train_core.config import DeviceName, refuse_larger
from train_core.data.config import DataConfig
from train_core.data.prepare import PreparedData, at_absolute_paths, prepare
from train_core.run_config import RunConfig, resolve_run

if TYPE_CHECKING:
    from records.outcome import EpochRecord

app = new_app()


@app.command()
def main(
    config: Annotated[str, typer.Argument(help="TOML file with [data] and [training]")],
    test: Annotated[bool, typer.Option(help="score on the test part at the end, once")] = False,
    out: Annotated[
        Path | None, typer.Option(help="folder to write model.safetensors and config.toml to")
    ] = None,
    device: Annotated[DeviceName, typer.Option(help="what trains")] = "auto",
) -> int:
    """Train one configuration and print a line per epoch."""
    with user_mistakes():
        tables, source = read_toml(config), f"file '{config}'"
        data = at_absolute_paths(resolve_run(tables, source).data)
        _refuse_folds(data)
        prepared = prepare(data)
        rows = prepared.rows(data)
        run = resolve_run(tables, source, len(rows.train))
        known = {"content": prepared.content, "image_size": prepared.crop_size}
        kept = data.model_copy(update=known)
        refuse_larger(run.training.resolution, prepared.crop_size)
        run = run.model_copy(update={"data": kept})
    return _train(run, prepared, test, out, device)


def _refuse_folds(data: DataConfig) -> None:
    if (data.folds or 1) > 1 and not data.train_on_validation:
        raise ValueError(
            f"folds must be 1 for a single training, which has one validation part, but got "
            f"{data.folds}: leave it out of [data]; a search trains on every fold"
        )


def _train(
    run: RunConfig, prepared: PreparedData, test: bool, out: Path | None, wanted: DeviceName
) -> int:
    # Only from here on: torch takes seconds to import, and mistakes should not have to wait.
    from train_core.device import device_name, keep_freed_memory, pick_device, resolve_precision
    from train_core.engine import EnginePool
    from train_core.fit import fit
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
    try:
        for record in fit(run.training, data, engines):
            print(_in_words(record), flush=True)
    except TrainingStopped as stopped:
        print(f"stopped: {stopped}", file=sys.stderr)
        return 1
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
    return 0


def _with_weights(run: RunConfig, prepared: PreparedData) -> RunConfig:
    """The run with the hash of the weights that it starts from; ValueError if it cannot start."""
    from train_core.networks.weights.check import check_networks
    from train_core.networks.weights.files import at_absolute_path

    training = run.training
    side = training.resolution or prepared.crop_size
    settings = {**training.model_dump(), "image_size": side}
    names, classes = [training.network], len(prepared.classes)
    skips = names if training.drop_path > 0 else ()
    file = check_networks(names, settings, classes, drop_path=skips)
    if file is None:
        return run
    found = {"weights": at_absolute_path(training.weights), "weights_sha256": file.facts.sha256}
    return run.model_copy(update={"training": training.model_copy(update=found)})


def _in_words(record: "EpochRecord") -> str:
    validated = "-" if record.val_accuracy is None else f"{record.val_accuracy:.2%}"
    return (
        f"epoch {record.epoch:3d}  loss {record.train_loss:.3f}  "
        f"train {record.train_accuracy:.2%}  validation {validated}  "
        f"{record.images_per_second:,.0f} images/s  {record.seconds:.1f} s"
    )


if __name__ == "__main__":
    raise SystemExit(run_app(app, lasting=True))
