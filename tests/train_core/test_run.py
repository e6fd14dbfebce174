import os
import signal
import subprocess
import sys
import time
from threading import Thread

import pytest

from train_core.model import load_model
from train_core.recipes import load_run_config

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
lr = {lr}
"""


@pytest.fixture
def tiny(image_folder, tmp_path):
    def write(**changes):
        path = tmp_path / "tiny.toml"
        values = {"folder": image_folder, "root": tmp_path / "data", "epochs": 2, "lr": 2.0}
        values |= changes
        path.write_text(TINY.format(**values))
        return path

    return write


def test_trains_tests_and_saves(run_module, tiny, tmp_path) -> None:
    done = run_module("train_core.run", tiny(), "--test", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "pictures: 54 training images, 3 classes" in done.stdout
    assert "epoch   2/2" in done.stdout
    assert "test accuracy" in done.stdout
    assert load_model(tmp_path / "out" / "model.safetensors").classes == ("a", "b", "c")
    again = load_run_config(str(tmp_path / "out" / "config.toml"))
    assert again.training.epochs == 2
    assert not (tmp_path / "runs").exists()  # The state of a training that has ended.


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


LONG = 40  # Epochs of some milliseconds each: whoever stops them in the first ones is in time.


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Weights that a training comes to that nobody stops, by the config that it is of."""
    known: dict[str, bytes] = {}

    def weights(run, config) -> bytes:
        if not known:
            out = tmp_path_factory.mktemp("undisturbed")
            done = run("train_core.run", config, "--out", out, "--checkpoint-every", 3600)
            assert done.returncode == 0, done.stderr
            known["weights"] = (out / "model.safetensors").read_bytes()
        return known["weights"]

    return weights


def goes_on(run_here, config, out) -> str:
    """Run the same command again: what it says."""
    done = run_here("train_core.run", config, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "going on after epoch" in done.stdout
    numbers = [int(line[6:9]) for line in done.stdout.splitlines() if line.startswith("epoch ")]
    assert numbers == list(range(1, LONG + 1))
    return done.stdout


def test_a_killed_training_goes_on_to_the_same_weights(
    tiny, run_here, undisturbed, tmp_path
) -> None:
    config, out = tiny(epochs=LONG, lr=1.0), tmp_path / "out"
    command = ["-m", "train_core.run", config, "--out", out, "--checkpoint-every", "0"]
    process = subprocess.Popen(
        [sys.executable, "-W", "error", *map(str, command)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    with process:
        while "epoch   3" not in process.stdout.readline():
            assert process.poll() is None
        process.kill()
    assert not out.exists()
    goes_on(run_here, config, out)
    weights = undisturbed(run_here, config)
    assert (out / "model.safetensors").read_bytes() == weights


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_after_the_epoch_and_it_goes_on(
    number, tiny, run_here, undisturbed, tmp_path
) -> None:
    config, out = tiny(epochs=LONG, lr=1.0), tmp_path / "out"
    usual = signal.getsignal(number)

    def interrupt() -> None:
        while signal.getsignal(number) is usual:
            time.sleep(0.001)
        os.kill(os.getpid(), number)

    Thread(target=interrupt, daemon=True).start()
    done = run_here("train_core.run", config, "--out", out)
    assert done.returncode == 128 + number
    assert "stopped after epoch" in done.stderr
    assert list(tmp_path.glob("runs/trainings/tiny-*.safetensors"))
    goes_on(run_here, config, out)
    assert (out / "model.safetensors").read_bytes() == undisturbed(run_here, config)


@pytest.fixture
def begun(tiny, run_here, tmp_path):
    """The state of a training after its two epochs, which could not write what it had learnt."""
    state = tmp_path / "state.safetensors"
    command = [tiny(), "--checkpoint", state, "--checkpoint-every", 0]
    closed = tmp_path / "file"
    closed.touch()
    with pytest.raises(OSError, match="file"):
        run_here("train_core.run", *command, "--out", closed / "out")
    assert state.exists()
    return command


def test_what_was_learnt_before_a_fault_is_not_learnt_again(begun, run_here) -> None:
    done = run_here("train_core.run", *begun)
    assert "going on after epoch 2, from" in done.stdout
    assert done.returncode == 0
    assert not begun[2].exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [({"lr": 1.0}, "has lr = 2.0 where it is now 1.0"), ({"epochs": 3}, "has epochs = 2 where")],
)
def test_other_settings_are_refused_or_begin_again(change, message, begun, tiny, run_here) -> None:
    tiny(**change)
    done = run_here("train_core.run", *begun)
    assert done.returncode == 2
    assert message in done.stderr
    assert "--fresh" in done.stderr
    assert done.stderr.count("\n") == 1
    done = run_here("train_core.run", *begun, "--fresh")
    assert done.returncode == 0
    assert "going on" not in done.stdout


def test_a_file_that_is_no_checkpoint_is_not_written_over(begun, run_here) -> None:
    begun[2].write_text("my thesis")
    done = run_here("train_core.run", *begun)
    assert done.returncode == 2
    assert "is none, or damaged" in done.stderr
    assert begun[2].read_text() == "my thesis"


def test_a_place_for_the_state_that_is_closed_is_a_mistake(tiny, run_here, tmp_path) -> None:
    (tmp_path / "file").touch()
    done = run_here("train_core.run", tiny(), "--checkpoint", tmp_path / "file" / "state")
    assert done.returncode == 2
    assert "must be kept where files can be written" in done.stderr
