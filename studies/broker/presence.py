"""Whether a study is still where it was: others can delete it, or its file, at any time."""

from pathlib import Path

from optuna.study import Study

from studies.storage import shown, sqlite_file
from studies.study import Place


class StudyDeleted(Exception):
    """The study, or the file that held it, was deleted while somebody worked on it."""


class Presence:
    """Watches over a study that was just opened."""

    def __init__(self, study: Study, place: Place) -> None:
        self._study, self._place = study, place
        self._path = sqlite_file(place.url)
        self._file = _identity(self._path)

    def lost(self) -> str | None:
        """In one sentence that the study is gone; None = it is there, or nobody can tell."""
        try:
            if _identity(self._path) != self._file:
                # Open connections would go on with a file that no longer has a name.
                return self._sentence(f"its database '{self._path}' was removed or replaced")
            self._study._storage.get_study_id_from_name(self._place.name)
        except KeyError:
            return self._sentence(f"it was deleted from '{shown(self._place.url)}'")
        # Whoever needs the database will see what is wrong with it.
        except Exception:  # noqa: BLE001
            return None
        return None

    def _sentence(self, what: str) -> str:
        return (
            f"study '{self._place.name}' must stay while a search works on it, but {what}: the "
            f"search ends, and what else is in '{self._place.folder}' is left as it is; run the "
            f"same command again to begin anew"
        )


def _identity(path: Path | None) -> int | None:
    """Which file a path names; None if it names none.

    The inode says so, as it does to SQLite's own locks. The device changes when a share is mounted
    again.

    Raises:
        OSError: Nobody can tell, for instance since a share does not answer.
    """
    try:
        return None if path is None else path.stat().st_ino
    except (FileNotFoundError, NotADirectoryError):
        return None
