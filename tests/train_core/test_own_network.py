"""A network is added by one file: what a new one in the folder can do from then on."""

import shutil
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from search.export.onnx import export_onnx, run_onnx
from tests.train_core.saving import saved_and_loaded
from train_core import networks
from train_core.config import TrainConfig
from train_core.engine import EnginePool
from train_core.fit import fit
from train_core.networks import NetworkShape, find_network, network_names

OWN = Path(__file__).with_name("two_layers.py")


@pytest.fixture
def own(tmp_path, monkeypatch) -> str:
    """The name of a network whose file lies in one more folder of networks."""
    monkeypatch.setattr(networks, "__path__", [*networks.__path__, str(tmp_path)])
    shutil.copy(OWN, tmp_path)
    return OWN.stem


@pytest.mark.slow
def test_it_trains_and_is_saved_and_exported(own, data, tmp_path) -> None:
    config = TrainConfig(network=own, width=8, epochs=2, batch_size=16, lr=1.0, precision="fp32")
    engines = EnginePool(data)
    records = list(fit(config, data, engines))
    assert [record.epoch for record in records] == [1, 2]
    assert records[1].train_loss < records[0].train_loss
    images = data.validation.images
    loaded, expected = saved_and_loaded(engines.engine(config), tmp_path, images)
    assert loaded.shape == NetworkShape(own, (("width", 8),), 3)
    export_onnx(tmp_path / "model.onnx", loaded, images)
    exported = torch.from_numpy(run_onnx(tmp_path / "model.onnx", images.numpy())[0])
    torch.testing.assert_close(exported, expected, atol=1e-4, rtol=0)


def test_only_its_own_keys_decide_its_shape(own) -> None:
    one, other, wider = (
        NetworkShape.of(own, {"width": width, "depth": depth}, 3)
        for width, depth in ((8, 1), (8, 2), (16, 1))
    )
    assert one == other != wider


OTHERS = "timm/NAME or package.module:build, but got"


def test_it_is_listed_and_an_unknown_one_lists_them_all(own) -> None:
    assert network_names() == ["convnet", "resnet", "two_layers"]
    with pytest.raises(ValidationError, match=f"one of convnet, resnet, two_layers, {OTHERS} 'b'"):
        TrainConfig(network="b")
    with pytest.raises(ValueError, match=f"one of convnet, resnet, two_layers, {OTHERS} 'base'"):
        find_network("base")


def test_without_its_file_it_is_unknown() -> None:
    with pytest.raises(ValidationError, match=f"one of convnet, resnet, {OTHERS} 'two_layers'"):
        TrainConfig(network=OWN.stem)
