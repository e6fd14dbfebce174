"""What follows the trials: confirmation, final training, the one test, the export."""

from collections.abc import Callable
from dataclasses import dataclass

from optuna.study import Study

from records.metrics import Metrics, SearchFacts, exported, in_words
from records.trial import ranked
from records.words import percent
from search.display.counts import count
from search.export.card import describe
from search.finalize.confirm import Candidate, Confirm, candidates, keep, missing
from search.finalize.final import Finalize
from search.plan import Plan
from search.workers.events import Done, Event
from search.workers.pool import WorkerPool
from search.workers.training_files import sweep_finish
from search.workers.worker import Task
from studies.attributes import trial_records


@dataclass(frozen=True)
class Finish:
    """Confirms the best trials, trains the winner for good, tests it once, exports it.

    Attributes:
        plan: The search.
        study: Its study, with all its trials or not.
        pool: Workers for the confirmations; it is closed before the final training.
        workers: How many of them there may be.
        tell: Gets what workers tell.
        say: Gets lines for people.
    """

    plan: Plan
    study: Study
    pool: WorkerPool
    workers: int
    tell: Callable[[int, Event | Done | None], None]
    say: Callable[[str], None]

    def run(self) -> Metrics | None:
        """Do what is missing; of two processes that do it, the second waits for the first.

        Returns:
            The metrics of the exported model; None when the study has no complete trial, or the
            session is stopping.
        """
        plan = self.plan
        with plan.place.lock("finish"):
            top = ranked(trial_records(self.study))[: plan.config.confirm.top]
            if not top:
                self.say(
                    f"study '{plan.name}' has no complete trial, so there is nothing to confirm "
                    f"or export: run more trials, or look into {plan.folder / 'search.log'} for "
                    f"what ended them"
                )
                return None
            if not self._confirm(missing(plan, self.study, top)):
                return None
            # Those that searched go: they would hold cores and memory, and never see a test image.
            self.pool.close()
            found = candidates(plan, self.study, top)
            for candidate in found:
                searched = percent(candidate.trial.accuracy)
                confirmed = in_words(candidate.confirmed)
                self.say(
                    f"trial {candidate.trial.number}: {searched} in the search, confirmed "
                    f"{confirmed}"
                )
            metrics = self._export(found[0], _facts(plan, self.study, len(found)))
            if metrics is not None:
                sweep_finish(plan)
            return metrics

    def _confirm(self, tasks: list[Confirm]) -> bool:
        """Whether all confirmations are there."""
        self.pool.grow(min(self.workers, len(tasks)))
        for worker, event in self.pool.run(list(tasks)):
            self.tell(worker, event)
            if isinstance(event, Done):
                task, accuracy = event.result
                if accuracy is not None:
                    keep(self.study, task, accuracy)
        return not self.pool.stop.is_set()

    def _export(self, winner: Candidate, facts: SearchFacts) -> Metrics | None:
        plan, folder = self.plan, self.plan.folder / "best"
        old = exported(folder)
        if old is not None and _same_model(old, plan, winner):
            # The same model stays; only what is said about the search has moved on.
            search = old.search.model_copy(update=facts.model_dump(exclude_unset=True))
            gap, confirmed = winner.selection_gap, winner.confirmed
            metrics = old.model_copy(
                update={"search": search, "confirmed": confirmed, "selection_gap": gap}
            )
            describe(folder, metrics)
            return metrics
        task: Task = Finalize(plan, winner, facts, folder)
        with WorkerPool(plan.config.workers.threads, role="final", stop=self.pool.stop) as alone:
            alone.grow(1)
            done: Metrics | None = None
            for worker, event in alone.run([task]):
                self.tell(worker, event)
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
