"""What follows the trials: confirmation, final training, the one test, the export."""

from collections.abc import Callable
from typing import Any

from optuna.study import Study

from records.trial import ranked
from search.display.counts import count
from search.export.best import read_metrics, write_metrics
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
) -> dict[str, Any] | None:
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
        The content of `best/metrics.json`; None when the study has no complete trial, or the
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
        confirmed, value = candidate.confirmed, candidate.trial.accuracy or 0.0
        spread = "" if confirmed["std"] is None else f" ± {confirmed['std']:.2%}"
        say(
            f"trial {candidate.trial.number}: {value:.2%} in the search, confirmed "
            f"{confirmed['mean']:.2%}{spread} (n = {confirmed['n']})"
        )


def _export(
    plan: Plan, study: Study, ranked: list[Candidate], pool: WorkerPool, tell: Tell
) -> dict[str, Any] | None:
    winner, folder = ranked[0], plan.folder / "best"
    facts = _facts(plan, study, len(ranked))
    old = read_metrics(folder)
    if old is not None and _same_model(old, plan, winner):
        # The same model stays; only what is said about the search has moved on.
        metrics = {**old, "search": {**old["search"], **facts}, "confirmed": winner.confirmed}
        metrics["selection_gap"] = (winner.trial.accuracy or 0.0) - winner.confirmed["mean"]
        write_metrics(folder, metrics)
        return metrics
    task: Task = Finalize(plan, winner, facts, folder)
    with WorkerPool(plan.config.workers.threads, role="final", stop=pool.stop) as alone:
        alone.grow(1)
        done: dict[str, Any] | None = None
        for worker, event in alone.run([task]):
            tell(worker, event)
            if isinstance(event, Done):
                done = event.result
    return done


def _same_model(old: dict[str, Any], plan: Plan, winner: Candidate) -> bool:
    """Whether what was exported is this winner, trained and tested on these images."""
    assert winner.trial.config is not None
    expected = {**winner.trial.config, "patience": 0, "seed": old["training"]["seed"]}
    parts = {"train": plan.data.train, "test": plan.data.test}
    return (
        old["trial"] == winner.trial.number
        and old["search"]["seed"] == plan.config.study.seed
        and old["training"] == expected
        and all(old["data"][name]["sha256"] == part.sha256 for name, part in parts.items())
    )


def _facts(plan: Plan, study: Study, confirmed: int) -> dict[str, Any]:
    counts = count(trial_records(study), plan.config.trials)
    return {
        "study": plan.name,
        "recipe": plan.config.recipe,
        "space": plan.space.name,
        "sampler": plan.config.study.sampler,
        "pruner": plan.config.study.pruner,
        "seed": plan.config.study.seed,
        "complete": counts.complete,
        "pruned": counts.pruned,
        "failed": counts.failed,
        "candidates": confirmed,
    }
