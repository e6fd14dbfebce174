"""What a search with several objectives says: what they are, and the front that it found."""

from collections.abc import Iterator, Sequence

from records.trial import TrialRecord, knee
from records.words import COSTS, OBJECTIVES, costs, percent
from studies.config import StudyConfig


def goals(study: StudyConfig) -> str:
    """What a study is after, as the end of a sentence; nothing where that is the accuracy."""
    if not study.costs:
        is_usual = study.objective == "accuracy"
        return "" if is_usual else f"; scored by {OBJECTIVES[study.objective]}"
    among = "" if study.pruner == "none" else " among trials that cost no more"
    low = " and ".join(COSTS[name] for name in study.costs)
    return f"{among}; scored by {OBJECTIVES[study.objective]}, with {low} kept low"


def front_lines(found: Sequence[TrialRecord], finalize: str) -> Iterator[str]:
    """The trials of a front, and the command that exports another one; nothing without a front."""
    if not found:
        return
    names = " and ".join(COSTS.get(name, name) for name in found[0].costs)
    yield f"front of accuracy and {names}, which no other trial beats:"
    yield from (f"  {line}" for line in of_front(found))
    yield f"{finalize} --pick TRIAL exports another one of them"


def of_front(found: Sequence[TrialRecord]) -> Iterator[str]:
    """Its trials in words."""
    bend = knee(found)
    for trial in found:
        mark = ", the knee" if trial is bend else ""
        yield f"trial {trial.number}{mark}: {percent(trial.result)}, {costs(trial.costs)}"
