"""The whole state of a network as three flat vectors that its parameters are views of.

One vector instead of dozens of tensors makes initialising, updating, averaging and saving single
operations, whatever the network, and lets a trial start in the buffers of the one before.
"""

from itertools import accumulate

import torch
from torch import Tensor, nn

_ALIGN = 16  # Elements: every tensor begins at 64 bytes, what fast kernels ask for.


class FlatState:
    """Rebinds a network's parameters, gradients and buffers to views of flat float32 vectors.

    It stays on its device and keeps its values. Of the buffers only the persistent ones, those in
    `state_dict()`: the others are settings, not averaged, saved or reset with the weights.

    Attributes:
        state: `(parameters + buffers,)`; all that an average or a file has to hold.
        weights: The part of `state` that is trained, `(parameters,)`.
        gradients: `(parameters,)`, empty for a network that is not trained; backward passes add
            to it.

    Raises:
        ValueError: A parameter or a persistent buffer is not float32.
    """

    def __init__(self, network: nn.Module, *, trained: bool) -> None:
        saved = network.state_dict()
        for name, tensor in saved.items():
            if tensor.dtype != torch.float32:
                raise ValueError(
                    f"the state of a network must be float32, but {name} is {tensor.dtype}: "
                    "register what is no state with persistent=False"
                )
        parameters = list(network.parameters())
        buffers = [buffer for name, buffer in network.named_buffers() if name in saved]
        tensors = [*parameters, *buffers]
        starts = [0, *accumulate(-(-t.numel() // _ALIGN) * _ALIGN for t in tensors)]
        self._places = dict(zip(tensors, starts, strict=False))
        self.state = torch.zeros(starts[-1], device=tensors[0].device)
        self.weights = self.state[: starts[len(parameters)]]
        self.gradients = torch.zeros_like(self.weights if trained else self.weights[:0])
        for tensor in tensors:
            view = self.view(self.state, tensor)
            view.copy_(tensor.detach())
            tensor.data = view
        for parameter in parameters if trained else []:
            parameter.grad = self.view(self.gradients, parameter)

    def view(self, flat: Tensor, tensor: Tensor) -> Tensor:
        """The part of a flat vector that belongs to a tensor, in the tensor's shape.

        Convolution weights come in channels_last, the memory format of the whole network.
        """
        part = flat[self._places[tensor] : self._places[tensor] + tensor.numel()]
        if tensor.ndim != 4:
            return part.view(tensor.shape)
        out, channels, height, width = tensor.shape
        return part.view(out, height, width, channels).permute(0, 3, 1, 2)

    def matrix(self, flat: Tensor, tensor: Tensor) -> Tensor:
        """The same part as a matrix, one row per output channel."""
        start = self._places[tensor]
        return flat[start : start + tensor.numel()].view(tensor.shape[0], -1)

    def spread(self, values: dict[nn.Parameter, float]) -> Tensor:
        """A vector like `weights` that holds one value per parameter."""
        spread = torch.zeros_like(self.weights)
        for parameter, value in values.items():
            self.view(spread, parameter).fill_(value)
        return spread
