"""Who runs a trial, and whether that process still lives: here by asking, elsewhere by signs.

No clock decides who lives: neither a step of it nor two machines with different times make one
worker take another one's trial.
"""

import os
import socket
import time
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Self

import psutil
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from pydantic import BaseModel, ConfigDict

from studies.attributes import OWNER
from studies.storage import is_on_one_machine

EVERY = 30.0  # Seconds between two signs of life.
GRACE = 300.0  # Seconds without a new sign after which a session elsewhere is taken for gone.


class Owner(BaseModel):
    """The process that runs a trial."""

    model_config = ConfigDict(frozen=True)

    host: str  # For people: two machines can have one name.
    pid: int
    started: float  # Of the process, in seconds since the epoch; only looked at without `ticks`.
    session: int  # The process that started it, which gives signs of life for it.
    # Boot and pid namespace: whoever has the same sees the same processes. None = not known.
    machine: str | None = None
    ticks: int | None = None  # Start in clock ticks since the boot: pids are used again.
    # A worker on a cluster, by its name there; the rest is then the session's process, with which
    # it ends. Whoever sees such a worker go before clears its trials.
    actor: str | None = None

    @classmethod
    def this_process(cls) -> Self:
        """The process that calls."""
        pid = os.getpid()
        return cls(
            host=this_host(),
            pid=pid,
            started=psutil.Process(pid).create_time(),
            session=os.getppid(),
            machine=this_machine(),
            ticks=_ticks(pid),
        )

    @classmethod
    def this_session(cls) -> Self:
        """The process that calls, where its workers have no processes that it can see."""
        return cls.this_process().model_copy(update={"session": os.getpid()})

    @property
    def is_here(self) -> bool:
        """Whether its processes can be seen from this one."""
        if self.machine is None or this_machine() is None:
            return self.host == this_host()
        return self.machine == this_machine()

    @property
    def sign(self) -> str:
        """The study's attribute with the signs of life of its session."""
        return sign_of(self.machine or self.host, str(self.session))

    def is_dead(self, *, one_machine: bool = False) -> bool:
        """Whether the process is known to be gone; of those elsewhere nothing is known.

        Args:
            one_machine: Whether it can only have run on this machine: another boot is then one
                that is over. Another container of this boot may still live.
        """
        if not self.is_here:
            if not one_machine or self.machine is None or (here := this_machine()) is None:
                return False
            return self.machine.partition("/")[0] != here.partition("/")[0]
        if self.ticks is not None:
            return _ticks(self.pid) != self.ticks
        try:
            process = psutil.Process(self.pid)
            zombie = process.status() == psutil.STATUS_ZOMBIE
            return zombie or abs(process.create_time() - self.started) > 1.0
        except psutil.NoSuchProcess:
            return True


class Heartbeat:
    """The signs of life of this process and of the workers that it starts, on a study."""

    def __init__(self, study: Study) -> None:
        self._study, self._last = study, -EVERY
        self._sign = sign_of(this_machine() or this_host(), str(os.getpid()))

    def beat(self) -> None:
        """Write one, if the last is long enough ago; call it often."""
        if time.monotonic() - self._last >= EVERY:
            self._study.set_user_attr(self._sign, time.time())
            self._last = time.monotonic()

    def end(self) -> None:
        """Say that there will be no more, so that nobody has to wait for them."""
        self._study.set_user_attr(self._sign, 0.0)
        self._last = -EVERY


class Observer:
    """Watches a study's signs of life of other machines, by this process's own monotonic clock.

    What a sign says does not count, only whether it changes: clocks differ.
    """

    def __init__(self, study: Study) -> None:
        self._one_machine = is_on_one_machine(study)
        self._last: dict[str, tuple[object, float]] = {}

    def is_gone(self, owner: Owner, signs: Mapping[str, Any]) -> bool:
        """Whether a trial's owner is gone; call it now and then.

        Args:
            owner: The process that runs the trial.
            signs: The study's attributes. Of a session elsewhere that never gave a sign, nothing
                is known.
        """
        if owner.is_dead(one_machine=self._one_machine):
            return True
        if owner.is_here or (sign := signs.get(owner.sign)) is None:
            return False
        now = time.monotonic()
        last, since = self._last.get(owner.sign, (None, now))
        if sign != last:
            since = now
        self._last[owner.sign] = sign, since
        return now - since > GRACE


class LostActors:
    """Knows that some workers on a cluster are gone, and of nobody else."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names

    def is_gone(self, owner: Owner, signs: Mapping[str, Any]) -> bool:
        """Whether a trial's owner is one of them."""
        return owner.actor in self._names


def owner_of(trial: FrozenTrial) -> Owner | None:
    """Who runs the trial; None if nobody has signed for it yet."""
    signed = trial.user_attrs.get(OWNER)
    return None if signed is None else Owner.model_validate(signed)


def abandoned(study: Study) -> frozenset[int]:
    """Numbers of the running trials whose process seems to be gone; for display only.

    A single look cannot see whether a sign changes, so here its time counts.
    """
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    if not running:
        return frozenset()
    signs, now, one_machine = study.user_attrs, time.time(), is_on_one_machine(study)
    owners = {trial.number: owner_of(trial) for trial in running}
    return frozenset(
        number
        for number, owner in owners.items()
        if owner is not None
        and (owner.is_dead(one_machine=one_machine) or now - signs.get(owner.sign, now) > GRACE)
    )


@cache
def this_host() -> str:
    """What this machine is called."""
    return socket.gethostname()


@cache
def this_machine() -> str | None:
    """This boot and this pid namespace; None where the system does not tell.

    Two containers of one host have one boot, but do not see each other's processes.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


def _ticks(pid: int) -> int | None:
    """Start of a process in clock ticks since the boot; None if it is gone, or not told."""
    try:
        # The second field, a name in parentheses, may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def sign_of(place: str, session: str) -> str:
    """The study's attribute with the signs of life of a session, by machine and process."""
    return f"alive:{place}:{session}"
