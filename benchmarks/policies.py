"""Search policies, run in a `World`: who proposes points, who stops them, who is confirmed."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler
from optuna.trial import TrialState, create_trial

from benchmarks.curve_points import along
from benchmarks.surrogate import World, sampled
from space import Choice, Value
from studies.algorithms import build_pruner
from studies.config import StudyConfig

Sampler = Literal["random", "qmc", "tpe", "tpe-single", "gp", "cmaes"]
Stops = Literal["pruner", "first-epoch", "promote"]
_NEAR = 0.15  # Standard deviation, in parts of a range, of points around the recipe.


@dataclass(frozen=True)
class Policy:
    """A way to search.

    Attributes:
        name: What it is called.
        sampler: Who proposes points; `tpe-single` takes each parameter alone, `tpe` all together.
        study: Keys of `[study]` that make the pruner.
        stops: `pruner`: Optuna's; `first-epoch`: one epoch for all, then the best `keep` of them
            to the end; `promote`: asynchronous successive halving that pauses trials and takes the
            best third up again (Li et al., 2020).
        keep: Share of the points that go on after one epoch.
        near: Points that are tried first: the recipe's own, then others around it.
        confirm: How many of the best are trained again, and with how many seeds; None = nobody.
    """

    name: str
    sampler: Sampler = "tpe"
    study: dict[str, object] = field(default_factory=lambda: {"pruner": "none"})
    stops: Stops = "pruner"
    keep: float = 0.1
    near: int = 1
    confirm: tuple[int, int] | None = None


class Result(NamedTuple):
    """What a search came to: its trials, the epochs it paid for, the truth of what it chose."""

    trials: int
    epochs: int
    truth: float


class _Done(NamedTuple):
    score: float
    params: dict[str, Value]


def run(world: World, policy: Policy, counts: Sequence[int], seed: int) -> list[Result]:
    """Search once for each number of trials; where it can be, as one search looked at on its way.

    Args:
        world: What trainings come to.
        policy: How to search.
        counts: Numbers of trials, rising.
        seed: Of all that is drawn.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if policy.stops == "pruner":
        return _pruned(world, policy, counts, seed)
    once = _first_epoch if policy.stops == "first-epoch" else _promoting
    return [once(world, policy, count, seed) for count in counts]


def _pruned(world: World, policy: Policy, counts: Sequence[int], seed: int) -> list[Result]:
    """A search with one of Optuna's pruners."""
    study, random = _study(world, policy, seed), np.random.default_rng(seed)
    spent, done, results = 0, list[_Done](), list[Result]()
    for number in range(1, counts[-1] + 1):
        trial = _ask(study, world)
        curve = world.train(trial.params, random)
        for epoch, score in enumerate(curve.tolist(), 1):
            spent += 1
            trial.report(score, epoch)
            if epoch < world.epochs and trial.should_prune():
                study.tell(trial, state=TrialState.PRUNED)
                break
        else:
            study.tell(trial, curve[-1])
            done.append(_Done(float(curve[-1]), trial.params))
        if number in counts:
            results.append(_concluded(world, policy, (number, spent), done, random))
    return results


def _first_epoch(world: World, policy: Policy, count: int, seed: int) -> Result:
    """One epoch for all, then the best few to the end (Bohdal et al., 2023, say: it is enough)."""
    study, random = _study(world, policy, seed), np.random.default_rng(seed)
    begun = []
    for _ in range(count):
        trial = _ask(study, world)
        begun.append((world.train(trial.params, random), trial.params))
        study.tell(trial, begun[-1][0][0])
    begun.sort(key=lambda pair: -pair[0][0])
    kept = begun[: max(1, round(policy.keep * count))]
    spent = count + len(kept) * (world.epochs - 1)
    done = [_Done(float(curve[-1]), params) for curve, params in kept]
    return _concluded(world, policy, (count, spent), done, random)


@dataclass
class _Paused:
    """A training that may go on."""

    curve: np.ndarray
    trial: optuna.Trial
    rung: int = 0


def _promoting(world: World, policy: Policy, count: int, seed: int) -> Result:
    """Asynchronous successive halving by threes, with one worker; pausing costs nothing."""
    study, random = _study(world, policy, seed), np.random.default_rng(seed)
    rungs = _rungs(world.epochs)
    begun, spent = list[_Paused](), 0
    while True:
        if (best := _promotable(begun, rungs)) is None and len(begun) < count:
            trial = _ask(study, world)
            best = _Paused(world.train(trial.params, random), trial)
            begun.append(best)
            spent += rungs[0]
            _report(study, best, rungs)
            continue
        if best is None:
            if any(p.rung == len(rungs) - 1 for p in begun):
                break
            highest = max(p.rung for p in begun)  # Somebody has to end.
            best = max((p for p in begun if p.rung == highest), key=lambda p: _at(p, rungs))
        best.rung += 1
        spent += rungs[best.rung] - rungs[best.rung - 1]
        _report(study, best, rungs)
    done = [_Done(float(p.curve[-1]), p.trial.params) for p in begun if p.rung == len(rungs) - 1]
    return _concluded(world, policy, (count, spent), done, random)


def _rungs(epochs: int) -> list[int]:
    """Epochs after which trials pause, and the last one."""
    rungs = [1]
    while rungs[-1] * 3 < epochs:
        rungs.append(rungs[-1] * 3)
    return [*rungs, epochs]


def _at(paused: _Paused, rungs: Sequence[int], rung: int | None = None) -> float:
    """Its score at a rung; None = where it stands."""
    return float(paused.curve[rungs[paused.rung if rung is None else rung] - 1])


def _promotable(begun: Sequence[_Paused], rungs: Sequence[int]) -> _Paused | None:
    """The best paused one in the best third of a rung, highest rung first."""
    for rung in range(len(rungs) - 2, -1, -1):
        reached = [p for p in begun if p.rung >= rung]
        reached.sort(key=lambda p: -_at(p, rungs, rung))
        for paused in reached[: len(reached) // 3]:
            if paused.rung == rung:
                return paused
    return None


def _report(study: optuna.Study, paused: _Paused, rungs: Sequence[int]) -> None:
    """Tell the sampler: a paused trial is a pruned one, until it is complete."""
    if paused.rung == 0:
        paused.trial.report(_at(paused, rungs), rungs[0])
        study.tell(paused.trial, state=TrialState.PRUNED)
    elif paused.rung == len(rungs) - 1:
        frozen = study.trials[paused.trial.number]
        complete = create_trial(
            params=frozen.params, distributions=frozen.distributions, value=paused.curve[-1]
        )
        study.add_trial(complete)


def _concluded(
    world: World,
    policy: Policy,
    paid: tuple[int, int],
    done: Sequence[_Done],
    random: np.random.Generator,
) -> Result:
    """Choose, after a confirmation if there is one; `paid` are trials and epochs."""
    trials, epochs = paid
    best = sorted(done, key=lambda d: -d.score)
    if policy.confirm is not None and best:
        top, seeds = policy.confirm
        best = best[:top]
        epochs += len(best) * seeds * world.epochs
        means = [np.mean([world.train(d.params, random)[-1] for _ in range(seeds)]) for d in best]
        best = [best[int(np.argmax(means))]]
    truth = world.truth([best[0].params])[0] if best else 0.0
    return Result(trials, epochs, float(truth))


def _ask(study: optuna.Study, world: World) -> optuna.Trial:
    trial = study.ask()
    world.space.sample(trial, world.fixed)
    return trial


def _study(world: World, policy: Policy, seed: int) -> optuna.Study:
    conditional = any(p.when for p in world.space.parameters.values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        sampler = _sampler(policy, seed, conditional)
    pruner = build_pruner(StudyConfig.model_validate(policy.study), world.epochs)
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
    random = np.random.default_rng([seed, 1])
    for number in range(policy.near):
        study.enqueue_trial(dict(world.first) if number == 0 else around_first(world, random))
    return study


def around_first(world: World, random: np.random.Generator) -> dict[str, Value]:
    """A point near the recipe's own; what that one lacks is drawn from all of its range."""
    units: dict[str, float] = {}
    for name, parameter in world.space.parameters.items():
        units[name], value = float(random.random()), world.first.get(name)
        if value is None:
            continue
        if not isinstance(parameter, Choice):
            near = along(float(value), parameter) + random.normal(0, _NEAR)
            units[name] = float(np.clip(near, 0, 1 - 1e-9))
        elif random.random() < 1 - 2 * _NEAR:
            place = parameter.choices.index(value) + 0.5
            units[name] = place / len(parameter.choices)
    return sampled(world.space, world.fixed, units)


def _sampler(policy: Policy, seed: int, conditional: bool) -> BaseSampler:
    samplers, startup = optuna.samplers, 10
    match policy.sampler:
        case "random":
            return samplers.RandomSampler(seed=seed)
        case "qmc":
            other = samplers.RandomSampler(seed=seed)
            return samplers.QMCSampler(
                scramble=True,
                seed=seed,
                independent_sampler=other,
                warn_independent_sampling=False,
            )
        case "gp":
            return samplers.GPSampler(
                seed=seed, n_startup_trials=startup, warn_independent_sampling=False
            )
        case "cmaes":
            return samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
        case "tpe-single":
            return samplers.TPESampler(seed=seed, n_startup_trials=startup)
        case "tpe":
            return samplers.TPESampler(
                seed=seed, n_startup_trials=startup, multivariate=True, group=conditional
            )
