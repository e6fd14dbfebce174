"""What more trials would bring, as a search says it when its trials have ended."""

from collections.abc import Iterator, Sequence

from records.trial import TrialRecord
from search.plan import Plan
from search.plan.policies import plateau_of
from studies.broker.plateau import gain, results_of


def prospects(plan: Plan, trials: Sequence[TrialRecord]) -> Iterator[str]:
    """How much more trials would bring; nothing while that cannot be told."""
    found, plateau = gain(results_of(trials)), plateau_of(plan)
    if found is None:
        return
    done = sum(t.done for t in trials)
    early = plan.total is None or done < plan.total
    if early and plateau is not None and plateau.reached(trials):
        yield f"plateau after {done} trials: {plateau.in_words(found)}"
    else:
        yield f"{found.in_words()}, if they are drawn like those before"
