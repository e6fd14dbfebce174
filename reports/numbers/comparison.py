"""Several studies side by side: their numbers, and whether they may be compared."""

from collections.abc import Sequence

from reports.numbers import Numbers
from reports.numbers.cost import Cost, Step, cost, course
from reports.numbers.diagnosis import seeds
from reports.numbers.summary import Winner, winner
from reports.source import Source

_MUST_AGREE = {
    "data": "the images differ",
    "split": "the split into training and validation differs",
}
_SHOULD_AGREE = {"epochs": "the epochs of a training differ", "network": "the network differs"}


class Entry(Numbers):
    """One study among others."""

    name: str
    """Its name, with the place where it is if others share the name."""

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
    """Studies side by side."""

    entries: tuple[Entry, ...]
    differences: tuple[str, ...]
    """What the studies do not have in common though their accuracies depend on it."""


def compare(sources: Sequence[Source]) -> Comparison:
    """Work out all numbers."""
    names = [source.place.name for source in sources]
    prints = [source.fingerprint for source in sources]
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
    return Comparison(
        entries=tuple(_entry(s, shared=names.count(s.place.name) > 1) for s in sources),
        differences=tuple(differences),
    )


def _entry(source: Source, *, shared: bool) -> Entry:
    paid = cost(source.trials, source.total, source.epochs)
    confirmations = seeds(source.confirmed, source.trials)
    where = source.storage if source.place.storage else str(source.place.folder)
    name = source.place.name
    return Entry(
        name=f"{name} ({where})" if shared else name,
        place=where,
        winner=winner(source.exported.metrics, confirmations, source.trials),
        cost=paid,
        epochs_saved=paid.epochs_saved,
        course=course(source.trials),
    )
