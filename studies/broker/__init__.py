"""`Broker`: who hands out trials and takes them back; all that a worker knows of a study.

`studies.broker.sql` is the one over a database. Whoever implements the three calls elsewhere, for
instance as a service, is a broker too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from records.outcome import EpochRecord, Outcome
from records.trial import TrialRecord


class Answer(StrEnum):
    """What a broker says to an epoch."""

    GO = "go"
    PRUNE = "prune"  # The trial fell behind: settle it as pruned.
    PAUSE = "pause"  # The same for now: keep its checkpoint, and settle it with that cause.
    LOST = "lost"  # Someone else took or ended the trial: drop it, and claim another one.


@dataclass(frozen=True)
class Given:
    """What is settled for one trial before the rest of it is sampled.

    Attributes:
        values: Key -> value, for the space's conditions and the config; JSON-able.
        at_most: Key -> the most that a whole number may be in this trial.
        first: Parameter name -> value that is taken instead of a sampled one.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    at_most: Mapping[str, int] = field(default_factory=dict)
    first: Mapping[str, Any] = field(default_factory=dict)


class Policy(Protocol):
    """What decides how a search goes on, from what its trials have come to."""

    def may_start(self, trials: Sequence[TrialRecord]) -> bool:
        """Whether another trial may start; if not, whoever asks gets none, and need not wait."""
        ...

    def settle(self, index: int, trials: Sequence[TrialRecord]) -> Given:
        """What is settled for the trial in this place of the search, before it is sampled."""
        ...


class TooManyFailures(Exception):
    """The last trials of this search all failed; the message names the first one's cause."""


@dataclass(frozen=True)
class Claim:
    """A trial to run.

    Attributes:
        number: The trial's number in the study.
        index: Its place in the search; a trial that is run again keeps it.
        params: Parameter name -> value.
        config: The training's whole config, JSON-able.
        passed: Epochs that earlier runs of it had passed; they are told again, and not judged.
        deaths: Earlier runs in a row that got no further and whose worker died, or had no memory
            for them because of its neighbours.
    """

    number: int
    index: int
    params: Mapping[str, Any]
    config: Mapping[str, Any]
    passed: int = 0
    deaths: int = 0


@dataclass(frozen=True)
class Claims:
    """What a worker got when it asked for trials.

    Attributes:
        trials: The trials to run; empty if there are none at the moment.
        wait: Without trials: whether to ask again, since others are still running some, which
            may come back.
        given_up: Number -> outcome of trials that failed before or instead of being handed out.
    """

    trials: tuple[Claim, ...] = ()
    wait: bool = False
    given_up: Mapping[int, Outcome] = field(default_factory=dict)


class Broker(Protocol):
    """Hands out trials, so that a study ends with exactly as many as it was asked for."""

    def claim(self, n: int) -> Claims:
        """Get up to `n` trials to run, at least 1 asked for.

        Raises:
            TooManyFailures: The last few trials of this search all failed.
        """
        ...

    def report(self, claim: Claim, record: EpochRecord) -> Answer:
        """Tell of an epoch, in their order from 1 on; it must have a validation accuracy."""
        ...

    def settle(self, claim: Claim, outcome: Outcome) -> bool:
        """Tell how a trial ended; REQUEUED gives it back, to be run again by whoever asks next.

        With a cause, it is counted as a death.

        Returns:
            Whether it was still this worker's; if not, nothing is written.
        """
        ...
