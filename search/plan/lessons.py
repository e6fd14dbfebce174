"""`begin`: the study of a plan, with what it takes from other studies."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from optuna.study import Study

from search.plan.plan import DECIDES_NOTHING, ELSEWHERE, Plan
from space import Value
from studies.study import Place, find, make_or_resume
from studies.transfer import MARKS, Lesson, Target, add, marks, take_over, warm_start


def begin(plan: Plan) -> Study:
    """Open the plan's study, or make it, with the trials of others that it is told to use.

    What was taken from a study once is not taken again.

    Raises:
        ValueError: In one sentence, if there is no such study or it does not fit; nothing is made.
    """
    purpose, lessons = plan.purpose(), tuple(_lessons(plan))
    taken = [t for lesson in lessons for t in lesson.trials]
    if any(t.params == purpose.first for t in taken):
        purpose = replace(purpose, first={})  # That trial would be run once more.
    study = make_or_resume(plan.place, purpose)
    with plan.place.lock():
        for lesson in lessons:
            add(study, lesson)
    return study


def learned(study: Study) -> Iterator[str]:
    """What a study took from others, a line each."""
    for name, said in sorted(study.user_attrs.items()):
        if name.startswith(MARKS):
            yield str(said)


def _lessons(plan: Plan) -> Iterator[Lesson]:
    """What is asked for and not there yet, read before anything is made."""
    config = plan.config.study
    if config.continue_from is None and not config.warm_start:
        return
    known = marks(plan.place)
    target, tried = _target(plan), []
    if (name := config.continue_from) is not None and f"taken_over:{name}" not in known:
        lesson = take_over(_beside(plan, name, "continue_from"), target, plan.purpose())
        tried = [trial.params for trial in lesson.trials]
        yield lesson
    for name in dict.fromkeys(config.warm_start):
        if f"warm_start:{name}" not in known:
            other = _beside(plan, name, "warm_start")
            yield warm_start(other, target, plan.first, tried)


def _beside(plan: Plan, name: str, key: str) -> Study:
    """Another study in the same storage, or among the same runs."""
    if name == plan.name:
        raise ValueError(
            f"{key} must name another study, but got '{name}', which is this one: give this one "
            f"another name with --study"
        )
    place = Place(name, plan.folder.with_name(name), plan.config.study.storage)
    return find(place, to_write=False)


def _target(plan: Plan) -> Target:
    def configure(point: Mapping[str, Value]) -> Mapping[str, Any]:
        return plan.trial_config(point, 0).model_dump(mode="json")

    method = "probe" if plan.probes else plan.methods[-1]
    ignored = DECIDES_NOTHING | ELSEWHERE
    return Target(plan.name, plan.space, plan.fixed, configure, method, frozenset(ignored))
