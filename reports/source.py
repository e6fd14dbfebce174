"""Everything that a report takes from a study, read at one moment."""

from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from records.trial import TrialRecord
from space import Space, parse_space
from studies.attributes import MACHINE, TEST_EVALUATIONS
from studies.fingerprint import FINGERPRINT
from studies.owner import abandoned
from studies.storage import shown
from studies.study import SETTINGS, Place, find
from studies.trials import confirmations, trial_records


class Source(BaseModel):
    """A study as it was when it was read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    folder: Path
    storage: str
    """URL without its password."""

    given_storage: bool
    """Whether the storage is another one than SQLite in the study's folder."""

    read: datetime
    trials: tuple[TrialRecord, ...]
    abandoned: frozenset[int]
    """Numbers of the trials that are marked as running although their process is gone."""

    confirmed: dict[int, list[float]]
    """Number of each confirmed trial -> validation accuracy per fresh seed."""

    test_evaluations: int
    settings: dict[str, Any]
    """The resolved configuration of the search; empty if convsearch did not make the study."""

    fingerprint: dict[str, Any]
    space: Space | None
    machines: dict[str, dict[str, Any]]
    """Host -> device, precision and versions, in words."""

    @property
    def epochs(self) -> int | None:
        """Epochs of a full training; None if unknown."""
        epochs = self.fingerprint.get("training", {}).get("epochs")
        return None if epochs is None else int(epochs)

    @property
    def total(self) -> int | None:
        """Trials that the study should end with; None if unknown."""
        return self.settings.get("trials")

    def setting(self, section: str, key: str, otherwise: Any) -> Any:
        """A key of the search's configuration."""
        return self.settings.get(section, {}).get(key, otherwise)


def read_study(place: Place) -> Source:
    """Read a study.

    Raises:
        ValueError: In one sentence, if the storage cannot be opened or holds no such study.
    """
    study = find(place, to_write=False)
    attributes = study.user_attrs
    fingerprint = attributes.get(FINGERPRINT, {})
    prefix = MACHINE.format(host="")
    return Source(
        name=place.name,
        folder=place.folder,
        storage=shown(place.url),
        given_storage=place.storage is not None,
        read=datetime.now().astimezone(),
        trials=tuple(trial_records(study)),
        abandoned=abandoned(study),
        confirmed=confirmations(study),
        test_evaluations=int(attributes.get(TEST_EVALUATIONS, 0)),
        settings=attributes.get(SETTINGS, {}),
        fingerprint=fingerprint,
        space=_space(fingerprint),
        machines={
            name.removeprefix(prefix): facts
            for name, facts in attributes.items()
            if name.startswith(prefix)
        },
    )


def _space(fingerprint: dict[str, Any]) -> Space | None:
    try:
        return parse_space("of the study", fingerprint["space"])
    except (KeyError, ValueError):
        return None
