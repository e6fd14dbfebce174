"""Deleting a study, and its folder if that is wanted too."""

import shutil

import optuna

from studies.run.copy import refuse_at_work
from studies.storage import close_storage, open_storage, shown, sqlite_file
from studies.study import Place, find


def what_goes(place: Place, *, folder: bool) -> str:
    """What deleting it takes away and what it leaves, in one sentence.

    Raises:
        ValueError: In one sentence, if there is no such study.
    """
    trials = len(find(place, to_write=False).get_trials(deepcopy=False))
    goes = f"study '{place.name}' with its {trials} trials goes from '{shown(place.url)}'"
    if not place.folder.is_dir():
        return goes
    if folder:
        return f"{goes}, and the folder '{place.folder}' with all that is in it"
    return f"{goes}; what else is in its folder '{place.folder}' stays"


def delete(place: Place, *, folder: bool, anyway: bool = False) -> None:
    """Delete a study.

    Args:
        place: Where it is.
        folder: Whether its folder goes too, with the exported model and all else.
        anyway: Whether to delete it even though somebody seems to work on it.

    Raises:
        ValueError: In one sentence, if there is no such study, somebody works on it, or a file
            cannot be removed.
    """
    study = find(place)
    with place.lock():
        refuse_at_work(study, place, "deleted", anyway=anyway)
        optuna.delete_study(study_name=place.name, storage=study._storage)
    del study
    try:
        _remove_empty_database(place)
        if folder and place.folder.is_dir():
            shutil.rmtree(place.folder)
    except OSError as error:
        raise ValueError(
            f"the study is deleted, but '{error.filename}' is still there: {error.strerror}"
        ) from None


def _remove_empty_database(place: Place) -> None:
    """The database in the study's own folder, if it holds nothing else."""
    path = sqlite_file(place.url)
    if place.storage is not None or path is None:
        return
    try:
        close_storage(open_storage(place.url, to_write=False))
    except ValueError:  # There is no study in it.
        for file in path.parent.glob(f"{path.name}*"):
            file.unlink(missing_ok=True)
