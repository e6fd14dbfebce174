"""Which stages of a backbone learn in a fine-tuning, and how fast compared to the last layer."""

from torch import nn

from train_core.networks.base import Classifier


def freeze(network: Classifier, stages: int) -> None:
    """Leave the first stages as they are: without gradients, and in evaluation mode.

    A backbone that has no more stages than that is left as it is altogether.
    """
    for stage in network.stage_parameters()[:stages]:
        for parameter in stage:
            parameter.requires_grad_(False)
    if not stages:
        return
    for module in network.modules():
        own = list(module.parameters())
        if own and not any(parameter.requires_grad for parameter in own):
            # With what it holds: dropped branches and batch statistics.
            module.eval()


def learning_shares(
    network: Classifier, backbone_lr: float, layer_decay: float
) -> dict[nn.Parameter, float]:
    """What multiplies the learning rate and the decay of each parameter, in [0, 1].

    1 for the head, `backbone_lr` for the last stage, times `layer_decay` for every stage before
    it (Howard and Ruder, 2018), 0 for what is frozen.
    """
    shares = dict.fromkeys(network.head.parameters(), 1.0)
    for distance, stage in enumerate(reversed(network.stage_parameters())):
        share = backbone_lr * layer_decay**distance
        shares |= {p: share if p.requires_grad else 0.0 for p in stage}
    return shares
