"""`SmallResNet`: torchvision's residual blocks, arranged for small images."""

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from train_core.networks import NetworkSpec
from train_core.networks.base import BatchNorm, Classifier, Dropout


class SmallResNet(Classifier):
    """ResNet without the stem's stride and pooling: 3x3 stem, four stages, mean, linear.

    The stages have `depth` blocks of 1, 2, 4 and 8 times `width` channels: with width 64 and depth
    2 this is the usual ResNet-18 for CIFAR. Images may have any size from 8x8 on.
    """

    def __init__(self, width: int, depth: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.norm = BatchNorm(width)
        self.relu = nn.ReLU(inplace=True)
        widths = [width, width, 2 * width, 4 * width, 8 * width]
        self.stages = nn.Sequential(
            *(_stage(widths[i], widths[i + 1], depth, stride=2 if i else 1) for i in range(4))
        )
        self.dropout = Dropout(8 * width)
        self.head = nn.Linear(8 * width, classes)

    def features(self, images: Tensor) -> Tensor:
        """`(B, 8 * width)`, the mean of each channel over the last map."""
        return self.features_and_map(images)[0]

    def features_and_map(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The last map, and its mean."""
        maps: Tensor = self.stages(self.relu(self.norm(self.stem(images))))
        return maps.mean((2, 3)), maps

    def stage_parameters(self) -> list[list[nn.Parameter]]:
        """The four stages, the stem with the first."""
        first, *rest = (list(stage.parameters()) for stage in self.stages)
        return [[*self.stem.parameters(), *self.norm.parameters(), *first], *rest]

    @torch.no_grad()
    def reset(self, generator: torch.Generator, filters: Tensor) -> None:
        """He initialisation; every block starts as its skip, its last norm at 0."""
        for module in self.modules():
            if isinstance(module, BatchNorm):
                module.reset()
            elif isinstance(module, nn.Conv2d):
                fan_out = module.weight[0, 0].numel() * module.out_channels
                draw = torch.empty(module.weight.shape)
                module.weight.copy_(draw.normal_(0, (2 / fan_out) ** 0.5, generator=generator))
        for module in self.modules():
            if isinstance(module, BasicBlock):
                module.bn2.weight.zero_()
        bound = self.head.in_features**-0.5
        for parameter in (self.head.weight, self.head.bias):
            draw = torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator)
            parameter.copy_(draw)


class Shortcut(nn.Conv2d):
    """A 1x1 convolution with a stride, which leaves out the pixels before it starts.

    With the stride in the convolution, oneDNN writes past its memory in the backward pass where
    channels are fewer than its blocks of 8 or 16 (oneDNN issue 6035).
    """

    def __init__(self, channels_in: int, channels: int, step: int) -> None:
        super().__init__(channels_in, channels, 1, bias=False)
        self.step = step

    def forward(self, x: Tensor) -> Tensor:
        """`(B, channels, H / step, W / step)`, rounded up, from `(B, channels_in, H, W)`."""
        return super().forward(x[..., :: self.step, :: self.step])


def _stage(channels_in: int, channels: int, depth: int, stride: int) -> nn.Sequential:
    shortcut = None
    if stride != 1 or channels_in != channels:
        shortcut = nn.Sequential(Shortcut(channels_in, channels, stride), BatchNorm(channels))
    first = BasicBlock(channels_in, channels, stride, shortcut, norm_layer=BatchNorm)
    rest = [BasicBlock(channels, channels, norm_layer=BatchNorm) for _ in range(depth - 1)]
    return nn.Sequential(first, *rest)


SPEC = NetworkSpec(keys=("width", "depth"), build=SmallResNet)
