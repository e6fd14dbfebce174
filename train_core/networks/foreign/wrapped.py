"""`Wrapped`: a network of other people's code as a `Classifier`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from train_core.networks.base import Classifier, Dropout

Parts = tuple[nn.Module, nn.Linear]
Mapped = Callable[[nn.Module, Tensor], tuple[Tensor, Tensor | None]]


class Wrapped(Classifier):
    """A backbone and a linear head that a function makes, with this project's dropout between.

    Batch norms lose their step counts, which decide nothing: all state is float32.

    Args:
        make: Makes backbone and head anew, with initial weights from torch's default generator.
        embed: The embedding `(B, head.in_features)` of normalised images, by the backbone.
        stages: The backbone's parameters as `stage_parameters` returns them.
        mapped: Embedding and map, as `features_and_map` returns them; None = it has no maps.

    Raises:
        ValueError: The backbone has dropout of its own, whose random numbers a training that goes
            on from a checkpoint could not draw again.
    """

    def __init__(
        self,
        make: Callable[[], Parts],
        embed: Callable[[nn.Module, Tensor], Tensor],
        stages: Callable[[nn.Module], list[list[nn.Parameter]]],
        mapped: Mapped | None = None,
    ) -> None:
        super().__init__()
        self._make, self._embed, self._stages, self._mapped = make, embed, stages, mapped
        self.body, self.head = make()
        self.dropout = Dropout(self.head.in_features)
        _prepare(self.body)

    def features(self, images: Tensor) -> Tensor:
        """`(B, features)`, what the backbone makes of the images."""
        return self._embed(self.body, images)

    def features_and_map(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """What the backbone makes of the images, and what that is the mean of."""
        if self._mapped is None:
            return self.features(images), None
        return self._mapped(self.body, images)

    def stage_parameters(self) -> list[list[nn.Parameter]]:
        """The backbone's own stages."""
        return self._stages(self.body)

    @torch.no_grad()
    def reset(self, generator: torch.Generator, filters: Tensor) -> None:
        """The weights that its own code draws, from a seed that the generator draws."""
        with seeded(generator):
            body, head = self._make()
        _prepare(body)
        fresh = nn.ModuleDict({"body": body, "head": head}).state_dict()
        self.copy_state(fresh)


@contextmanager
def seeded(generator: torch.Generator | None = None) -> Iterator[None]:
    """Let torch's default generator on the CPU start from what this one draws, and restore it."""
    drawn = 0 if generator is None else torch.randint(2**62, (), generator=generator).item()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(drawn))
        yield


def _prepare(body: nn.Module) -> None:
    for name, module in body.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.num_batches_tracked = None
        if isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0:
            raise ValueError(
                f"a network must leave dropout to the key of [training], but its layer '{name}' "
                f"drops {module.p:g}: choose or build one without"
            )
