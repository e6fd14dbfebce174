"""Diagnostics in words: what is right or wrong with a search, and what to do about it."""

from collections.abc import Mapping
from typing import Literal

from reports.numbers.base import Numbers
from reports.numbers.cost import Cost
from reports.numbers.more import More
from reports.numbers.pruning import Pruning
from reports.numbers.ranges import Range
from reports.numbers.seeds import Seeds
from reports.summary import Summary

Verdict = Literal["good", "look", "unknown"]

_MANY = 0.1
"""Share of diverged, out-of-memory or failed trials above which something should change."""

_SWAPPED = 0.25
"""Share of swapped pairs above which the first look comes too early."""


class Finding(Numbers):
    """One diagnosis."""

    key: str
    title: str
    verdict: Verdict
    text: str
    advice: str
    """What to do; empty when there is nothing to do."""


def findings(summary: Summary) -> tuple[Finding, ...]:
    """All diagnoses, in the order of the page."""
    return (
        _ranges(summary.ranges),
        _outcomes(summary.cost),
        _pruning(summary.pruning),
        _seeds(summary.seeds),
        _more(summary.more, summary.seeds.spread),
    )


def _ranges(found: tuple[Range, ...]) -> Finding:
    title, known = "Are the ranges wide enough?", [r for r in found if r.positions]
    if not known:
        return _unknown("ranges", title, "No complete trial has a numeric parameter yet.")
    n = max(len(r.positions) for r in known)
    at_edge = [r for r in known if r.edge]
    if not at_edge:
        return Finding(
            key="ranges", title=title, verdict="good", advice="",
            text=f"Yes: the best trial and most of the {n} leading ones lie inside all ranges.",
        )  # fmt: skip
    where = "; ".join(
        f"{r.name} = {r.best:.4g} at the {'upper' if r.edge == 'high' else 'lower'} end of "
        f"{r.low:g} to {r.high:g}"
        for r in at_edge
    )
    return Finding(
        key="ranges", title=title, verdict="look",
        text=f"The best trial and most of the {n} leading ones lie at the edge: {where}.",
        advice="Better values may lie beyond. Unless the range ends there for a reason, widen it "
        "below [space.parameters] and search again under another name (--study).",
    )  # fmt: skip


def _outcomes(paid: Cost) -> Finding:
    title, ended = "Do trials end as they should?", paid.done + paid.counts.get("failed", 0)
    if not ended:
        return _unknown("outcomes", title, "No trial has ended yet.")
    bad = {k: n for k in _WHAT_TO_DO if (n := paid.counts.get(k, 0))}
    shares = ", ".join(f"{n} {kind} ({n / ended:.0%})" for kind, n in bad.items())
    many = [k for k, n in bad.items() if n / ended >= _MANY]
    text = (
        f"Of {ended} trials that ended, {shares or 'none diverged, ran out of memory or failed'}."
    )
    return Finding(
        key="outcomes", title=title, verdict="look" if many else "good", text=text,
        advice=" ".join(_WHAT_TO_DO[k] for k in many),
    )  # fmt: skip


_WHAT_TO_DO: Mapping[str, str] = {
    "diverged": "Lower the upper end of the learning rate: these trials teach little.",
    "out of memory": "Leave out the largest batch size or width, or start fewer workers.",
    "timed out": "Raise trial_timeout, or train fewer epochs.",
    "failed": "search.log says what went wrong, with tracebacks.",
}


def _pruning(found: Pruning) -> Finding:
    title, look = "Does pruning stop the right trials?", found.look
    if look is None:
        return _unknown(
            "pruning", title,
            "Early and late results can be compared once a pruner looks at trials and three of "
            "them are complete.",
        )  # fmt: skip
    correlation = "-" if look.correlation is None else f"{look.correlation:.2f}"
    winner = "led" if look.winner_rank == 1 else f"was number {look.winner_rank}"
    lost = "won" if look.leader_rank == 1 else f"ended as number {look.leader_rank}"
    text = (
        f"At the first look, after epoch {look.epoch}, the order of the {look.n} complete trials "
        f"tells the final one with a rank correlation of {correlation}; {look.swapped:.0%} of all "
        f"pairs swap later. The early leader {lost}, the eventual winner {winner}. Over all "
        f"looks, the leader of the moment did not win {found.overtaken or 0.0:.0%} of the time. "
        f"{found.under_bar or 'None'} of the {found.leaders} best was once below today's bar."
    )
    risky = look.swapped > _SWAPPED or 2 * found.under_bar > found.leaders
    advice = (
        "Pruned trials may have been good ones: look later (prune_after), prune less (pruner = "
        '"percentile"), or not at all.'
    )
    return Finding(
        key="pruning", title=title, verdict="look" if risky else "good", text=text,
        advice=advice if risky else "",
    )  # fmt: skip


def _seeds(found: Seeds) -> Finding:
    title = "Is the winner really better?"
    if found.spread is None:
        return _unknown(
            "seeds", title, "The best trials have not been confirmed with two fresh seeds each."
        )
    first = found.candidates[0]
    spread = f"The same training with another seed differs by {_points(found.spread)} (standard "
    spread += f"deviation, pooled over {len(found.candidates)} trials)."
    if found.lead is None or found.needed is None:
        return Finding(
            key="seeds", title=title, verdict="unknown", text=spread,
            advice="Confirm more than one trial (top under [confirm]) to compare them.",
        )  # fmt: skip
    text = (
        f"{spread} Trial {first.number} leads by {_points(found.lead)} on average (n = {first.n} "
        f"seeds each); a lead of {_points(found.needed)} could be told from luck (t-test, 95 %)."
    )
    clear = found.lead >= found.needed
    advice = (
        "The first ones are equally good as far as this shows: take the cheapest of them, or "
        "confirm with more seeds (seeds under [confirm])."
    )
    return Finding(
        key="seeds", title=title, verdict="good" if clear else "look", text=text,
        advice="" if clear else advice,
    )  # fmt: skip


def _more(found: More, spread: float | None) -> Finding:
    title = "Would more trials pay?"
    if found.last_gain is None or found.by_chance_gain is None:
        return _unknown("more", title, "That can be told from ten trials on.")
    pays = found.last_gain > (spread or 0.0)
    text = (
        f"The second half of the {len(found.best)} trials raised the best by "
        f"{_points(found.last_gain)}; the same trials in random order would have done so by "
        f"{_points(found.by_chance_gain)} on average. As many again bring less as a rule."
    )
    if spread is not None:
        text += f" Another seed alone changes {_points(spread)}."
    advice = (
        "Perhaps: the last gain was above what a seed changes. Run the same command with twice "
        "the --trials."
        if pays
        else "Hardly. Longer trainings, a wider range or another network would bring more."
    )
    return Finding(
        key="more", title=title, verdict="look" if pays else "good", text=text, advice=advice
    )


def _unknown(key: str, title: str, text: str) -> Finding:
    return Finding(key=key, title=title, verdict="unknown", text=text, advice="")


def _points(share: float) -> str:
    return f"{share * 100:.2f} points"
