"""What a study must keep to, and what may change while it lasts."""

import shutil

import pytest

from search.config import SearchConfig
from search.plan import settle
from studies.study import FINGERPRINT, Purpose, make_or_resume
from tests.conftest import write_images
from tests.search.processes import TINY
from train_core.data.prepare import prepare


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
    with pytest.raises(ValueError, match=r"epochs 3, not 4.*--study NAME"):
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
    with pytest.raises(ValueError, match=r"has other pictures, as many as now \(60\): undo"):
        make_or_resume(changed.place, changed.purpose())


def test_differences_are_told_in_words(tiny_plan, tiny_config, tmp_path) -> None:
    plan = tiny_plan()
    make_or_resume(plan.place, plan.purpose())
    data = plan.config.data.model_dump()

    def refused(**changes) -> str:
        other = tiny_plan(**changes)
        with pytest.raises(ValueError, match="can only go on with") as error:
            make_or_resume(other.place, other.purpose())
        return str(error.value).partition(" has ")[2].partition(": undo that")[0]

    def split(seed: int | None) -> dict:
        return {**data, "split_seed": seed}

    assert refused(data={**data, "image_size": 24}) == "image size 16, not 24"
    assert refused(data={**data, "fit": "pad"}) == "fit crop, not pad"
    assert refused(data=split(3)) == "split seed 0, not 3"
    assert refused(data={**data, "train_size": 30}) == "no train size, not 30"
    assert refused(data={**data, "mirror": False}) == "mirror on, not off"
    assert refused(data=split(None), study={"seed": 1}) == "split seed 0, not 1; seed 0, not 1"
    space = TINY["space"]["parameters"]
    narrow = {"depth": {**space["depth"], "high": 3}}
    assert refused(space={**TINY["space"], "parameters": narrow}) == "high of depth 2, not 3"
    assert refused(space={**TINY["space"], "fixed": ["batch_size", "dropout"]}) == (
        "dropout searched, not fixed"
    )
    write_images(tmp_path / "pictures" / "train", 90, seed=5)
    assert refused() == "other pictures: 60 instead of 90"


def test_a_study_of_0_1_0_says_its_differences_in_words_too(tiny_plan) -> None:
    plan = tiny_plan()
    purpose = plan.purpose()
    old = {**purpose.fingerprint, "data": dict(purpose.fingerprint["data"])}
    del old["data"]["count"]
    keys = ("image_size", "validation_fraction", "split_seed")
    said = {"data": {"dataset": "pictures", **{k: purpose.settings["data"][k] for k in keys}}}
    make_or_resume(plan.place, Purpose(old, said, {}))
    other = tiny_plan(data={**plan.config.data.model_dump(), "image_size": 24})
    with pytest.raises(ValueError, match="'tiny' has image size 16, not 24: undo"):
        make_or_resume(other.place, other.purpose())
    make_or_resume(plan.place, purpose)


def test_what_a_study_keeps_is_true_in_every_folder(image_folder, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text('dropout = {type = "float", low = 0.0, high = 0.5}')
    config = SearchConfig.model_validate(
        {
            **TINY, "data": {"dataset": "pictures", "root": "data", "image_size": 16},
            "space": {"name": "mine.toml"}, "study": {"storage": "sqlite:///mine.db"},
        }
    )  # fmt: skip
    plan = settle(config, prepare(config.data), "cpu")
    purpose, kept = plan.purpose(), plan.settings()
    assert kept["data"]["dataset"] == str(image_folder)
    assert kept["data"]["root"] == str(tmp_path / "data")
    assert kept["runs"] == str(tmp_path / "runs")
    assert kept["space"]["name"] == str(tmp_path / "mine.toml")
    assert kept["study"]["storage"] == f"sqlite:///{tmp_path}/mine.db"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = SearchConfig.model_validate(kept)
    assert settle(again, prepare(again.data), "cpu").purpose() == purpose


def test_a_study_from_before_a_key_goes_on_with_the_keys_default(tiny_plan) -> None:
    plan = tiny_plan()
    whole = plan.purpose()
    old = {**whole.fingerprint, "training": dict(whole.fingerprint["training"])}
    assert old["training"].pop("patience") == 0
    study = make_or_resume(plan.place, Purpose(old, whole.settings, whole.first))
    make_or_resume(plan.place, whole)
    assert "patience" not in study.user_attrs[FINGERPRINT]["training"]
    other = tiny_plan(**training(patience=2))
    with pytest.raises(ValueError, match=r"patience 0, not 2"):
        make_or_resume(other.place, other.purpose())


def test_a_fingerprint_of_0_1_0_is_accepted(tiny_plan) -> None:
    plan = tiny_plan()
    purpose = plan.purpose()
    old = {
        **purpose.fingerprint,
        "training": plan.training.model_dump(exclude={"seed", "weights"}),
        "data": {"name": "pictures", **purpose.fingerprint["data"]},
    }
    make_or_resume(plan.place, Purpose(old, {}, {}))
    other = tiny_plan(**training(precision="fp32", compile=True))
    make_or_resume(other.place, other.purpose())
