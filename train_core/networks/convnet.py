"""`ConvNet`: the airbench-like family, made for accuracy per second at small images.

After Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024, and the work it cites: a
frozen whitening layer, pooling before norm, identity initialisation.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train_core.networks import NetworkSpec
from train_core.networks.base import BatchNorm, Classifier, Dropout


class Block(nn.Module):
    """Convolution, 2x2 pooling, norm; then `depth - 1` more convolutions with norms.

    From depth 3 on, the last activation sees the first one added (a residual over all but the
    first convolution).
    """

    def __init__(self, channels_in: int, channels: int, depth: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(channels if i else channels_in, channels, 3, padding=1, bias=False)
            for i in range(depth)
        )
        self.norms = nn.ModuleList(BatchNorm(channels, momentum=0.4) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        """`(B, channels, H // 2, W // 2)` from `(B, channels_in, H, W)`."""
        # Pooling first leaves norm and activation a quarter of the work. It is not the same as
        # pooling last: the statistics are those of the maxima, and SiLU is not monotone.
        first = x = F.silu(self.norms[0](F.max_pool2d(self.convs[0](x), 2)))
        for i in range(1, len(self.convs)):
            x = self.norms[i](self.convs[i](x))
            if i == len(self.convs) - 1 >= 2:
                x = x + first
            x = F.silu(x)
        return x


class ConvNet(Classifier):
    """Whitening, three blocks of `width`, `4 * width`, `4 * width` channels, global max, linear.

    A block has `depth` convolutions; images may have any size from 16x16 on.
    """

    whitening: Tensor

    def __init__(self, width: int, depth: int, classes: int) -> None:
        super().__init__()
        # Channels are expensive at full resolution, and a narrow first block cannot use all 24.
        whitened = min(24, max(16, width))
        self.register_buffer("whitening", torch.zeros(whitened, 3, 2, 2))
        widths = [whitened, width, 4 * width, 4 * width]
        self.blocks = nn.Sequential(*(Block(a, b, depth) for a, b in pairwise(widths)))
        self.dropout = Dropout(widths[-1])
        self.head = nn.Linear(widths[-1], classes, bias=False)

    def features(self, images: Tensor) -> Tensor:
        """`(B, 4 * width)`, the maximum of each channel over the last map."""
        return self._last_map(images).amax((2, 3))

    def features_and_map(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The last map with each channel left only where it has its maximum.

        Elsewhere it does not count. Several equal maxima share; all of it is scaled by the number
        of places, so that the mean over them is the maximum.
        """
        maps = self._last_map(images)
        pooled = maps.amax((2, 3))
        maxima = pooled[:, :, None, None]
        top = (maps == maxima).to(maps.dtype)
        return pooled, maxima * top / top.mean((2, 3), keepdim=True)

    def _last_map(self, images: Tensor) -> Tensor:
        x = F.silu(F.conv2d(images, self.whitening), inplace=True)
        maps: Tensor = self.blocks(x)
        return maps

    def logits(self, features: Tensor) -> Tensor:
        """`(B, classes)`, scaled down so that early training is calm."""
        return super().logits(features) * (1 / 9)

    def stage_parameters(self) -> list[list[nn.Parameter]]:
        """One stage per block; the whitening is no parameter."""
        return [list(block.parameters()) for block in self.blocks]

    @torch.no_grad()
    def reset(self, generator: torch.Generator, filters: Tensor) -> None:
        """Whitening filters, identity where a channel can pass through, uniform elsewhere."""
        self.whitening.copy_(filters[: len(self.whitening)])
        for module in self.modules():
            if isinstance(module, BatchNorm):
                module.reset()
            elif isinstance(module, nn.Conv2d):
                module.weight.copy_(_identity_first(module.weight.shape, generator))
        bound = self.head.in_features**-0.5
        self.head.weight.copy_(_uniform(self.head.weight.shape, bound, generator))


def _identity_first(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Weights whose first outputs copy the inputs, and whose others are torch's default."""
    weight = _uniform(shape, (shape[1] * shape[2] * shape[3]) ** -0.5, generator)
    nn.init.dirac_(weight[: shape[1]])
    return weight


def _uniform(shape: torch.Size, bound: float, generator: torch.Generator) -> Tensor:
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)


SPEC = NetworkSpec(keys=("width", "depth"), build=ConvNet)
