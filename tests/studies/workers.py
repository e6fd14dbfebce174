"""A worker of a search without a training, for tests to start, stop and kill."""

import os
import random
import sys
import time

from records.outcome import EpochRecord, Outcome, State
from studies.broker import Answer, Broker, Claim
from studies.broker.lasting import LastingBroker
from studies.broker.sql import SqlBroker
from studies.config import StudyConfig
from studies.study import Place, work_on
from tests.studies.conftest import SPACE

EPOCHS = 3


def broker_of(study, place: Place, total: int) -> SqlBroker:
    """A broker whose configs are the points, with an index and a number of epochs."""

    def config(point, index):
        return {"point": dict(point), "index": index, "epochs": EPOCHS}

    return SqlBroker(study, place, total, SPACE, {}, config)


def score(point: dict) -> float:
    """What a point is worth, the same for everybody."""
    return random.Random(repr(sorted(point.items()))).random()


def epoch(number: int, accuracy: float) -> EpochRecord:
    return EpochRecord(
        epoch=number, train_loss=1.0, train_accuracy=0.5, val_loss=1.0, val_accuracy=accuracy,
        lr=0.1, seconds=1.0, images=100,
    )  # fmt: skip


def ended(state: State = State.COMPLETE, *accuracies: float, **why) -> Outcome:
    history = [epoch(number, value) for number, value in enumerate(accuracies, 1)]
    return Outcome(state, tuple(history), **why)


def run_one(broker: Broker, claim: Claim, pause: float = 0.0) -> dict:
    """Report and finish one trial, unless it is lost."""
    point, history = claim.config["point"], []
    for number in range(1, EPOCHS + 1):
        history.append(epoch(number, score(point) * number / EPOCHS))
        if broker.report(claim, history[-1]) == Answer.LOST:
            break
        time.sleep(pause)
    broker.settle(claim, Outcome(State.COMPLETE, tuple(history)))
    return point


def work(place: Place, total: int, pause: float) -> None:
    """Run trials until there are enough."""
    study = work_on(place, StudyConfig(pruner="none"), SPACE, epochs=EPOCHS)
    broker = LastingBroker(broker_of(study, place, total))
    while True:
        claims = broker.claim(1)
        for claim in claims.trials:
            run_one(broker, claim, pause)
        if claims.wait:
            time.sleep(0.05)
        elif not claims.trials:
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
