"""The last layer on features that stay, held against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from train_core.engine.frozen.regression import fit_head


def examples(count: int, features: int, classes: int = 4, seed: int = 0):
    """Features that are much alike, as a backbone's are, of classes that overlap."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (count,), generator=random)
    centres = torch.randn(classes, 8, generator=random)
    inner = centres[labels] + torch.randn(count, 8, generator=random)
    mixed = inner @ torch.randn(8, features, generator=random)
    return (mixed + 0.2 * torch.randn(count, features, generator=random)).relu() * 3 + 1, labels


def sklearn_probabilities(features, labels, l2: float, weights=None) -> np.ndarray:
    scaler = StandardScaler().fit(features.numpy(), sample_weight=weights)
    plain = scaler.transform(features.numpy().astype(np.float64))
    total = len(labels) if weights is None else weights.sum()
    model = LogisticRegression(C=1 / (l2 * total), tol=1e-9, max_iter=10_000)
    return model.fit(plain, labels.numpy(), sample_weight=weights).predict_proba(plain)


@pytest.mark.parametrize("l2", [1e-3, 1e-1, 10.0])
@pytest.mark.parametrize(("count", "features"), [(300, 20), (40, 90)], ids=["tall", "wide"])
def test_the_optimum_is_that_of_scikit_learn(count, features, l2) -> None:
    given, labels = examples(count, features)
    head = fit_head(given, labels, 4, l2)
    found = head.logits(given).softmax(1).numpy()
    assert found == pytest.approx(sklearn_probabilities(given, labels, l2), abs=2e-3)


def test_examples_count_as_much_as_their_weights_say() -> None:
    given, labels = examples(200, 20)
    weights = np.random.default_rng(0).uniform(0.1, 3, 200)
    head = fit_head(given, labels, 4, 1e-2, torch.from_numpy(weights).float())
    expected = sklearn_probabilities(given, labels, 1e-2, weights)
    assert head.logits(given).softmax(1).numpy() == pytest.approx(expected, abs=2e-3)


def test_features_without_variance_and_absent_classes_do_no_harm() -> None:
    given, labels = examples(60, 20)
    given[:, 3], labels = 7.0, labels.clamp(max=2)
    head = fit_head(given, labels, 4, 1e-2)
    assert head.weight.isfinite().all()
    assert not head.weight[:, 3].any()
    assert head.logits(given).argmax(1).max() <= 2


def test_the_same_examples_give_the_same_bits() -> None:
    given, labels = examples(300, 40)
    first, second = (fit_head(given.clone(), labels, 4, 1e-4) for _ in range(2))
    assert torch.equal(first.weight, second.weight)
    assert torch.equal(first.bias, second.bias)
