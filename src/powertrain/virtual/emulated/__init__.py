"""Emulated Jetsons: their kernels' files as each JetPack shows them, and what time does to them.

For tests and for people without a board. In this process:

```python
from powertrain.virtual.emulated import EMULATED, EmulatedSysfs, Faults

board = EmulatedSysfs("orin-agx@jp6", clock=VirtualClock(), user="root", faults=Faults(emc_drifts=1))
board.read("/proc/device-tree/model"); board.write(path, text)   # as any Sysfs
board.job("resnet18").step()   # trains a minibatch at the speed of the present state, on board.clock
board.state()    # {path: text} of all that a run may change, to compare before and after
board.writes     # every write that was tried: (time_s, path, text, errno)
board.mode       # cores and clocks that the board runs at when busy, whatever the files say
board.title      # "Jetson AGX Orin 64GB (simulated)"
board.seen_by("nobody")   # the same board as a Sysfs of another user
board.reboot(); board.apply("MAXN"); board.overcurrent()
```

As a real tree of files that another process, also of another user, works on:

```sh
python -m powertrain.virtual.emulated TREE orin-agx --jetpack 6
```

writes it below TREE, prints `ready`, and keeps it until SIGTERM. Others open it as `emulated:TREE`, where
TREE has a slash in it, or as `RealSysfs(Path(TREE))`; they train with `TreeJob(Path(TREE), "resnet18")`, in
real time. `TREE/emulated/state.json` holds what `board.state()` returns, and `writes.jsonl` beside it every
write that was noticed, with the errno of those refused.
"""

from __future__ import annotations

from powertrain.virtual.emulated._boards import EMULATED, find_board
from powertrain.virtual.emulated._job import TreeJob, is_tree
from powertrain.virtual.emulated._kind import KIND
from powertrain.virtual.emulated._records import EmulatedBoard, Faults, PowerModel, Write
from powertrain.virtual.emulated._sysfs import EmulatedSysfs

__all__ = [
    "EMULATED",
    "KIND",
    "EmulatedBoard",
    "EmulatedSysfs",
    "Faults",
    "PowerModel",
    "TreeJob",
    "Write",
    "find_board",
    "is_tree",
]
