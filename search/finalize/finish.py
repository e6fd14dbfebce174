"""What follows the trials: confirmation, final training, the one test, the export."""

from collections.abc import Callable

from optuna.study import Study

from records.metrics import Metrics, SearchFacts, exported, in_words
from records.trial import ranked
from records.words import percent
from search.display.summary import count
from search.export.card import describe
from search.finalize.confirm import Candidate, candidates, missing
from search.finalize.final import Finalize
from search.plan import Plan
from search.workers.events import Done, Event
from search.workers.pool import WorkerPool
from search.workers.training_files import sweep_finish
from studies.attributes import trial_records

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

    Only what is missing is done, on a study with all its trials or not; of two processes that do
    it, the second waits for the first. Up to `workers` of the pool confirm; it is closed before
    the final training. `tell` gets what workers tell, `say` lines for people.

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
        for worker, event in pool.run(list(tasks)):
            tell(worker, event)
            if isinstance(event, Done):
                task, accuracy = event.result
                if accuracy is not None:
                    study.set_user_attr(task.attribute, accuracy)
        if pool.stop.is_set():
            return None
        # Those that searched go: they would hold cores and memory, and never see a test image.
        pool.close()
        found = candidates(plan, study, top)
        for one in found:
            searched, confirmed = percent(one.trial.accuracy), in_words(one.confirmed)
            say(f"trial {one.trial.number}: {searched} in the search, confirmed {confirmed}")
        metrics = _export(plan, found[0], _facts(plan, study, len(found)), pool, tell)
        if metrics is not None:
            sweep_finish(plan)
        return metrics


def _export(
    plan: Plan, winner: Candidate, facts: SearchFacts, pool: WorkerPool, tell: Tell
) -> Metrics | None:
    folder = plan.folder / "best"
    old = exported(folder)
    if old is not None and _same_model(old, plan, winner):
        # The same model stays; only what is said about the search has moved on.
        search = old.search.model_copy(update=facts.model_dump(exclude_unset=True))
        gap = winner.selection_gap
        moved = {"search": search, "confirmed": winner.confirmed, "selection_gap": gap}
        metrics = old.model_copy(update=moved)
        describe(folder, metrics)
        return metrics
    done: Metrics | None = None
    threads, device, stop = pool.threads, pool.device, pool.stop
    with WorkerPool(threads, "final", stop=stop, patience=pool.patience, device=device) as alone:
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
    return (
        old.trial == winner.trial.number
        and old.search.seed == plan.config.study.seed
        and old.training == expected
        and old.data.train.sha256 == plan.data.train.sha256
        and old.data.test.sha256 == plan.data.test.sha256
    )


def _facts(plan: Plan, study: Study, confirmed: int) -> SearchFacts:
    counts, config = count(trial_records(study), plan.config.trials), plan.config
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
        candidates=confirmed,
    )
