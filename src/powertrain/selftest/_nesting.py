"""Whether one rail of a board carries another: memory traffic on and off, and what both rails show."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import final

import numpy as np

from powertrain.devices import AbstractLiveDevice
from powertrain.errors import PowerTrainError
from powertrain.records import PowerMode
from powertrain.selftest._records import Check

__all__ = ["nesting_checks"]

READINGS = 8
"""Of each of the two: few, since a person waits, and enough to average the monitors' resolution."""
PERIOD_S = 0.25
SETTLE_S = 1.0
"""Before each: monitors average for about half a second."""
ROUNDS = 2
"""Traffic off and on, so often: what rises by itself, as with heat, does not rise with the traffic."""
CLEAR_W = 0.2
"""Less than twice the resolution of a 5 V rail (99 mW) tells nothing."""
SHARE = 0.8
"""Of the rise of the inner rail that the outer one has to show: both are read one after the other."""
TRAFFIC_BYTES = 64 * 1024 * 1024
"""Of an array that is copied: beyond any cache."""


def nesting_checks(board: AbstractLiveDevice) -> tuple[Check, ...]:
    """Test each pair of rails of which the first is said to carry the second; nothing is set.

    The memory is made busy and left alone in turn. If the outer rail carries the inner one it rises by at
    least as much; if they are parallel it does not rise with it.
    """
    if not board.rails:
        return ()
    return tuple(_check(board, outer, inner) for outer, inner in board.nested_rails)


def _check(board: AbstractLiveDevice, outer: str, inner: str) -> Check:
    name = f"{outer} carries {inner}"
    try:
        rises = [_rise(board, outer, inner) for _ in range(ROUNDS)]
    except (PowerTrainError, OSError) as error:
        return Check(name=name, ok=True, says=f"It could not be tested: {error}")
    outer_w, inner_w = (float(np.mean([rise[place] for rise in rises])) for place in (0, 1))
    told = f"with memory traffic {inner} rose by {inner_w:.2f} W and {outer} by {outer_w:.2f} W"
    if not inner_w > CLEAR_W:
        return Check(name=name, ok=True, says=f"It cannot be told: {told}.")
    carries = outer_w >= SHARE * inner_w
    added = inner in board.rails and outer in board.rails
    if carries:
        advice = ", and both are added: it is counted twice" if added else ", and it is not added: right"
        return Check(name=name, ok=not added, says=f"So it seems: {told}{advice}.")
    advice = ": right" if added else f": add it, as in {board.spec.partition('?')[0]}?rails="
    advice += "" if added else "+".join((*board.rails, inner))
    return Check(name=name, ok=added, says=f"Not so: {told}{advice}.")


def _rise(board: AbstractLiveDevice, outer: str, inner: str) -> tuple[float, float]:
    quiet = _means(board, (outer, inner), nullcontext(lambda: None))
    busy = _means(board, (outer, inner), _traffic(board))
    return busy[0] - quiet[0], busy[1] - quiet[1]


def _means(
    board: AbstractLiveDevice, rails: Iterable[str], load: AbstractContextManager[Callable[[], None]]
) -> list[float]:
    """Return the mean power of some rails under a load."""
    seen: list[list[float]] = []
    with load as work:
        end_s = board.clock.now_s() + SETTLE_S
        while board.clock.now_s() < end_s:
            work()
            board.clock.sleep_s(PERIOD_S)
        for _ in range(READINGS):
            work()
            shown = board.read_power().rails_w
            seen.append([shown.get(rail, math.nan) for rail in rails])
            board.clock.sleep_s(PERIOD_S)
    return [float(mean) for mean in np.mean(seen, axis=0)]


@contextmanager
def _traffic(board: AbstractLiveDevice):
    """Keep the memory busy while the context lasts; yield what has to be called before each reading."""
    if not board.simulated:
        with _Copying():
            yield lambda: None
        return
    # A board with a clock of its own works only in its own trainings, and shows them for a while.
    with board.job(board.workloads()[0]) as job:
        job.prepare(PowerMode({knob.name: knob.values[-1] for knob in board.space.knobs}))

        def work() -> None:
            for _ in range(READINGS):
                job.step()

        yield work


@final
class _Copying:
    """Copies a large array on a thread while the context lasts."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="powertrain-traffic", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        source = np.ones(TRAFFIC_BYTES, dtype=np.uint8)
        copy = np.empty_like(source)
        while not self._stop.is_set():
            np.copyto(copy, source)  # without the interpreter's lock
