"""Trainings on folds: what is held out, how results are joined, and what a kill costs."""

import numpy as np
import pytest
import torch

from tests.conftest import CPU
from train_core.checkpoint import Checkpoint
from train_core.config import TrainConfig
from train_core.data.config import DataConfig
from train_core.data.prepare import load_part, prepare
from train_core.engine import Folds
from train_core.fit import fit, fit_folds
from train_core.images.folds import load_folds

SMALL = TrainConfig(width=4, epochs=2, batch_size=16, lr=10.0, augment=0.4, dropout=0.3)


@pytest.fixture
def prepared(image_folder, tmp_path):
    return prepare(_config(image_folder, tmp_path))


def _config(image_folder, tmp_path, **changes) -> DataConfig:
    root = str(tmp_path / "data")
    return DataConfig(dataset=str(image_folder), root=root, image_size=16, **changes)


@pytest.fixture
def in_three(prepared, image_folder, tmp_path):
    """Makes the same three folds again and again, or those of another seed."""

    def make(**changes):
        config = _config(image_folder, tmp_path, folds=3, **changes)
        return Folds(load_folds(prepared, config, CPU))

    return make


def facts(records):
    return [record.model_dump(exclude={"seconds"}) for record in records]


def test_a_fold_holds_its_own_images_and_shares_their_memory(in_three, prepared) -> None:
    folds, whole = in_three(), load_part(prepared, "train")
    assert sorted(np.concatenate(folds.held_out)) == list(range(60))
    storages = set()
    for pool, rows in zip(folds.pools, folds.held_out, strict=True):
        data = pool.data
        assert data.validation is not None
        assert np.array_equal(data.validation.images.numpy(), whole.images[rows])
        assert np.array_equal(data.validation.labels.numpy(), whole.labels[rows])
        others = np.delete(whole.images, rows, axis=0)
        mine = sorted(image.tobytes() for image in data.train.images.numpy())
        assert mine == sorted(image.tobytes() for image in others)
        storages |= {p.images.untyped_storage().data_ptr() for p in (data.train, data.validation)}
    assert len(storages) == 1


def test_every_fold_is_trained_and_the_result_is_their_mean(in_three) -> None:
    folds = in_three()
    records = list(fit_folds(SMALL, folds))
    assert [(r.epoch, r.fold) for r in records] == [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (6, 3)]
    alone = [list(fit(SMALL, pool.data)) for pool in in_three().pools]
    ends = [r.fold_score for r in records]
    assert ends == [None, alone[0][1].score, None, alone[1][1].score, None, alone[2][1].score]
    own = [r.val_accuracy for one in alone for r in one]
    assert [r.val_accuracy for r in records[:-1]] == own[:-1]
    assert records[-1].val_accuracy == pytest.approx(np.mean(own[1::2]))
    assert records[-1].val_loss == pytest.approx(np.mean([one[1].val_loss for one in alone]))


def test_one_fold_is_the_usual_training(prepared, image_folder, tmp_path) -> None:
    one = Folds(load_folds(prepared, _config(image_folder, tmp_path), CPU))
    assert facts(fit_folds(SMALL, one)) == facts(fit(SMALL, one.pools[0].data))


@pytest.mark.parametrize("after", [1, 2, 3, 6])
def test_a_killed_training_loses_no_fold(in_three, tmp_path, after) -> None:
    whole = list(fit_folds(SMALL, in_three()))
    path = tmp_path / "checkpoints" / "trial"
    training = fit_folds(SMALL, in_three(), Checkpoint(path, every=0.0))
    for _ in range(after):
        next(training)
    folds = in_three()
    begun = [pool for pool in folds.pools if pool.shapes]
    again = []
    for record in fit_folds(SMALL, folds, Checkpoint(path, every=0.0)):
        again.append(record)
        begun += [pool for pool in folds.pools if pool.shapes and pool not in begun]
    assert facts(again) == facts(whole)
    finished = (after - 1) // 2
    assert begun == folds.pools[finished:]


@pytest.mark.parametrize("other", [{"fold_seed": 7}, {"split_seed": 7}])
def test_a_checkpoint_of_other_folds_is_none(in_three, tmp_path, other) -> None:
    path = tmp_path / "trial"
    training = fit_folds(SMALL, in_three(), Checkpoint(path, every=0.0))
    for _ in range(3):
        next(training)
    expected = facts(fit_folds(SMALL, in_three(**other)))
    assert facts(fit_folds(SMALL, in_three(**other), Checkpoint(path))) == expected


def test_only_the_fold_in_training_has_buffers_and_says_so(in_three) -> None:
    folds = in_three()
    for record in fit_folds(SMALL, folds):
        assert folds.trained == record.fold
        assert [bool(pool.shapes) for pool in folds.pools] == [k == record.fold for k in (1, 2, 3)]
    engine = folds.pools[2].engine(SMALL)
    assert torch.isfinite(engine.average.head.weight).all()
