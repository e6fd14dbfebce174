"""Making, resuming and finding the study of a search."""

import json
import shlex
import weakref
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection
from sqlalchemy.engine import URL

from space import Space, Value
from studies.algorithms import IndexedSampler, build_pruner
from studies.algorithms.costs import AmongTheCheaper, directions, name_objectives
from studies.attributes import ENQUEUED
from studies.config import StudyConfig
from studies.differences import Made, apart_from_space, differences
from studies.storage import (
    close_storage,
    make_folder,
    make_storage,
    open_storage,
    shown,
    study_lock,
)

# The study's attribute with what it was made with, so that no two searches are mixed.
FINGERPRINT = "fingerprint"
SETTINGS = "settings"  # The study's attribute with the resolved configuration of the search.


@dataclass(frozen=True)
class Place:
    """Where a study is.

    Attributes:
        name: Name of the study.
        folder: Folder of the run.
        storage: URL of the storage; None = SQLite in the folder.
    """

    name: str
    folder: Path
    storage: str | None = None

    @property
    def url(self) -> str:
        """URL of the storage, whether it was given or not."""
        # A path may hold what means something in a URL.
        path = str(self.folder / "study.db")
        return self.storage or URL.create("sqlite", database=path).render_as_string()

    @property
    def flags(self) -> str:
        """What commands need to find it, to be pasted into a shell; without a password."""
        runs = str(self.folder.parent)
        words = ["--study", self.name, *([] if runs == "runs" else ["--runs", runs])]
        return shlex.join([*words, *(["--storage", shown(self.storage)] if self.storage else [])])

    def lock(self, what: str = "") -> AbstractContextManager[object]:
        """The lock around everything that counts or asks for trials, or another one by name."""
        return study_lock(self.url, self.name, self.folder, what)


@dataclass(frozen=True)
class Purpose:
    """What a study is for: everything that must not change while it lasts.

    Attributes:
        fingerprint: Nested, JSON-able; compared on every resume.
        settings: The resolved configuration of the search, JSON-able; kept for later commands.
        first: Parameter name -> value of the first trial; the sampler picks what is missing.
        defaults: What keys of the fingerprint had before there were such keys, nested like it.
        ignored: Dotted keys that earlier versions kept in it, although they decide nothing.
        objectives: What is maximised, and then what is minimised.
    """

    fingerprint: Mapping[str, Any]
    settings: Mapping[str, Any]
    first: Mapping[str, Value]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    ignored: Collection[str] = ()
    objectives: Sequence[str] = ("accuracy",)


def make_or_resume(place: Place, purpose: Purpose) -> Study:
    """Open the study, or make it with its first trial enqueued.

    Only one process should call this for a search, before its workers start.

    Raises:
        ValueError: In one sentence, if the storage cannot be opened or the study was made with
            something else.
    """
    _quiet()
    # As JSON, so that what is compared is what a database gives back.
    fingerprint = json.loads(json.dumps(purpose.fingerprint))
    # Tables are made under the lock as well: two processes making them at once break each other.
    with place.lock():
        make_folder(place.folder)
        storage = make_storage(place.url)
        wanted = directions(purpose.objectives)
        made = optuna.create_study(
            storage=storage, study_name=place.name, directions=wanted, load_if_exists=True
        )
        study = _closing(made, storage)
        if FINGERPRINT in study.user_attrs:
            _refuse_other(study, place, Made(fingerprint, purpose.settings), purpose)
        else:
            _refuse_foreign(study, place, wanted)
            name_objectives(study, purpose.objectives)
            study.set_user_attr(FINGERPRINT, fingerprint)
        study.set_user_attr(SETTINGS, dict(purpose.settings))
        if purpose.first and not study.get_trials(deepcopy=False):
            first = dict(purpose.first)
            study.enqueue_trial(first, user_attrs={ENQUEUED: first})
    return study


def find(place: Place, *, to_write: bool = True) -> Study:
    """Open a study that exists.

    Args:
        place: Where it is.
        to_write: False also opens one that may not be changed, and changes nothing.

    Raises:
        ValueError: In one sentence, if the storage cannot be opened or holds no such study.
    """
    _quiet()
    if place.storage is None and not (place.folder / "study.db").is_file():
        known = sorted(path.parent.name for path in place.folder.parent.glob("*/study.db"))
        raise ValueError(_no_study(place, place.folder.parent, known))
    storage = open_storage(place.url, to_write=to_write)
    try:
        return _closing(optuna.load_study(study_name=place.name, storage=storage), storage)
    except KeyError:
        known = [summary.study_name for summary in optuna.get_all_study_summaries(storage)]
        close_storage(storage)
        raise ValueError(_no_study(place, shown(place.url), known)) from None


def _no_study(place: Place, where: object, known: Sequence[str]) -> str:
    return f"there is no study '{place.name}' in '{where}': it holds {', '.join(known) or 'none'}"


def work_on(place: Place, config: StudyConfig, space: Space, epochs: int | None) -> Study:
    """Open a study for a worker, with the sampler and the pruner of the config.

    `epochs` of all trainings; None = they differ from trial to trial.
    """
    study = find(place)
    conditional = any(parameter.when for parameter in space.parameters.values())
    study.sampler = IndexedSampler(config, conditional)
    pruner = build_pruner(config, epochs)
    study.pruner = AmongTheCheaper(pruner) if config.costs else pruner
    return study


def _closing(study: Study, storage: BaseStorage) -> Study:
    """The study, whose connections are closed when it is no longer used."""
    weakref.finalize(study, close_storage, storage)
    return study


def _refuse_foreign(study: Study, place: Place, wanted: Sequence[StudyDirection]) -> None:
    if study.get_trials(deepcopy=False) or study.directions != wanted:
        raise ValueError(
            f"the study must be one that convsearch made, but study '{place.name}' in "
            f"'{shown(place.url)}' is not: choose another name with --study"
        )


def _quiet() -> None:
    """Optuna logs a line per trial; what people should see is the search's own display."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def _refuse_other(study: Study, place: Place, made: Made, purpose: Purpose) -> None:
    """Refuse to mix two searches, in one sentence that spells out every difference."""
    stored = study.user_attrs
    before = Made(stored[FINGERPRINT], stored.get(SETTINGS, {}))
    if changes := differences(before, made, purpose.defaults, purpose.ignored):
        other = apart_from_space(before, made, purpose.defaults, purpose.ignored)
        keep = "" if other else f" --continue-from {place.name}, which keeps the trials that fit"
        raise ValueError(
            f"a study can only go on with what it was made with, but study '{place.name}' has "
            f"{'; '.join(changes)}: undo that, or start another study with --study NAME{keep}"
        )
