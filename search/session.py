"""A search from beginning to end, as the parent of the workers sees it."""

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from records.command_line import warn
from records.outcome import Cause, Outcome, State
from records.toml import validate, write_toml
from search.config import SearchConfig
from search.display.dashboard import Watch, dashboard, how_to_watch
from search.display.progress import Display, EventLog
from search.display.summary import Counts, SearchResult, count, introduce, join
from search.finalize.finish import finish
from search.plan import Plan, settle
from search.plan.before import as_before
from search.plan.clock import Speeds
from search.plan.lessons import begin, learned
from search.plan.ration import rationed, with_clock
from search.workers.engines.patience import Patience
from search.workers.events import Done, Ended, Event, WorkerHung
from search.workers.interrupts import Interrupts, StopNow, interruptible
from search.workers.pool import WorkerPool
from search.workers.tasks import (
    CheckNetworks,
    ComputeFeatures,
    Machine,
    MeasureSpeed,
    PlaceImages,
    look_around,
    prepare_apart,
)
from search.workers.training_files import refuse_missing, sweep_trials
from search.workers.trial import RunTrials
from studies.attributes import MACHINE, trial_records
from studies.broker.owner import Heartbeat, this_host
from studies.broker.presence import Presence, StudyDeleted
from studies.broker.sessions import leave, others_at_work
from studies.broker.sql import fail_running
from studies.connection.outage import told
from studies.storage import refuse_unusable
from studies.study import SETTINGS, Place, find
from train_core.data.prepare import at_absolute_paths

# Seconds between two counts when nothing happens here: others may be working too.
_COUNT_EVERY = 5.0
_LOOK_EVERY = 1.0  # Seconds between two looks whether the study is still there, at least.


def run_search(
    config: SearchConfig,
    display: Display | None = None,
    begun: Callable[[Place], None] | None = None,
    only_trials: bool = False,
) -> SearchResult:
    """Do what `python -m search.run` does.

    Call it below `if __name__ == "__main__":` in a script, since it starts processes.

    Args:
        config: The search.
        display: Whom to tell; None = nobody.
        begun: Called with the study's place as soon as there is a study, however the search ends.
        only_trials: Whether it ends with its trials, so that nothing is confirmed or exported.

    Returns:
        What it came to; without a complete trial, `metrics` is None.

    Raises:
        ValueError: The caller's mistake, in one sentence.
        TaskFailed: Something could not be done, for instance because trial after trial failed.
        WorkerDied: Worker processes died again and again.
        StudyDeleted: Somebody deleted the study, or its file, meanwhile.
        KeyboardInterrupt: Ctrl-C before the study was there, or a third one.
    """
    began = time.time()
    with _session(config, display) as session:
        session.began = began
        session.plan = session.plan.model_copy(update={"only_trials": only_trials})
        if begun is not None:
            begun(session.plan.place)
        return session.run(trials=True)


def finalize_study(place: Place, display: Display | None = None, pick: str = "") -> SearchResult:
    """Do all but the trials, on a study as it is, with a `Plan.pick`; else as `run_search`."""
    settings = find(place).user_attrs.get(SETTINGS)
    if settings is None:
        raise ValueError(f"study '{place.name}' was not made by convsearch: it has no settings")
    config = validate(SearchConfig, settings, f"settings of study '{place.name}'")
    stored = config.study.model_copy(update={"storage": place.storage})
    here = {"runs": str(place.folder.parent), "dashboard": False, "study": stored}
    with _session(config.model_copy(update=here), display) as session:
        session.plan = session.plan.model_copy(update={"pick": pick})
        return session.run(trials=False)


@contextmanager
def _session(config: SearchConfig, display: Display | None) -> Iterator["_Session"]:
    shown = display or Display()
    if config.study.storage is not None:
        refuse_unusable(config.study.storage)
    refuse_missing(config.logging)
    try:
        pool = WorkerPool.as_asked(config.workers, config.study.storage)
        with pool, interruptible(pool.stop) as interrupts:
            pool.grow(1)  # It imports torch while the data is prepared.
            config = config.model_copy(update={"data": at_absolute_paths(config.data)})
            prepared = prepare_apart(config.data, pool.stop)
            machine = look_around(pool)
            plan = settle(config, prepared, machine.recipe)
            config = as_before(config, plan, machine.recipe)
            if config.data.image_size not in (None, prepared.crop_size):
                prepared = prepare_apart(config.data, pool.stop)
            plan = settle(config, prepared, machine.recipe)
            found: str | ValueError | None = pool.call(CheckNetworks(plan))
            if isinstance(found, ValueError):
                raise found
            plan = plan.begun_with(found)
            yield _Session(plan, machine, pool, interrupts, shown)
    except StopNow:
        raise KeyboardInterrupt from None
    finally:
        shown.close()


@dataclass
class _Session:
    """One run of a search; the pool has at least one worker."""

    plan: Plan
    machine: Machine
    pool: WorkerPool
    interrupts: Interrupts
    shown: Display
    began: float = 0.0  # When the budget did, in seconds since the epoch.
    _told_to_stop: bool = False
    _unseen: bool = False  # Whether nobody sees what is shown, and that has been said.

    def __post_init__(self) -> None:
        self.study = begin(self.plan)
        self.study.set_user_attr(MACHINE.format(host=this_host()), self.machine.facts())
        self.presence, self._next_look = Presence(self.study, self.plan.place), 0.0
        self.heart = Heartbeat(self.study)
        self.log = EventLog(self.plan.folder)
        self.watch = Watch(self.plan, self.study, self.log, self._say)
        wanted = self.plan.config.workers.count
        self.workers = wanted or self.pool.engine.places(self.machine.gpus)
        write_toml(self.plan.folder / "search.toml", self.plan.settings())

    def run(self, *, trials: bool) -> SearchResult:
        """Run what is missing of the trials, if they are wanted, and then what follows them."""
        metrics = None
        with told(self._say), dashboard(self.plan.place, wanted=self.plan.config.dashboard) as url:
            try:
                if trials:
                    self._run_trials(url)
                self.pool.patience.after_trials(trial_records(self.study), this_host())
                if not (self.pool.stop.is_set() or self.plan.only_trials):
                    self.watch.doing = "confirming and training the winner"
                    plan, fewer = rationed(self.plan, trial_records(self.study), time.time())
                    if fewer:
                        self._say(fewer)
                    given = plan, self.study, self.pool, self.workers, self._tell, self._say
                    metrics = finish(*given, anyway=not trials)
            except StopNow:
                self._abandon()
            except StudyDeleted:
                raise
            except Exception as fault:
                self._refuse_deleted()
                self.log.write(getattr(fault, "details", "") or traceback.format_exc().rstrip())
                self._abandon()
                self.watch.end(None)
                if isinstance(fault, ValueError):  # Only what came before is the caller's fault.
                    raise RuntimeError(str(fault)) from fault
                raise
            self.watch.end(metrics)
        over = self._counts().ended or (self.plan.total is None and metrics is not None)
        sweep_trials(self.plan, trial_records(self.study), paused=over)
        self.heart.end()
        self.log.write("search ends")
        return SearchResult(self.plan.place, self._counts(), self.interrupts.signal, metrics)

    def _run_trials(self, dashboard_url: str | None) -> None:
        """Say what will happen, then run the trials that are missing."""
        counts, speeds, where = self._counts(), Speeds(), None
        if not counts.ended:
            where = self.pool.call(PlaceImages(self.plan))
            speeds = self.pool.call(MeasureSpeed(self.plan))
            self.plan = self.watch.plan = with_clock(self.plan, self.began, self.workers, speeds)
            self.pool.patience = self._patience(speeds)
        first = introduce(self.plan, self.machine, self.workers, speeds, counts, where)
        others = join(self.plan.name, counts, others_at_work(self.study))
        watching = how_to_watch(self.plan.place, dashboard_url)
        for line in (*first, *learned(self.study), *others, watching):
            self._say(line)
        if not counts.ended:
            self._compute_features()
            self._follow_trials()

    def _compute_features(self) -> None:
        """Before the trials, if there are probes: each of them would wait for the same."""
        if "probe" not in self.plan.methods:
            return
        self.watch.doing = "computing features"
        for worker, event in self.pool.run([ComputeFeatures(self.plan)]):
            self._tell(worker, event)
        self.watch.doing = "searching"

    def _patience(self, speeds: Speeds) -> Patience:
        """For trials, when the default configuration has these speeds alone."""
        plan, rates = self.plan, [r for r in (speeds.training, speeds.features) if r]
        # A probe may have to see all pictures, and some of them changed, before its only epoch.
        expected = self.workers * plan.train_count / min(rates) if rates else None
        return Patience(plan.config.study.trial_timeout, plan.training.compile, expected)

    def _follow_trials(self) -> None:
        self.pool.grow(self.workers)
        timeout = self.plan.config.timeout
        deadline = None if timeout is None else time.time() + timeout
        began, ended, next_count = time.monotonic(), 0, 0.0
        task = RunTrials.on(self.pool.engine, self.plan, deadline)
        for worker, event in self.pool.run([task] * self.workers):
            self._tell(worker, event)
            now = time.monotonic()
            if isinstance(event, Ended):
                ended, next_count = ended + 1, now
            if now >= next_count:
                next_count = now + _COUNT_EVERY
                counts = self._counts()
                self.shown.counts(counts, self._left(counts, (now - began, ended)))

    def _left(self, counts: Counts, pace: tuple[float, int]) -> float | None:
        """Seconds until the end of the trials, or of the budget; None = not known.

        `pace` are seconds, and the trials that ended in them.
        """
        seconds, ended = pace
        if self.plan.clock is not None:
            return self.plan.clock.left(time.time())
        if not ended or counts.total is None:
            return None
        return seconds / ended * (counts.total - counts.done)

    def _say(self, line: str) -> None:
        self.log.write(line)
        self.shown.say(line)
        self._notice_trouble()

    def _notice_trouble(self) -> None:
        if self.shown.trouble is not None and not self._unseen:
            self._unseen = True
            line = f"{self.shown.trouble}; the search goes on, its log is {self.log.path}"
            self.log.write(line)
            warn(line)

    def _tell(self, worker: int, event: Event | Done | None) -> None:
        if event is not None and not isinstance(event, Done):
            self.log.event(worker, event)
            self.shown.event(worker, event)
            self._notice_trouble()
        if isinstance(event, WorkerHung):
            self._fail(worker, event)
        if self.interrupts.signal is not None and not self._told_to_stop:
            self._told_to_stop = True
            self._say("stopping after the running epochs; Ctrl-C again stops at once")
        if (now := time.monotonic()) >= self._next_look:
            self._refuse_deleted()
            self.heart.beat()
            self._next_look = now + _LOOK_EVERY
        self.watch.update()

    def _refuse_deleted(self) -> None:
        """End everything if the study is gone: there is nothing to write results to."""
        if (lost := self.presence.lost()) is not None:
            self.pool.kill()
            self.log.write(lost)
            raise StudyDeleted(lost) from None

    def _fail(self, worker: int, hung: WorkerHung) -> None:
        """End the trial of a worker that hung: run again, it might hang again, and for ever."""
        if (number := hung.training.trial) is None:
            return
        outcome = Outcome(State.FAILED, cause=Cause.TIMED_OUT, reason=hung.reason)
        with self.plan.place.lock():
            failed = fail_running(self.study, number, outcome)
        if failed:
            self._tell(worker, Ended(hung.training.job, outcome))

    def _counts(self) -> Counts:
        return count(trial_records(self.study), self.plan.total, self.plan.config.study)

    def _abandon(self) -> None:
        """Stop at once: end the workers, and let the next search take over their trials."""
        self.pool.kill()
        leave(self.study, self.plan.place)
