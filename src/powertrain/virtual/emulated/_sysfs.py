"""An emulated board's files, in this process."""

from __future__ import annotations

import errno
import threading
from collections.abc import Collection, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import final

from typing_extensions import override

from powertrain.devices._base import SIMULATED_SUFFIX
from powertrain.devices._clock import Clock, VirtualClock
from powertrain.devices._sysfs import Sysfs
from powertrain.errors import DeviceError
from powertrain.units import mhz_from_hz, mhz_from_khz
from powertrain.virtual.emulated._boards import find_board
from powertrain.virtual.emulated._dynamics import Clocks, Dynamics
from powertrain.virtual.emulated._files import STATUS, conf_text, file_tree
from powertrain.virtual.emulated._graphics import Graphics
from powertrain.virtual.emulated._job import EmulatedJob
from powertrain.virtual.emulated._memory import Memory
from powertrain.virtual.emulated._nodes import FileTree, Node, refuse
from powertrain.virtual.emulated._processors import Processors
from powertrain.virtual.emulated._records import Faults, PowerModel, Write
from powertrain.virtual.emulated._sensors import Sensors
from powertrain.virtual.emulated._views import SeenBy, SharedClock
from powertrain.virtual.simulated._disturbances import Disturbances
from powertrain.workloads import Job, find_workload

__all__ = ["EmulatedSysfs"]


@final
class EmulatedSysfs(Sysfs):
    """The kernel of a Jetson as its files show it; `EMULATED` lists the boards.

    Whatever a caller may not do here raises the `OSError` that the kernel would raise.
    """

    def __init__(
        self,
        name: str = "orin-agx@jp6",
        jetpack: int | None = None,
        *,
        clock: Clock | None = None,
        user: str = "root",
        faults: Faults | None = None,
        power_model: str | int | None = None,
        disturbances: Disturbances | None = None,
        seed: int = 0,
    ) -> None:
        """Boot a board.

        Args:
            name: A board of `EMULATED`, with the generation of JetPack or without.
            jetpack: The generation, where the name lacks it; the newest by default.
            clock: On which it lives; a virtual one by default.
            user: Who looks at it: root, or anybody else.
            faults: What goes wrong; nothing by default.
            power_model: The nvpmodel mode that it boots in, by name or id; the conf's default if None.
            disturbances: How far its power and times are from a laboratory's; as on a board by default.
            seed: Names the run of chance.
        """
        self.board = find_board(name, jetpack)
        self.title = self.board.title + SIMULATED_SUFFIX
        self.clock: Clock = VirtualClock() if clock is None else clock
        self.user = user
        self.faults = Faults() if faults is None else faults
        self.writes: list[Write] = []
        self._boots, self._events, self._due_events, self._undos = 0, 0, 0, 0
        self._undo_at_s: float | None = None
        self._passed_s: float | None = None
        self._doing: str | None = None
        self._started_s = self.clock.now_s()
        self._lock = threading.RLock()
        model_id = self.board.default_model if power_model is None else power_model
        self._chance = disturbances or Disturbances(), seed
        self._boot(self.board.power_model(model_id))

    def _boot(self, model: PowerModel) -> None:
        # Everything is made anew, as after a power cycle: nothing of what was set may survive by accident.
        self._model, self._passed_s = model, None
        self._processors = Processors(
            self.board,
            busy=self._busy,
            ceiling_khz=lambda: self._thermal(self.faults.thermal_cpu_khz),
            limits_forgotten=self.faults.limits_forgotten,
        )
        now_s = self.clock.now_s
        self._graphics = Graphics(
            self.board,
            self.faults,
            busy=self._busy,
            ceiling_hz=lambda: self._thermal(self.faults.thermal_gpu_hz),
            now_s=now_s,
        )
        self._memory = Memory(
            self.board,
            self.faults,
            busy=self._busy,
            cpu_khz=lambda busy: self._processors.mean_khz(busy=busy),
            now_s=now_s,
        )
        self._apply(model, boot=True)
        self._graphics.arrive()
        self._memory.arrive()
        disturbances, seed = self._chance
        self._dynamics = Dynamics(
            self.board.name,
            clock=SharedClock(self.clock, self._lock),
            clocks=self._clocks,
            disturbances=disturbances,
            seed=seed,
        )
        self._sensors = Sensors(
            self.board,
            self.faults,
            self._dynamics,
            overcurrents=lambda: self._events + self._dynamics.throttles,
            limited={
                **{
                    f"cpufreq-cpu{cpus[0]}": lambda: self._thermal(self.faults.thermal_cpu_khz) is not None
                    for cpus in self.board.policies
                },
                f"devfreq-{self._graphics.devfreq.rpartition('/')[2]}": (
                    lambda: self._thermal(self.faults.thermal_gpu_hz) is not None
                ),
            },
        )
        self._parts = (self._processors, self._graphics, self._memory, self._sensors)
        conf = conf_text(
            self.board,
            gpu=self._graphics.devfreq,
            gpu_folder=self._graphics.folder,
            cap=self._memory.cap_path,
        )
        self._files = file_tree(
            self.board, self._parts, conf=conf, model=lambda: self._model.id, boots=lambda: self._boots
        )

    @property
    def mode(self) -> Mapping[str, float]:
        """What the board runs at, or would if it were busy: by the names of knobs."""
        clocks = self._clocks(True)
        return {
            "cpu_cores": float(clocks.cores),
            "cpu_mhz": clocks.cpu_mhz,
            "gpu_mhz": clocks.gpu_mhz,
            "mem_mhz": clocks.mem_mhz,
        }

    @property
    def files(self) -> FileTree:
        """All files, for who shows them in another way."""
        return self._files

    def shown(self, *, known: Collection[str] = ()) -> dict[str, str | None]:
        """Return what every file shows, by path; None: it is not there, or cannot be read.

        Fixed files that are known already are left out. Where only the kernel can refuse, as for a CPU policy
        off line, what the file last showed stands in.
        """
        with self._lock:
            self._pass()
            return {
                path: _text(node)
                for path, node in self._files.nodes.items()
                if not (node.fixed and path in known)
            }

    def job(self, workload: str, *, data: Path | None = None) -> Job:
        """Get a workload ready to be trained on the board, at the speed of whatever state it is in.

        Raises:
            UnknownNameError: There is no such workload.
        """
        find_workload(workload)
        if data is not None:
            raise DeviceError(f"{self.title} trains on no data: leave {data} out")
        return EmulatedJob(workload, self._step)

    def step_s(self, workload: str) -> float:
        """Return how long a minibatch takes now, in the mean."""
        with self._lock:
            self._pass()
            return self._dynamics.step_s(workload)

    def state(self) -> dict[str, str]:
        """Return all that a run may change, by path, as it was asked for: limits in force may be narrower."""
        with self._lock:
            self._pass()
            found = {path: text for part in self._parts for path, text in part.state().items()}
            return {**found, STATUS: str(self._model.id)}

    def apply(self, model: str | int) -> None:
        """Take a stock mode as `nvpmodel -m` does."""
        with self._lock:
            self._model = self.board.power_model(model)
            self._apply(self._model, boot=False)
            self._passed_s = None
            self._dynamics.refresh()

    def seen_by(self, user: str) -> Sysfs:
        """Return the same board as another user sees it."""
        return SeenBy(self, user, self.acting)

    @contextmanager
    def acting(self, user: str) -> Generator[None]:
        """Be another user while the context lasts."""
        with self._lock:
            before, self.user = self.user, user
            try:
                yield
            finally:
                self.user = before

    def overcurrent(self, events: int = 1) -> None:
        """Let so many over-current events happen."""
        self._events += events

    def reboot(self) -> None:
        """Start again: another boot id, and everything as the mode in nvpmodel's status says."""
        with self._lock:
            self._boots += 1
            self._boot(self._model)

    @override
    def read(self, path: str) -> str:
        with self._lock:
            # First what was due, then the answer: a reader never sees a moment that has passed.
            self._pass()
            node = self._seen(path)
            if not self._root and not node.mode & 0o004:
                raise refuse(errno.EACCES, path)
            if number := self.faults.silent.get(self._files.resolve(path)):
                raise refuse(number, path)
            return node.read().strip(" \t\r\n")

    @override
    def write(self, path: str, text: str) -> None:
        with self._lock:
            self._pass()
            real, number = self._files.resolve(path), 0
            try:
                self._write(path, real, text)
            except OSError as error:
                number = error.errno or errno.EIO
                raise OSError(number, error.strerror, path) from None
            finally:
                # Refused writes are kept as well: tests want to know what was tried.
                self.writes.append(Write(time_s=self.clock.now_s(), path=real, text=text, errno=number))
            if self.faults.undone_after_s is not None and self._undo_at_s is None:
                self._undo_at_s = self.clock.now_s() + self.faults.undone_after_s
            self._follow()

    @override
    def listdir(self, path: str) -> list[str]:
        with self._lock:
            real = self._files.resolve(path)
            if not self._may_see(f"{real}/"):
                return []
            return [name for name in self._files.names(real) if not name.startswith(".")]

    @override
    def exists(self, path: str) -> bool:
        with self._lock:
            real = self._files.resolve(path)
            return self._may_see(real) and self._files.is_there(real)

    @override
    def may_write(self, path: str) -> bool:
        with self._lock:
            real = self._files.resolve(path)
            node = self._files.node(real) if self._may_see(real) else None
            return node is not None and self._may(node, real)

    @override
    def resolve(self, path: str) -> str:
        return self._files.resolve(path)

    def _write(self, path: str, real: str, text: str) -> None:
        node = self._seen(path)
        if self.faults.read_only and real.startswith("/sys/"):
            raise refuse(errno.EROFS)
        if not self._may(node, real) or node.write is None:
            raise refuse(errno.EACCES)
        if real in self.faults.refused:
            raise refuse(self.faults.refused[real])
        if not text.isascii():
            raise refuse(errno.EINVAL)
        node.write(text)

    def _seen(self, path: str) -> Node:
        real = self._files.resolve(path)
        if not self._may_see(real):
            raise refuse(errno.ENOENT if self._root else errno.EACCES, path)
        node = self._files.node(real)
        if node is None:
            raise refuse(errno.EISDIR if self._files.is_there(real) else errno.ENOENT, path)
        return node

    def _may(self, node: Node, real: str) -> bool:
        """Tell whether this user may write a file: no file here may be written by all."""
        read_only = self.faults.read_only and real.startswith("/sys/")
        return self._root and node.write is not None and not read_only

    def _may_see(self, real: str) -> bool:
        return self._files.may_see(real, root=self._root, debugfs=not self.faults.no_debugfs)

    @property
    def _root(self) -> bool:
        return self.user == "root"

    def _busy(self) -> bool:
        return self._doing is not None

    def _thermal(self, limit: int | None) -> int | None:
        hot = self.clock.now_s() < self._started_s + self.faults.thermal_until_s
        return limit if hot else None

    def _clocks(self, busy: bool) -> Clocks:
        """Return what the board runs at when busy or at rest."""
        return Clocks(
            cores=self._processors.cores(),
            cpu_mhz=mhz_from_khz(self._processors.mean_khz(busy=busy)),
            gpu_mhz=mhz_from_hz(float(self._graphics.target_hz(busy=busy))),
            mem_mhz=mhz_from_hz(float(self._memory.target_hz(busy=busy))),
            tpcs=self._graphics.clusters(),
        )

    def _apply(self, model: PowerModel, *, boot: bool) -> None:
        self._processors.apply(model)
        self._graphics.apply(model, boot=boot)
        self._memory.apply(model)

    def _follow(self) -> None:
        """Let clocks follow what is asked of them."""
        self._passed_s = None
        self._graphics.follow()
        self._memory.follow()
        self._dynamics.refresh()

    def _pass(self) -> None:
        """Let happen what was due by now."""
        now_s = self.clock.now_s()
        if now_s == self._passed_s:
            return  # nothing was written since, and no time has passed
        # In the order of a board: events of the hardware, services that meddle, then the clocks.
        due = sum(self._started_s + at_s <= now_s for at_s in self.faults.overcurrent_at_s)
        self._events += max(due - self._due_events, 0)
        self._due_events = max(due, self._due_events)
        if self._undo_at_s is not None and now_s >= self._undo_at_s and self._undos < self.faults.undos:
            self._undos += 1
            self._undo_at_s = None
            self._apply(self._model, boot=False)
        self._follow()
        self._passed_s = now_s

    def _step(self, workload: str) -> None:
        """Train one minibatch."""
        with self._lock:
            self._pass()
            self._graphics.used()
            self._doing = workload
            try:
                self._follow()
                self._dynamics.step(workload)
            finally:
                self._doing = None
                self._follow()


def _text(node: Node) -> str | None:
    if not node.present():
        return None
    try:
        return node.stale() if node.stale else node.read()
    except OSError:
        return None
