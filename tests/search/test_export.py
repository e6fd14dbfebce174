import hashlib
import json
import shutil
import sys
import zipfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.numpy import load_file, save_file

from search.export.formats import export_of
from search.export.onnx import ExportMismatch, run_onnx
from search.finalize.final import Finalize
from tests.conftest import write_pictures
from tests.search.conftest import FACTS, begun, new_worker, plan_in, run_task, winner
from tests.search.processes import TINY

pytestmark = pytest.mark.slow

HAS_TENSORFLOW = find_spec("tensorflow") is not None and find_spec("onnx2tf") is not None
OPENED: list[str] = []


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study's folder with its `best/`."""
    root = tmp_path_factory.mktemp("finished")
    write_pictures(root / "pictures")
    plan = begun(plan_in(root, training={**TINY["training"], "epochs": 30, "lr": 16.0}))
    run_task(Finalize(plan, winner(plan), FACTS, plan.folder / "best"), new_worker())
    return plan.folder


@pytest.fixture
def study(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "runs" / "tiny")


def export(run, study, name):
    return run(
        "search.export.__main__", "--runs", study.parent, "--study", study.name, "--format", name
    )


def pictures(study) -> np.ndarray:
    with np.load(study / "best" / "evaluation.npz") as held:
        return held["pictures"]


def names(study) -> set[str]:
    return {path.name for path in study.iterdir()} | {p.name for p in (study / "best").iterdir()}


def test_a_torch_program_answers_without_this_project(run_module, study) -> None:
    done = export(run_module, study, "torch")
    assert (done.returncode, done.stderr) == (0, "")
    shown = pictures(study)
    assert f"against PyTorch on {len(shown)} test images" in done.stdout
    network = torch.export.load(study / "best" / "model.pt2").module()
    expected, embedding = run_onnx(study / "best" / "model.onnx", shown)
    for count in (1, 3, len(shown)):
        said = network(torch.from_numpy(shown[:count]))
        np.testing.assert_allclose(said[0].numpy(), expected[:count], atol=1e-5)
        np.testing.assert_allclose(said[1].numpy(), embedding[:count], atol=1e-4)


def test_no_file_tells_where_it_was_made(study) -> None:
    export_of(study / "best", "torch").write()
    with zipfile.ZipFile(study / "best" / "model.pt2") as program:
        torch_program = b"".join(program.read(name) for name in program.namelist())
    for content in (torch_program, (study / "best" / "model.onnx").read_bytes()):
        assert b".py" not in content
        assert str(Path.cwd()).encode() not in content


def test_an_onnx_file_that_is_right_stays_and_a_missing_one_is_written(study) -> None:
    path = study / "best" / "model.onnx"
    before = hashlib.sha256(path.read_bytes()).digest()
    export = export_of(study / "best", "onnx")
    export.write()
    assert hashlib.sha256(path.read_bytes()).digest() == before
    said = run_onnx(path, pictures(study))[0]
    path.unlink()
    export.write()
    np.testing.assert_allclose(run_onnx(path, pictures(study))[0], said, atol=1e-6)


def test_an_onnx_file_of_another_model_is_found_out(run_here, study) -> None:
    weights = study / "best" / "model.safetensors"
    with weights.open("rb") as file:
        head = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    tensors = load_file(weights)
    tensors["head.weight"] *= 3
    save_file(tensors, weights, metadata=head["__metadata__"])
    done = export(run_here, study, "onnx")
    assert done.returncode == 1
    assert done.stderr.startswith("error: probabilities of '")
    assert done.stderr.endswith("; nothing was written\n")


def test_eight_bits_cost_little_and_say_how_much(study) -> None:
    before = names(study)
    said = " ".join(export_of(study / "best", "int8").write())
    assert "accuracy on 6 validation images" in said
    path = study / "best" / "model.int8.onnx"
    graph = onnx.load(path).graph
    assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in graph.node}
    weights = [onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer]
    # Seven bits, or sums saturate on processors without VNNI.
    seven = [np.abs(w.astype(int)).max() for w in weights if w.dtype == np.int8 and w.ndim > 1]
    assert 32 < max(seven) <= 64
    shown = pictures(study)
    small, plain = (run_onnx(p, shown)[0] for p in (path, study / "best" / "model.onnx"))
    assert 0 < np.abs(small - plain).max() < 0.1
    assert names(study) == before | {"model.int8.onnx"}


def test_eight_bits_never_open_the_test_images(study) -> None:
    sys.addaudithook(
        lambda event, given: OPENED.append(str(given[0])) if event == "open" else None
    )
    OPENED.clear()
    export_of(study / "best", "int8").write()
    assert any(name.endswith("train.images.npy") for name in OPENED)
    assert not any(name.endswith("test.images.npy") for name in OPENED)


def test_eight_bits_are_not_calibrated_on_other_images(study) -> None:
    path = study / "best" / "metrics.json"
    metrics = json.loads(path.read_text())
    metrics["data"]["train"]["sha256"] = "0" * 64
    path.write_text(json.dumps(metrics))
    with pytest.raises(ValueError, match="have changed since"):
        export_of(study / "best", "int8")


def test_eight_bits_that_cost_too_much_leave_nothing(study) -> None:
    before, export = names(study), export_of(study / "best", "int8")
    # Calibrated on black images, every range is wrong.
    black = replace(export.task, calibration=np.zeros_like(export.task.calibration))
    with pytest.raises(ExportMismatch, match="8 bits may cost 5% accuracy, but cost"):
        replace(export, task=black).write()
    assert names(study) == before


def test_what_differs_is_not_left_behind_and_the_old_file_stays(study) -> None:
    export = export_of(study / "best", "torch")
    export.write()
    before, content = names(study), (study / "best" / "model.pt2").read_bytes()
    wrong = replace(export, probabilities=export.probabilities + 2e-3)
    with pytest.raises(ExportMismatch, match="must be within 0.001 of PyTorch's"):
        wrong.write()
    assert names(study) == before
    assert (study / "best" / "model.pt2").read_bytes() == content


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--study", "none", "--format", "torch"], "'runs/none/best' holds none"),
        (["--study", "none", "--format", "caffe"], "'onnx', 'torch', 'tensorflow', 'int8'"),
        (["--format", "torch"], "--study"),
    ],
)
def test_mistakes_are_one_line(run_here, arguments, text) -> None:
    done = run_here("search.export.__main__", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert text in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_folder_that_is_not_whole_is_a_mistake(study) -> None:
    (study / "best" / "evaluation.npz").unlink()
    with pytest.raises(ValueError, match="is not whole"):
        export_of(study / "best", "torch")


@pytest.mark.skipif(HAS_TENSORFLOW, reason="TensorFlow and onnx2tf are installed")
def test_without_tensorflow_it_says_what_to_install(run_here, study) -> None:
    done = export(run_here, study, "tensorflow")
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install -c constraints.txt '.[tensorflow]'" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(not HAS_TENSORFLOW, reason="needs the extra 'tensorflow'")
def test_a_saved_model_says_what_pytorch_says(run_module, study) -> None:
    path = study / "best" / "model.onnx"
    before, content = names(study), path.read_bytes()
    done = export(run_module, study, "tensorflow")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"against PyTorch on {len(pictures(study))} test images" in done.stdout
    # The converter writes into the file that it is given.
    assert path.read_bytes() == content
    assert names(study) == before | {"model.tensorflow"}
    # And once more, over the folder that is there.
    assert export(run_module, study, "tensorflow").returncode == 0
    assert (study / "best" / "model.tensorflow" / "saved_model.pb").is_file()
