import torch
from torch.nn.functional import cross_entropy

from tests.conftest import image_data
from train_core.evaluate import logits_of, probabilities, score
from train_core.images import images_at_once
from train_core.networks import NetworkShape, build_network

DATA = image_data(validation=24)


def network():
    built = build_network(NetworkShape("convnet", 4, 1, 3))
    built.reset(torch.Generator().manual_seed(0), DATA.filters)
    return built.eval()


def test_as_many_images_at_once_as_a_million_pixels_hold() -> None:
    assert [images_at_once(side) for side in (16, 32, 224, 2000)] == [4000, 1000, 20, 1]


def test_scores_of_several_batches_are_those_of_one() -> None:
    count = images_at_once(16) + 5
    part = image_data(train=count).train
    mean, accuracy = score(network(), part, DATA.normalisation, torch.float32)
    with torch.no_grad():
        logits = network()(DATA.normalisation(part.images))
    torch.testing.assert_close(torch.tensor(mean), cross_entropy(logits, part.labels))
    hits = (logits.argmax(1) == part.labels).sum().item()
    # Pooled in another order, a tie may fall to the other side.
    assert abs(accuracy * count - hits) <= 2


def test_who_asks_for_logits_does_not_run_under_autocast() -> None:
    batches = logits_of(network(), DATA.train.images, DATA.normalisation, torch.bfloat16)
    logits = next(batches)
    assert logits.dtype == torch.float32
    assert not torch.is_autocast_enabled("cpu")
    assert torch.is_grad_enabled()
    # Rounded on the way, so that autocast did happen.
    exact = next(logits_of(network(), DATA.train.images, DATA.normalisation))
    assert not torch.equal(logits, exact)


def test_mirrored_views_are_averaged() -> None:
    images = DATA.validation.images
    plain = probabilities(network(), images, DATA.normalisation)
    mirror = probabilities(network(), images.flip(2), DATA.normalisation)
    both = probabilities(network(), images, DATA.normalisation, mirrored=True)
    torch.testing.assert_close(both, (plain + mirror) / 2)
    torch.testing.assert_close(plain.sum(1), torch.ones(len(images)))
