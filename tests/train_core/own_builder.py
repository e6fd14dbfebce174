"""The user's own network, as somebody would write it, for the tests."""

from torch import Tensor, nn


class Net(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, bias=False)
        self.stages = nn.ModuleList([nn.BatchNorm2d(8), nn.Conv2d(8, 12, 3, padding=1)])
        self.head = nn.Linear(12, classes)

    def features(self, images: Tensor) -> Tensor:
        maps = self.stem(images)
        for stage in self.stages:
            maps = stage(maps).relu()
        return maps.mean((2, 3))


def build(classes: int, image_size: int) -> nn.Module:
    assert image_size
    return Net(classes)


def without_head(classes: int, image_size: int) -> nn.Module:
    return nn.Flatten()


class Hidden(Net):
    def features(self, images: Tensor) -> Tensor:
        return nn.functional.dropout(super().features(images), training=self.training)


def with_hidden_dropout(classes: int, image_size: int) -> nn.Module:
    return Hidden(classes)


def with_dropout(classes: int, image_size: int) -> nn.Module:
    net = Net(classes)
    net.stages.append(nn.Dropout(0.5))
    return net


class Mapped(Net):
    """With the map that its embedding is the mean of, or another one."""

    gain = 1.0

    def maps(self, images: Tensor) -> Tensor:
        maps = self.stem(images)
        for stage in self.stages:
            maps = stage(maps).relu()
        return self.gain * maps


def with_maps(classes: int, image_size: int) -> nn.Module:
    return Mapped(classes)


def with_wrong_maps(classes: int, image_size: int) -> nn.Module:
    net = Mapped(classes)
    net.gain = 2.0
    return net
