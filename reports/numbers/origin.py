"""How to get the same again: commands, seeds, versions, hardware, data."""

import shlex
from collections.abc import Iterator
from typing import Any

from reports.numbers import Numbers
from reports.source import Source


class Command(Numbers):
    """One thing to do, and how."""

    purpose: str
    line: str


class Origin(Numbers):
    """Where the results come from."""

    commands: tuple[Command, ...]
    facts: dict[str, str]
    """What results depend on, in words."""

    configuration: dict[str, Any]
    """The resolved configuration of the search."""


def origin(source: Source) -> Origin:
    """How to get the same again."""
    return Origin(
        commands=tuple(Command(purpose=purpose, line=line) for purpose, line in _repeat(source)),
        facts=dict(_facts(source)),
        configuration=source.settings,
    )


def use_of_the_model(source: Source) -> tuple[Command, ...]:
    """Three commands for whoever wants the model."""
    best = source.place.folder / "best"
    model, config = shlex.quote(str(best)), shlex.quote(str(best / "config.toml"))
    lines = {
        "Classify pictures: files, folders, or what comes through a pipe": "python -m "
        f"serve.predict picture.jpg --model {model}",
        "Serve it: a page to drop pictures on, and an HTTP interface": "python -m serve.run "
        f"--model {model}",
        "Train it again, and test it": f"python -m train_core.run {config} --test",
    }
    return tuple(Command(purpose=purpose, line=line) for purpose, line in lines.items())


def _repeat(source: Source) -> Iterator[tuple[str, str]]:
    name, runs = source.place.name, str(source.place.folder.parent)
    search = (
        f"python -m search.run --config {shlex.quote(str(source.place.folder / 'search.toml'))}"
    )
    flags = f"--study {shlex.quote(name)}"
    flags += "" if runs == "runs" else f" --runs {shlex.quote(runs)}"
    flags += f" --storage {shlex.quote(source.storage)}" if source.place.storage else ""
    yield "Go on with this search, or start it where it is not there yet", search
    yield "The same search once more, beside this one", f"{search} --study {name}-again"
    if source.exported.metrics is None:
        finalize = f"python -m search.finalize {flags}"
        yield "Confirm, train, test and export what is there now", finalize
    yield "Draw this page again", f"python -m reports.run {flags}"
    yield "Look at the trials", f"optuna-dashboard {shlex.quote(source.storage)}"


def _facts(source: Source) -> Iterator[tuple[str, str]]:
    given, metrics, unknown = source.fingerprint, source.exported.metrics, "not recorded"
    yield "seed of the search", str(given.get("seed", unknown))
    yield "seed of the split", str(source.setting("data", "split_seed", unknown))
    yield "split", str(given.get("split", unknown))
    yield "recipe", str(given.get("recipe", unknown))
    used = (str(source.setting("study", key, unknown)) for key in ("sampler", "pruner"))
    yield "sampler, pruner", ", ".join(used)
    for host, machine in sorted(source.machines.items()):
        versions = ", ".join(f"{k} {v}" for k, v in machine.get("versions", {}).items())
        yield f"machine {host}", f"{machine.get('device')}, {machine.get('precision')}; {versions}"
    if metrics is None:
        yield "training images", str(given.get("data", {}).get("images", unknown))
        return
    yield "seed of the final training", str(metrics.training.get("seed"))
    yield "trained on", metrics.device
    yield "versions", ", ".join(f"{name} {v}" for name, v in metrics.versions.items())
    for part, facts in (("training", metrics.data.train), ("test", metrics.data.test)):
        yield f"{part} images", f"{facts.count:,} (sha256 {facts.sha256})"
    yield "exported", metrics.created
