"""`Summary`: all numbers of a report, worked out once, for `summary.json` and for the page."""

import shlex
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from records.statistics import Estimate, Spread, confirmed, validated
from records.trial import ranked
from reports.numbers import Numbers
from reports.numbers.cost import Cost, More, cost, more
from reports.numbers.diagnosis import Pruning, Seeds, pruning, seeds
from reports.numbers.front import Front, offers
from reports.numbers.model import Model, model
from reports.numbers.parameters import Importances, Range, importances, ranges, replica
from reports.numbers.trials import Curves, Point, Timeline, alike, curves, history, timeline
from reports.numbers.wider import wider
from reports.source import Source


class Winner(Numbers):
    """The winner: of the export, else of the confirmations, else of the search.

    Attributes:
        estimates: From what the search claimed to what the test says, as far as it is there.
        selection_gap: What the search claimed above the mean with fresh seeds, for its best trial.
        gap_of: Which trial that is, in words.
        stale: Whether the study has moved on since the export: another trial would win now.
        method: What it trained: `full`, `probe` or `fine_tune`.
    """

    trial: int
    decided_by: str
    params: dict[str, Any]
    estimates: tuple[Estimate, ...]
    selection_gap: float | None
    gap_of: str
    stale: bool
    method: str = "full"


class Command(Numbers):
    """One thing to do, and how."""

    purpose: str
    line: str


class Origin(Numbers):
    """How to get the same again: commands, what results depend on, the resolved configuration."""

    commands: tuple[Command, ...]
    facts: dict[str, str]
    configuration: dict[str, Any]


class Summary(Numbers):
    """All numbers of a report.

    Attributes:
        state: How the study stands, in words.
        missing: What could not be read, a sentence each.
        data: What was found in the data set, a line each; () if nothing was exported.
        data_warnings: What of it somebody should look at.
        validation_images: How many trials are scored on; None before the export.
        importances: None when the space is not known.
        wider: The command that searches on in wider ranges; None where none should be.
        front: None with one objective.
        picked: What chose the exported trial instead of the confirmations, in words.
    """

    study: str
    read: datetime
    state: str
    missing: tuple[str, ...]
    data: tuple[str, ...]
    data_warnings: tuple[str, ...]
    winner: Winner | None
    test_evaluations: int
    validation_images: int | None
    cost: Cost
    pruned_share: float | None
    epochs_saved: float | None
    history: tuple[Point, ...]
    curves: Curves
    timeline: Timeline
    importances: Importances | None
    ranges: tuple[Range, ...]
    pruning: Pruning
    seeds: Seeds
    more: More
    front: Front | None
    picked: str | None
    model: Model | None
    origin: Origin
    wider: str | None = None


def summarise(source: Source) -> Summary:
    """Work out all numbers."""
    trials, epochs, space, metrics = source.trials, source.epochs, source.space, source.metrics
    confirmations = seeds(source.confirmed, trials)
    defaults = {"pruner": "none", "keep": 0.75, "prune_after": 1 / 6}
    rule = {key: source.setting("study", key, value) for key, value in defaults.items()}
    drawn = curves(trials, epochs, **rule)
    thresholds = {p.epoch: p.value for p in drawn.thresholds}
    paid, like = cost(trials, source.total, epochs), alike(trials)
    length = epochs if len(like) == len(trials) else None
    found = metrics.data.findings if metrics else None
    found_ranges = ranges(trials, space)
    return Summary(
        study=source.place.name, read=source.read, state=_state(source, paid),
        missing=source.missing,
        data=tuple(found.facts()) if found else (),
        data_warnings=tuple(found.warnings()) if found else (),
        winner=winner(source, confirmations),
        test_evaluations=source.test_evaluations,
        validation_images=metrics.validation.n if metrics else None,
        cost=paid, pruned_share=paid.pruned_share, epochs_saved=paid.epochs_saved,
        history=history(trials), curves=drawn,
        timeline=timeline(trials, source.read.replace(tzinfo=None)),
        importances=None if space is None else importances(replica(trials, space)),
        ranges=found_ranges, wider=wider(found_ranges, source),
        pruning=pruning(like, drawn.checks, thresholds, length),
        seeds=confirmations, more=more(trials), front=offers(source),
        picked=metrics.search.picked if metrics else None,
        model=model(metrics, source.predictions) if metrics else None,
        origin=Origin(
            commands=tuple(Command(purpose=what, line=line) for what, line in _repeat(source)),
            facts=dict(_facts(source)), configuration=source.settings,
        ),
    )  # fmt: skip


def winner(source: Source, seeds: Seeds) -> Winner | None:
    """The winner as far as it is known; None without a complete trial."""
    if (metrics := source.metrics) is not None:
        leader = seeds.candidates[0].number if seeds.candidates else metrics.trial
        picked = metrics.search.picked
        return Winner(
            trial=metrics.trial, params=metrics.params,
            decided_by=f"a pick ({picked})" if picked else "confirmation",
            estimates=metrics.estimates, selection_gap=metrics.selection_gap,
            gap_of=f"trial {metrics.search.best.trial}" if metrics.search.best else "the winner",
            stale=leader != metrics.trial and not picked,
            method=str(metrics.training.get("method", "full")),
        )  # fmt: skip
    order = ranked(source.trials)
    if not order:
        return None
    known = {t.number: t for t in order}
    found = [c for c in seeds.candidates if c.number in known]
    best = order[0]
    first = known[found[0].number] if found else best
    # The mean by which one of several was chosen is too high: only further seeds tell.
    runs = source.further.get(first.number) or (found[0].confirmed if len(found) == 1 else ())
    claim = validated(first.result or 0.0, None, sum(t.tried for t in source.trials))
    return Winner(
        trial=first.number, decided_by="confirmation" if found else "the search alone",
        params=first.params,
        estimates=(claim, confirmed(Spread.of(runs))) if runs else (claim,),
        selection_gap=next((c.gap for c in found if c.number == best.number), None),
        gap_of=f"trial {best.number}", stale=False, method=first.method,
    )  # fmt: skip


def _state(source: Source, paid: Cost) -> str:
    running = paid.counts.get("running", 0) - len(source.abandoned)
    of = f" of {paid.total}" if paid.total else ""
    done = f"{paid.done}{of} trials done"
    if running > 0:
        return f"running: {done}, {running} in training"
    exported = source.metrics is not None
    if paid.total is None and exported:
        return f"finished: {done}"
    if paid.total is not None and paid.done >= paid.total:
        return f"finished: {done}" if exported else f"searched: {done}, nothing exported yet"
    return f"stopped: {done}" if source.trials else "not begun: no trials yet"


def _repeat(source: Source) -> Iterator[tuple[str, str]]:
    flags = source.place.flags
    config = shlex.quote(str(source.place.folder / "search.toml"))
    search = f"python -m search.run --config {config}"
    yield "Go on with this search, or start it where it is not there yet", search
    yield (
        "The same search once more, beside this one",
        f"{search} --study {source.place.name}-again",
    )
    if source.metrics is None:
        finalize = f"python -m search.finalize {flags}"
        yield "Confirm, train, test and export what is there now", finalize
    yield "Draw this page again", f"python -m reports.run {flags}"
    yield "Look at the trials", f"optuna-dashboard {shlex.quote(source.storage)}"


def _facts(source: Source) -> Iterator[tuple[str, str]]:
    given, metrics, unknown = source.fingerprint, source.metrics, "not recorded"
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
