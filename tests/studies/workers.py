"""A worker of a search without a training, for tests to start, stop and kill."""

import os
import random
import sys
import time

from studies.attributes import CONFIG
from studies.broker import Ledger
from studies.config import StudyConfig
from studies.study import Place, work_on
from tests.studies.conftest import SPACE


def score(point: dict) -> float:
    """What a point is worth, the same for everybody."""
    return random.Random(repr(sorted(point.items()))).random()


def run_one(trial, study, pause: float = 0.0) -> dict:
    """Sample, report and finish one trial."""
    point = SPACE.sample(trial, {})
    trial.set_user_attr(CONFIG, {"point": point})
    for epoch in range(1, 4):
        trial.report(score(point) * epoch / 3, epoch)
        time.sleep(pause)
    study.tell(trial, score(point))
    return point


def work(place: Place, total: int, pause: float) -> None:
    """Run trials until there are enough."""
    study = work_on(place, StudyConfig(pruner="none"), SPACE, epochs=3)
    ledger = Ledger(study, place, total)
    while True:
        claim = ledger.claim()
        if claim.trial is not None:
            run_one(claim.trial, study, pause)
        elif claim.wait:
            time.sleep(0.05)
        else:
            return


def work_as(count: int, place: Place, total: int, pause: float) -> None:
    """Run trials in several processes, which all imported everything together."""
    children = []
    while len(children) < count - 1:
        if (child := os.fork()) == 0:
            work(place, total, pause)
            return
        children.append(child)
    work(place, total, pause)
    failed = [child for child in children if os.waitpid(child, 0)[1] != 0]
    assert not failed


if __name__ == "__main__":
    from pathlib import Path

    name, folder, storage, total = sys.argv[1:5]
    place = Place(name, Path(folder), storage or None)
    count, pause = int(os.environ.get("COUNT", 1)), float(os.environ.get("PAUSE", 0))
    work_as(count, place, int(total), pause)
