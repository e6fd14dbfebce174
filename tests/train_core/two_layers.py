"""A network as somebody would add it, for the tests."""

import torch
from torch import Tensor, nn

from train_core.networks import NetworkSpec
from train_core.networks.base import BatchNorm, Classifier, Dropout


class TwoLayers(Classifier):
    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, stride=2, bias=False)
        self.norm = BatchNorm(width)
        self.dropout = Dropout(width)
        self.head = nn.Linear(width, classes)

    def features(self, images: Tensor) -> Tensor:
        return self.norm(self.conv(images)).relu().mean((2, 3))

    def logits(self, features: Tensor) -> Tensor:
        return self.head(features)

    @torch.no_grad()
    def reset(self, generator: torch.Generator, filters: Tensor) -> None:
        self.norm.reset()
        for parameter in (self.conv.weight, self.head.weight, self.head.bias):
            parameter.copy_(torch.empty(parameter.shape).normal_(0, 0.1, generator=generator))


SPEC = NetworkSpec(keys=("width",), build=TwoLayers)
