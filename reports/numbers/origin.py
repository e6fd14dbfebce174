"""How to get the same again: commands, seeds, versions, hardware, data."""

import shlex
from collections.abc import Iterator
from typing import Any

from reports.exported import Metrics
from reports.numbers.base import Numbers
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


def origin(source: Source, metrics: Metrics | None) -> Origin:
    """How to get the same again."""
    return Origin(
        commands=tuple(_repeat(source, metrics is not None)),
        facts=dict(_facts(source, metrics)),
        configuration=source.settings,
    )


def use_of_the_model(source: Source) -> tuple[Command, ...]:
    """Three commands for whoever wants the model."""
    best = source.folder / "best"
    model = shlex.quote(str(best))
    return (
        Command(
            purpose="Classify pictures: files, folders, or what comes through a pipe",
            line=f"python -m serve.predict picture.jpg --model {model}",
        ),
        Command(
            purpose="Serve it: a page to drop pictures on, and an HTTP interface",
            line=f"python -m serve.run --model {model}",
        ),
        Command(
            purpose="Train it again, and test it",
            line=f"python -m train_core.run {shlex.quote(str(best / 'config.toml'))} --test",
        ),
    )


def place_flags(source: Source) -> str:
    """The flags with which commands find the study."""
    runs = str(source.folder.parent)
    words = f"--study {shlex.quote(source.name)}"
    words += "" if runs == "runs" else f" --runs {shlex.quote(runs)}"
    return words + (f" --storage {shlex.quote(source.storage)}" if source.given_storage else "")


def _repeat(source: Source, exported: bool) -> Iterator[Command]:
    config = shlex.quote(str(source.folder / "search.toml"))
    flags = place_flags(source)
    yield Command(
        purpose="Go on with this search, or start it where it is not there yet",
        line=f"python -m search.run --config {config}",
    )
    yield Command(
        purpose="The same search once more, beside this one",
        line=f"python -m search.run --config {config} --study {source.name}-again",
    )
    if not exported:
        yield Command(
            purpose="Confirm, train, test and export what is there now",
            line=f"python -m search.finalize {flags}",
        )
    yield Command(purpose="Draw this page again", line=f"python -m reports.run {flags}")
    yield Command(
        purpose="Look at the trials", line=f"optuna-dashboard {shlex.quote(source.storage)}"
    )


def _facts(source: Source, metrics: Metrics | None) -> Iterator[tuple[str, str]]:
    given = source.fingerprint
    yield "seed of the search", str(given.get("seed", "not recorded"))
    yield "seed of the split", str(source.setting("data", "split_seed", "not recorded"))
    yield "split", str(given.get("split", "not recorded"))
    yield "recipe", str(given.get("recipe", "not recorded"))
    yield (
        "sampler, pruner",
        ", ".join(
            str(source.setting("study", key, "not recorded")) for key in ("sampler", "pruner")
        ),
    )
    for host, machine in sorted(source.machines.items()):
        versions = ", ".join(f"{k} {v}" for k, v in machine.get("versions", {}).items())
        yield f"machine {host}", f"{machine.get('device')}, {machine.get('precision')}; {versions}"
    if metrics is None:
        yield "training images", str(given.get("data", {}).get("images", "not recorded"))
        return
    yield "seed of the final training", str(metrics.training.get("seed"))
    yield "trained on", metrics.device
    yield "versions", ", ".join(f"{name} {v}" for name, v in metrics.versions.items())
    for part, facts in (("training", metrics.data.train), ("test", metrics.data.test)):
        yield f"{part} images", f"{facts.get('count', '?'):,} (sha256 {facts.get('sha256')})"
    yield "exported", metrics.created
