"""What other systems lack must not be needed there; nobody has tried them, so it is taken away."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.house.test_house import FILES, ROOT

# It is imported where processes can be forked, and nowhere else.
_FORKING = "serve.web.prefork"

_SCRIPT = """
import importlib, os, pathlib, signal, sys

modules = {modules!r}
os.environ["USERNAME"] = "somebody"
# Other people's packages first: they look at the system for themselves.
for name in modules:
    importlib.import_module(name)
for name in [name for name in sys.modules if name.partition(".")[0] in {packages!r}]:
    del sys.modules[name]

for name in ("fork", "getuid", "geteuid", "killpg", "mkfifo", "nice", "sched_getaffinity"):
    delattr(os, name)
for name in ("SIGHUP", "SIGKILL", "SIGQUIT", "SIGSTOP", "SIGUSR1", "pthread_sigmask"):
    delattr(signal, name)
for name in ("fcntl", "grp", "gunicorn", "pwd", "resource", "termios"):
    sys.modules[name] = None
read = pathlib.Path.read_text
def read_text(self, *args, **kwargs):
    if str(self).startswith("/proc") and self.name != "cpuinfo":
        raise FileNotFoundError(2, "No such file or directory")
    return read(self, *args, **kwargs)
pathlib.Path.read_text = read_text

for name in modules:
    if name != {forking!r}:
        importlib.import_module(name)

from search.workers.cores import CoreShare
from search.workers.interrupts import signals_held_back
from studies.broker.owner import Owner, this_machine
from train_core.device import device_name, keep_freed_memory, pick_device

assert this_machine() is None
assert not Owner.this_process().is_dead()
assert CoreShare(None).threads() >= 1
keep_freed_memory()
assert device_name(pick_device(0, "cpu"))
with signals_held_back():
    print("all done")
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="takes Linux apart")
def test_everything_is_imported_without_what_other_systems_lack() -> None:
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in FILES]
    names = [n.removesuffix(".__init__") for n in names if not n.endswith("__main__")]
    packages = {name.partition(".")[0] for name in names}
    script = _SCRIPT.format(modules=names, packages=packages, forking=_FORKING)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "all done\n", done.stderr


def test_the_hosted_workflow_runs_the_fast_tests_on_three_systems() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    fast = workflow["jobs"]["fast"]
    systems = fast["strategy"]["matrix"]["os"]
    assert {name.partition("-")[0] for name in systems} == {"ubuntu", "macos", "windows"}
    (make,) = [
        line for line in Path(ROOT / "Makefile").read_text().splitlines() if "-m pytest -m" in line
    ]
    assert make.partition("-m pytest")[2] in [
        step["run"].partition("-m pytest")[2] for step in fast["steps"] if "run" in step
    ]
