"""What follows the trials: confirmation, final training, the one test, the export."""

from collections.abc import Callable, Sequence
from functools import partial

from optuna.study import Study

from records.metrics import Metrics, SearchBest, SearchFacts, exported
from records.statistics import in_words
from records.trial import TrialRecord, ranked
from records.words import costs
from search.display.prospects import prospects
from search.display.summary import command, count, score_in_words
from search.export.card import describe
from search.finalize.confirm import (
    Candidate,
    Confirm,
    candidates,
    missing,
    missing_further,
    with_further,
)
from search.finalize.final import Finalize
from search.finalize.pick import picked_trial, to_confirm
from search.plan import Plan
from search.workers.events import Done, Event
from search.workers.pool import WorkerPool
from search.workers.training_files import sweep_finish
from studies.attributes import EXPORTED, trial_records
from studies.broker.owner import this_host
from train_core.config import TrainConfig

_DETERMINISTIC = "a probe is deterministic"
Tell = Callable[[int, Event | Done | None], None]


def finish(  # noqa: PLR0913 - all that a session has
    plan: Plan,
    study: Study,
    pool: WorkerPool,
    workers: int,
    tell: Tell,
    say: Callable[[str], None],
    *,
    anyway: bool = True,
) -> Metrics | None:
    """Confirm the best trials, train the winner for good, test it once, export it.

    Only what is missing is done, on a study with all its trials or not; of two processes that do
    it, the second waits for the first. Up to `workers` of the pool confirm; it is closed before
    the final training. `tell` gets what workers tell, `say` lines for people. Unless `anyway`, the
    winner is not trained and tested again where another host, or folder, has its model.

    Returns:
        The metrics of the model that is exported here; None when there is none, or the session is
        stopping.
    """
    with plan.place.lock("finish"):
        trials = trial_records(study)
        for line in prospects(plan, trials):
            say(line)
        order = ranked(trials)
        if not order:
            say(
                f"study '{plan.name}' has no complete trial, so there is nothing to confirm or "
                f"export: run more trials, or look into {plan.folder / 'search.log'} for what "
                f"ended them"
            )
            return None
        train = partial(_train, study, pool, workers, tell)
        picked = picked_trial(plan, order)
        top = to_confirm(plan, order, picked)
        found = _confirmed(plan, study, top, picked, train, say)
        if found is None:
            return None
        if not anyway and (there := _exported_elsewhere(plan, study, found[0])):
            say(there)
            return None
        # Those that searched go: they would hold cores and memory, and never see a test image.
        pool.close()
        facts = _facts(plan, study, found, order[0], None if picked is None else _how(plan))
        metrics = _export(plan, found[0], facts, pool, tell)
        if metrics is not None:
            study.set_user_attr(EXPORTED, {**_here(plan), "trial": metrics.trial})
            sweep_finish(plan)
        return metrics


def _here(plan: Plan) -> dict[str, str]:
    return {"host": this_host(), "folder": str((plan.folder / "best").resolve())}


def _exported_elsewhere(plan: Plan, study: Study, winner: Candidate) -> str | None:
    """Where the winner's model is, in words; None if it is not known to be anywhere but here."""
    there, number = dict(study.user_attrs.get(EXPORTED, {})), winner.trial.number
    if there.pop("trial", None) != number or there == _here(plan):
        return None
    old = exported(plan.folder / "best")
    if old is not None and _same_model(old, plan, winner):
        return None
    return (
        f"trial {number} won, and its model is in {there['folder']} on {there['host']}: it is not "
        f"trained and tested a second time; {command('search.finalize', plan.place)} would do that"
    )


def _confirmed(
    plan: Plan,
    study: Study,
    top: Sequence[TrialRecord],
    picked: TrialRecord | None,
    train: Callable[[Sequence[Confirm]], bool],
    say: Callable[[str], None],
) -> list[Candidate] | None:
    """The confirmed trials, the winner or the picked one first; None when the session stops."""
    if not train(missing(plan, study, top)):
        return None
    winner, *others = candidates(plan, study, top)
    for one in (winner, *others):
        searched = score_in_words(one.trial.accuracy, one.trial.fold_scores)
        confirmed = in_words(one.chosen_by)
        same = f" ({_DETERMINISTIC})" if one.trial.deterministic else ""
        say(f"trial {one.trial.number}: {searched} in the search, confirmed {confirmed}{same}")
    if picked is not None:
        say(f"trial {picked.number} was picked{', at ' * bool(picked.costs)}{costs(picked.costs)}")
        return _picked_first(plan, study, [winner, *others], picked)
    if others and winner.trial.deterministic:
        say(f"trial {winner.trial.number} won; {_DETERMINISTIC}, so further seeds say the same")
    elif others:
        if not train(missing_further(plan, study, winner.trial)):
            return None
        winner = with_further(plan, study, winner)
        say(f"trial {winner.trial.number} won; further seeds: {in_words(winner.confirmed)}")
    return [winner, *others]


def _picked_first(
    plan: Plan, study: Study, found: Sequence[Candidate], picked: TrialRecord
) -> list[Candidate]:
    """The candidates with the picked one first; its seeds have chosen nothing."""
    first, *others = sorted(found, key=lambda one: one.trial.number != picked.number)
    if not missing_further(plan, study, picked):  # It has won before.
        first = with_further(plan, study, first)
    return [first, *others]


def _how(plan: Plan) -> str:
    return "knee" if (plan.pick or plan.config.confirm.pick) == "knee" else "by number"


def _train(
    study: Study, pool: WorkerPool, workers: int, tell: Tell, tasks: Sequence[Confirm]
) -> bool:
    """Train and keep what comes of it; returns False when the session is stopping."""
    pool.grow(min(workers, len(tasks)))
    for worker, event in pool.run(list(tasks)):
        tell(worker, event)
        if isinstance(event, Done):
            task, accuracy = event.result
            if accuracy is not None:
                study.set_user_attr(task.attribute, accuracy)
    return not pool.stop.is_set()


def _export(
    plan: Plan, winner: Candidate, facts: SearchFacts, pool: WorkerPool, tell: Tell
) -> Metrics | None:
    folder = plan.folder / "best"
    old = exported(folder)
    if old is not None and _same_model(old, plan, winner):
        # The same model stays; only what is said about the search has moved on.
        known = {name: getattr(facts, name) for name in facts.model_fields_set}
        search = old.search.model_copy(update=known)
        gap = (search.best or winner).selection_gap
        moved = {"search": search, "confirmed": winner.confirmed, "selection_gap": gap}
        metrics = old.model_copy(update=moved)
        describe(folder, metrics)
        return metrics
    done: Metrics | None = None
    alike = WorkerPool(
        pool.threads, "final", stop=pool.stop, patience=pool.patience, device=pool.device,
        images=pool.images, most=1,
    )  # fmt: skip
    with alike as alone:
        alone.grow(1)
        for worker, event in alone.run([Finalize(plan, winner, facts, folder)]):
            tell(worker, event)
            if isinstance(event, Done):
                done = event.result
    return done


def _same_model(old: Metrics, plan: Plan, winner: Candidate) -> bool:
    """Whether what was exported is this winner, trained and tested on these images."""
    assert winner.trial.config is not None
    expected = {**winner.trial.config, "patience": 0, "seed": old.training["seed"]}
    # What an earlier version trained lacks keys that it did not know.
    defaults = TrainConfig().model_dump()
    # A file of weights may have moved: what was in it is told by its hash.
    moved = {"weights": plan.training.weights}
    return (
        old.trial == winner.trial.number
        and old.search.seed == plan.config.study.seed
        and {**defaults, **old.training, **moved} == {**defaults, **expected, **moved}
        and old.data.train.sha256 == plan.data.train.sha256
        and old.data.test.sha256 == plan.data.test.sha256
    )


def _facts(
    plan: Plan,
    study: Study,
    found: Sequence[Candidate],
    first: TrialRecord,
    picked: str | None,
) -> SearchFacts:
    counts, config = count(trial_records(study), plan.total), plan.config
    best = next(one for one in found if one.trial.number == first.number)
    assert first.accuracy is not None
    return SearchFacts(
        study=plan.name,
        recipe=config.recipe,
        space=plan.space.name,
        sampler=config.study.sampler,
        pruner=config.study.pruner,
        seed=config.study.seed,
        complete=counts.complete,
        pruned=counts.pruned,
        failed=counts.failed,
        candidates=len(found),
        picked=picked,
        best=SearchBest(
            trial=first.number,
            accuracy=first.accuracy,
            confirmed=best.chosen_by,
        ),
    )
