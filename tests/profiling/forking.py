"""Forks children that profile until they are stopped, in a process of one thread.

python forking.py SPEC FILE.db

For each line on standard input it forks a child and prints the child's pid; when the child has ended, it
prints its exit code, as `os.waitstatus_to_exitcode` gives it.

A process that has loaded all it needs forks in a millisecond; one that starts anew takes half a second. A
test runner that forks takes its threads' locks, its plugins and what measures its coverage along.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback

from powertrain.dataset import open_store
from powertrain.opening import open_device
from powertrain.workflow import profile

STOPPED = 3
DEADLY = (signal.SIGINT, signal.SIGTERM)


def run(spec: str, path: str) -> int:
    """Profile every mode of a board, or until Ctrl-C; signals wait until this is ready for them."""
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, DEADLY)
        board = open_device(spec)
        with open_store(path) as store:
            profile(board, "yolo", board.modes(), store, order="given")
    except KeyboardInterrupt:
        return STOPPED
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def main(spec: str, path: str) -> None:
    """Fork a child for each line of standard input."""
    signal.pthread_sigmask(signal.SIG_BLOCK, DEADLY)
    for _ in sys.stdin:
        child = os.fork()
        if not child:
            code = 1
            try:
                code = run(spec, path)
            finally:
                os._exit(code)
        say(child)
        say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


if __name__ == "__main__":
    main(*sys.argv[1:])
