"""Ray (the extra `ray`): many boards share a sweep, and workers of Ray Train and Tune are tuned.

```python
from powertrain.fleet import FleetOptions, Wanted, Work, profile_fleet
from powertrain.integrations.ray import connected

with connected("10.0.0.1:6379") as cluster:
    profile_fleet(cluster.engine(), Work(workload="lstm"), Wanted(number=100), store, FleetOptions())
```

A machine with a board tells Ray so by a resource of its own, `powertrain_board:MODEL`, and by the variable
`POWERTRAIN_BOARD`, which holds the spec of the device. `powertrain fleet join` prints the command.
"""

# Ray may be absent where types are checked, and then nothing is known of its types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, final

from typing_extensions import override

from powertrain.errors import FleetError, PowerTrainError
from powertrain.fleet import (
    BoardFacts,
    Died,
    Draw,
    Engine,
    Happened,
    Order,
    Work,
    facts,
    measured,
    planned,
    status,
)
from powertrain.integrations._extras import needed
from powertrain.integrations._ray_cells import RayCells
from powertrain.integrations._ray_link import LOCAL, joined, ray
from powertrain.integrations._ray_workers import SPEC_VARIABLE, tuned_loop, tuning
from powertrain.records import ModeTable, Profile
from powertrain.workflow import DeviceStatus

__all__ = [
    "RESOURCE",
    "SPEC_VARIABLE",
    "Cluster",
    "RayCells",
    "RayEngine",
    "connected",
    "spec_here",
    "tuned_loop",
    "tuning",
]

RESOURCE = "powertrain_board:"
"""What the names of the resources of boards begin with; the model follows."""
SET_BY_RAY = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
"""Of a worker that was given no processor and no GPU; but a board is all of its machine."""
ANSWER_S = 60.0
"""For a board to tell what it is: it may start a process and look for its clocks."""
PLAN_S = 600.0
RESTORE_S = 20.0
"""For boards to be restored after Ctrl-C."""


@contextmanager
def connected(address: str = "auto") -> Generator[Cluster]:
    """Be connected to a cluster while the context lasts.

    Args:
        address: `HOST:PORT` of the head, or `auto` for the cluster that this machine belongs to.

    Raises:
        ValueError: The address is none.
        FleetError: Nothing answers there, or this machine cannot take part.
    """
    if address == LOCAL:
        raise ValueError(f"{LOCAL!r} is no cluster with boards: give HOST:PORT of its head, or auto")
    with joined(address):
        yield Cluster()


def spec_here(environ: Mapping[str, str] | None = None) -> str:
    """Return the spec of the board of this machine: what `POWERTRAIN_BOARD` holds, or `auto`."""
    return (os.environ if environ is None else environ).get(SPEC_VARIABLE) or "auto"


def _as_outside() -> None:
    """Undo what Ray sets for its workers: a training has the threads and GPUs that it has without Ray."""
    with suppress(OSError):
        lines = Path(f"/proc/{os.getppid()}/environ").read_bytes().decode(errors="replace").split("\0")
        given = dict(line.split("=", 1) for line in lines if "=" in line)
        for name in SET_BY_RAY:
            if name in given:
                os.environ[name] = given[name]
            else:
                os.environ.pop(name, None)


def _facts_here() -> BoardFacts:
    _as_outside()
    return facts(spec_here())


def _status_here() -> DeviceStatus:
    return status(spec_here())


def _planned_here(work: Work, draw: Draw) -> ModeTable:
    return planned(spec_here(), work, draw)


def _measured_here(order: Order) -> Iterator[Profile]:
    _as_outside()
    yield from measured(spec_here(), order)


@final
class Cluster:
    """A cluster of Ray that this process is connected to."""

    def kinds(self) -> dict[str, int]:
        """Return how many boards of each model there are now."""
        found: dict[str, int] = {}
        for node in _nodes():
            for kind in _kinds_of(node):
                found[kind] = found.get(kind, 0) + 1
        return dict(sorted(found.items()))

    def engine(self, model: str | None = None) -> RayEngine:
        """Return what drives the boards of one model; it may be left out where there is only one.

        Raises:
            FleetError: There is no board of that model, or the model has to be named.
        """
        kinds = self.kinds()
        if model is not None:
            if model not in kinds:
                there = ", ".join(kinds) or "none"
                raise FleetError(f"the cluster has no board {model}: there are {there}")
            return RayEngine(model)
        if len(kinds) > 1:
            raise FleetError(f"the cluster has boards of {len(kinds)} models: name one of {', '.join(kinds)}")
        if not kinds:
            raise FleetError(
                "no machine of the cluster has a board: run what powertrain fleet join prints on each"
            )
        return RayEngine(next(iter(kinds)))


def _nodes() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]


def _kinds_of(node: Mapping[str, Any]) -> list[str]:
    return [name.removeprefix(RESOURCE) for name in node["Resources"] if name.startswith(RESOURCE)]


@final
class RayEngine(Engine):
    """Boards of one model in a cluster of Ray."""

    def __init__(self, model: str) -> None:
        """Take a model of boards; `Cluster.engine` makes this."""
        self._resource = RESOURCE + model
        self._running: dict[Any, str] = {}
        self._facts = ray.remote(_facts_here)
        self._status = ray.remote(_status_here)
        self._plan = ray.remote(_planned_here)
        self._measure = ray.remote(_measured_here)

    @override
    def boards(self) -> Sequence[str]:
        return list(self._by_board())

    def _by_board(self) -> dict[str, str]:
        """Return the node of each board."""
        found: dict[str, str] = {}
        for node in sorted(_nodes(), key=lambda node: str(node["NodeID"])):
            if self._resource not in node["Resources"]:
                continue
            # What --node-name says; without it, Ray gives the address.
            name = node.get("NodeName") or node["NodeManagerAddress"]
            if name in found:
                name = f"{name}-{node['NodeID'][:6]}"
            found[name] = node["NodeID"]
        return found

    def _on(self, task: Any, board: str, **more: Any) -> Any:
        """Return a task that runs on a board's machine, and nowhere else."""
        strategies = needed("ray.util.scheduling_strategies", package="Ray", extra="ray")
        node = self._by_board().get(board)
        if node is None:
            raise Died(f"{board} is gone")
        there = strategies.NodeAffinitySchedulingStrategy(node, soft=False)
        return task.options(num_cpus=0, max_retries=0, scheduling_strategy=there, **more)

    @override
    def facts(self, boards: Iterable[str]) -> Mapping[str, BoardFacts | Exception]:
        return self._asked(self._facts, boards)

    def statuses(self) -> Mapping[str, DeviceStatus | Exception]:
        """Ask all boards, at once, what they are doing."""
        return self._asked(self._status, self.boards())

    def _asked(self, task: Any, boards: Iterable[str]) -> dict[str, Any]:
        answers: dict[str, Any] = {}
        asked: dict[str, Any] = {}
        for board in boards:
            try:
                asked[board] = self._on(task, board).remote()
            except Died as error:
                answers[board] = error
        end_s = time.monotonic() + ANSWER_S
        for board, reference in asked.items():
            try:
                answers[board] = ray.get(reference, timeout=max(end_s - time.monotonic(), 0.1))
            except ray.exceptions.GetTimeoutError:
                ray.cancel(reference, force=True)
                answers[board] = FleetError(f"it did not answer within {ANSWER_S:.0f} s")
            except ray.exceptions.RayError as error:
                answers[board] = _told(error)
        return answers

    @override
    def planned(self, board: str, work: Work, draw: Draw) -> ModeTable:
        try:
            return ray.get(self._on(self._plan, board).remote(work, draw), timeout=PLAN_S)
        except ray.exceptions.GetTimeoutError:
            raise FleetError(f"{board} did not plan within {PLAN_S:.0f} s") from None
        except ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None)
            # What makes no sense, such as no modes at all, is an error of whoever asked.
            raise (cause if isinstance(cause, ValueError) else _told(error)) from error

    @override
    def submit(self, board: str, order: Order) -> None:
        try:
            # A board takes one batch at a time, whoever else has a sweep on it.
            task = self._on(self._measure, board, num_returns="streaming", resources={self._resource: 1})
        except Died:
            return  # `boards` tells that it is gone
        self._running[task.remote(order)] = board

    @override
    def wait(self, timeout_s: float) -> Sequence[Happened]:
        if not self._running:
            time.sleep(timeout_s)
            return []
        ready, _ = ray.wait(list(self._running), num_returns=1, timeout=timeout_s)
        if ready:
            more, _ = ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
            ready = list(dict.fromkeys([*ready, *more]))
        return [self._next(stream) for stream in ready]

    def _next(self, stream: Any) -> Happened:
        """Return what comes next from a board."""
        board = self._running[stream]
        try:
            return Happened(board=board, profile=ray.get(next(stream)))
        except StopIteration:
            error = None
        except ray.exceptions.RayError as failed:
            error = _told(failed)
        del self._running[stream]
        return Happened(board=board, error=error)

    @override
    def drop(self, board: str) -> None:
        self._running = {stream: of for stream, of in self._running.items() if of != board}

    @override
    def cancel(self) -> Sequence[Happened]:
        for stream in self._running:
            ray.cancel(stream)
        kept, end_s = list[Happened](), time.monotonic() + RESTORE_S
        while self._running and time.monotonic() < end_s:
            kept += [happened for happened in self.wait(0.2) if happened.profile is not None]
        self._running.clear()
        return kept


def _told(error: Exception) -> Exception:
    """Return an error of a board as that board raised it; what Ray says of its own becomes `Died`."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, PowerTrainError):
        return cause
    if isinstance(cause, ModuleNotFoundError):
        return FleetError(f"PowerTrain cannot be imported there ({cause}): install it on the board")
    if isinstance(cause, Exception):
        return FleetError(f"{type(cause).__name__}: {' '.join(str(cause).split())[:200]}")
    return Died(_DEATHS.get(type(error).__name__, type(error).__name__))


_DEATHS = {
    "NodeDiedError": "its machine does not answer",
    "WorkerCrashedError": "its process died",
    "TaskUnschedulableError": "its machine does not answer",
    "OutOfMemoryError": "its machine ran out of memory",
    "TaskCancelledError": "its batch was cancelled",
}
