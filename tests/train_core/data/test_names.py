"""Which pictures a name means: a folder's or a built-in data set's, here and elsewhere."""

import shutil
from pathlib import Path

import pytest

from records.toml import write_toml
from tests.conftest import write_pictures
from train_core.data.builtin import BUILTIN
from train_core.data.config import DataConfig
from train_core.data.prepare import at_absolute_paths, find_source, prepare
from train_core.recipes import RunConfig, load_run_config


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", BUILTIN)
def test_a_folder_with_the_name_of_a_data_set_is_ambiguous(here, name) -> None:
    write_pictures(here / name)
    with pytest.raises(ValueError, match="must name one thing") as error:
        prepare(DataConfig(dataset=name))
    assert f"write ./{name} for the folder, or builtin:{name}" in str(error.value)
    assert "\n" not in str(error.value)
    folder = prepare(DataConfig(dataset=f"./{name}", image_size=16))
    assert (folder.name, folder.classes) == (name, ("a", "b", "c"))
    source = find_source(DataConfig(dataset=f"builtin:{name}"))
    assert (source.name, len(source.classes) >= 10) == (name, True)


def test_without_such_a_folder_the_name_is_enough(here) -> None:
    (here / "digits").write_text("a file")
    assert prepare(DataConfig(dataset="digits")).test.count == 359


@pytest.mark.parametrize("given", ["pictures", "./pictures", "elsewhere/../pictures"])
def test_paths_are_kept_from_the_root_on(image_folder, here, given) -> None:
    (here / "elsewhere").mkdir()
    kept = at_absolute_paths(DataConfig(dataset=given, root="data"))
    assert (kept.dataset, kept.root) == (str(image_folder), str(here / "data"))
    assert at_absolute_paths(kept) == kept


@pytest.mark.parametrize(
    ("given", "kept"),
    [("digits", "builtin:digits"), ("builtin:digits", "builtin:digits"), ("nowhere", "nowhere")],
)
def test_a_built_in_data_set_is_kept_under_a_name_that_no_folder_has(here, given, kept) -> None:
    assert at_absolute_paths(DataConfig(dataset=given)).dataset == kept


def test_a_home_folder_is_kept_from_the_root_on(image_folder, here, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(here))
    kept = at_absolute_paths(DataConfig(dataset="~/pictures", root="~/cache"))
    assert (kept.dataset, kept.root) == (str(image_folder), str(here / "cache"))


def config_of(data: DataConfig) -> DataConfig:
    """What `config.toml` says of the data after a training on them, read again."""
    kept = at_absolute_paths(data).model_copy(update={"content": prepare(data).content})
    write_toml(Path("config.toml"), RunConfig(data=kept).model_dump())
    return load_run_config("config.toml").data


def test_other_pictures_of_the_same_name_are_refused(image_folder, here) -> None:
    config = config_of(DataConfig(dataset="pictures", image_size=16))
    assert prepare(config).content == config.content
    shutil.move(image_folder, here / "kept")
    write_pictures(image_folder)
    (image_folder / "train" / "a" / "000.png").unlink()
    with pytest.raises(ValueError, match="must have the pictures that it was made with") as error:
        prepare(config)
    assert "(75 pictures, " in str(error.value)
    assert f"'{image_folder}' holds others (74 pictures, " in str(error.value)
    assert "\n" not in str(error.value)
    moved = prepare(config.model_copy(update={"dataset": str(here / "kept"), "image_size": 24}))
    assert moved.content == config.content


def test_configs_of_0_1_0_take_any_pictures(image_folder, here) -> None:
    Path("config.toml").write_text('[data]\ndataset = "pictures"\nimage_size = 16\n')
    config = load_run_config("config.toml").data
    assert config.content is None
    assert prepare(config).content.startswith("75 pictures, ")


def test_a_damaged_cache_is_rebuilt_with_the_same_content(image_folder, here) -> None:
    config = DataConfig(dataset="pictures", image_size=16)
    before = prepare(config)
    shutil.rmtree(before.folder)
    assert prepare(config) == before
