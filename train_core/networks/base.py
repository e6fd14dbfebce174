"""What every network offers to training, evaluation and export, and the layers it is made with.

A network is a backbone and a `head`. Fine-tuning sees the three apart: `features(images)` is the
backbone's embedding, `head` the last layer, and `stage_parameters()` the backbone's parameters in
stages, from the pixels to the embedding, for layer-wise learning rates and for freezing the first
of them.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BatchNorm(nn.Module):
    """`nn.BatchNorm2d` without a step count."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, momentum: float = 0.1) -> None:
        super().__init__()
        self.momentum = momentum
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    @torch.no_grad()
    def reset(self) -> None:
        """Go back to the identity, in place."""
        self.weight.fill_(1.0)
        self.running_var.fill_(1.0)
        self.bias.zero_()
        self.running_mean.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """Normalise by the batch in training, by the running statistics otherwise."""
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.training,
            self.momentum, 1e-5,
        )  # fmt: skip


class Dropout(nn.Module):
    """Dropout of single features, with a rate that is a tensor on the device.

    The random numbers are drawn before the pass that uses them, since a compiled pass can draw
    from torch's default generator only.

    Attributes:
        rate: 0-d, share of the features that is zeroed, in [0, 1); set it with `rate.fill_()`.
        noise: `(B, features)`, uniform in [0, 1).
    """

    rate: Tensor
    noise: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        # Not persistent, so that `FlatState` does not average or save them.
        self.register_buffer("rate", torch.zeros((), dtype=torch.float64), persistent=False)
        self.register_buffer("noise", torch.zeros(0, features), persistent=False)

    def expect(self, batch_size: int) -> None:
        """Allocate the noise for batches of this size."""
        self.noise = self.noise.new_zeros(batch_size, self.noise.shape[1])

    def draw(self, generator: torch.Generator) -> None:
        """Draw the noise for the next training pass."""
        self.noise.uniform_(generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """Zero features of `(B, features)` in training and scale up the rest."""
        if not self.training:
            return x
        # Other training loops than the engine's call neither `expect` nor `draw`.
        noise = self.noise if len(self.noise) == len(x) else torch.rand_like(x)
        return x * (noise >= self.rate).to(x.dtype) / (1 - self.rate).to(x.dtype)


class DropPath(nn.Module):
    """Stochastic depth (Huang et al., 2016): zeroes a residual branch for single images.

    The random numbers are drawn before the pass that uses them, as `Dropout`'s are.

    Attributes:
        share: The branch's part of `rate`, in (0, 1]: deeper branches are zeroed more often.
        rate: 0-d, share of the images for which the deepest branch is zeroed, in [0, 1).
        noise: `(B,)`, uniform in [0, 1).
    """

    rate: Tensor
    noise: Tensor

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.register_buffer("rate", torch.zeros((), dtype=torch.float64), persistent=False)
        self.register_buffer("noise", torch.zeros(0), persistent=False)

    def expect(self, batch_size: int) -> None:
        """Allocate the noise for batches of this size."""
        self.noise = self.noise.new_zeros(batch_size)

    def draw(self, generator: torch.Generator) -> None:
        """Draw the noise for the next training pass."""
        self.noise.uniform_(generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """Zero some images of `(B, ...)` in training and scale up the rest.

        Parts of images may stand for them, image by image: `(B * parts, ...)`.
        """
        if not self.training:
            return x
        noise = self.noise if len(self.noise) else torch.rand(len(x), device=x.device)
        if len(noise) != len(x):
            noise = noise.repeat_interleave(len(x) // len(noise))
        rate = self.share * self.rate
        kept = (noise >= rate).to(x.dtype) / (1 - rate).to(x.dtype)
        return x * kept.view(-1, *[1] * (x.ndim - 1))


class Classifier(nn.Module, ABC):
    """Normalised images in, logits out, with dropout before the last layer."""

    dropout: Dropout
    head: nn.Linear
    _random_layers: "list[Dropout | DropPath]"

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """The embedding before dropout and the last layer, `(B, features)`.

        The images are `(B, 3, H, W)`, normalised, channels_last.
        """

    def features_and_map(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """The embedding, and a map `(B, features, h, w)` whose mean over its places it is.

        The map is None if the network has none.
        """
        return self.features(images), None

    def logits(self, features: Tensor) -> Tensor:
        """`(B, classes)` from `(B, features)`, by a linear layer."""
        scores: Tensor = self.head(features)
        return scores

    def activation(self, maps: Tensor) -> Tensor:
        """What each place of a map adds to the logits, `(B, classes, h, w)`.

        The class-activation map of Zhou et al., 2016, with the bias at every place: its mean over
        the places is the logits.
        """
        scores = self.logits(maps.flatten(2).transpose(1, 2))
        activation: Tensor = scores.transpose(1, 2).unflatten(2, maps.shape[2:])
        return activation

    @abstractmethod
    def reset(self, generator: torch.Generator, filters: Tensor) -> None:
        """Draw new initial weights, in place.

        Args:
            generator: On the CPU, so that a seed means the same weights on every device.
            filters: `(24, 3, 2, 2)`, the whitening filters of the data set; a network that has
                no use for them ignores them.
        """

    def stage_parameters(self) -> list[list[nn.Parameter]]:
        """All parameters but the head's, each once, in stages from the pixels to the embedding.

        What comes before the first block (a stem) is in the first stage, what follows the last
        one (a norm) in the last.
        """
        head = set(self.head.parameters())
        return [[p for p in self.parameters() if p not in head]]

    def freeze(self, stages: int) -> None:
        """Leave the batch statistics and the first stages of the backbone as they are.

        Frozen stages have no gradients. Where there are no more stages than that, the whole
        backbone is left. Statistics of small augmented batches are not those of the pictures that
        the weights are good at: following them costs more accuracy than learning brings.
        """
        for stage in self.stage_parameters()[:stages]:
            for parameter in stage:
                parameter.requires_grad_(False)
        for module in self.modules():
            own = list(module.parameters())
            left = own and not any(parameter.requires_grad for parameter in own)
            if left or isinstance(module, BatchNorm | nn.modules.batchnorm._BatchNorm):
                module.eval()

    def learning_shares(self, backbone_lr: float, layer_decay: float) -> dict[nn.Parameter, float]:
        """What multiplies the learning rate and the decay of each parameter, in [0, 1].

        1 for the head, `backbone_lr` for the last stage, times `layer_decay` for every stage
        before it (discriminative fine-tuning; Howard and Ruder, 2018), 0 for what is frozen.
        """
        shares = dict.fromkeys(self.head.parameters(), 1.0)
        for distance, stage in enumerate(reversed(self.stage_parameters())):
            share = backbone_lr * layer_decay**distance
            shares |= {p: share if p.requires_grad else 0.0 for p in stage}
        return shares

    def expect(self, batch_size: int) -> None:
        """Allocate the noise of all layers that need some, for batches of this size."""
        self._random_layers = [m for m in self.modules() if isinstance(m, Dropout | DropPath)]
        for layer in self._random_layers:
            layer.expect(batch_size)

    def draw(self, generator: torch.Generator) -> None:
        """Draw all noise for the next training pass; after `expect`."""
        for layer in self._random_layers:
            layer.draw(generator)

    def set_rates(self, dropout: float, drop_path: float) -> None:
        """Set, in place, the rate of the dropout and that of the deepest branch's `DropPath`."""
        for layer in self._random_layers:
            layer.rate.fill_(dropout if isinstance(layer, Dropout) else drop_path)

    @torch.no_grad()
    def copy_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy tensors, by their names in `state_dict()`, in place; others stay as they are."""
        own = self.state_dict()
        for name, tensor in tensors.items():
            assert tensor.shape == own[name].shape, name
            own[name].copy_(tensor)

    @torch.no_grad()
    def divide_logits(self, divisor: float) -> None:
        """Change the last layer, in place, so that all logits are smaller by a factor above 0."""
        for parameter in self.head.parameters():
            parameter.div_(divisor)

    def forward(self, images: Tensor) -> Tensor:
        """Logits `(B, classes)` of normalised images `(B, 3, H, W)`."""
        return self.logits(self.dropout(self.features(images)))
