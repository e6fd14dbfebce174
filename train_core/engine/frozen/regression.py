"""Multinomial logistic regression with an L2 penalty: the last layer on features that stay."""

from dataclasses import dataclass

import torch
from torch import Tensor

from train_core.device import has_float64

_STEPS = 200  # Of L-BFGS, at most.
_SMALL_STEP = 1e-7  # In loss or in any coordinate: no accuracy notices anything below.
_SMALL_GRADIENT = 1e-6
_FLAT = 1e-5  # Deviation, as a share of the mean, up to which a feature is only rounding.


@dataclass(frozen=True)
class LinearHead:
    """`weight` `(classes, F)` and `bias` `(classes,)`, float32, for features as they are."""

    weight: Tensor
    bias: Tensor

    def logits(self, features: Tensor) -> Tensor:
        """`(N, classes)` of features `(N, F)`."""
        return features @ self.weight.T + self.bias


@torch.no_grad()
def fit_head(
    features: Tensor, labels: Tensor, classes: int, l2: float, weights: Tensor | None = None
) -> LinearHead:
    """The head that minimises mean cross-entropy + l2 / 2 * (sum of its squared weights).

    The features are standardised first, and the result is for them as they were. Up to the number
    of threads, the same arguments give the same bits. It is scikit-learn's `LogisticRegression`
    with C = 1 / (l2 N) on standardised features.

    L-BFGS with strong Wolfe conditions (Nocedal and Wright, 2006) works in coordinates in which
    the loss bends alike in all directions where all classes are as likely: that takes some tens
    of steps where plain features, which are much alike, take hundreds.

    Args:
        features: `(N, F)` float32.
        labels: `(N,)` int64, in [0, classes).
        classes: How many there are.
        l2: Above 0; the bias is not penalised.
        weights: `(N,)`, how much each example counts, of any sum; None = all alike.
    """
    total = float(len(labels) if weights is None else weights.sum())
    shares = features.new_full((len(labels),), 1 / total) if weights is None else weights / total
    mean = shares @ features
    std = (shares @ (features - mean).square()).sqrt()
    scale = torch.where(std > _FLAT * mean.abs(), 1 / std, torch.zeros_like(std))
    plain = (features - mean).mul_(scale)
    weight, bias = _solve_short(plain, labels, shares, classes, l2)
    weight = weight * scale
    return LinearHead(weight, bias - weight @ mean)


def _solve_short(
    plain: Tensor, labels: Tensor, shares: Tensor, classes: int, l2: float
) -> tuple[Tensor, Tensor]:
    """What `_solve` finds, in as many dimensions as the examples span, where they are few."""
    if len(plain) >= plain.shape[1]:
        return _solve(plain, labels, shares, classes, l2)
    # The best weights are sums of examples, and turning everything changes no length.
    turned, short = torch.linalg.qr(plain.T)
    weight, bias = _solve(short.T.contiguous(), labels, shares, classes, l2)
    return weight @ turned.T, bias


def _solve(
    plain: Tensor, labels: Tensor, shares: Tensor, classes: int, l2: float
) -> tuple[Tensor, Tensor]:
    """Weights `(classes, F)` and biases `(classes,)` of standardised features."""
    count = plain.shape[1]
    exact = torch.float64 if has_float64(plain.device) else torch.float32
    root = torch.linalg.cholesky(_bend(plain, shares, classes, l2).to(exact))
    point = torch.zeros(classes, count + 1, dtype=exact, device=plain.device)
    point.requires_grad_(True)
    slope = point.grad = torch.zeros_like(point)
    search = torch.optim.LBFGS(
        [point], max_iter=_STEPS, max_eval=2 * _STEPS, tolerance_grad=_SMALL_GRADIENT,
        tolerance_change=_SMALL_STEP, history_size=20, line_search_fn="strong_wolfe",
    )  # fmt: skip

    def weights_and_biases() -> tuple[Tensor, Tensor]:
        moved = torch.linalg.solve_triangular(root, point[:, :-1], upper=False, left=False)
        return moved, point[:, -1]

    def loss() -> Tensor:
        weight, bias = weights_and_biases()
        scores = torch.addmm(bias.to(plain.dtype), plain, weight.T.to(plain.dtype))
        logs = scores.log_softmax(1)
        value = -(shares * logs.gather(1, labels[:, None])[:, 0]).sum(dtype=exact)
        error = logs.exp_()
        error[torch.arange(len(labels), device=labels.device), labels] -= 1
        error.mul_(shares[:, None])
        gradient = (error.T @ plain).to(exact) + l2 * weight
        moved = torch.linalg.solve_triangular(root.T, gradient, upper=True, left=False)
        slope[:, :-1].copy_(moved)
        slope[:, -1].copy_(error.sum(0, dtype=exact))
        return value + l2 / 2 * weight.square().sum()

    search.step(loss)
    weight, bias = weights_and_biases()
    return weight.to(plain.dtype), bias.to(plain.dtype)


def _bend(plain: Tensor, shares: Tensor, classes: int, l2: float) -> Tensor:
    """`(F, F)`: the second derivative in one class's weights where all classes are as likely."""
    likely = 1 / classes
    gram = (plain * (shares * likely * (1 - likely))[:, None]).T @ plain
    return gram + l2 * torch.eye(len(gram), device=gram.device)
