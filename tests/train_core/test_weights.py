import pytest
import torch
from safetensors.torch import save_file

from train_core.config import TrainConfig
from train_core.engine import EnginePool
from train_core.evaluate import probabilities
from train_core.fit import fit
from train_core.weights import load_model, save_model, trained_model


@pytest.mark.parametrize("network", ["convnet", "resnet"])
def test_a_model_survives_its_own_file(data, tmp_path, network) -> None:
    engines = EnginePool(data)
    config = TrainConfig(network=network, width=4, depth=1, epochs=1, batch_size=32)
    list(fit(config, data, engines))
    model = trained_model(engines.engine(config))
    save_model(tmp_path / "model.safetensors", model)
    loaded = load_model(tmp_path / "model.safetensors")
    assert (loaded.shape, loaded.classes, loaded.image_size) == (
        model.shape,
        model.classes,
        model.image_size,
    )
    images = data.validation.images
    torch.testing.assert_close(
        probabilities(loaded.network, images, loaded.normalisation),
        probabilities(model.network, images, model.normalisation),
        atol=1e-6,
        rtol=0,
    )


def test_models_of_others_are_refused(tmp_path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="must be a file that convsearch saved"):
        load_model(tmp_path / "other.safetensors")


@pytest.mark.parametrize("content", [b"", b"PK", b"x" * 1000])
def test_files_that_are_no_models_are_refused_in_one_sentence(tmp_path, content) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match="must be a file that convsearch saved, but .* is not$"):
        load_model(tmp_path / "model.safetensors")
