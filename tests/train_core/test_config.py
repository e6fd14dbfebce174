import subprocess
import sys
import tomllib
from importlib import resources
from typing import get_args

import pytest
from pydantic import ValidationError

from records.toml import read_toml, validate, write_toml
from train_core.config import (
    RecipeName,
    TrainConfig,
    least_images,
    load_recipe,
    training_for,
)
from train_core.recipes import load_run_config, resolve_run


def test_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        TrainConfig().lr = 2.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lrr": 1.0}, "there is no key 'lrr': did you mean 'lr'"),
        ({"dropout": 1.5}, "dropout must be less than 1, but got 1.5"),
        ({"dropout": float("nan")}, "dropout must be a finite number, but got nan"),
        ({"epochs": True}, "epochs must be an integer, but got True"),
        ({"lr": "0.5"}, "lr must be a number, but got '0.5'"),
        ({"network": "vgg"}, "one of convnet, resnet, timm/NAME or package.module:build, but got"),
        ({"width": 6}, "width must be a multiple of 4, but got 6"),
    ],
)
def test_mistakes_are_told_in_one_sentence(values, message) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        validate(TrainConfig, values, "file 'mine.toml'")
    assert "\n" not in str(caught.value)
    assert "file 'mine.toml'" in str(caught.value)


def test_whole_numbers_may_stand_for_rates() -> None:
    assert TrainConfig(lr=1).lr == 1.0


@pytest.mark.parametrize("name", get_args(RecipeName))
def test_recipes_are_valid_and_leave_nothing_out(name) -> None:
    recipe = load_recipe(name)
    file = resources.files("train_core") / "recipes" / f"{name}.toml"
    written = tomllib.loads(file.read_text(encoding="utf-8"))["training"]
    left_out = {"precision", "cuda_graph", "compile", "seed", "patience", "resolution"}
    left_out |= {"weights_sha256", "mixup", "cutmix", "erasing", "class_weights", "curriculum"}
    of_weights = {
        "weights", "method", "l2", "views", "frozen_stages", "backbone_lr", "layer_decay",
        "drop_path", "levels",
    }  # fmt: skip
    left_out |= {"width", "depth"} if name == "pretrained" else of_weights
    assert set(written) == set(TrainConfig.model_fields) - left_out
    assert recipe.seed == 0
    assert least_images(name) > 0
    assert str(recipe.width or recipe.weights) in recipe.describe()


def test_training_is_laid_over_the_recipe() -> None:
    run = resolve_run({"recipe": "cpu", "training": {"epochs": 3}}, "test")
    assert run.training == load_recipe("cpu").model_copy(update={"epochs": 3})


@pytest.mark.parametrize(
    ("images", "given", "epochs"),
    [
        (2500, {}, 4),
        (2499, {}, 5),
        (9, {}, 1112),
        (9, {"width": 8}, 1112),
        (9, {"epochs": 3}, 3),
        (None, {}, 4),
    ],
)
def test_few_images_get_more_epochs_unless_told_how_many(images, given, epochs) -> None:
    assert (load_recipe("cpu").epochs, least_images("cpu")) == (4, 10_000)
    expected = load_recipe("cpu").model_copy(update={**given, "epochs": epochs})
    assert training_for("cpu", given, images) == expected
    run = resolve_run({"recipe": "cpu", "training": given}, "test", images)
    assert run.training == expected


def test_keys_that_a_recipe_cannot_have_are_told_with_their_source() -> None:
    with pytest.raises(
        ValueError, match=r"lr must be greater than 0, but got -1 \(\[training\]\)"
    ):
        training_for("cpu", {"lr": -1}, 100)


def test_without_a_recipe_epochs_are_as_they_are() -> None:
    assert resolve_run({}, "test", 9).training == TrainConfig()


def test_a_run_survives_its_own_file(tmp_path) -> None:
    run = resolve_run({"recipe": "fast", "data": {"dataset": "digits"}}, "test", 50)
    write_toml(tmp_path / "run.toml", run.model_dump())
    assert load_run_config(str(tmp_path / "run.toml")) == run
    # Fewer images than when it was written: all keys are given, so nothing changes.
    assert resolve_run(read_toml(str(tmp_path / "run.toml")), "test", 5) == run


def test_sections_are_named(tmp_path) -> None:
    (tmp_path / "run.toml").write_text("[data]\ndatset = 'x'\n")
    with pytest.raises(ValueError, match=r"no key 'datset': did you mean 'dataset'.*\[data\]"):
        load_run_config(str(tmp_path / "run.toml"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a = ", "must be valid TOML"),
        ("a = 1".encode("utf-16"), "it is UTF-16; save it as UTF-8"),
        (b"a = '\xe9'", "byte 6 is no UTF-8"),
        (None, "readable"),
    ],
)
def test_unreadable_files_are_refused(tmp_path, content, message) -> None:
    path = tmp_path / "broken.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_toml(str(path))


def test_a_byte_order_mark_is_no_content(tmp_path) -> None:
    path = tmp_path / "marked.toml"
    path.write_text("trials = 5", encoding="utf-8-sig")
    assert read_toml(str(path)) == {"trials": 5}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "forbidden"),
    [("train_core.config", "torch"), ("train_core.networks.convnet", "torchvision")],
)
def test_what_takes_seconds_to_import_is_not_imported(module, forbidden) -> None:
    script = f"import sys, {module}; print({forbidden!r} in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("False\n", 0), done.stderr
