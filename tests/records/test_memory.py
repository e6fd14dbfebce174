"""How much memory a process may still take."""

import subprocess
import sys

import pytest

from records.machine.memory import free_memory, left_in_groups


def group(folder, **numbers: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in numbers.items():
        (folder / f"memory.{name}").write_text(f"{value}\n")


def test_the_tightest_group_of_version_2_counts(tmp_path) -> None:
    stat = "anon 60\ninactive_file 20\nactive_file 10\nshmem 5"
    group(tmp_path / "a", max=200, current=120, stat=stat)
    group(tmp_path / "a" / "b", max="max", current=90, stat=stat)
    assert list(left_in_groups("0::/a/b\n", tmp_path)) == [110]
    # As it looks from inside of the container.
    group(tmp_path, max=150, current=120, stat=stat)
    assert sorted(left_in_groups("0::/elsewhere\n", tmp_path)) == [60]


def test_groups_of_version_1_count_what_is_below_them(tmp_path) -> None:
    stat = "inactive_file 1\nactive_file 2\ntotal_inactive_file 20\ntotal_active_file 10"
    group(tmp_path / "memory" / "a", limit_in_bytes=200, usage_in_bytes=120, stat=stat)
    text = "5:cpu,cpuacct:/a\n4:memory:/a\n0::/a"
    assert list(left_in_groups(text, tmp_path)) == [110]


def test_a_machine_without_groups_has_no_limit_there(tmp_path) -> None:
    assert list(left_in_groups("", tmp_path)) == []
    assert list(left_in_groups("0::/a\n", tmp_path)) == []


@pytest.mark.parametrize("which", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_a_limit_of_the_process_counts(which) -> None:
    resource = pytest.importorskip("resource")
    assert free_memory() > 10_000_000
    script = (
        "import resource; from records.machine.memory import free_memory; "
        f"resource.setrlimit(resource.{which}, (500_000_000, -1)); print(free_memory())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert 200_000_000 < int(done.stdout) < 500_000_000, done.stderr
    assert resource.getrlimit(getattr(resource, which))[0] == resource.RLIM_INFINITY
