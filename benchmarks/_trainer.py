"""Starts trainings as `powertrain` does, each in a process that has loaded all it needs.

    python _trainer.py TOLD [ROOT]

For each line of arguments on standard input, a JSON list, it forks a process that runs `powertrain` with
them, and prints its number; when it has ended, its exit code. A program that starts anew takes seconds to
load PyTorch; this takes a millisecond. Each profile that was added to a database is told in the file TOLD,
once it is said to be there. ROOT stands for / where the device `cpu` looks for its clocks.
"""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import json
import os
import signal
import sys
from pathlib import Path

import torch.utils.data  # noqa: F401
from _clock_files import ClockFiles

import powertrain.cli
import powertrain.workflow
from powertrain.dataset import SqliteStore
from powertrain.devices.cpu import CpuDevice, _kind


def tell_of_each(told: Path) -> None:
    """Have every profile told once it is in the database."""
    add = SqliteStore.add

    def add_and_tell(self, profiles):
        kept = list(profiles)
        count = add(self, kept)
        with told.open("a") as file:
            file.write("x\n" * len(kept))
        return count

    SqliteStore.add = add_and_tell


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(told: str, root: str = "/") -> None:
    tell_of_each(Path(told))
    _kind.CpuDevice = functools.partial(CpuDevice, sysfs=ClockFiles(Path(root)))
    say("ready")
    for line in sys.stdin:
        child = os.fork()
        if not child:
            os.setpgid(0, 0)
            faulthandler.register(signal.SIGUSR1)
            os.dup2(2, 1)  # what it prints is not for who reads our answers
            sys.argv = ["powertrain", *json.loads(line)]
            signal.signal(signal.SIGINT, signal.default_int_handler)
            return
        with contextlib.suppress(OSError):
            os.setpgid(child, child)  # whoever is first: a signal to the group comes at any moment
        say(str(child))
        say(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
    sys.exit()


if __name__ == "__main__":
    main(*sys.argv[1:])
    powertrain.cli.main()
