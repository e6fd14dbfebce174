"""What the container files promise, as far as it can be read; `.ci/containers` runs them."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
EXAMPLE = dict(
    line.split("=", 1)
    for line in (ROOT / ".env.example").read_text().splitlines()
    if line and not line.startswith("#")
)
OURS = {"search", "dashboard", "serve"}


def stages() -> dict[str, list[tuple[str, str]]]:
    """Stage -> its instructions."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    found: dict[str, list[tuple[str, str]]] = {}
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "FROM":
            instructions = found.setdefault(rest.split(" AS ")[1], [])
        if word and word != "#":
            instructions.append((word, " ".join(rest.split())))
    return found


STAGES = stages()


def copied(stage: str) -> list[str]:
    """What comes from the repository."""
    lines = [rest for word, rest in STAGES[stage] if word == "COPY" and "--from" not in rest]
    return [source for line in lines for source in line.split()[:-1]]


def last(stage: str, word: str) -> str:
    return [rest for found, rest in STAGES[stage] if found == word][-1]


def test_what_is_copied_is_there_and_nothing_else_is_let_in() -> None:
    sources = {source for stage in STAGES for source in copied(stage)}
    assert all((ROOT / source).exists() for source in sources)
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert rules[-1] == "**/__pycache__"
    assert {rule.removeprefix("!") for rule in rules[1:-1]} == {s.split("/")[0] for s in sources}
    assert all(rule.startswith("!") for rule in rules[1:-1])


def test_the_service_has_nothing_but_itself_and_the_records() -> None:
    assert set(copied("serve")) == {"LICENSE", "records", "serve"}
    assert set(copied("serve-packages")) == {"constraints.txt", "serve/requirements.txt"}
    assert copied("base") == []
    assert "torch" not in [
        re.split("[>=<[]", line)[0]
        for line in (ROOT / "serve" / "requirements.txt").read_text().splitlines()
    ]


def test_the_search_has_every_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = {name.split(".")[0] for name in project["tool"]["setuptools"]["packages"]}
    assert set(copied("search")) == packages | {"LICENSE"}
    assert list(STAGES)[-1] == "serve", "the last stage is what a build without --target makes"


@pytest.mark.parametrize("stage", ["search", "serve"])
def test_images_run_as_nobody_in_particular(stage) -> None:
    # In numbers, so that orchestrators can see that it is not root.
    user, group = last(stage, "USER").split(":")
    assert int(user) >= 10000
    assert int(group) >= 10000
    made = last("base", "RUN")
    assert f"--uid {user} " in made
    assert f"groupadd --gid {group} " in made
    assert last(stage, "ENTRYPOINT").startswith('["python"')
    assert [word for word, _ in STAGES[stage]].index("USER") > max(
        number for number, (word, _) in enumerate(STAGES[stage]) if word == "COPY"
    )


def test_the_service_says_whether_it_answers() -> None:
    assert "/readyz" in last("serve", "HEALTHCHECK")
    assert last("serve", "EXPOSE") in last("serve", "HEALTHCHECK")


def test_any_engine_can_build_them() -> None:
    """No syntax that only BuildKit knows."""
    text = (ROOT / "Dockerfile").read_text()
    assert not re.search(r"RUN --|<<|^# syntax", text, re.MULTILINE)
    known = {"FROM", "ENV", "RUN", "COPY", "WORKDIR", "USER", "VOLUME", "ENTRYPOINT", "CMD"}
    words = {word for instructions in STAGES.values() for word, _ in instructions}
    assert words == known | {"EXPOSE", "HEALTHCHECK"}


def test_compose_starts_all_of_it() -> None:
    assert set(SERVICES) == OURS | {"postgres"}
    for name in OURS:
        assert SERVICES[name]["build"]["target"] in STAGES
        assert SERVICES[name]["image"] == f"convsearch-{SERVICES[name]['build']['target']}"
    gpu = yaml.safe_load((ROOT / "compose.gpu.yaml").read_text())["services"]
    assert set(gpu) == {"search"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_service_is_closed(name) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "/tmp" in service["tmpfs"]
    assert not service.keys() & {"privileged", "cap_add", "network_mode", "pid", "devices"}
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert service.get("user", "10001") != "root"
    # A search is a job: whether it lives is all there is to see.
    assert "healthcheck" in service or name in ("search", "serve")
    assert "restart" in service


def test_only_the_search_writes_what_the_search_leaves() -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source, target, *mode = volume.split(":")
            assert source in COMPOSE["volumes"]
            # Where an image has the folder, so that a new volume belongs to the image's user.
            assert target in ("/var/lib/postgresql/data", "/work/runs", "/work/data")
            assert (mode == ["ro"]) == (name in ("dashboard", "serve"))


def test_the_database_is_out_of_reach() -> None:
    assert COMPOSE["networks"]["database"] == {"internal": True}
    assert SERVICES["postgres"]["networks"] == ["database"]
    assert "ports" not in SERVICES["postgres"]
    assert "database" not in SERVICES["serve"].get("networks", [])


def test_no_secret_is_in_the_repository() -> None:
    for service in SERVICES.values():
        for key, value in service.get("environment", {}).items():
            if re.search("PASSWORD|KEY", key):
                assert re.fullmatch(r"\$\{\w+:(\?[^}]*|-)\}", value), key
        assert not re.search(r"://[^@\s]*:[^@\s]*@", str(service))
    assert EXAMPLE["POSTGRES_PASSWORD"] == EXAMPLE["CONVSEARCH_API_KEY"] == ""
    assert "/.env" in (ROOT / ".gitignore").read_text().splitlines()


def test_the_example_has_every_setting_with_its_default() -> None:
    used = re.findall(r"\$\{(\w+):(?:-([^}]*)|\?[^}]*)\}", (ROOT / "compose.yaml").read_text())
    assert dict(used) == EXAMPLE


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("search", "search.run"),
        ("dashboard", "studies.dashboard"),
        ("serve", "serve.run"),
    ],
)
def test_commands_have_flags_that_exist(run_module, name, module) -> None:
    service = SERVICES[name]
    entry = service.get("entrypoint") or yaml.safe_load(last(name, "ENTRYPOINT"))
    words = [*entry, *service["command"]]
    assert words[:3] == ["python", "-m", module]
    known = set(re.findall(r"--[a-z-]+", run_module(module, "--help").stdout))
    assert {word.split("=")[0] for word in words[3:] if word.startswith("--")} <= known
