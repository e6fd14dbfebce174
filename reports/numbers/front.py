"""The front: trials that no other one beats in accuracy and in all that is kept low together."""

from records.trial import front, knee
from reports.numbers import Numbers
from reports.source import Source


class Offer(Numbers):
    """A complete trial: what it reached, what it cost, and how to export it.

    Attributes:
        accuracy: In the search, or what was maximised instead.
        costs: By name, see `records.words.Cost`.
        on_front: Whether no other trial beats it.
        knee: Whether more accuracy costs most from here on.
        exported: Whether `best/` has its model.
    """

    number: int
    accuracy: float
    costs: dict[str, float]
    on_front: bool
    knee: bool
    exported: bool
    command: str


class Front(Numbers):
    """All complete trials of a study with several objectives; the best of the front first."""

    costs: tuple[str, ...]
    offers: tuple[Offer, ...]

    @property
    def best(self) -> tuple[Offer, ...]:
        """The trials of the front."""
        return tuple(offer for offer in self.offers if offer.on_front)


def offers(source: Source) -> Front | None:
    """The front and all others; None in a study with one objective, or before a result."""
    found = front(source.trials)
    if not found:
        return None
    bend, chosen = knee(found), source.metrics.trial if source.metrics else None
    known = {t.number for t in found}
    others = [
        t for t in source.trials if t.costs and t.result is not None and t.number not in known
    ]
    finalize = f"python -m search.finalize {source.place.flags} --pick"
    return Front(
        costs=tuple(found[0].costs),
        offers=tuple(
            Offer(
                number=t.number, accuracy=t.result or 0.0, costs=t.costs,
                on_front=t.number in known, knee=t is bend, exported=t.number == chosen,
                command=f"{finalize} {t.number}",
            )
            for t in [*found, *others]
        ),
    )  # fmt: skip
