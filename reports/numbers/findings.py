"""Diagnostics in words: what is right or wrong with a search, and what to do about it."""

from typing import Literal, NamedTuple

from records.statistics import few_validation_images
from reports.numbers.cost import Cost, More
from reports.numbers.diagnosis import Audit, Pruning, Seeds
from reports.numbers.model import Model
from reports.numbers.parameters import Range
from reports.numbers.summary import Summary

Verdict = Literal["good", "warning", "unknown"]
Judgement = tuple[Verdict, str, str]  # A verdict, what is found, and what to do.
_MANY = 0.1  # Share of trials of one bad kind above which something should change.
_WEAK = 0.5  # Share of the mean recall below which a class is badly found.
_SWAPPED = 0.25  # Share of swapped pairs above which the first pruning check comes too early.

_ADVICE = {
    "diverged": "Lower the upper end of the learning rate: these trials teach little.",
    "out of memory": "Leave out the largest batch size or width, or start fewer workers.",
    "timed out": "Raise trial_timeout, or train fewer epochs.",
    "failed": "search.log says what went wrong, with tracebacks.",
}


class Finding(NamedTuple):
    """One diagnosis: its name in the page, what is found, and what to do if anything."""

    key: str
    question: str
    verdict: Verdict
    text: str
    advice: str


def findings(summary: Summary) -> tuple[Finding, ...]:
    """All diagnoses, in the order of the page."""
    spread = summary.seeds.spread
    return (
        Finding("classes", "Is every class found?", *_classes(summary.model)),
        Finding("ranges", "Are the ranges wide enough?", *_ranges(summary.ranges, summary.wider)),
        Finding("outcomes", "Do trials end as they should?", *_outcomes(summary.cost)),
        Finding("pruning", "Does pruning stop the right trials?", *_pruning(summary.pruning)),
        Finding("validation", "Are there enough validation images?", *_validation(summary)),
        Finding("seeds", "Is the winner really better?", *_seeds(summary.seeds)),
        Finding("more", "Would more trials pay?", *_more(summary.more, spread)),
    )


def _classes(found: Model | None) -> Judgement:
    if found is None:
        return "unknown", "Nothing has been tested yet.", ""
    tested = {name: quality for name, quality in found.per_class.items() if quality.n}
    name, lowest = next(iter(tested.items()))
    recall = (
        f"Recall is {lowest.recall:.1%} for {name} (n = {lowest.n}), the lowest of {len(tested)} "
        f"classes, and {found.macro.recall:.1%} on average."
    )
    text = " ".join([*(f"{warning}." for warning in found.warnings), recall])
    text += f" {found.left_out}." if found.left_out else ""
    if not found.warnings and lowest.recall >= _WEAK * found.macro.recall:
        return "good", text, ""
    return "warning", text, (
        "Look at the pictures and the labels of these classes, and at what they are taken for; "
        "more pictures of them, or a longer training, may help. Do not use the model for them."
    )  # fmt: skip


def _ranges(found: tuple[Range, ...], wider: str | None) -> Judgement:
    known = [r for r in found if r.positions]
    if not known:
        return "unknown", "No complete trial has a numeric parameter yet.", ""
    n = max(len(r.positions) for r in known)
    at_edge = [r for r in known if r.edge]
    if not at_edge:
        inside = f"Yes: the best trial and most of the {n} leading ones lie inside all ranges."
        return "good", inside, ""
    where = "; ".join(
        f"{r.name} = {r.best:.4g} at the {'upper' if r.edge == 'high' else 'lower'} end of "
        f"{r.low:g} to {r.high:g}"
        for r in at_edge
    )
    text = f"The best trial and most of the {n} leading ones lie at the edge: {where}."
    if wider is None:
        return "warning", text, (
            "Better values may lie beyond, but these ranges end where their values do."
        )  # fmt: skip
    return "warning", text, (
        f"Better values may lie beyond. Unless the range ends there for a reason, this searches "
        f"on in a wider one and keeps these trials: {wider}"
    )  # fmt: skip


def _outcomes(paid: Cost) -> Judgement:
    ended = paid.done + paid.counts.get("failed", 0)
    if not ended:
        return "unknown", "No trial has ended yet.", ""
    bad = {kind: n for kind in _ADVICE if (n := paid.counts.get(kind, 0))}
    shares = ", ".join(f"{n} {kind} ({n / ended:.0%})" for kind, n in bad.items())
    many = [_ADVICE[kind] for kind, n in bad.items() if n / ended >= _MANY]
    nothing = "none diverged, ran out of memory or failed"
    text = f"Of {ended} trials that ended, {shares or nothing}."
    return "warning" if many else "good", text, " ".join(many)


def _pruning(found: Pruning) -> Judgement:
    first, audit = found.first_check, _audit(found.audit)
    if first is None:
        later = "once a pruner checks trials and three of them are complete"
        return "unknown", f"Early and late results can be compared {later}.{audit}", ""
    correlation = "-" if first.correlation is None else f"{first.correlation:.2f}"
    winner = "led" if first.winner_rank == 1 else f"was number {first.winner_rank}"
    leader = "won" if first.leader_rank == 1 else f"ended as number {first.leader_rank}"
    text = (
        f"At the first pruning check, after epoch {first.epoch}, the order of the {first.n} "
        f"complete trials tells the final one with a rank correlation of {correlation}; "
        f"{first.swapped:.0%} of all pairs swap later. The early leader {leader}, the eventual "
        f"winner {winner}. Over all pruning checks, the leader of the moment did not win "
        f"{found.overtaken or 0.0:.0%} of the time. {found.below_threshold or 'None'} of the "
        f"{found.leaders} best was once below today's pruning threshold.{audit}"
    )
    lost = found.audit.won if found.audit else 0
    if not lost and first.swapped <= _SWAPPED and 2 * found.below_threshold <= found.leaders:
        return "good", text, ""
    return "warning", text, (
        "Pruned trials may have been good ones: check later (prune_after), prune less (pruner = "
        '"percentile"), or not at all.'
    )  # fmt: skip


def _audit(found: Audit | None) -> str:
    if found is None:
        return ""
    of = "trial that was" if found.n == 1 else "trials that were"
    text = f" Of {found.n} pruned {of} finished anyway, {found.won} would have won"
    if found.behind is None:
        return f"{text}."
    side = "behind" if found.behind >= 0 else "ahead of"
    return f"{text}; the best ended {_points(abs(found.behind))} {side} the winner of the others."


def _validation(summary: Summary) -> Judgement:
    n = summary.validation_images
    if n is None:
        return "unknown", "That is known once a model is exported.", ""
    if few := few_validation_images(n):
        advice = "Raise validation_fraction under [data], or add images."
        return "warning", f"Trials are told apart by {few}.", advice
    return "good", f"Trials are told apart by {n:,} validation images.", ""


def _seeds(found: Seeds) -> Judgement:
    if found.spread is None:
        return "unknown", "The best trials have not been confirmed with two fresh seeds each.", ""
    spread = (
        f"The same training with another seed differs by {_points(found.spread)} (standard "
        f"deviation, pooled over {len(found.candidates)} trials)."
    )
    if found.lead is None or found.needed is None:
        advice = "Confirm more than one trial (top under [confirm]) to compare them."
        return "unknown", spread, advice
    first = found.candidates[0]
    text = (
        f"{spread} Trial {first.number} leads by {_points(found.lead)} on average (n = {first.n} "
        f"seeds each); a lead of {_points(found.needed)} could be told from luck (t-test, 95 %)."
    )
    if found.lead >= found.needed:
        return "good", text, ""
    return "warning", text, (
        "The first ones are equally good as far as this shows: take the cheapest of them, or "
        "confirm with more seeds (seeds under [confirm])."
    )  # fmt: skip


def _more(found: More, spread: float | None) -> Judgement:
    if found.last_gain is None or found.by_chance_gain is None:
        return "unknown", "That can be told from ten trials on.", ""
    text = (
        f"The second half of the {len(found.best)} trials raised the best by "
        f"{_points(found.last_gain)}; the same trials in random order would have done so by "
        f"{_points(found.by_chance_gain)} on average. As many again bring less as a rule."
    )
    if found.gain is not None:
        text += f" {found.gain.in_words()}, if they are drawn like those before."
    if spread is not None:
        text += f" Another seed alone changes {_points(spread)}."
    if found.last_gain <= (spread or 0.0):
        advice = "Hardly. Longer trainings, a wider range or another network would bring more."
        return "good", text, advice
    return "warning", text, (
        "Perhaps: the last gain was above what a seed changes. Run the same command with twice "
        "the --trials."
    )  # fmt: skip


def _points(share: float) -> str:
    return f"{share * 100:.2f} points"
