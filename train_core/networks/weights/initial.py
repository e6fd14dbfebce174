"""`InitialWeights`: a file's tensors by a network's names, checked against its shapes."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from torch import Tensor, tensor

from train_core.networks import TIMM, NetworkShape, build_network, find_network
from train_core.networks.weights.files import EMBEDDED, PRETRAINED, find_weights
from train_core.networks.weights.reading import MEAN, STD, read_tensors

_HEAD = "head."


@dataclass(frozen=True)
class InitialWeights:
    """What a training starts from.

    Attributes:
        tensors: By their names in the network's `state_dict()`; without the head's where that is
            a new one.
        mean: `(3,)` float32, of the pictures that the weights were trained on, black = 0, white =
            1; None = the file does not say, and nor does its network.
        std: As `mean`.
    """

    tensors: Mapping[str, Tensor]
    mean: Tensor | None
    std: Tensor | None


def initial_weights(
    shape: NetworkShape, weights: str, sha256: str | None
) -> InitialWeights | None:
    """What the keys `weights` and `weights_sha256` of `[training]` mean for a network.

    None for weights = "none". The head comes along where a local file has one of as many classes.

    Raises:
        ValueError: In one sentence: the file is not here, is another one, or does not fit.
    """
    if sha256 is None:
        # Of its content now, whatever was read from the same place before.
        file = find_weights(shape.network, weights)
        sha256 = None if file is None else file.facts.sha256
    return _read(shape, weights, sha256)


@lru_cache(maxsize=2)
def _read(shape: NetworkShape, weights: str, sha256: str | None) -> InitialWeights | None:
    file = find_weights(shape.network, weights, sha256)
    if file is None:
        return None
    try:
        tensors = read_tensors(file.path)
        mean, std = tensors.pop(MEAN, None), tensors.pop(STD, None)
        if weights == EMBEDDED:
            tensors = in_order(shape.network, tensors)
        fitted = _fitted(shape, tensors, weights)
    except ValueError as error:
        raise ValueError(f"weights of '{file.path}' cannot be used: {error}") from None
    published = find_network(shape.network).preprocessing
    if mean is None and published is not None:
        mean, std = tensor(published.mean), tensor(published.std)
    return InitialWeights(fitted, mean, std)


def in_order(network: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of another implementation of a timm model by timm's names: the first is the first.

    Raises:
        ValueError: They are not as many, or one has another shape.
    """
    import timm

    from train_core.networks.foreign.wrapped import seeded

    with seeded():
        model = timm.create_model(network.removeprefix(TIMM))
    own = {n: t for n, t in model.state_dict().items() if not n.endswith("num_batches_tracked")}
    if len(own) != len(tensors):
        raise ValueError(f"it must have {len(own)} tensors, but has {len(tensors)}")
    pairs = list(zip(own.items(), tensors.items(), strict=True))
    for (name, expected), (theirs, given) in pairs:
        _same_shape(theirs, given, expected, name)
    return {name: given for (name, _), (_, given) in pairs}


def _fitted(shape: NetworkShape, tensors: Mapping[str, Tensor], weights: str) -> dict[str, Tensor]:
    # Classes of those who trained them are not ours, were they as many.
    with_head = weights not in (PRETRAINED, EMBEDDED)
    own = build_network(shape).state_dict()
    # Some models of timm have a `body` themselves.
    ours = any(name in own for name in tensors if name.startswith("body."))
    if shape.network.startswith(TIMM) and not ours:
        from train_core.networks.foreign.timm_models import translated

        side, published = dict(shape.settings)["image_size"], weights == PRETRAINED
        tensors = translated(shape.network, side, tensors, published=published)
    heads = {name for name in own if name.startswith(_HEAD)}
    shapes = {name: tensors[name].shape for name in heads & tensors.keys()}
    if not with_head or shapes != {name: own[name].shape for name in heads}:
        tensors = {name: t for name, t in tensors.items() if not name.startswith(_HEAD)}
        own = {name: t for name, t in own.items() if name not in heads}
    for names, what in ((own.keys() - tensors.keys(), "lacks"), (tensors.keys() - own, "has")):
        if names:
            raise ValueError(
                f"for '{shape.network}' it {what} {len(names)} tensors that it should "
                f"{'have' if what == 'lacks' else 'not have'}, for instance '{min(names)}'"
            )
    for name, given in tensors.items():
        _same_shape(name, given, own[name], name)
    return {name: given.float() for name, given in tensors.items()}


def _same_shape(theirs: str, given: Tensor, expected: Tensor, ours: str) -> None:
    if given.shape != expected.shape:
        raise ValueError(
            f"'{theirs}' must have the shape {tuple(expected.shape)} of '{ours}', but has "
            f"{tuple(given.shape)}"
        )
