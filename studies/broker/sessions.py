"""Who works on a study at this moment, here and on other hosts: for people, and for commands."""

import os
import re
import time
from dataclasses import dataclass

import psutil
from optuna.study import Study
from optuna.trial import TrialState

from records.files import is_full_disk
from studies.broker.owner import Observer, Owner, owner_of, sign_of, this_host, this_machine
from studies.broker.sql import requeue_dead
from studies.connection.outage import connection_broke, not_waiting
from studies.storage import is_on_one_machine
from studies.study import Place

# Seconds after its last sign of life for which a session elsewhere counts as at work. A single
# look cannot see whether a sign changes, so its time counts, and clocks differ by minutes.
AT_WORK = 900.0
_SIGN = re.compile(sign_of("(.+)", r"(\d+)"))


@dataclass(frozen=True)
class Sessions:
    """The other sessions that work on a study.

    Attributes:
        here: How many on this machine.
        hosts: On how many other hosts there are some.
    """

    here: int = 0
    hosts: int = 0

    def __bool__(self) -> bool:
        return bool(self.here or self.hosts)

    def in_words(self) -> str:
        """Who they are, with the verb: "2 other hosts work on it"."""
        found = []
        if self.hosts:
            found.append(f"{self.hosts} other host{'s' if self.hosts > 1 else ''}")
        if self.here:
            found.append(f"{self.here} other search{'es' if self.here > 1 else ''} on this host")
        verb = "work" if len(found) > 1 or self.hosts + self.here > 1 else "works"
        return f"{' and '.join(found) or 'nobody else'} {verb} on it"


def others_at_work(study: Study) -> Sessions:
    """Who besides this process seems to work on a study.

    A session counts that gave a sign of life not long ago, and one that runs a trial unless it is
    known to be gone.
    """
    signs, here = study.user_attrs, this_machine() or this_host()
    known = {(m[1], int(m[2])): signs[name] for name in signs if (m := _SIGN.fullmatch(name))}
    live = {session for session, last in known.items() if _lives(*session, last, here)}
    one_machine = is_on_one_machine(study)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        owner = owner_of(trial)
        if owner is not None and _runs(owner, known, one_machine):
            live.add((owner.machine or owner.host, owner.session))
    live.discard((here, os.getpid()))
    elsewhere = {place for place, _ in live if place != here}
    return Sessions(sum(place == here for place, _ in live), len(elsewhere))


def leave(study: Study, place: Place) -> None:
    """Enqueue again what the ended workers of this session were running.

    Where nothing can be written, the next session does it.
    """
    try:
        with not_waiting(), place.lock():
            requeue_dead(study, Observer(study))
    except Exception as error:
        if not (is_full_disk(error) or connection_broke(error)):
            raise


def _lives(place: str, pid: int, last: float, here: str) -> bool:
    if not last:  # The session said that it ends.
        return False
    if place != here:
        return time.time() - last < AT_WORK
    try:
        # A process that began after the sign is another one.
        return psutil.Process(pid).create_time() <= last
    except psutil.NoSuchProcess:
        return False


def _runs(owner: Owner, known: dict[tuple[str, int], float], one_machine: bool) -> bool:
    """Whether a trial's owner may be at it; one that gives signs of life is judged by them."""
    if owner.is_here:
        return not owner.is_dead()
    session = (owner.machine or owner.host, owner.session)
    return session not in known and not owner.is_dead(one_machine=one_machine)
