"""Any classification model of timm as a network: `timm/NAME`, or `timm/NAME.TAG`.

Its classifier is replaced by a linear layer for the classes at hand, its stochastic depth
(`drop_path_rate`) by `DropPath`, and its `drop_rate` is the dropout before the last layer.
"""

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import timm
import torch
import torch.nn.functional as F
from timm.layers.drop import DropPath as TimmDropPath
from timm.models import PretrainedCfg, group_parameters
from torch import Tensor, nn

from records.toml import did_you_mean
from train_core.networks import TIMM, NetworkSpec, Preprocessing
from train_core.networks.base import Classifier, DropPath
from train_core.networks.foreign.wrapped import Parts, Wrapped, seeded

# Any rate above 0 makes timm place the layers, whose rates are shares of it.
_RATE = 0.5


@cache
def spec_of(network: str) -> NetworkSpec:
    """What `timm/NAME` registers; ValueError if timm has no such model."""
    published = pretrained_cfg(network)
    (red, green, blue), (red_std, green_std, blue_std) = published.mean, published.std
    preprocessing = Preprocessing(
        mean=(red, green, blue),
        std=(red_std, green_std, blue_std),
        interpolation=published.interpolation,
        crop=published.crop_pct,
        side=published.input_size[-1],
    )
    return NetworkSpec(("image_size", "levels"), partial(_build, network), preprocessing)


def pretrained_cfg(network: str) -> PretrainedCfg:
    """What timm knows of a model's published weights; ValueError if it has no such model."""
    name = network.removeprefix(TIMM)
    model, _, tag = name.partition(".")
    if not timm.is_model(model):
        hint = did_you_mean(model, timm.list_models())
        raise ValueError(
            f"network must name a model of timm {timm.__version__}, but got '{network}': "
            f"{hint}`timm.list_models()` lists them"
        )
    tags = timm.list_models(f"{model}.*", pretrained=True)
    if tag and name not in tags:
        known = ", ".join(tagged.partition(".")[2] for tagged in tags)
        raise ValueError(
            f"network must name weights of timm's {model}, which are {known or 'none'}, but got "
            f"'{network}'"
        )
    return timm.get_pretrained_cfg(name) or PretrainedCfg()


def create(network: str, image_size: int, **options: Any) -> nn.Module:
    """The model without its last layer: `(B, features)` from normalised images."""
    if pretrained_cfg(network).fixed_input_size:
        options["img_size"] = image_size
    model = partial(timm.create_model, network.removeprefix(TIMM), num_classes=0, **options)
    body = _without_unknown(model, {"drop_rate": 0.0, "drop_path_rate": _RATE})
    for module in [*body.modules()]:
        for name, child in module.named_children():
            if isinstance(child, TimmDropPath):
                share = child.drop_prob / _RATE
                setattr(module, name, DropPath(share) if share else nn.Identity())
    return body


def _without_unknown(model: Callable[..., nn.Module], rates: Mapping[str, float]) -> nn.Module:
    """The model with these rates, of which it may not know some."""
    try:
        return model(**rates)
    except TypeError as error:
        known = {name: rate for name, rate in rates.items() if f"'{name}'" not in str(error)}
        if len(known) == len(rates):
            raise
        return _without_unknown(model, known)


def translated(
    network: str, image_size: int, tensors: Mapping[str, Tensor], *, published: bool
) -> dict[str, Tensor]:
    """A state dict with timm's names by those of `Wrapped`, as timm itself would load it.

    Position embeddings are brought to the image size, and names of older versions to today's. The
    head's tensors are left as they are.

    Args:
        network: `timm/NAME`.
        image_size: Height and width of the images in pixels.
        tensors: By timm's names.
        published: Whether they are those that timm publishes for this model, of which its own
            code may leave some out; any others must fit exactly.

    Raises:
        ValueError: In one sentence, if it does not fit the model.
    """
    classifier = str(pretrained_cfg(network).classifier)
    overlay: dict[str, Any] = {"state_dict": dict(tensors), "custom_load": False}
    if not published:
        # As many classes as the model that it is loaded into: then timm is strict.
        overlay["num_classes"] = 0
        body_only = {n: t for n, t in tensors.items() if not n.startswith(f"{classifier}.")}
        overlay["state_dict"] = body_only
    try:
        with seeded():
            body = create(network, image_size, pretrained=True, pretrained_cfg_overlay=overlay)
    except (RuntimeError, KeyError, AttributeError, TypeError) as error:
        # From the first key that is wrong on; what comes before names classes of timm.
        reason = " ".join(str(error).split()).partition(": ")[2] or str(error)
        raise ValueError(f"it does not fit '{network}': {reason[:200]}") from None
    state = {f"body.{name}": tensor for name, tensor in body.state_dict().items()}
    for part in ("weight", "bias"):
        if f"{classifier}.{part}" in tensors:
            state[f"head.{part}"] = tensors[f"{classifier}.{part}"]
    return {n: t for n, t in state.items() if not n.endswith("num_batches_tracked")}


def _build(network: str, image_size: int, classes: int, levels: int = 0) -> Classifier:
    make = partial(_make, network, image_size, classes, levels)
    return Wrapped(make, partial(_embed, levels), _stages, partial(_mapped, levels))


def _make(network: str, image_size: int, classes: int, levels: int) -> Parts:
    body: Any = create(network, image_size)
    width: int = getattr(body, "head_hidden_size", body.num_features)
    return body, nn.Linear(width + sum(_level_widths(body, levels)), classes)


def _level_widths(body: Any, levels: int) -> list[int]:
    """Channels of so many last stages, the last one first, as far as the model offers them."""
    offered = body.feature_info if hasattr(body, "forward_intermediates") else []
    return [int(stage["num_chs"]) for stage in offered][::-1][:levels]


def _embed(levels: int, body: nn.Module, images: Tensor) -> Tensor:
    """What the model gives, then the means of the stages' maps, the last one first."""
    return _with_levels(levels, body, images)[0]


def _mapped(levels: int, body: Any, images: Tensor) -> tuple[Tensor, Tensor | None]:
    """A transformer has tokens and no map; what else is pooled in between shows in the numbers.

    Maps of earlier stages, which are larger, become means over the places of the last one.
    """
    features, last, maps = _with_levels(levels, body, images)
    if last.ndim != 4:
        return features, None
    height, width = last.shape[2:]
    if any(m.shape[2] % height or m.shape[3] % width for m in maps):
        return features, None
    fitted = [F.avg_pool2d(m, (m.shape[2] // height, m.shape[3] // width)) for m in maps]
    return features, torch.cat([last, *fitted], 1)


def _with_levels(levels: int, body: Any, images: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
    """What `_embed` returns, what comes before the pool, and `(B, C, h, w)` of each stage."""
    if not (count := len(_level_widths(body, levels))):
        last = body.forward_features(images)
        return body.forward_head(last), last, []
    last, maps = body.forward_intermediates(images, indices=count, output_fmt="NCHW")
    means = [m.mean((2, 3)) for m in maps[::-1]]
    return torch.cat([body.forward_head(last), *means], 1), last, maps[::-1]


def _stages(body: nn.Module) -> list[list[nn.Parameter]]:
    model: Any = body
    grouped = group_parameters(body, model.group_matcher(coarse=True))
    parameters = dict(body.named_parameters())
    return [[parameters[name] for name in names] for _, names in sorted(grouped.items())]
