"""`SqlBroker`: trials out of an Optuna study in a database, exactly as many as were asked for."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, replace
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from records.files import is_full_disk
from records.outcome import Cause, EpochRecord, Outcome, State, columns
from space import Space, Value
from studies import attributes as keys
from studies.algorithms.costs import expected, report, written_values
from studies.algorithms.promotion import Promote
from studies.attributes import index_of, requeued, trial_records
from studies.broker import Answer, Broker, Claim, Claims, Given, Policy
from studies.broker.again import deaths_of, run_again, take_up
from studies.broker.audit import Audit
from studies.broker.counting import finished, refuse_failing
from studies.broker.owner import LostActors, Observer, Owner, owner_of
from studies.study import Place

# Deaths of its worker in a row, without getting further, after which a trial is given up; the same
# of runs for which neighbours left no memory.
MAX_DEATHS = 3
# From a sampled point and an index to the training's whole config, JSON-able.
Configure = Callable[[Mapping[str, Value], int], Mapping[str, Any]]
_ENDS = {State.PRUNED: TrialState.PRUNED, State.FAILED: TrialState.FAIL}


class SqlBroker(Broker):
    """Hands out trials and takes them back, under one lock for all processes.

    Args:
        study: The study, with its sampler and its pruner.
        place: Where it is.
        total: Trials that the study should end with, complete and pruned ones together.
        space: What is sampled.
        fixed: Key -> value of what is not sampled, for the space's conditions.
        configure: Makes the config of a training.
        policy: Settles what is not the same in all trials and not sampled either, and when the
            last one starts; None = nothing is, and only the total counts.
        folds: How many such trainings in turn, each on a fold of the images, a trial is.
        audit: Which trials are finished although the pruner would stop them.
    """

    def __init__(  # noqa: PLR0913 - all that a search has settled
        self,
        study: Study,
        place: Place,
        total: int,
        space: Space,
        fixed: Mapping[str, object],
        configure: Configure,
        policy: Policy | None = None,
        folds: int = 1,
        audit: Audit | None = None,
    ) -> None:
        self._study, self._place, self._total = study, place, total
        self._space, self._fixed, self._configure = space, fixed, configure
        self._policy, self._folds, self._audit = policy, folds, audit or Audit()
        self._owner, self._observer = Owner.this_process(), Observer(study)
        self._promote = study.pruner if isinstance(study.pruner, Promote) else None
        self._trials: dict[int, Trial] = {}
        self._before = {
            t.number for t in study.get_trials(deepcopy=False) if t.state.is_finished()
        }

    def claim(self, n: int) -> Claims:
        """Clear the trials of dead owners, count, and ask for up to `n` that are missing."""
        with self._place.lock():
            trials, given_up = self._study.get_trials(deepcopy=False), {}
            # Every read of the trials takes milliseconds: a second one only where it tells more.
            if any(t.state == TrialState.RUNNING for t in trials):
                given_up = requeue_dead(self._study, self._observer)
                trials = self._study.get_trials(deepcopy=False)
            refuse_failing(trials, self._before)
            done = finished(trials)
            running = sum(t.state == TrialState.RUNNING for t in trials)
            missing = self._total - done - running
            if self._policy is not None and not self._policy.may_start(trial_records(self._study)):
                return Claims((), wait=False, given_up=given_up)
            asked = self._asked(n, missing)
        claims = []
        # Outside the lock: nobody has to wait for what is written here.
        for trial in asked:
            sampled = self._sample(trial)
            if isinstance(sampled, Claim):
                claims.append(sampled)
            elif sampled is not None:
                given_up[trial.number] = sampled
        return Claims(tuple(claims), not claims and done < self._total, given_up)

    def report(self, claim: Claim, record: EpochRecord) -> Answer:
        """Write the score, and ask the pruner; after the last epoch there is nothing to ask."""
        assert record.score is not None
        trial, epoch = self._trials[claim.number], record.epoch
        each = claim.config["epochs"]
        at_rung = self._promote is not None and self._promote.is_rung(epoch, each)
        try:
            # Those that get to a rung at the same time must see each other.
            with self._place.lock() if at_rung else nullcontext():
                stop = self._falls_behind(trial, record, claim)
                if stop and self._audit.finishes(trial, claim.index, epoch):
                    stop = False
                if stop:
                    # Before the report: a kill in between must not make this one that was passed.
                    trial.set_user_attr(keys.PRUNED_AT, epoch)
                report(trial, record.score, epoch)
        except UpdateFinishedTrialError:
            return Answer.LOST
        if not stop:
            return Answer.GO
        return Answer.PRUNE if self._promote is None else Answer.PAUSE

    def settle(self, claim: Claim, outcome: Outcome) -> bool:
        """Write the outcome, unless the trial is no longer this worker's."""
        trial = self._trials.pop(claim.number)
        with self._place.lock():
            trials = self._study.get_trials(deepcopy=False)
            now = trials[claim.number]
            if now.state != TrialState.RUNNING or claim.number in requeued(trials):
                return False
            if outcome.state == State.REQUEUED:
                before = int(now.user_attrs.get(keys.DEATHS, 0))
                run_again(self._study, now, deaths_of(now) if outcome.cause else before)
            else:
                if self._promote is not None and outcome.cause == Cause.PAUSED:
                    place = self._promote.place(claim.number, trial_records(self._study))
                    outcome = replace(outcome, reason=place)
                _write(self._study, now, {keys.HISTORY: columns(outcome.history)})
                _end(self._study, now, outcome, trial)
        return True

    def _asked(self, n: int, missing: int) -> list[Trial]:
        """Up to `n` trials: first those that waited and paused ones, then new points."""
        asked: list[Trial] = []
        while len(asked) < n:
            # A promotion takes a trial out of those that are done, and puts it back.
            if self._promote and take_up(self._study, self._promote, last=missing <= 0):
                asked.append(self._ask())
            elif missing > 0:
                asked.append(self._ask())
                missing -= 1
            else:
                break
        return asked

    def _ask(self) -> Trial:
        trial = self._study.ask()
        trial.set_user_attr(keys.INDEX, index_of(self._study, trial))
        # Known before it is signed: nobody else takes over what this process signed.
        self._trials[trial.number] = trial
        trial.set_user_attr(keys.OWNER, self._owner.model_dump())
        return trial

    def _sample(self, trial: Trial) -> Claim | Outcome | None:
        """The rest of the point and the config; an outcome for a fault, None for a lost trial."""
        about = trial.user_attrs
        try:
            given = self._settled(trial)
            # As Optuna does with the values of an enqueued trial.
            trial._fixed_params = {**given.first, **trial._fixed_params}
            space = self._space.at_most(given.at_most)
            point = space.sample(trial, {**self._fixed, **given.values})
            config = self._configure({**given.values, **point}, about[keys.INDEX])
            # Before the training, so that a crash can be replayed.
            trial.set_user_attr(keys.CONFIG, dict(config))
            if self._folds > 1:
                trial.set_user_attr(keys.FOLDS, self._folds)
        except UpdateFinishedTrialError:
            del self._trials[trial.number]
            return None
        # Any fault of one trial must leave the search alive; five in a row stop it.
        except Exception as error:
            if is_full_disk(error):
                raise
            failed = Outcome.fault(error)
            self.settle(Claim(trial.number, about[keys.INDEX], {}, {}), failed)
            return failed
        passed, deaths = about.get(keys.PASSED, 0), about.get(keys.DEATHS, 0)
        return Claim(trial.number, about[keys.INDEX], dict(trial.params), config, passed, deaths)

    def _settled(self, trial: Trial) -> Given:
        """What is settled for a trial; one that is run again keeps what it had."""
        if self._policy is None:
            return Given()
        if (known := trial.user_attrs.get(keys.GIVEN)) is not None:
            return Given(**known)
        given = self._policy.settle(trial.user_attrs[keys.INDEX], trial_records(self._study))
        trial.set_user_attr(keys.GIVEN, asdict(given))
        return given

    def _falls_behind(self, trial: Trial, record: EpochRecord, claim: Claim) -> bool:
        """What the pruner says to an epoch, in the last and in passed ones always no."""
        each, epoch, score = claim.config["epochs"], record.epoch, record.score or 0.0
        if epoch >= each * self._folds:
            return False
        seen, first = trial._get_latest_trial(), (epoch - 1) // each * each
        # It takes the best epoch so far; on an easier fold, that would say nothing of this one.
        own = {e: v for e, v in seen.intermediate_values.items() if e > first}
        seen.user_attrs = expected(seen, record, each * self._folds)
        seen.intermediate_values = {**own, epoch: score}
        # Asked for passed epochs too, since some pruners keep what they see.
        return self._study.pruner.prune(self._study, seen) and epoch > claim.passed


def requeue_dead(study: Study, observer: Observer | LostActors) -> dict[int, Outcome]:
    """Enqueue again what dead owners were running; call it under the study's lock.

    A running trial that nobody signed for is one whose worker died while it was asking.

    Returns:
        Number -> outcome of the trials that are given up instead, since worker after worker died
        at them and none got further than the one before.
    """
    given_up = {}
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    signs = study.user_attrs if running else {}
    for trial in running:
        owner = owner_of(trial)
        if owner is not None and not observer.is_gone(owner, signs):
            continue
        deaths = deaths_of(trial)
        if deaths < MAX_DEATHS:
            run_again(study, trial, deaths)
        else:
            epoch = len(trial.intermediate_values) + 1
            reason = f"its worker died {deaths} times, at last in epoch {epoch}"
            outcome = Outcome(State.FAILED, cause=Cause.WORKER_DIED, reason=reason)
            _end(study, trial, outcome)
            given_up[trial.number] = outcome
    return given_up


def fail_running(study: Study, number: int, outcome: Outcome) -> bool:
    """Fail a trial whose worker was ended; call it under the study's lock.

    Returns:
        Whether it was still running; if not, it has ended or is run again, and nothing is written.
    """
    trial = study.get_trials(deepcopy=False)[number]
    if trial.state != TrialState.RUNNING:
        return False
    _end(study, trial, outcome)
    return True


def _end(study: Study, trial: FrozenTrial, outcome: Outcome, own: Trial | None = None) -> None:
    """Write why and how it ended; a trial of this process's own is found without its number."""
    _write(study, trial, {keys.CAUSE: outcome.cause, keys.REASON: outcome.reason})
    told = own or trial.number
    # Told and not raised: an exception would keep its frames alive, and with them the network.
    if outcome.state == State.COMPLETE:
        study.tell(told, written_values(study, trial, outcome))
    else:
        study.tell(told, state=_ENDS[outcome.state])


def _write(study: Study, trial: FrozenTrial, about: Mapping[str, Any]) -> None:
    for key, value in about.items():
        if value is not None:
            study._storage.set_trial_user_attr(trial._trial_id, key, value)
