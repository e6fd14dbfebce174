"""Notes on a study and its trials where optuna-dashboard looks for them.

`optuna_dashboard.save_note` reads everything that was ever written on the study, twice per note.
Here it is read once for all notes that have changed, in the format that the dashboard keeps them
in: a version, and the text in pieces, both attributes of the study.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.study import Study

from records.trial import TrialRecord
from studies.dashboard.notes import trial_note

_PIECE = 2045
"""Characters of a piece: the longest value that every storage takes."""

BELOW = '[//]: # "convsearch writes what is above this line, and keeps what is below"'
"""Ends what is ours. Markdown takes it for a link that nobody uses, and does not show it."""


class DashboardNotes:
    """Keeps the notes of one study up to date, and writes only what has changed.

    What people wrote themselves is kept, below ours.

    Args:
        study: The study, in any storage.
    """

    def __init__(self, study: Study) -> None:
        """Nothing is known of what is written there."""
        self._study, self._storage = study, study._storage
        self._texts: dict[int | None, str] = {}
        self._settled: set[int] = set()

    def update(self, text: str, trials: Sequence[TrialRecord]) -> None:
        """Bring the notes up to date.

        Args:
            text: The study's note.
            trials: All trials; those that wait for a worker get no note.
        """
        wanted: dict[int | None, str] = {None: text}
        frozen = self._study.get_trials(deepcopy=False)
        started = [t for t in trials if t.number not in self._settled and t.state != "waiting"]
        wanted |= {frozen[trial.number]._trial_id: trial_note(trial) for trial in started}
        changed = {key: ours for key, ours in wanted.items() if self._texts.get(key) != ours}
        if changed:
            present = self._storage.get_study_system_attrs(self._study._study_id)
            for key, ours in changed.items():
                self._write(key, ours, present)
        self._texts |= changed
        self._settled |= {trial.number for trial in started if trial.state != "running"}

    def _write(self, key: int | None, ours: str, present: Mapping[str, Any]) -> None:
        old = _pieces(key, present)
        body = with_ours("".join(old), ours)
        if body == "".join(old):
            return
        pieces = [body[start : start + _PIECE] for start in range(0, len(body), _PIECE)]
        # Pieces cannot be removed; empty ones add nothing.
        blank = [""] * (len(old) - len(pieces))
        for place, piece in enumerate([*pieces, *blank]):
            self._set(f"{_name(key)}note_str:{place}", piece)
        version = f"{_name(key)}note_ver"
        self._set(version, int(present.get(version, 0)) + 1)

    def _set(self, name: str, value: str | int) -> None:
        self._storage.set_study_system_attr(self._study._study_id, name, value)


def with_ours(note: str, ours: str) -> str:
    """A note with our part replaced, or put above what somebody wrote."""
    _, found, theirs = note.partition(BELOW)
    theirs = theirs if found else f"\n\n{note}"
    return f"{ours}\n\n{BELOW}{theirs}".rstrip() + "\n"


def _pieces(key: int | None, present: Mapping[str, Any]) -> list[str]:
    pieces: list[str] = []
    while (name := f"{_name(key)}note_str:{len(pieces)}") in present:
        pieces.append(present[name])
    return pieces


def _name(key: int | None) -> str:
    """What the attributes of a note begin with: a trial's id in the storage, None = the study."""
    return "dashboard:" if key is None else f"dashboard:{key}:"
