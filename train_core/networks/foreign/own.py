"""The user's own network: `package.module:build`.

`build(classes=..., image_size=...)` returns an `nn.Module` with initial weights from torch's
default generator, and

- `features(images)`: the embedding `(B, F)` of normalised images `(B, 3, H, W)`,
- `head`: the last layer, `nn.Linear(F, classes)`, which `features` does not use,
- `stages`, if it likes: its modules from the pixels to the embedding, for fine-tuning,
- `maps(images)`, if it likes: `(B, F, h, w)`, whose mean over its places is the embedding, so that
  predictions can be explained.

Its state is float32, and it has no dropout of its own. A `Classifier` is taken as it is. The
module is imported as Python finds it: from the folder of the command, or installed.
"""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from torch import Tensor, nn

from train_core.networks import NetworkSpec
from train_core.networks.base import Classifier
from train_core.networks.foreign.wrapped import Parts, Wrapped


def spec_of(network: str) -> NetworkSpec:
    """What `package.module:build` registers; ValueError if there is no such function."""
    module, _, name = network.partition(":")
    try:
        builder = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"network must be a function that can be imported, but '{network}' cannot: {error}"
        ) from None
    return NetworkSpec(("image_size",), partial(_build, network, builder))


def _build(network: str, builder: Callable[..., Any], image_size: int, classes: int) -> Classifier:
    built = builder(classes=classes, image_size=image_size)
    if isinstance(built, Classifier):
        return built
    make = partial(_make, network, builder, image_size, classes)
    return Wrapped(make, _embed, _stages, _mapped if hasattr(built, "maps") else None)


def _make(network: str, builder: Callable[..., Any], image_size: int, classes: int) -> Parts:
    body = builder(classes=classes, image_size=image_size)
    head = getattr(body, "head", None)
    if not (isinstance(body, nn.Module) and callable(getattr(body, "features", None))):
        raise ValueError(
            f"'{network}' must return an nn.Module with a method features(images), but returned "
            f"{type(body).__name__}"
        )
    if not isinstance(head, nn.Linear) or head.out_features != classes:
        raise ValueError(
            f"the module of '{network}' must have a head, nn.Linear(features, {classes}), but it "
            f"is {head}"
        )
    body.head = nn.Identity()
    return body, head


def _embed(body: Any, images: Tensor) -> Tensor:
    features: Tensor = body.features(images)
    return features


def _mapped(body: Any, images: Tensor) -> tuple[Tensor, Tensor | None]:
    maps: Tensor = body.maps(images)
    return maps.mean((2, 3)), maps


def _stages(body: nn.Module) -> list[list[nn.Parameter]]:
    """Its own stages; what belongs to none is with the first, or all is one."""
    stages = [list(stage.parameters()) for stage in getattr(body, "stages", [])] or [[]]
    known = {parameter for stage in stages for parameter in stage}
    stages[0] = [*(p for p in body.parameters() if p not in known), *stages[0]]
    return stages
