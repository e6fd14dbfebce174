"""What follows the trials: confirmation, final training, the one test, the export."""

from collections.abc import Callable

from optuna.study import Study

from records.metrics import Metrics, SearchFacts, exported, in_words
from records.trial import ranked
from records.words import percent
from search.display.counts import count
from search.export.card import describe
from search.finalize.confirm import Candidate, Confirm, candidates, keep, missing
from search.finalize.final import Finalize
from search.plan import Plan
from search.workers.checkpoints import sweep_finish
from search.workers.events import Done, Event
from search.workers.pool import WorkerPool
from search.workers.worker import Task
from studies.trials import trial_records

Tell = Callable[[int, Event | Done | None], None]


def finish(
    plan: Plan,
    study: Study,
    pool: WorkerPool,
    workers: int,
    tell: Tell,
    say: Callable[[str], None],
) -> Metrics | None:
    """Confirm the best trials, train the winner for good, test it once, export it.

    What was done before is not done again; of two processes that get here at once, the second
    waits for the first.

    Args:
        plan: The search.
        study: Its study, finished or not.
        pool: Workers for the confirmations; it is closed before the final training.
        workers: How many of them there may be.
        tell: Gets what workers tell.
        say: Gets lines for people.

    Returns:
        The metrics of the exported model; None when the study has no complete trial, or the
        session is stopping.
    """
    with plan.place.lock("finish"):
        top = ranked(trial_records(study))[: plan.config.confirm.top]
        if not top:
            say(
                f"study '{plan.name}' has no complete trial, so there is nothing to confirm or "
                f"export: run more trials, or look into {plan.folder / 'search.log'} for what "
                f"ended them"
            )
            return None
        tasks = missing(plan, study, top)
        pool.grow(min(workers, len(tasks)))
        if not _confirm(tasks, study, pool, tell):
            return None
        # Those that searched go: they would hold cores and memory, and never see a test image.
        pool.close()
        found = candidates(plan, study, top)
        _say_ranking(found, say)
        metrics = _export(plan, study, found, pool, tell)
        if metrics is not None:
            sweep_finish(plan)
        return metrics


def _confirm(tasks: list[Confirm], study: Study, pool: WorkerPool, tell: Tell) -> bool:
    """Whether all confirmations are there."""
    for worker, event in pool.run(list(tasks)):
        tell(worker, event)
        if isinstance(event, Done):
            task, accuracy = event.result
            if accuracy is not None:
                keep(study, task, accuracy)
    return not pool.stop.is_set()


def _say_ranking(ranked: list[Candidate], say: Callable[[str], None]) -> None:
    for candidate in ranked:
        say(
            f"trial {candidate.trial.number}: {percent(candidate.trial.accuracy)} in the search, "
            f"confirmed {in_words(candidate.confirmed)}"
        )


def _export(
    plan: Plan, study: Study, ranked: list[Candidate], pool: WorkerPool, tell: Tell
) -> Metrics | None:
    winner, folder = ranked[0], plan.folder / "best"
    facts = _facts(plan, study, len(ranked))
    old = exported(folder)
    if old is not None and _same_model(old, plan, winner):
        # The same model stays; only what is said about the search has moved on.
        metrics = old.model_copy(
            update={
                "search": old.search.model_copy(update=facts.model_dump(exclude_unset=True)),
                "confirmed": winner.confirmed,
                "selection_gap": winner.selection_gap,
            }
        )
        describe(folder, metrics)
        return metrics
    task: Task = Finalize(plan, winner, facts, folder)
    with WorkerPool(plan.config.workers.threads, role="final", stop=pool.stop) as alone:
        alone.grow(1)
        done: Metrics | None = None
        for worker, event in alone.run([task]):
            tell(worker, event)
            if isinstance(event, Done):
                done = event.result
    return done


def _same_model(old: Metrics, plan: Plan, winner: Candidate) -> bool:
    """Whether what was exported is this winner, trained and tested on these images."""
    assert winner.trial.config is not None
    expected = {**winner.trial.config, "patience": 0, "seed": old.training["seed"]}
    return (
        old.trial == winner.trial.number
        and old.search.seed == plan.config.study.seed
        and old.training == expected
        and old.data.train.sha256 == plan.data.train.sha256
        and old.data.test.sha256 == plan.data.test.sha256
    )


def _facts(plan: Plan, study: Study, confirmed: int) -> SearchFacts:
    counts = count(trial_records(study), plan.config.trials)
    return SearchFacts(
        study=plan.name,
        recipe=plan.config.recipe,
        space=plan.space.name,
        sampler=plan.config.study.sampler,
        pruner=plan.config.study.pruner,
        seed=plan.config.study.seed,
        complete=counts.complete,
        pruned=counts.pruned,
        failed=counts.failed,
        candidates=confirmed,
    )
