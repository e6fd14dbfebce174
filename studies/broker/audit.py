"""`Audit`: some trials that the pruner would stop are finished, to know what pruning costs."""

from dataclasses import dataclass

from optuna.trial import Trial

from studies.algorithms import seed_for
from studies.attributes import AUDITED


@dataclass(frozen=True)
class Audit:
    """Which trials are audited: the same ones whenever and wherever they run.

    Attributes:
        share: Of all trials, in [0, 1].
        seed: The study's.
    """

    share: float = 0.0
    seed: int = 0

    def chooses(self, index: int) -> bool:
        """Whether the trial in this place of the search is audited."""
        return seed_for(self.seed, 6, index) < self.share * 2**31

    def finishes(self, trial: Trial, index: int, epoch: int) -> bool:
        """Whether a trial that the pruner would stop after this epoch goes on.

        The first such epoch is written on the trial.
        """
        if not self.chooses(index):
            return False
        if AUDITED not in trial.user_attrs:
            trial.set_user_attr(AUDITED, epoch)
        return True
