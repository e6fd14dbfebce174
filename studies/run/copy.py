"""A study in another storage, whole: so one that began on a laptop goes on on a cluster."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial
from sqlalchemy.exc import SQLAlchemyError

from records.files import absolute
from records.toml import write_toml
from studies.broker.owner import Observer, Owner
from studies.broker.sessions import others_at_work
from studies.broker.sql import requeue_dead
from studies.storage import at_absolute_path, close_storage, make_folder, make_storage, shown
from studies.study import FINGERPRINT, SETTINGS, Place, find

# Of optuna-dashboard, which names trials by what their storage calls them.
_NOTE = re.compile(r"dashboard:(\d+):(note_.*)")
# What a study's folder holds that belongs to its storage.
_OF_STORAGE = ("study.db", "study.db-*", "*.lock", "*.part")


def copy(source: Place, target: Place, *, anyway: bool = False) -> int:
    """Copy a study: trials with their numbers, dates and attributes, and what its folder holds.

    Trials that a dead worker was running are enqueued again in the copy. A copy that a kill cut
    short is no study that a search takes: delete it.

    Args:
        source: Where the study is; it stays as it is.
        target: Where it should be too; nothing may be there yet.
        anyway: Whether to copy it even though somebody seems to work on it.

    Returns:
        How many trials it has.

    Raises:
        ValueError: In one sentence, if there is no such study, somebody works on it, there is one
            at the target already, or the target cannot hold all of it.
    """
    study = find(source)
    if source.folder.absolute() != target.folder.absolute() and _has_files(target.folder):
        raise ValueError(
            f"a study is copied into a new folder, but there are files in '{target.folder}': give "
            f"another name with --as"
        )
    # Nobody may claim or end a trial here meanwhile, nor begin a study of this name there.
    with source.lock(), target.lock():
        refuse_at_work(study, source, "copied", anyway=anyway)
        make_folder(target.folder)
        storage = make_storage(target.url)
        try:
            _copy_trials(study, target, storage)
        finally:
            close_storage(storage)
        _copy_folder(source.folder, target.folder)
        if (target.folder / "search.toml").is_file():
            settings = _settings(study.user_attrs.get(SETTINGS, {}), target)
            write_toml(target.folder / "search.toml", settings)
    return len(study.get_trials(deepcopy=False))


def refuse_at_work(study: Study, place: Place, what: str, *, anyway: bool) -> None:
    """Refuse what must not be done while somebody works on a study; `what` is that, in words."""
    if not anyway and (others := others_at_work(study)):
        raise ValueError(
            f"a study that is {what} must be at rest, but of '{place.name}' {others.in_words()}: "
            f"stop that first; --anyway if you know that it has ended"
        )


def _copy_trials(study: Study, target: Place, storage: BaseStorage) -> None:
    """Everything that is in the storage, or nothing."""
    try:
        made = optuna.create_study(
            storage=storage, study_name=target.name, directions=study.directions
        )
    except optuna.exceptions.DuplicatedStudyError:
        raise ValueError(
            f"a copy must be a new study, but '{shown(target.url)}' holds '{target.name}': give "
            f"another name with --as, or delete that one first"
        ) from None
    try:
        _fill(made, study, target)
    except BaseException as error:
        optuna.delete_study(study_name=target.name, storage=storage)
        if isinstance(error, StorageInternalError | SQLAlchemyError):
            raise ValueError(_too_small(target, error)) from None
        raise


def _fill(made: Study, study: Study, target: Place) -> None:
    """Trials and attributes; what makes it a study of a search comes last."""
    new, old = made._storage, study._storage
    ids = {}
    for trial in study.get_trials(deepcopy=False):
        ids[str(trial._trial_id)] = new.create_new_trial(made._study_id, template_trial=trial)
    for key, value in old.get_study_system_attrs(study._study_id).items():
        new.set_study_system_attr(made._study_id, _renamed(key, ids), value)
    attributes = dict(study.user_attrs)
    fingerprint = attributes.pop(FINGERPRINT, None)
    if SETTINGS in attributes:
        attributes[SETTINGS] = _settings(attributes[SETTINGS], target)
    for key, value in attributes.items():
        made.set_user_attr(key, value)
    _compare(study, made)
    if fingerprint is not None:
        requeue_dead(made, _NobodyLives(made))
        made.set_user_attr(FINGERPRINT, fingerprint)


def _renamed(key: str, ids: Mapping[str, int]) -> str:
    found = _NOTE.fullmatch(key)
    return key if found is None else f"dashboard:{ids.get(found[1], found[1])}:{found[2]}"


def _settings(settings: Mapping[str, Any], target: Place) -> dict[str, Any]:
    """Those that lead to the copy."""
    study = {k: v for k, v in settings.get("study", {}).items() if k != "storage"}
    study["name"] = target.name
    url = target.storage
    if url is not None and shown(url) == url:  # No password is written down.
        study["storage"] = at_absolute_path(url)
    return {**settings, "runs": absolute(str(target.folder.parent)), "study": study}


def _compare(study: Study, made: Study) -> None:
    """Some databases cut off what is too long for them, without a word."""
    for old, new in zip(study.get_trials(), made.get_trials(), strict=True):
        if _content(old) != _content(new):
            raise StorageInternalError(f"trial {old.number} is not the same when it is read back")


def _content(trial: FrozenTrial) -> str:
    """As text, in which what is no number is equal to itself."""
    tables = (
        trial.params, trial.user_attrs, trial.system_attrs, trial.intermediate_values
    )  # fmt: skip
    ordered = [sorted(table.items()) for table in tables]
    return repr((trial.number, trial.state, trial.values, ordered))


def _too_small(target: Place, error: BaseException) -> str:
    """The sentence about a storage that does not take it all."""
    cause = error.__cause__ or error
    reason = str(getattr(cause, "orig", None) or cause).splitlines()[0]
    return (
        f"the storage must hold all of a study, but '{shown(target.url)}' does not: {reason}; "
        f"nothing was left there"
    )


class _NobodyLives(Observer):
    """Of a copy: whoever runs its trials runs those of the study that it was made of."""

    def is_gone(self, owner: Owner, signs: Mapping[str, Any]) -> bool:
        return True


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and any(not name.match("*.lock") for name in folder.iterdir())


def _copy_folder(source: Path, target: Path) -> None:
    """Artifacts, checkpoints and the exported model."""
    if source.is_dir() and source.absolute() != target.absolute():
        ignored = shutil.ignore_patterns(*_OF_STORAGE)
        shutil.copytree(source, target, ignore=ignored, dirs_exist_ok=True)
