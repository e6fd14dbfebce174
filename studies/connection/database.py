"""Optuna's storage in a database that others run: every call waits until the database answers."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import TrialState
from sqlalchemy.engine import make_url

from studies.connection.outage import connection_broke, wait_out, watch_connections

# What Optuna's cache calls besides the public methods.
_BEHIND_CACHE = ("_create_new_trial", "_get_best_trial_id", "_get_trials", "_set_trial_param")


class LastingStorage(RDBStorage):
    """One that has answered, and is waited for when it is away.

    A call may then be done twice. Of two new trials nobody signs for one, so the broker takes it
    for that of a dead worker; all other calls do the same again.
    """

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        self.name = make_url(url).render_as_string(hide_password=True)
        watch_connections(self.engine)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """As in Optuna; what the call before has done already is done."""

        def once() -> bool:
            return super(LastingStorage, self).set_trial_state_values(trial_id, state, values)

        def again() -> bool:
            trial = self.get_trial(trial_id)
            same = values is None or trial.values == list(values)
            return (state.is_finished() and trial.state == state and same) or once()

        return wait_out(self.name, once, connection_broke, again)


def _lasting(operation: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(operation)
    def waiting(self: LastingStorage, *args: Any, **options: Any) -> Any:
        return wait_out(self.name, lambda: operation(self, *args, **options), connection_broke)

    return waiting


for _name in {*BaseStorage.__abstractmethods__, *_BEHIND_CACHE} - {"set_trial_state_values"}:
    setattr(LastingStorage, _name, _lasting(getattr(RDBStorage, _name)))
