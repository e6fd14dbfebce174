"""Signs of life across hosts: a session writes one now and then, others see when it stopped."""

import os
import time
from collections.abc import Mapping
from typing import Any

from optuna.study import Study

from studies.attributes import Owner, this_host

EVERY = 30.0
"""Seconds between two signs of life."""

GRACE = 300.0
"""Seconds without one after which a session on another host is taken for gone; clocks of hosts
that share a study must not differ by more."""


class Heartbeat:
    """The signs of life of this process and of the workers that it starts.

    Args:
        study: Where they are written.
    """

    def __init__(self, study: Study) -> None:
        """Write nothing yet."""
        self._study, self._last = study, -EVERY

    def beat(self) -> None:
        """Write one, if the last is long enough ago; call it often."""
        if time.monotonic() - self._last >= EVERY:
            self._study.set_user_attr(_key(this_host(), os.getpid()), time.time())
            self._last = time.monotonic()


def is_gone(owner: Owner, signs: Mapping[str, Any]) -> bool:
    """Whether a trial's owner is known to be gone.

    Args:
        owner: The process that runs the trial.
        signs: The study's attributes. Of a session on another host that never gave a sign,
            nothing is known.
    """
    if owner.host == this_host():
        return owner.is_dead()
    last = signs.get(_key(owner.host, owner.session))
    return last is not None and time.time() - last > GRACE


def _key(host: str, session: int) -> str:
    return f"alive:{host}:{session}"
