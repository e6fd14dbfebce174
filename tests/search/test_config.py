import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.main import get_command

from records.toml import write_toml
from search.config import SearchConfig, load_search_config
from search.display.summary import count, introduce
from search.plan import build_space, settle
from search.plan.clock import Speeds
from search.run import app
from search.workers.tasks import Machine
from tests.search.processes import TINY
from train_core.config import load_recipe
from train_core.data.prepare import prepare

FLAGS = {
    "--trials", "--dataset", "--study", "--recipe", "--space", "--config",
    "--storage", "--workers", "--timeout", "--seed", "--runs", "--dashboard",
    "--budget", "--image-size", "--range", "--continue-from", "--warm-start", "--engine",
}  # fmt: skip


def test_the_flags_are_these() -> None:
    options = {name for parameter in get_command(app).params for name in parameter.opts}
    assert options == FLAGS


def test_flags_win_over_the_file(tmp_path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("trials = 7\n[study]\nseed = 3\nsampler = 'random'\n")
    config = load_search_config(str(path), {"trials": 9, "study.seed": None, "recipe": "cpu"})
    assert (config.trials, config.study.seed, config.study.sampler) == (9, 3, "random")


def test_flags_that_may_be_repeated_reach_the_search(tmp_path, run_here, monkeypatch) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[space.ranges]\nlr_muon = [0.1, 0.2]\ndropout = [0.0, 0.3]\n")
    seen = []

    def search(settings, *_):
        seen.append(settings)
        raise KeyboardInterrupt

    monkeypatch.setattr("search.session.run_search", search)
    words = ["--range", "lr_muon=0.05:2", "--warm-start", "a", "--warm-start", "b"]
    run_here(
        "search.run", "--config", path, *words, "--continue-from", "c", "--range", "augment=0:1"
    )
    (config,) = seen
    assert config.space.ranges == {
        "lr_muon": [0.05, 2.0],
        "dropout": [0.0, 0.3],
        "augment": [0, 1],
    }
    assert (config.study.warm_start, config.study.continue_from) == (["a", "b"], "c")
    run_here("search.run")
    assert (seen[1].study.warm_start, seen[1].space.ranges) == ([], {})
    wrong = run_here("search.run", "--range", "lr=1")
    assert (wrong.returncode, len(seen)) == (2, 2)
    assert "a range must be NAME=LOW:HIGH, such as lr=0.05:2, but got 'lr=1'" in wrong.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trails = 3", "there is no key 'trails': did you mean 'trials'"),
        ("trials = 0", "trials must be greater than or equal to 1, but got 0"),
        ("trials = '3'", "trials must be an integer"),
        ("[study]\nsampler = 'tpee'", "sampler must be 'tpe', 'gp'"),
        ("[study]\nsampler = 'gp'", "learns nothing from pruned trials.*set pruner = 'none'"),
        ("[study]\nname = '../up'", "name must"),
        ("[training]\nepoch = 3", r"no key 'epoch': did you mean 'epochs'.*\[training\]"),
        ("[training]\nepochs = 0", r"epochs must be greater .* got 0.*\[training\]"),
        ("[training]\nseed = 1", "set seed under"),
        ("[data]\nvalidation_fraction = 0", "must be above 0"),
        ("[data]\nvalidation_fraction = 2.0", "validation_fraction must be less than or equal"),
        ("recipe = 'slow'", "recipe must be 'cpu', 'fast', 'accurate' or 'pretrained'"),
        ("[workers]\ncount = 0", "count must be greater than or equal to 1"),
        ("study = 3", "study must be"),
        ("timeout = -1", "timeout must be greater than 0"),
        ("budget = 'soon'", "a time must be a number with s, m or h after it"),
        ("budget = 0", "budget must be greater than 0"),
        ("[study]\naudit = 2.0", "audit must be less than or equal to 1"),
        ("[study]\nstop = 'soon'", "stop must be 'trials' or 'plateau'"),
        ("[space.ranges]\nlr = [1.0]", "lr must"),
        ("probes = -1", "probes must be greater than or equal to 0"),
    ],
)
def test_mistakes_name_source_key_rule_and_value(tmp_path, text, message) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        load_search_config(str(path), {"study.storage": None})
    assert "mine.toml" in str(error.value)
    assert "\n" not in str(error.value)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
_KEYS = st.sampled_from([*SearchConfig.model_fields, "other"])


@given(tables=st.dictionaries(_KEYS, _VALUES, max_size=5))
def test_whatever_comes_in_is_a_config_or_one_sentence(tables) -> None:
    message = ""
    try:
        load_search_config(None, {k: v for k, v in tables.items() if v is not None})
    except ValueError as error:
        message = str(error)
    assert "\n" not in message


def test_everything_is_settled_before_the_first_trial(tiny_plan) -> None:
    plan = tiny_plan(study={"seed": 5})
    assert plan.name == "tiny"
    assert plan.config.recipe == "cpu"
    assert plan.config.data.split_seed == 5
    assert (plan.train_count, plan.validation_count) == (54, 6)
    assert list(plan.space.parameters) == ["lr", "dropout", "depth", "augment"]
    assert plan.purpose().first == {"lr": 8.0, "dropout": 0.0, "depth": 2, "augment": 0.25}


def test_what_lies_outside_the_space_is_said(tiny_plan) -> None:
    plan = tiny_plan(space={}, training={**TINY["training"], "lr": 99.0})
    assert plan.outside == {"lr": 99.0, "batch_size": 16}
    assert plan.purpose().first == {"dropout": 0.0, "depth": 2, "augment": 0.25}
    counts = count([], 6)
    lines = list(introduce(plan, Machine("CPU", 0, "float32"), 1, Speeds(), counts))
    assert any("batch_size = 16 lies outside the space" in line for line in lines)


def test_a_search_survives_its_own_file(tiny_plan, tmp_path) -> None:
    plan = tiny_plan()
    write_toml(tmp_path / "search.toml", plan.config.model_dump())
    again = load_search_config(str(tmp_path / "search.toml"), {})
    settled = settle(again, plan.data, "fast")
    assert settled.purpose() == plan.purpose()
    assert settled.training == plan.training
    assert tomllib.loads((tmp_path / "search.toml").read_text())["training"]["epochs"] == 3


def test_small_data_sets_get_more_epochs_unless_told(tiny_config) -> None:
    config = tiny_config(training={})
    data = prepare(config.data)
    assert settle(config, data, "cpu").training.epochs == 186  # 10,000 / 54, rounded up.
    told = tiny_config(training={"epochs": 2})
    assert settle(told, data, "cpu").training.epochs == 2


def test_without_a_recipe_the_device_decides(tiny_config) -> None:
    config = tiny_config(recipe=None, training={}, study={})
    data = prepare(config.data)
    for recipe in ("cpu", "fast"):
        plan = settle(config, data, recipe)
        assert plan.training.width == load_recipe(recipe).width
        assert plan.config.recipe == recipe


def test_the_name_says_data_and_recipe(tiny_config) -> None:
    config = tiny_config()
    nameless = config.model_copy(update={"study": config.study.model_copy(update={"name": None})})
    assert settle(nameless, prepare(config.data), "cpu").name == "pictures-cpu"


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"parameters": {"dropout": {"type": "float", "low": 0.0, "high": 1.5}}},
         r"dropout must be less than 1, but got 1.5 \(space 'default .*', parameter 'dropout'\)"),
        ({"parameters": {"width": {"type": "int", "low": 4, "high": 64}}},
         "width must be a multiple of 4, but got 5"),
        ({"parameters": {"epochs": {"type": "int", "low": 1, "high": 9}}},
         "epochs cannot be searched, since trials of different lengths"),
        ({"parameters": {"seed": {"type": "int", "low": 1, "high": 9}}},
         "seed cannot be searched"),
        ({"parameters": {"lr": 3}}, "must be a table"),
        ({"name": "nowhere.toml"}, "default, extended, pretrained or a readable TOML file"),
        ({"fixed": ["wdith"]}, "must name a known key, but got 'wdith'"),
    ],
)  # fmt: skip
def test_spaces_that_no_training_could_follow_are_refused(tiny_config, space, message) -> None:
    with pytest.raises(ValueError, match=message) as error:
        build_space(tiny_config(space=space), load_recipe("cpu"))
    assert "\n" not in str(error.value)


def test_every_trial_has_its_own_seed_and_resumes_with_it(tiny_plan) -> None:
    plan = tiny_plan()
    seeds = [plan.trial_config({"lr": 1.0}, index).seed for index in range(50)]
    assert len(set(seeds)) == 50
    assert tiny_plan().trial_config({"lr": 1.0}, 7).seed == seeds[7]
    other = tiny_plan(study={"seed": 1})
    assert other.trial_config({"lr": 1.0}, 7).seed != seeds[7]
