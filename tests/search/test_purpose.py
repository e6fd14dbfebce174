"""What a study must keep to, and what may change while it lasts."""

import shutil

import pytest

from studies.study import FINGERPRINT, Purpose, make_or_resume
from tests.search.processes import TINY


def training(**changes) -> dict:
    return {"training": {**TINY["training"], **changes}}


@pytest.mark.parametrize("changes", [{"precision": "fp32"}, {"compile": True}])
def test_what_belongs_to_the_machine_may_change(tiny_plan, changes) -> None:
    make_or_resume(tiny_plan().place, tiny_plan().purpose())
    changed = tiny_plan(**training(**changes))
    assert changed.training != tiny_plan().training
    make_or_resume(changed.place, changed.purpose())


def test_what_decides_results_may_not(tiny_plan) -> None:
    make_or_resume(tiny_plan().place, tiny_plan().purpose())
    changed = tiny_plan(**training(epochs=4))
    with pytest.raises(ValueError, match=r"training.epochs = 3, not 4"):
        make_or_resume(changed.place, changed.purpose())


def test_the_images_may_move_to_another_folder_but_not_change(tiny_plan, tmp_path) -> None:
    make_or_resume(tiny_plan().place, tiny_plan().purpose())
    data = {"root": str(tmp_path / "data"), "image_size": 16}
    shutil.copytree(tmp_path / "pictures", tmp_path / "moved")
    moved = tiny_plan(data={**data, "dataset": str(tmp_path / "moved")})
    assert moved.data.name != tiny_plan().data.name
    make_or_resume(moved.place, moved.purpose())
    first, second, *_ = sorted((tmp_path / "moved" / "train" / "a").iterdir())
    shutil.copyfile(sorted((tmp_path / "moved" / "train" / "b").iterdir())[0], first)
    changed = tiny_plan(data={**data, "dataset": str(tmp_path / "moved")})
    with pytest.raises(ValueError, match=r"data.images = "):
        make_or_resume(changed.place, changed.purpose())


def test_a_study_from_before_a_key_goes_on_with_the_keys_default(tiny_plan) -> None:
    plan = tiny_plan()
    whole = plan.purpose()
    old = {**whole.fingerprint, "training": dict(whole.fingerprint["training"])}
    assert old["training"].pop("patience") == 0
    study = make_or_resume(plan.place, Purpose(old, whole.settings, whole.first))
    make_or_resume(plan.place, whole)
    assert "patience" not in study.user_attrs[FINGERPRINT]["training"]
    other = tiny_plan(**training(patience=2))
    with pytest.raises(ValueError, match=r"training.patience = 0, not 2"):
        make_or_resume(other.place, other.purpose())


def test_a_fingerprint_of_0_1_0_is_accepted(tiny_plan) -> None:
    plan = tiny_plan()
    purpose = plan.purpose()
    old = {
        **purpose.fingerprint,
        "training": plan.training.model_dump(exclude={"seed"}),
        "data": {"name": "pictures", **purpose.fingerprint["data"]},
    }
    make_or_resume(plan.place, Purpose(old, {}, {}))
    other = tiny_plan(**training(precision="fp32", compile=True))
    make_or_resume(other.place, other.purpose())
