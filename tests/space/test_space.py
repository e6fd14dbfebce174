import optuna
import pytest

from space import NAMED_SPACES, Space, load_space, parse_space, with_ranges
from train_core.config import TrainConfig

FLOAT = {"type": "float", "low": 0.1, "high": 1.0}


def space(**parameters) -> Space:
    return parse_space("mine.toml", parameters)


def test_a_space_may_begin_with_a_byte_order_mark(tmp_path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[lr]\ntype = "float"\nlow = 0.1\nhigh = 1.0\n', encoding="utf-8-sig")
    assert load_space(str(path)).keys() == {"lr"}


@pytest.mark.parametrize("name", NAMED_SPACES)
def test_named_spaces_hold(name) -> None:
    load_space(name).check([*TrainConfig.model_fields, "recipe"])


def test_default_is_the_promised_five() -> None:
    assert load_space("default").keys() == {"lr", "batch_size", "dropout", "depth", "augment"}


def test_extended_adds_what_is_promised() -> None:
    added = {"optimizer", "weight_decay", "momentum", "label_smoothing", "width", "network"}
    added |= {"schedule", "mixup", "cutmix", "erasing", "class_weights", "curriculum"}
    assert load_space("extended").keys() == load_space("default").keys() | added


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ({"type": "float", "low": 1.0, "high": 1.0}, "low must be below high, but got low 1.0"),
        ({"type": "float", "low": 2, "high": 1}, "low must be below high"),
        ({"type": "float", "low": 0, "high": 1, "log": True}, "above 0 on a log scale.*low 0"),
        ({"type": "float", "low": float("nan"), "high": 1.0}, "low must be below high"),
        ({"type": "float", "low": 0.0, "high": float("inf")}, "must be finite"),
        (
            {"type": "float", "low": "0.1", "high": 1.0},
            "low: this must be a number, but got '0.1'",
        ),
        ({"type": "float", "low": 0.1}, "high: this key must be given"),
        ({"type": "float", "low": 0.1, "high": 1.0, "lgo": True}, "lgo: keys must be among"),
        ({"type": "float", "low": 0.1, "high": 1.0, "log": 1}, "log: this must be true or false"),
        ({"type": "int", "low": 1.5, "high": 3}, "low: this must be a whole number, but got 1.5"),
        ({"type": "int", "low": 1, "high": 4, "step": 2}, "low plus a multiple of step"),
        ({"type": "int", "low": 1, "high": 4, "step": 0}, "step"),
        ({"type": "int", "low": 1, "high": 4, "step": 3, "log": True}, "step must be 1 on a log"),
        ({"type": "choice", "choices": [1]}, "choices"),
        ({"type": "choice", "choices": [1, 1]}, "choices must differ"),
        ({"type": "choice", "choices": 3}, "choices: this must be a list"),
        ({"type": "flaot", "low": 0.1, "high": 1.0}, "type must be 'float', 'int' or 'choice'"),
        ({"low": 0.1, "high": 1.0}, "type must be given"),
        (0.5, "a parameter must be a table"),
    ],
)
def test_mistakes_name_file_parameter_and_rule(parameter, message) -> None:
    with pytest.raises(ValueError, match=message) as error:
        space(lr=parameter)
    assert "(space 'mine.toml', parameter 'lr')" in str(error.value)
    assert "\n" not in str(error.value)


def test_files_are_read_in_their_order(tmp_path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        "[depth]\ntype = 'int'\nlow = 1\nhigh = 3\n[lr]\ntype = 'float'\nlow = 1\nhigh = 2\n"
    )
    assert list(load_space(str(path)).parameters) == ["depth", "lr"]


@pytest.mark.parametrize("content", [None, b"[lr", b"\xff\xff"])
def test_unreadable_files_are_refused(tmp_path, content) -> None:
    path = tmp_path / "mine.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match="a space must be .*mine.toml"):
        load_space(str(path))


def test_unknown_keys_show_the_nearest() -> None:
    with pytest.raises(ValueError, match="got 'dropuot': did you mean 'dropout'"):
        space(dropuot=FLOAT).check(["dropout", "lr"])


def test_empty_spaces_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one parameter"):
        space().check(["lr"])


def test_conditions_may_only_look_back() -> None:
    conditional = {**FLOAT, "when": {"depth": 2}}
    depth = {"type": "int", "low": 1, "high": 3}
    with pytest.raises(ValueError, match="'depth' comes later"):
        space(lr=conditional, depth=depth).check(["lr", "depth"])
    space(depth=depth, lr=conditional).check(["lr", "depth"])


def test_one_key_twice_needs_conditions_that_exclude_each_other() -> None:
    def two(first, second) -> Space:
        return space(a={**FLOAT, "sets": "lr", **first}, b={**FLOAT, "sets": "lr", **second})

    known = ["lr", "optimizer", "network"]
    for first, second in [
        ({}, {}),
        ({"when": {"optimizer": "sgd"}}, {}),
        ({"when": {"optimizer": "sgd"}}, {"when": {"network": "resnet"}}),
        ({"when": {"optimizer": ["sgd", "muon"]}}, {"when": {"optimizer": ["muon", "adamw"]}}),
    ]:
        with pytest.raises(ValueError, match="'a' and 'b' can apply together"):
            two(first, second).check(known)
    two({"when": {"optimizer": "sgd"}}, {"when": {"optimizer": ["adamw", "muon"]}}).check(known)


def test_samples_by_key_and_obeys_conditions() -> None:
    both = space(
        optimizer={"type": "choice", "choices": ["sgd", "adamw"]},
        lr={**FLOAT, "when": {"optimizer": "sgd"}},
        lr_adamw={**FLOAT, "sets": "lr", "low": 0.001, "when": {"optimizer": "adamw"}},
        depth={"type": "int", "low": 1, "high": 9, "step": 4},
    )
    picked = {"optimizer": "adamw", "lr_adamw": 0.01, "lr": 0.5, "depth": 5}
    trial = optuna.trial.FixedTrial(picked)
    assert both.sample(trial, {}) == {"optimizer": "adamw", "lr": 0.01, "depth": 5}
    point = {"optimizer": "adamw", "lr": 0.01, "depth": 9}
    named = {"optimizer": "adamw", "lr_adamw": 0.01, "depth": 9}
    assert both.names_of(point) == (named, {})
    for key, name, value in (("lr", "lr_adamw", 0.0001), ("depth", "depth", 4),
                             ("depth", "depth", True)):  # fmt: skip
        inside = {k: v for k, v in named.items() if k != name}
        assert both.names_of({**point, key: value}) == (inside, {key: value})
    assert both.names_of({**point, "optimizer": "muon"}) == (
        {"depth": 9},
        {"optimizer": "muon"},
    )


def test_conditions_on_what_is_not_searched_are_worked_out() -> None:
    default = load_space("default")
    assert list(default.given({"optimizer": "muon"}).parameters) == [
        "lr_muon",
        "batch_size",
        "dropout",
        "depth",
        "augment",
    ]
    assert all(not p.when for p in default.given({"optimizer": "muon"}).parameters.values())
    extended = load_space("extended").given({"recipe": "cpu", "optimizer": "sgd"})
    assert "width_gpu" not in extended.parameters
    assert extended.parameters["lr_muon"].when == {"optimizer": "muon"}


def test_keys_can_be_left_out() -> None:
    assert "lr" not in load_space("default").without(["lr"])
    with pytest.raises(
        ValueError, match="a fixed parameter must name a known key, but got 'wdith'"
    ):
        load_space("extended").without(["wdith"])


def test_a_range_by_name_replaces_the_ends_and_nothing_else() -> None:
    given = with_ranges(load_space("default"), {"lr_muon": (0.05, 2), "depth": (2.0, 4.0)})
    before = load_space("default").parameters
    assert given.parameters["depth"].model_dump() == before["depth"].model_dump() | {
        "low": 2, "high": 4,
    }  # fmt: skip
    lr = given.parameters["lr_muon"]
    assert (lr.low, lr.high, lr.log, lr.sets) == (0.05, 2, True, "lr")
    assert (lr.when, list(given.parameters)) == ({"optimizer": "muon"}, list(before))
    for name, ends, why in (
        ("lr_moun", (1, 2), "did you mean 'lr_muon'"),
        ("batch_size", (1, 2), "of a parameter of numbers, but got 'batch_size'"),
        ("depth", (1.5, 2), "must be a whole number, but got 1.5 .*parameter 'depth'"),
        ("dropout", (0.5, 0.1), "low must be below high"),
    ):
        with pytest.raises(ValueError, match=why):
            with_ranges(load_space("default"), {name: ends})


@pytest.mark.parametrize(
    ("declared", "value", "nearest"),
    [
        (FLOAT, 9.0, 1.0), (FLOAT, 0.0, 0.1), (FLOAT, 0.5, 0.5), (FLOAT, "wide", None),
        ({"type": "int", "low": 2, "high": 10, "step": 4}, 11, 10),
        ({"type": "int", "low": 2, "high": 10, "step": 4}, 7.5, 6),
        ({"type": "int", "low": 2, "high": 10, "step": 4}, True, None),
        ({"type": "choice", "choices": [1, 2]}, 2, 2),
        ({"type": "choice", "choices": [1, 2]}, 3, None),
    ],
)  # fmt: skip
def test_the_nearest_value_in_a_range(declared, value, nearest) -> None:
    found = space(x=declared).parameters["x"].nearest(value)
    assert (found, type(found)) == (nearest, type(nearest))


def test_log_and_step_reach_the_suggester() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    made = space(
        lr={"type": "float", "low": 1e-4, "high": 1.0, "log": True},
        depth={"type": "int", "low": 1, "high": 9, "step": 4},
        width={"type": "int", "low": 4, "high": 64, "log": True},
    )
    points = [made.sample(study.ask(), {}) for _ in range(200)]
    assert 60 < sum(point["lr"] < 0.01 for point in points) < 140
    assert {point["depth"] for point in points} == {1, 5, 9}
    assert sum(point["width"] < 16 for point in points) > 60


def test_own_parameters_replace_all_for_their_key_in_place() -> None:
    own = space(rate={**FLOAT, "sets": "lr"}, width={"type": "choice", "choices": [8, 16]})
    merged = load_space("default").with_own(own)
    assert list(merged.parameters) == [
        "rate",
        "batch_size",
        "dropout",
        "depth",
        "augment",
        "width",
    ]
    merged.check([*TrainConfig.model_fields, "recipe"])
    wider = load_space("extended").with_own(
        space(optimizer={"type": "choice", "choices": ["sgd", "adamw"]})
    )
    wider.check([*TrainConfig.model_fields, "recipe"])
    assert wider.parameters["optimizer"].choices == ["sgd", "adamw"]
