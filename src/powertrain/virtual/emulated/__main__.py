"""`python -m powertrain.virtual.emulated TREE BOARD`: keep an emulated board as a tree of files."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from types import FrameType

from powertrain.errors import PowerTrainError
from powertrain.virtual.emulated._boards import EMULATED
from powertrain.virtual.emulated._records import Faults
from powertrain.virtual.emulated._sysfs import EmulatedSysfs
from powertrain.virtual.emulated._tree import InterruptibleClock, TreeKeeper


def faults_from(text: str) -> Faults:
    """Read faults from JSON; lists become what the field holds."""
    given = json.loads(text)
    for name, kind in (("gpu_unreachable_hz", frozenset), ("overcurrent_at_s", tuple)):
        if name in given:
            given[name] = kind(given[name])
    return Faults(**given)


def main(arguments: list[str] | None = None) -> int:
    """Write the tree, say `ready`, and keep it until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m powertrain.virtual.emulated", description=__doc__)
    parser.add_argument("tree", type=Path, help="an empty folder; it is made if it is not there")
    parser.add_argument("board", help=f"one of {', '.join(EMULATED)}, or such a name without @jpN")
    parser.add_argument("--jetpack", type=int, help="generation; the newest by default")
    parser.add_argument("--power-model", help="nvpmodel mode that it boots in, by name; the default one")
    parser.add_argument("--faults", default="{}", help='fields of Faults as JSON, such as {"emc_drifts": 1}')
    parser.add_argument("--seed", type=int, default=0, help="names the run of chance")
    given = parser.parse_args(arguments)
    if given.tree.exists() and any(given.tree.iterdir()):
        parser.error(f"{given.tree} is not empty: give a new folder")
    # Not an Event: to set one takes a lock, which the signal may find held by the wait that it interrupts.
    signals: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        del frame
        signals.append(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    clock = InterruptibleClock()
    try:
        board = EmulatedSysfs(
            given.board,
            given.jetpack,
            clock=clock,
            faults=faults_from(given.faults),
            power_model=given.power_model,
            seed=given.seed,
        )
        keeper = TreeKeeper(given.tree, board, clock)
    except (PowerTrainError, OSError, TypeError, ValueError) as error:
        parser.error(str(error))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    keeper.run(lambda: bool(signals))
    return 0


if __name__ == "__main__":
    sys.exit(main())
