"""How a sweep is shared out over equal boards: batches of modes, whatever engine runs them.

A sweep over many modes is one tour that saves settling (`powertrain.planning.order_modes`). Each board walks
a stretch of its own. A board that has finished its stretch takes the second half of the longest that is left,
and the modes of a board that died go back. The modes that boards share are measured by each of them first, so
that boards can be compared however the sweep ends (`powertrain.fleet.Spread`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import final

from powertrain.planning import order_modes, plan_modes
from powertrain.records import ModeTable, PowerMode, Profile

__all__ = ["BATCH", "BOARD", "Batch", "Sweep", "usual_shared"]

BOARD = "board"
"""Under which a profile says which of several equal boards measured it."""
BATCH = 8
"""Modes of a batch, where nobody says how many."""
MOST_SHARED = 6
SHARED_SHARE = 0.2
"""Most that shared modes may add to a sweep, where nobody says how many there are to be."""
MOST_TRIES = 3
"""Boards that may die in a mode before it is left out: by then it is the mode that kills them."""


def usual_shared(modes: int, boards: int) -> int:
    """Return how many modes are measured by every board, where nobody says: none for a single board.

    Each shared mode is measured once more by every further board. As many are shared as add up to a fifth
    of the sweep at most, but at least one, and at most six.
    """
    if boards < 2 or modes < 1:
        return 0
    return min(MOST_SHARED, max(1, int(SHARED_SHARE * modes / (boards - 1))))


@final
@dataclass(frozen=True, kw_only=True)
class Batch:
    """Modes for one board to measure, in this order."""

    board: str
    modes: tuple[PowerMode, ...]
    shared: bool = False
    """Whether the other boards measure these modes, too."""


@final
@dataclass(kw_only=True)
class _Worker:
    """What one board has to do."""

    shared: list[PowerMode]
    """That it has not measured yet, in order."""
    own: list[PowerMode] = field(default_factory=list[PowerMode])
    """Its stretch of the tour."""
    running: list[PowerMode] = field(default_factory=list[PowerMode])
    """What is left of the batch that it is measuring."""
    is_shared: bool = False
    """Whether that is a batch of shared modes."""


@final
class Sweep:
    """Says which board measures which modes next, and keeps account of what is done.

    Nothing here waits or measures. Whoever runs the boards asks for a batch (`take`), tells of each finished
    profile (`done`), and says when a batch has ended (`ended`) or its board has died (`lost`).
    """

    def __init__(
        self, modes: ModeTable, *, shared: int = 0, batch: int = BATCH, seed: int = 0, ordered: bool = True
    ) -> None:
        """Order the modes, and choose the shared ones among them.

        Args:
            modes: `(n, n_knobs)` different modes.
            shared: How many of them every board measures.
            batch: Most modes of a batch.
            seed: Of the order and of which modes are shared.
            ordered: Whether to order the modes so that settling is saved; else they keep their order.

        Raises:
            ValueError: `shared` or `batch` makes no sense.
        """
        if batch < 1 or not 0 <= shared <= len(modes):
            raise ValueError(
                f"batches of {batch} modes, {shared} of {len(modes)} shared: give 1 or more, and 0 to all"
            )
        tour = list(modes.take(order_modes(modes, seed=seed)) if ordered else modes)
        chosen = set(modes.take(plan_modes(modes, shared, seed=seed))) if shared else set[PowerMode]()
        self.knobs, self._batch = modes.knobs, batch
        self._shared = [mode for mode in tour if mode in chosen]
        self._free = [stretch for stretch in [[mode for mode in tour if mode not in chosen]] if stretch]
        self._workers: dict[str, _Worker] = {}
        self._by_board: dict[str, set[PowerMode]] = {}
        self._measured = set[PowerMode]()
        self._died_in = Counter[PowerMode]()
        self.given_up: list[PowerMode] = []
        """Modes that are left out because board after board died in them."""

    @property
    def shared(self) -> tuple[PowerMode, ...]:
        """The modes that every board measures."""
        return tuple(self._shared)

    @property
    def left(self) -> int:
        """How many measurements are still to be made by the boards that are there, running ones included.

        A shared mode counts once for each board, and once if there is no board.
        """
        queued = sum(map(len, self._free))
        theirs = sum(len(w.own) + len(w.shared) + len(w.running) for w in self._workers.values())
        waiting = len(self._shared_left()) if not self._workers else 0
        return queued + theirs + waiting

    @property
    def missing(self) -> int:
        """How many different modes nobody has measured yet."""
        everywhere = {m for w in self._workers.values() for m in (*w.own, *w.running)}
        free = {mode for stretch in self._free for mode in stretch}
        return len((everywhere | free | set(self._shared_left())) - self._measured)

    def recall(self, profiles: Iterable[Profile]) -> int:
        """Take in what was measured before; return how many of the modes need not be measured again.

        A shared mode still has to be measured by each board that has not measured it.
        """
        wanted = {mode for stretch in self._free for mode in stretch} | set(self._shared)
        known = set[PowerMode]()
        for profile in profiles:
            if profile.mode in wanted:
                known.add(profile.mode)
                if (board := profile.extra.get(BOARD)) is not None:
                    self._by_board.setdefault(board, set()).add(profile.mode)
        self._measured |= known
        self._free = [left for s in self._free if (left := [mode for mode in s if mode not in known])]
        return len(known)

    def add(self, board: str) -> None:
        """Take in a board, which may have been here before."""
        if board not in self._workers:
            before = self._by_board.get(board, set())
            shared = [mode for mode in self._shared if mode not in before and mode not in self.given_up]
            self._workers[board] = _Worker(shared=shared)

    def take(self, board: str) -> Batch | None:
        """Return what a board that is idle measures next; None where nothing is left for it now.

        More may be left later, when another board dies.
        """
        worker = self._workers[board]
        assert not worker.running, f"{board} is at work"
        is_shared = bool(worker.shared)
        if not is_shared and not worker.own:
            worker.own = self._stretch(but=board)
        source = worker.shared if is_shared else worker.own
        if not source:
            return None
        size = self._size(len(source), is_shared=is_shared)
        worker.running, worker.is_shared = source[:size], is_shared
        del source[:size]
        return Batch(board=board, modes=tuple(worker.running), shared=is_shared)

    def done(self, board: str, mode: PowerMode) -> None:
        """Note that a board has measured a mode."""
        self._measured.add(mode)
        self._by_board.setdefault(board, set()).add(mode)
        worker = self._workers.get(board)
        if worker is not None and mode in worker.running:
            worker.running.remove(mode)

    def ended(self, board: str) -> None:
        """Note that a board has ended its batch; what it left out goes back."""
        worker = self._workers[board]
        self._give_back(worker)

    def lost(self, board: str, *, died: bool = True) -> int:
        """Note that a board is gone; return how many modes of its batch go back to the others.

        Args:
            board: Which one.
            died: Whether it died while it measured. A mode in which boards die again and again is left out.
        """
        worker = self._workers.pop(board, None)
        if worker is None:
            return 0
        if died and worker.running:
            mode = worker.running[0]
            self._died_in[mode] += 1
            if self._died_in[mode] >= MOST_TRIES:
                self._leave_out(mode, worker)
        back = len(worker.running)
        self._give_back(worker)
        self._free += [worker.own] if worker.own else []
        return back

    def _leave_out(self, mode: PowerMode, worker: _Worker) -> None:
        self.given_up.append(mode)
        worker.running.remove(mode)
        for other in self._workers.values():
            if mode in other.shared:
                other.shared.remove(mode)

    def _give_back(self, worker: _Worker) -> None:
        left, worker.running = worker.running, []
        if not left:
            return
        if worker.is_shared:
            worker.shared = left + worker.shared
        else:
            self._free.append(left)

    def _shared_left(self) -> list[PowerMode]:
        return [mode for mode in self._shared if mode not in self._measured and mode not in self.given_up]

    def _stretch(self, *, but: str) -> list[PowerMode]:
        """Return a stretch of the tour for a board: a free one, or half of the longest that another has."""
        waiting = [name for name, w in self._workers.items() if not w.own and not w.running and name != but]
        if self._free:
            longest = max(self._free, key=len)
            self._free.remove(longest)
            # Boards that begin together part what there is, so that each walks a stretch of its own.
            mine = math.ceil(len(longest) / (1 + len(waiting)))
            if mine < len(longest):
                self._free.append(longest[mine:])
            return longest[:mine]
        owner = max(self._workers.values(), key=lambda w: len(w.own))
        half = len(owner.own) // 2
        taken, owner.own = owner.own[len(owner.own) - half :], owner.own[: len(owner.own) - half]
        if not taken and owner.own:
            taken, owner.own = owner.own, []
        return taken

    def _size(self, own: int, *, is_shared: bool) -> int:
        """Return how many modes the next batch has: fewer towards the end, so that boards end together."""
        if is_shared:
            return min(own, self._batch)
        queued = sum(map(len, self._free)) + sum(len(w.own) for w in self._workers.values())
        fair = math.ceil(queued / (2 * max(len(self._workers), 1)))
        return max(1, min(own, self._batch, fair))
