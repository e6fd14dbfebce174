"""The graph of an export is one that other programs understand."""

import onnx
import pytest

from search.export.onnx import export_onnx
from tests.conftest import image_data
from train_core.config import TrainConfig
from train_core.engine import EnginePool
from train_core.model import trained_model

pytestmark = pytest.mark.slow


def test_pooled_maps_are_not_read_from_places_in_memory(tmp_path) -> None:
    data = image_data()
    config = TrainConfig(network="timm/test_efficientnet", optimizer="adamw", batch_size=16)
    engine = EnginePool(data).engine(config)
    engine.start(config)
    path = tmp_path / "model.onnx"
    model = trained_model(engine)
    assert export_onnx(path, model, data.train.images[:4]) < 1e-4
    kinds = {node.op_type for node in onnx.load(path).graph.node}
    assert not kinds & {"Gather", "Range", "Shape"}
