"""What a search says: what it set out to do, where it stands, what it came to."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from records.command_line import complain, say, user_mistakes
from records.evaluation import class_warnings
from records.files import full_disk_in_words, is_full_disk
from records.metrics import Metrics, figures
from records.outcome import State
from records.statistics import Spread, few_validation_images, over_folds
from records.trial import TrialRecord, front, ranked
from records.words import of_method, percent, values
from search.display.beside import front_lines, goals
from search.display.estimate import times
from search.plan import Plan
from search.plan.clock import Speeds
from search.workers.pool import TaskFailed, WorkerDied
from search.workers.tasks import Machine
from studies.algorithms.promotion import is_paused, may_go_on
from studies.attributes import EXPORTED
from studies.broker.presence import StudyDeleted
from studies.broker.sessions import Sessions
from studies.config import StudyConfig
from studies.study import Place, find


@dataclass(frozen=True)
class Counts:
    """How many trials a study has in each state, and its best complete trial."""

    total: int | None  # Trials that the study should end with; None = as the budget allows.
    complete: int
    pruned: int  # Stopped by a rule, divergence or lack of memory, or paused.
    failed: int  # A fault ended them.
    running: int
    best: TrialRecord | None  # The one with the highest accuracy; None before the first one.
    paused: int = 0  # Those of the pruned ones that may be taken up again.
    may_go_on: bool = False  # Whether one of these would be, without new points.
    front: tuple[TrialRecord, ...] = ()  # Those that none beats in accuracy and costs together.

    @property
    def done(self) -> int:
        """Trials that count towards the total."""
        return self.complete + self.pruned

    @property
    def ended(self) -> bool:
        """Whether there are as many trials as there should be."""
        return self.total is not None and self.done >= self.total and not self.may_go_on

    def of_total(self) -> str:
        """How many trials are done, of how many, in words."""
        return (
            f"{self.done} trials" if self.total is None else f"{self.done} of {self.total} trials"
        )

    def by_state(self) -> str:
        """The trials in each state, in words."""
        paused = f" ({self.paused} paused)" if self.paused else ""
        return (
            f"{self.complete} complete, {self.pruned} pruned{paused}, {self.failed} failed, "
            f"{self.running} running"
        )

    def best_so_far(self) -> str:
        """The best trial with its parameters, in words."""
        if self.best is None:
            return "no complete trial yet"
        accuracy = score_in_words(self.best.accuracy, self.best.fold_scores)
        return f"{accuracy} ({name_of(self.best)}: {values(self.best.params)})"


def score_in_words(score: float | None, folds: Sequence[float]) -> str:
    """A result with, if it is a mean over folds, how much these differ."""
    spread = f" ({over_folds(Spread.of(folds))})" if len(folds) > 1 else ""
    return f"{percent(score)}{spread}"


def name_of(trial: TrialRecord) -> str:
    """Its number, and its method where a study has several."""
    return f"trial {trial.number}{of_method(trial.method)}"


def count(
    trials: Sequence[TrialRecord], total: int | None, study: StudyConfig | None = None
) -> Counts:
    """Count the trials of a study; those of another one can only be the best.

    Without its config, none may go on after a pause.
    """
    states = [trial.state for trial in trials if not trial.taken_over]
    return Counts(
        total=total,
        complete=states.count(State.COMPLETE),
        pruned=states.count(State.PRUNED),
        failed=states.count(State.FAILED),
        running=states.count(State.RUNNING),
        best=next(iter(ranked(trials)), None),
        paused=sum(map(is_paused, trials)),
        may_go_on=study is not None and may_go_on(study, trials),
        front=tuple(front(trials)),
    )


def introduce(
    plan: Plan,
    machine: Machine,
    workers: int,
    speeds: Speeds,
    counts: Counts,
    where: str | None = None,
) -> Iterator[str]:
    """The first lines of a search: what will happen, on what, for how long, and where it goes.

    `speeds` are those of the default configuration, without any no time is said; `where` says
    where the images are, None = not known yet.
    """
    state = f"{counts.of_total()} done" if counts.done else "new"
    yield f"study   {plan.name} ({state}) in {plan.folder}"
    topics, skipped = dict(plan_lines(plan)), plan.data.skipped
    yield f"data    {topics['data']}"
    yield from (f"        {line}" for line in plan.data.findings.lines())
    if skipped:
        yield f"        {len(skipped)} unreadable images left out: {', '.join(skipped)}"
    if few := few_validation_images(plan.validation_count):
        yield f"        {few}: raise [data] validation_fraction, or add images"
    if where:
        yield f"        {where}"
    precision = plan.training.precision
    yield (
        f"device  {machine.device}, {machine.precision if precision == 'auto' else precision}, "
        f"{workers} worker{'s' if workers > 1 else ''}"
    )
    yield f"recipe  {topics['recipe']}"
    if plan.reason:
        yield f"        {plan.reason}"
    yield f"search  {topics['search']}"
    for key, value in plan.outside.items():
        yield (
            f"        {key} = {value} lies outside the space, so not even the first trial has it; "
            f'[space] fixed = ["{key}"] would keep it'
        )
    if plan.left_out:
        without = " and ".join(plan.networks)
        yield f"        {', '.join(plan.left_out)} left out, since {without} has none"
    yield f"job     {topics['job']}"
    yield from (f"{title:8}{line}" for title, line in times(plan, workers, speeds, counts))


def join(name: str, counts: Counts, others: Sessions) -> Iterator[str]:
    """A line about a study that others work on already."""
    if others:
        yield f"joining study '{name}': {counts.of_total()} ended, {others.in_words()}"


def plan_lines(plan: Plan) -> list[tuple[str, str]]:
    """What the search set out to do, by topic; the same wherever it runs."""
    config, data = plan.config, plan.data
    side = plan.training.resolution or data.crop_size
    seen = "" if side == data.image_size else f", seen at {side}"
    images = (
        f"{data.name}: {_parts(plan)}, "
        f"{data.test.count:,} test images of {len(data.classes)} classes, "
        f"{data.image_size}x{data.image_size}{seen}"
    )
    search = (
        f"{', '.join(plan.space.parameters)} (space {plan.space.name}), sampler "
        f"{config.study.sampler}, pruner {config.study.pruner}{goals(config.study)}"
    )
    confirm = config.confirm
    job = f"{_trials(plan)}, the last {config.repeats} of them repeat others with other seeds"
    job = (
        job
        if plan.only_trials
        else (
            f"{_trials(plan)}, then {confirm.top} x {confirm.seeds} confirmations"
            f"{f' and {confirm.further} more of the winner' if confirm.further else ''}, "
            f"final training on {plan.final_count:,} "
            f"images, one test"
        )
    )
    recipe = f"{config.recipe}: {plan.training.describe()}"
    return [("data", images), ("recipe", recipe), ("search", search), ("job", job)]


def _parts(plan: Plan) -> str:
    """The images that trials are trained and scored on."""
    if plan.folds > 1:
        return f"{plan.final_count:,} training images in {plan.folds} folds"
    return f"{plan.train_count:,} training, {plan.validation_count:,} validation"


def _trials(plan: Plan) -> str:
    """How many trials of which kind, in words."""
    count = "as many trials as fit" if plan.total is None else f"{plan.total} trials"
    if plan.config.study.stop == "plateau":
        count += " or up to a plateau"
    if plan.probes is None:
        return count
    if plan.total is not None and plan.probes >= plan.total:
        return f"{count}, all probes"
    return f"{count}, the first {plan.probes} probes and the others fine-tunings"


@dataclass(frozen=True)
class SearchResult:
    """What a search came to."""

    place: Place
    counts: Counts
    interrupted: int | None  # Number of the signal that ended it early; None = none.
    metrics: Metrics | None  # Those of the exported model; None if there is no export (yet).

    @property
    def study(self) -> str:
        """Name of the study."""
        return self.place.name

    @property
    def folder(self) -> Path:
        """The study's folder; an export is in `best/` below it."""
        return self.place.folder

    @property
    def exit_code(self) -> int:
        """0 with an export, here or elsewhere, 1 without one, 128 + signal after an interrupt."""
        if self.interrupted is not None:
            return 128 + self.interrupted
        # Of a study on several hosts, one has the model.
        return 0 if self.metrics is not None or EXPORTED in find(self.place).user_attrs else 1


def conclude(search: Callable[[], SearchResult]) -> int:
    """Do it, and say what it came to, or in one line why it came to nothing."""
    try:
        with user_mistakes():
            result = search()
    except KeyboardInterrupt:
        complain("stopped; nothing is lost, run the same command again to go on")
        return 130
    except (StudyDeleted, TaskFailed, WorkerDied) as error:
        complain(str(error))
        return 1
    except Exception as error:
        if not is_full_disk(error):
            raise
        complain(full_disk_in_words(error))
        return 1
    for line in last_lines(result):
        say(line)
    return result.exit_code


def last_lines(result: SearchResult) -> Iterator[str]:
    """What a search came to, a line per figure."""
    counts, metrics = result.counts, result.metrics
    if metrics is None:
        if result.interrupted is not None:
            yield (
                f"stopped with {counts.of_total()} done; nothing is lost, run "
                f"the same command again to go on"
            )
            finalize = command("search.finalize", result.place)
            yield f"{finalize} confirms, tests and exports what is there"
        return
    if counts.ended or counts.total is None:
        yield f"study '{result.study}' is complete with {counts.done} trials"
    else:
        yield f"study '{result.study}' has {counts.of_total()}"
    kind = of_method(str(metrics.training.get("method")))
    yield f"winner: trial {metrics.trial}{kind}: {values(metrics.params)}"
    for name, value in figures(metrics):
        yield f"{name}: {value}"
    for warning in class_warnings(metrics.test):
        yield f"WARNING: {warning}"
    yield from front_lines(counts.front, command("search.finalize", result.place))
    yield f"exported to {result.folder / 'best'}"


def command(module: str, place: Place) -> str:
    """A command, with the flags that it needs to find the study."""
    return f"python -m {module} {place.flags}"
