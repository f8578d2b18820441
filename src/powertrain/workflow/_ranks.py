"""Several processes of one training on one board, as `torchrun` starts them: one measures, others follow.

What the one asks of the others is in a file. That needs nothing of the training, and is enough: processes
that train together wait for each other in every step, so what is written before a step is there after it.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import final

from powertrain.errors import WorkloadError
from powertrain.files import write_file
from powertrain.profiling import Orders

__all__ = ["OrdersFile", "Rank", "rank_here"]

PATIENCE_S = 60.0
"""Within which the process that measures has to have opened its device."""
PREFIX = "powertrain-ranks-"


@final
@dataclass(frozen=True, kw_only=True)
class Rank:
    """Which of the processes of a training on this board this is."""

    local: int = 0
    size: int = 1

    @property
    def follows(self) -> bool:
        """Whether another process of the training measures."""
        return self.local > 0

    @property
    def leads(self) -> bool:
        """Whether this process measures, and others do as it says."""
        return self.local == 0 and self.size > 1


def rank_here(environ: Mapping[str, str] | None = None) -> Rank:
    """Return what `torchrun` says of this process.

    Raises:
        WorkloadError: The training runs on several boards.
    """
    found = os.environ if environ is None else environ
    local, size = int(found.get("LOCAL_RANK", "0")), int(found.get("LOCAL_WORLD_SIZE", "1"))
    world = int(found.get("WORLD_SIZE", str(size)))
    if world > size:
        raise WorkloadError(
            f"the training runs as {world} processes, {size} of them on this board: measure one board at a "
            "time"
        )
    return Rank(local=local, size=size)


@final
class OrdersFile:
    """The file in which one process tells the others what to do."""

    def __init__(self, folder: Path | None = None) -> None:
        """Find the file of this training: its processes are children of one process."""
        parent = os.getppid()
        restart = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        self._folder = Path(tempfile.gettempdir()) if folder is None else folder
        self._path = self._folder / f"{PREFIX}{os.getuid()}-{parent}-{_started(parent)}-{restart}"
        self._orders: Orders | None = None

    def give(self, **changes: object) -> None:
        """Change the orders; the first time files of trainings that have ended are removed."""
        if self._orders is None:
            self._clean()
        self._orders = replace(self._orders or Orders(), **changes)  # pyright: ignore[reportArgumentType]
        # In a folder that everybody may write to: a link of somebody else's is not followed.
        write_file(self._path, json.dumps(asdict(self._orders)), follow_links=False)

    def wait(self) -> Orders:
        """Return the first orders, once they are given.

        Raises:
            WorkloadError: They do not come.
        """
        until_s = time.monotonic() + PATIENCE_S
        while not self._path.exists():
            if time.monotonic() > until_s:
                raise WorkloadError(
                    f"the process with LOCAL_RANK 0 did not begin to measure within {PATIENCE_S:.0f} s"
                )
            time.sleep(0.02)
        return self.read()

    def read(self) -> Orders:
        """Return the present orders; none before they are given."""
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return Orders()
        found = json.loads(text)
        cpus = found["cpus"]
        return Orders(cpus=None if cpus is None else tuple(cpus), ends_at=found["ends_at"])

    def _clean(self) -> None:
        for old in self._folder.glob(f"{PREFIX}{os.getuid()}-*"):
            parent, started = old.name.removeprefix(PREFIX).split("-")[1:3]
            if _started(int(parent)) != started:
                old.unlink(missing_ok=True)


def _started(process: int) -> str:
    """Return when a process was started, as the kernel counts; a number that is used again differs in it."""
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except OSError:
        return "0"
    return text.rpartition(")")[2].split()[19]
