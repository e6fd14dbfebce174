"""What a study takes from others: trials that fit its space, and points to begin at."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.study import Study
from optuna.trial import FixedTrial, FrozenTrial, TrialState, create_trial

from records.outcome import Cause
from records.trial import Origin, ranked
from space import Space, Value
from studies import attributes as keys
from studies.differences import Made, apart_from_space
from studies.study import FINGERPRINT, SETTINGS, Place, Purpose, find

POINTS = 5  # Points that a search takes from each study that it starts warm from.
# Attributes of a trial that say what was trained and how it ended.
_KEPT = (
    keys.CONFIG, keys.HISTORY, keys.CAUSE, keys.REASON, keys.FOLDS, keys.GIVEN, keys.AUDITED,
)  # fmt: skip
MARKS = ("taken_over:", "warm_start:")  # Names of the study's attributes that say what was taken.


@dataclass(frozen=True)
class Target:
    """What trials of another study are to fit.

    Attributes:
        study: Name of the study that they go to.
        space: What it searches.
        fixed: Key -> value of what is not searched, for the space's conditions.
        configure: From a point to the training's whole config, JSON-able.
        method: What the first trials train.
        ignored: Keys of the config that decide no result.
    """

    study: str
    space: Space
    fixed: Mapping[str, object]
    configure: Callable[[Mapping[str, Value]], Mapping[str, Any]]
    method: str
    ignored: frozenset[str]

    def names_of(self, trial: FrozenTrial) -> tuple[dict[str, Value], set[str]]:
        """Parameter name -> value of a trial's training, and the keys that keep it outside.

        A key that the other study did not search has the value with which it trained.
        """
        config = trial.user_attrs[keys.CONFIG]
        named, missed = self.space.names_of({**self.fixed, **config})
        if missed:
            return named, set(missed)
        given = trial.user_attrs.get(keys.GIVEN, {}).get("values", {})
        sets = {name: parameter.sets or name for name, parameter in self.space.parameters.items()}
        again = self.configure({**given, **{sets[name]: value for name, value in named.items()}})
        return named, {k for k in config if k not in self.ignored and again.get(k) != config[k]}


@dataclass(frozen=True)
class Lesson:
    """What is taken from one study.

    Attributes:
        mark: Name of the study's attribute that keeps `said`.
        said: What was taken, in words.
        trials: Trials to add as they are.
        points: Where to begin: parameter name -> value, with the trial that each comes from.
    """

    mark: str
    said: str
    trials: tuple[FrozenTrial, ...] = ()
    points: tuple[tuple[Mapping[str, Value], Origin], ...] = field(default=())


def take_over(other: Study, target: Target, purpose: Purpose) -> Lesson:
    """The complete and pruned trials of a study that this one could have had as well.

    Raises:
        ValueError: In one sentence, if the studies differ in more than in what is searched.
    """
    name, stored = other.study_name, other.user_attrs
    before = Made(stored.get(FINGERPRINT, {}), stored.get(SETTINGS, {}))
    now = Made(purpose.fingerprint, purpose.settings)
    if changes := apart_from_space(before, now, purpose.defaults, purpose.ignored):
        raise ValueError(
            f"a study can only continue from one with the same data and trainings, but study "
            f"'{name}' has {'; '.join(changes)}: undo that, or use --warm-start {name}"
        )
    trials = other.get_trials(deepcopy=False)
    again = keys.requeued(trials)
    ended = [t for t in trials if _is_taken(t) and t.number not in again]
    taken, outside, missed = [], Counter[str](), 0
    for trial in ended:
        named, misses = target.names_of(trial)
        if misses:
            outside.update(misses)
            missed += 1
        else:
            taken.append(_copy(trial, named, target.space, name))
    said = f"took over {len(taken)} of {len(ended)} trials of '{name}'"
    if missed:
        said += f"; {missed} lie{'s' if missed == 1 else ''} outside {', '.join(sorted(outside))}"
    return Lesson(f"taken_over:{name}", f"{said}; they do not count as trials", tuple(taken))


def _is_taken(trial: FrozenTrial) -> bool:
    ended = trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
    return ended and keys.CONFIG in trial.user_attrs


def _copy(trial: FrozenTrial, named: Mapping[str, Value], space: Space, study: str) -> FrozenTrial:
    # Asked for its values, it says of which distributions they are.
    asked = FixedTrial(dict(named))
    for name in named:
        space.parameters[name].suggest(name, asked)
    origin = Origin(how="taken over", study=study, trial=trial.number)
    made = create_trial(
        state=trial.state,
        values=trial.values,
        params=asked.params,
        distributions=asked.distributions,
        user_attrs={
            **_about(trial),
            keys.ORIGIN: origin.model_dump(),
        },
        intermediate_values=trial.intermediate_values,
    )
    made.datetime_start, made.datetime_complete = trial.datetime_start, trial.datetime_complete
    return made


def _about(trial: FrozenTrial) -> dict[str, Any]:
    """What is kept of its attributes; a pause ends where no checkpoint goes along."""
    about = {key: trial.user_attrs[key] for key in _KEPT if key in trial.user_attrs}
    return {**about, keys.CAUSE: Cause.RULE} if about.get(keys.CAUSE) == Cause.PAUSED else about


def warm_start(
    other: Study,
    target: Target,
    first: Mapping[str, Value],
    tried: Sequence[Mapping[str, Value]] = (),
) -> Lesson:
    """The best points of a study on whatever data, as far as this space has its parameters.

    The idea is of Feurer et al., "Initializing Bayesian Hyperparameter Optimization via
    Meta-Learning", 2015. Values out of range become the nearest in it; a parameter that the other
    study did not search begins where this one's first trial does, as far as `first` knows. What
    is `tried` already is left out.

    Raises:
        ValueError: In one sentence, if the study has no such trial or no such parameter.
    """
    name, space = other.study_name, target.space
    best = [t for t in ranked(keys.trial_records(other)) if t.method == target.method]
    points: list[tuple[Mapping[str, Value], Origin]] = []
    moved, dropped, common = Counter[str](), Counter[str](), False
    for trial in best:
        known = {n: p for n, p in space.parameters.items() if n in trial.params}
        near = {n: p.nearest(trial.params[n]) for n, p in known.items()}
        values = {n: v for n, v in near.items() if v is not None}
        point = {**first, **values}
        common = common or bool(values)
        if not values or point in (first, *tried, *(p for p, _ in points)):
            continue
        points.append((point, Origin(how="warm start", study=name, trial=trial.number)))
        moved.update(n for n, v in values.items() if v != trial.params[n])
        dropped.update(n for n, v in near.items() if v is None)
        if len(points) == POINTS:
            break
    if not common:
        raise ValueError(
            f"a warm start needs a study with a complete trial that searched some of "
            f"{', '.join(space.parameters)}, but study '{name}' has none: leave it out"
        )
    said = f"warm start: the best {len(points)} points of '{name}' come first"
    for words, counter in (("moved into the range", moved), ("left out", dropped)):
        if counter:
            said += f"; {words}: " + ", ".join(f"{n} of {k}" for n, k in sorted(counter.items()))
    return Lesson(f"warm_start:{name}", said, points=tuple(points))


def add(study: Study, lesson: Lesson) -> None:
    """Add to a study what it takes from another, once; call it under the study's lock."""
    if lesson.mark in study.user_attrs:
        return
    # A kill in between leaves some of them there.
    there = [keys.origin_of(t) for t in study.get_trials(deepcopy=False)]
    for trial in lesson.trials:
        if keys.origin_of(trial) not in there:
            study.add_trial(trial)
    for point, origin in lesson.points:
        if origin.model_dump() not in there:
            about = {keys.ENQUEUED: dict(point), keys.ORIGIN: origin.model_dump()}
            study.enqueue_trial(dict(point), user_attrs=about)
    study.set_user_attr(lesson.mark, lesson.said)


def marks(place: Place) -> Mapping[str, Any]:
    """Attributes of the study in this place; none if there is no study."""
    try:
        return find(place, to_write=False).user_attrs
    except ValueError:
        return {}
