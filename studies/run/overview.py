"""What a study is and where it stands, as plain values and as text."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import tomli_w
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState
from pydantic import BaseModel, ConfigDict

from records.toml import without_none
from records.trial import TrialRecord
from records.words import values
from studies.attributes import requeued, trial_records
from studies.broker.sessions import others_at_work
from studies.storage import close_storage, open_storage, shown
from studies.study import FINGERPRINT, SETTINGS, Place, find

BEST = 5  # Trials that `show` names.


class Overview(BaseModel):
    """One line about a study.

    Attributes:
        storage: Its URL, without a password.
        best: Objective of the best complete trial; None = there is none, or several objectives.
        began: When its first trial did.
        last: When the last trial ended.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    storage: str
    complete: int
    pruned: int
    failed: int
    running: int
    waiting: int
    best: float | None
    began: datetime | None
    last: datetime | None

    def states(self) -> str:
        """The trials in each state, in words."""
        return (
            f"{self.complete} complete, {self.pruned} pruned, {self.failed} failed, "
            f"{self.running} running, {self.waiting} waiting"
        )


class Details(Overview):
    """All about a study.

    Attributes:
        at_work: Who else seems to work on it, in words.
        causes: Why trials were pruned or failed -> how many.
        space: Parameter name -> what it may be.
        settings: The resolved configuration of its search.
        trials: The best complete trials, best first.
    """

    at_work: str
    causes: dict[str, int]
    space: dict[str, Any]
    settings: dict[str, Any]
    trials: list[dict[str, Any]]


def places(runs: Path, storage: str | None) -> list[Place]:
    """Where the studies are: all of a storage, or those with a database in their own folder.

    Raises:
        ValueError: In one sentence, if the storage cannot be opened or holds no study.
    """
    if storage is None:
        return [Place(path.parent.name, path.parent) for path in sorted(runs.glob("*/study.db"))]
    opened = open_storage(storage, to_write=False)
    names = sorted(study.study_name for study in opened.get_all_studies())
    close_storage(opened)
    return [Place(name, runs / name, storage) for name in names]


def overview(place: Place) -> Overview:
    """One line about a study; raises ValueError as `find` does."""
    return Overview(**_numbers(find(place, to_write=False), place))


def details(place: Place) -> Details:
    """All about a study; raises ValueError as `find` does."""
    study = find(place, to_write=False)
    records = trial_records(study) if len(study.directions) == 1 else []
    best = [r for r in records if r.result is not None]
    best.sort(key=lambda r: (r.result or 0.0, -r.number), reverse=_maximises(study))
    causes = Counter(str(r.cause) for r in records if r.cause is not None)
    return Details(
        **_numbers(study, place),
        at_work=others_at_work(study).in_words(),
        causes=dict(causes.most_common()),
        space=study.user_attrs.get(FINGERPRINT, {}).get("space", {}),
        settings=study.user_attrs.get(SETTINGS, {}),
        trials=[_best(record) for record in best[:BEST]],
    )


def table(studies: Sequence[Overview]) -> Iterator[str]:
    """The studies as lines of text."""
    heads = ["name", "complete", "pruned", "failed", "running", "waiting", "best", "last ended"]
    rows = [heads]
    for one in studies:
        counts = [one.complete, one.pruned, one.failed, one.running, one.waiting]
        best = "-" if one.best is None else f"{one.best:.4f}"
        rows.append([one.name, *map(str, counts), best, _when(one.last)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
    for row in rows:
        first, *others = zip(row, widths, strict=True)
        right = [cell.rjust(width) for cell, width in others]
        yield "  ".join([first[0].ljust(first[1]), *right]).rstrip()


def text(study: Details) -> Iterator[str]:
    """All about a study as lines of text."""
    yield f"study    {study.name} in {study.storage}"
    yield f"trials   {study.states()}"
    yield f"dates    first began {_when(study.began)}, last ended {_when(study.last)}"
    yield f"now      {study.at_work}"
    for title, trial in zip(["best", *[""] * BEST], study.trials, strict=False):
        yield f"{title:9}{trial['score']:.4f} (trial {trial['number']}: {values(trial['params'])})"
    if study.causes:
        yield f"causes   {', '.join(f'{cause} {n}' for cause, n in study.causes.items())}"
    for title, (name, kind) in zip(["space", *[""] * 99], study.space.items(), strict=False):
        yield f"{title:9}{name}: {values(kind) if isinstance(kind, dict) else kind}"
    if study.settings:
        yield "settings"
        yield from tomli_w.dumps(without_none(study.settings)).splitlines()


def _numbers(study: Study, place: Place) -> dict[str, Any]:
    trials = study.get_trials(deepcopy=False)
    ignored = requeued(trials)
    states = Counter(t.state for t in trials if t.number not in ignored)
    return {
        "name": place.name,
        "storage": shown(place.url),
        "complete": states[TrialState.COMPLETE],
        "pruned": states[TrialState.PRUNED],
        "failed": states[TrialState.FAIL],
        "running": states[TrialState.RUNNING],
        "waiting": states[TrialState.WAITING],
        "best": _best_value(study, trials),
        "began": min((t.datetime_start for t in trials if t.datetime_start), default=None),
        "last": max((t.datetime_complete for t in trials if t.datetime_complete), default=None),
    }


def _best_value(study: Study, trials: Sequence[FrozenTrial]) -> float | None:
    if len(study.directions) > 1:
        return None
    complete = [t.value for t in trials if t.state == TrialState.COMPLETE and t.value is not None]
    known = [value for value in complete if math.isfinite(value)]
    return (max if _maximises(study) else min)(known, default=None)


def _maximises(study: Study) -> bool:
    return bool(study.directions[0] == StudyDirection.MAXIMIZE)


def _best(record: TrialRecord) -> dict[str, Any]:
    about = {"number": record.number, "score": record.result, "params": record.params}
    return {**about, "seconds": record.seconds}


def _when(time: datetime | None) -> str:
    return "-" if time is None else f"{time:%Y-%m-%d %H:%M}"
