"""Ctrl-C in the middle of anything."""

import subprocess
import sys

SIGNAL_AT_EVERY_LINE = """
import signal, sys
from search.workers.interrupts import StopFlag, interruptible

def interrupted_at(place):
    passed = 0

    def trace(frame, event, argument):
        nonlocal passed
        passed += event == "line"
        if event == "line" and passed == place:
            signal.raise_signal(signal.SIGINT)
        return trace

    stop = StopFlag()
    with interruptible(stop) as interrupts:
        sys.settrace(trace)
        stop.is_set()
        sys.settrace(None)
        assert stop.is_set() == (interrupts.signal == signal.SIGINT)
        return stop.is_set()

places = 0
while interrupted_at(places + 1):
    places += 1
print("came to an end" if places else "no line was interrupted")
"""


def test_a_signal_while_the_stop_flag_is_read_does_not_wait_for_the_reader() -> None:
    """A lock that the interrupted line holds would be waited for without end."""
    command = [sys.executable, "-c", SIGNAL_AT_EVERY_LINE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "came to an end\n", done.stderr
