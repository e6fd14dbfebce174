"""How many validation images the middle epochs need: does a part of them say what all say?

    python -m benchmarks.middle_scores [--dataset FOLDER] [--trials 24] [--images 10000]

Random points of the default space are trained to the end, each epoch scored on all validation
images. Of the same answers every 2nd, 4th and 8th is then taken alone, and for each epoch
compared: the rank correlation (Spearman) with the accuracy that the search goes by in the end
(last epoch, all images), and how many of the trials lie on the same side of the epoch's median,
which is what median pruning asks.
"""

import argparse
import sys

import numpy as np
import optuna
import torch
from scipy.stats import spearmanr

from benchmarks.machine import head
from search.config import SearchConfig, SpaceConfig
from search.plan import Plan, settle
from train_core import TrainingStopped
from train_core.data.config import DataConfig
from train_core.data.prepare import prepare
from train_core.device import keep_freed_memory, pick_device
from train_core.engine import EnginePool
from train_core.fit import fit
from train_core.images import load_training_data
from train_core.model import logits_of

_EVERY = (1, 2, 4, 8)


def main() -> None:
    """Train, then compare."""
    options = _options()
    keep_freed_memory()
    data = DataConfig(dataset=options.dataset, train_size=options.images, split_seed=0)
    config = SearchConfig(
        data=data, training={"epochs": options.epochs}, space=SpaceConfig(name=options.space)
    )
    plan = settle(config, prepare(data), "cpu")
    engines = EnginePool(load_training_data(plan.data, plan.config.data, pick_device()))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    hits: list[np.ndarray] = []
    while len(hits) < options.trials:
        trial = study.ask()
        try:
            hits.append(_hits(plan, trial, engines))
        except TrainingStopped as early:
            print(f"trial {trial.number}: {early}", file=sys.stderr)
            continue
        print(f"trial {trial.number}: {hits[-1][-1].mean():.2%}", file=sys.stderr, flush=True)
    print(head())
    print(f"{plan.train_count:,} training and {plan.validation_count:,} validation images")
    print(f"n = {len(hits)} random points, {options.epochs} epochs")
    _report(np.stack(hits))


def _hits(plan: Plan, trial: optuna.Trial, engines: EnginePool) -> np.ndarray:
    """`(epochs, N)` bool: which validation images were classified rightly after each epoch."""
    config = plan.trial_config(plan.space.sample(trial, plan.fixed), trial.number)
    held_out = engines.data.validation
    assert held_out is not None
    hits = []
    for _ in fit(config, engines.data, engines):
        engine = engines.engine(config)
        said = logits_of(
            engine.average, held_out.images, engines.data.normalisation, engine.shape.dtype
        )
        hits.append((torch.cat(list(said)).argmax(1) == held_out.labels).cpu().numpy())
    return np.stack(hits)


def _report(hits: np.ndarray) -> None:
    """One line per epoch and share of the images; `hits` is `(trials, epochs, N)` bool."""
    final = hits[:, -1].mean(-1)
    print("epoch  images  rank correlation with the end  same side of the median  mean distance")
    for epoch in range(hits.shape[1]):
        whole = hits[:, epoch].mean(-1)
        for every in _EVERY:
            part = hits[:, epoch, ::every].mean(-1)
            agreeing = ((part < np.median(part)) == (whole < np.median(whole))).mean()
            apart = 100 * np.abs(part - whole).mean()
            rank = spearmanr(part, final).statistic
            count = hits[:, epoch, ::every].shape[-1]
            print(
                f"{epoch + 1:5}  {count:6,}  {rank:29.3f}  {agreeing:23.0%}  {apart:6.2f} points"
            )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--dataset", default="cifar10", help="a data set or a folder [cifar10]")
    parser.add_argument("--trials", type=int, default=24, help="trainings to the end [24]")
    parser.add_argument("--images", type=int, default=10_000, help="to learn from [10000]")
    parser.add_argument("--epochs", type=int, default=6, help="of every training [6]")
    parser.add_argument("--space", default="default", help="what to draw from [default]")
    return parser.parse_args()


if __name__ == "__main__":
    main()
