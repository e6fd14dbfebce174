"""`python -m reports.compare`: studies side by side, from one place or several."""

import re
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Annotated

import plotly.graph_objects as go
import typer

from records.command_line import new_app, run_app, user_mistakes
from reports.figures import COLOURS, Drawing, figure
from reports.numbers import Numbers
from reports.numbers.cost import Cost, Step, cost, course
from reports.numbers.diagnosis import seeds
from reports.numbers.summary import Winner, winner
from reports.page import render
from reports.run import write_files
from reports.source import Source, read_source
from studies.study import Place

app = new_app()

_UNITS = ((3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")

_MUST_AGREE = {
    "data": "the images differ",
    "split": "the split into training and validation differs",
}
_SHOULD_AGREE = {"epochs": "the epochs of a training differ", "network": "the network differs"}


class Entry(Numbers):
    """One study among others; its name tells the place too if others share it."""

    name: str
    place: str
    winner: Winner | None
    cost: Cost
    epochs_saved: float | None
    course: tuple[Step, ...]

    def estimate(self, name: str) -> str:
        """One of the winner's accuracies in words; a dash if it is not there."""
        for found in self.winner.estimates if self.winner else ():
            if found.name == name:
                n = "" if found.n is None else f" (n = {found.n:,})"
                return f"{found.accuracy:.2%}{n}"
        return "-"


class Comparison(Numbers):
    """Studies side by side, and what differs though their accuracies depend on it."""

    entries: tuple[Entry, ...]
    differences: tuple[str, ...]

    @property
    def with_methods(self) -> bool:
        """Whether a winner is a probe or a fine-tuning."""
        return any(e.winner is not None and e.winner.method != "full" for e in self.entries)


@app.command()
def main(
    studies: Annotated[
        list[str],
        typer.Argument(
            help="two or more: a name, a run's folder (elsewhere/NAME), or NAME@URL of a storage"
        ),
    ],
    runs: Annotated[str, typer.Option(help="folder of the studies given by name")] = "runs",
    storage: Annotated[
        str | None, typer.Option(help="URL of their storage [SQLite in the study's folder]")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="folder for the page [comparisons/ in the runs' folder]")
    ] = None,
) -> int:
    """Draw studies side by side: the best so far by trials, time and epochs, and a table."""
    with user_mistakes():
        places = [place_of(study, Path(runs), storage) for study in studies]
        page = write_comparison(places, out or Path(runs) / "comparisons")
    print(f"compared  {page} ({page.stat().st_size / 1e6:.1f} MB)")
    return 0


def place_of(study: str, runs: Path, storage: str | None = None) -> Place:
    """Where a study is that was given as a folder, as NAME@URL, or as a name in the defaults."""
    name, at, url = study.partition("@")
    if at:
        return Place(name, runs / name, url)
    if "/" in study or "\\" in study:
        return Place(Path(study).name, Path(study))
    return Place(study, runs / study, storage)


def write_comparison(places: Sequence[Place], out: Path) -> Path:
    """Write a page into a folder, and its numbers beside it; returns the page.

    Raises:
        ValueError: In one sentence, if there are fewer than two studies, one is not there, or the
            files cannot be written.
    """
    if len(set(places)) < 2:
        raise ValueError(
            f"a comparison needs at least two different studies, but got {len(set(places))}: "
            f"name another one"
        )
    sources = [read_source(place) for place in places]
    comparison = compare(sources)
    names = {name: None for e in comparison.entries if e.winner for name in e.winner.params}
    html = render(
        "compare.html.j2", {"course": comparison_drawings(comparison.entries)}, c=comparison,
        read=sources[0].read, names=list(names),
    )  # fmt: skip
    name = re.sub("[^A-Za-z0-9-]+", "-", "_".join(place.name for place in places))[:120]
    return write_files(comparison, out / f"{name}.json", html, out / f"{name}.html")


def compare(sources: Sequence[Source]) -> Comparison:
    """Work out all numbers."""
    names = [source.place.name for source in sources]
    # Data are their content; some versions kept the folder's name or the count too.
    given = [s.fingerprint.get("data", {}) for s in sources]
    data = [{key: g.get(key) for key in ("images", "mirror")} for g in given]
    prints = [{**s.fingerprint, "data": d} for s, d in zip(sources, data, strict=True)]
    differences = [
        f"{what}: the accuracies cannot be held against one another"
        for key, what in _MUST_AGREE.items()
        if any(p.get(key) != prints[0].get(key) for p in prints)
    ]
    trainings = [p.get("training", {}) for p in prints]
    differences += [
        f"{what}: {', '.join(str(t.get(key, '?')) for t in trainings)}"
        for key, what in _SHOULD_AGREE.items()
        if any(t.get(key) != trainings[0].get(key) for t in trainings)
    ]
    entries = (_entry(s, shared=names.count(s.place.name) > 1) for s in sources)
    return Comparison(entries=tuple(entries), differences=tuple(differences))


def _entry(source: Source, *, shared: bool) -> Entry:
    trials, name = source.trials, source.place.name
    paid = cost(trials, source.total, source.epochs)
    where = source.storage if source.place.storage else str(source.place.folder)
    return Entry(
        name=f"{name} ({where})" if shared else name, place=where,
        winner=winner(source, seeds(source.confirmed, trials)),
        cost=paid, epochs_saved=paid.epochs_saved, course=course(trials),
    )  # fmt: skip


def comparison_drawings(entries: Sequence[Entry]) -> list[Drawing]:
    """The best so far by trials, by time and by epochs."""
    names = ", ".join(e.name for e in entries)
    shown = any(s.best is not None for e in entries for s in e.course)
    return [
        Drawing(
            f"by-{field}", title, _figure(entries, field, axis) if shown else None,
            f"Best validation accuracy so far, {title.lower()}, of {names}.", caption,
            missing="No study has a complete trial yet.",
        )
        for field, title, axis, caption in (
            ("trials", "By trials", "trials done",
             "Complete and pruned trials, in the order in which they ended."),
            ("seconds", "By time", "seconds",
             "Wall time in which trials were running, without confirmations and final training."),
            ("epochs", "By epochs", "epochs trained",
             "What is paid for when the machines differ."),
        )
    ]  # fmt: skip


def _figure(entries: Sequence[Entry], field: str, axis: str) -> go.Figure:
    scale = 1.0
    if field == "seconds":
        longest = max((s.seconds for e in entries for s in e.course), default=0.0)
        scale, axis = next((unit for unit in _UNITS if longest >= 2 * unit[0]), _UNITS[-1])
    traces = [
        go.Scatter(
            x=[getattr(step, field) / scale for step in entry.course if step.best is not None],
            y=[step.best for step in entry.course if step.best is not None],
            mode="lines", name=entry.name,
            line={"color": colour, "dash": dash, "width": 2.5, "shape": "hv"},
            hovertemplate=f"%{{y:.2%}} after %{{x:,.4~g}} {axis}",
        )
        for entry, colour, dash in zip(entries, cycle(COLOURS), cycle(_DASHES), strict=False)
    ]  # fmt: skip
    return figure(traces, axis, "best validation accuracy", yaxis_tickformat=".1%")


if __name__ == "__main__":
    raise SystemExit(run_app(app))
