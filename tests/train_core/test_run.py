import pytest

from train_core.model import load_model
from train_core.run_config import load_run_config

pytestmark = pytest.mark.slow

TINY = """
[data]
dataset = "{folder}"
root = "{root}"
image_size = 16
[training]
width = 4
epochs = {epochs}
batch_size = 16
lr = 2.0
"""


@pytest.fixture
def tiny(image_folder, tmp_path):
    def write(**changes):
        path = tmp_path / "tiny.toml"
        values = {"folder": image_folder, "root": tmp_path / "data", "epochs": 2, **changes}
        path.write_text(TINY.format(**values))
        return path

    return write


def test_trains_tests_and_saves(run_module, tiny, tmp_path) -> None:
    done = run_module("train_core.run", tiny(), "--test", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "pictures: 54 training images, 3 classes" in done.stdout
    assert "epoch   2" in done.stdout
    assert "test accuracy" in done.stdout
    assert load_model(tmp_path / "out" / "model.safetensors").classes == ("a", "b", "c")
    again = load_run_config(str(tmp_path / "out" / "config.toml"))
    assert again.training.epochs == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.toml"], "error: a config must be a readable file, but 'nowhere.toml'"),
        ([], "error: Missing argument"),
        (["x.toml", "--tset"], "error: No such option: --tset"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(run_here, arguments, message) -> None:
    done = run_here("train_core.run", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("train_size = 5000", "train_size must be between"),
        ("folds = 5", "folds must be 1 for a single training"),
    ],
)
def test_data_that_cannot_be_trained_on_are_a_mistake(key, message, run_here, tiny) -> None:
    config = tiny()
    config.write_text(config.read_text().replace("[training]", f"{key}\n[training]"))
    done = run_here("train_core.run", config)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {message}")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_folder_that_cannot_be_opened_is_a_mistake(run_module, tiny, image_folder) -> None:
    closed = image_folder / "train" / "b" / "closed"
    closed.mkdir(mode=0)
    done = run_module("train_core.run", tiny(), bound=True)
    assert done.returncode == 2
    assert done.stderr == (
        f"error: every folder of images must be readable, but '{closed}': Permission denied; "
        f"mend its permissions or move it away\n"
    )


def test_a_recipe_gives_few_images_more_epochs(run_here, tiny) -> None:
    config = tiny()
    # A learning rate that ends the training in its first epochs: it is the plan that counts.
    text = config.read_text().replace("lr = 2.0", "lr = 1e30").replace("epochs = 2\n", "")
    config.write_text(f'recipe = "cpu"\n{text}')
    done = run_here("train_core.run", config)
    assert done.returncode == 1
    assert f"{-(-10_000 // 54)} epochs" in done.stdout
    assert "stopped: diverged" in done.stderr


def test_mistakes_do_not_wait_for_torch(run_module, tiny) -> None:
    done = run_module("train_core.run", tiny(epochs=0), env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert done.returncode == 2
    assert "epochs must be greater than or equal to 1, but got 0" in done.stderr
    assert " torch\n" not in done.stderr
