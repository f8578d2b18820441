"""An emulated board as a real tree of files, kept up to date while others write to it.

A plain file cannot refuse a write or tell of it, so the keeper looks every few milliseconds, gives what it
finds to the emulated kernel, and corrects the file where the kernel made something else of it. What a kernel
refuses is undone a moment later; files of a CPU policy that is off line stay readable, as on older kernels.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import final

from typing_extensions import override

from powertrain.devices._clock import Clock, MonotonicClock
from powertrain.errors import UnknownNameError
from powertrain.units import ms_from_s
from powertrain.virtual.emulated._job import DOING, OWN, STEP
from powertrain.virtual.emulated._nodes import DEBUGFS, Node
from powertrain.virtual.emulated._sysfs import EmulatedSysfs
from powertrain.virtual.emulated._watched import Watched, show

__all__ = ["STATE", "WRITES", "InterruptibleClock", "TreeKeeper"]

STATE = f"{OWN}/state.json"
"""All that a run may change, as it was asked for."""
WRITES = f"{OWN}/writes.jsonl"
POLL_S, REFRESH_S = 0.004, 0.05
GRACE_S = 0.03
"""For which a write that is refused waits for one that makes it legal."""


class _InterruptedError(Exception):
    """A sleep was cut short."""


@final
class InterruptibleClock(Clock):
    """The machine's clock; a sleep on it can be cut short."""

    def __init__(self) -> None:
        self._clock = MonotonicClock()
        self._cut = threading.Event()

    def interrupt(self) -> None:
        """End every sleep with an error until `resume`."""
        self._cut.set()

    def resume(self) -> None:
        """Let sleeps be whole again."""
        self._cut.clear()

    @override
    def now_s(self) -> float:
        return self._clock.now_s()

    @override
    def sleep_s(self, duration_s: float) -> None:
        if self._cut.wait(max(duration_s, 0.0)):
            raise _InterruptedError

    @override
    def every(self, period_s: float, call: Callable[[], None]) -> AbstractContextManager[None]:
        return self._clock.every(period_s, call)


@final
@dataclass
class _Pending:
    """A write that the kernel has not taken yet."""

    at_ns: int
    text: str
    until_s: float
    errno: int = 0


@final
class TreeKeeper:
    """Writes a board's files below a folder, and keeps them."""

    def __init__(self, root: Path, board: EmulatedSysfs, clock: InterruptibleClock) -> None:
        """Make the tree; `board` lives on `clock`, and belongs to root."""
        self._root, self._board, self._clock = root, board, clock
        self._watched: dict[str, Watched] = {}
        self._shown: dict[str, str] = {}
        self._widths: dict[str, int] = {}
        self._doing = self._state = ""
        self._trainer: threading.Thread | None = None
        self._pending: dict[str, _Pending] = {}
        self._refresh_at_s = clock.now_s()
        self._build()

    def run(self, ended: Callable[[], bool]) -> None:
        """Keep the tree until it has ended."""
        try:
            while not ended():
                self.poll()
                time.sleep(POLL_S)
        finally:
            self._train("")
            for watched in self._watched.values():
                watched.close()

    def poll(self) -> None:
        """Look once at what others wrote; now and then bring all that moves by itself up to date."""
        # Writes of others come first: refreshing would overwrite them with what was before.
        wrote = self._take_writes()
        if wrote or self._clock.now_s() >= self._refresh_at_s:
            self._refresh_at_s = self._clock.now_s() + REFRESH_S
            self._refresh()

    def _build(self) -> None:
        own = self._root / OWN
        own.mkdir(parents=True, exist_ok=True)
        own.chmod(0o755)
        for name, mode in ((DOING, 0o666), (STEP, 0o644), (STATE, 0o644), (WRITES, 0o644)):
            path = self._root / name
            path.write_text("", encoding="ascii")
            path.chmod(mode)
        self._refresh()

    def _refresh(self) -> None:
        """Show what the kernel shows now."""
        appeared = False
        for path, text in self._board.shown(known=self._shown.keys()).items():
            node = self._board.files.nodes[path]
            if text is None:
                self._remove(path)
            elif path not in self._shown:
                self._create(path, node, text)
                appeared = True
            elif node.write is not None:
                if path not in self._pending:
                    self._watched[path].correct(text)
            elif text != self._shown[path]:
                self._overwrite(path, text)
        if appeared:
            self._link()
        self._follow_training()
        state = json.dumps(self._board.state(), indent=0)
        if state != self._state:
            self._state = state
            show(self._root / STATE, state)

    def _create(self, path: str, node: Node, text: str) -> None:
        file = self._root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        for folder in file.relative_to(self._root).parents:
            (self._root / folder).chmod(0o700 if f"/{folder}" == DEBUGFS else 0o755)
        self._shown[path] = text
        if node.write is not None:
            self._watched[path] = Watched(file, text, node.mode)
            return
        file.write_text("", encoding="utf-8")
        file.chmod(node.mode)
        self._overwrite(path, text)

    def _overwrite(self, path: str, text: str) -> None:
        """Write a file that nobody else writes, at once and in place, so that no reader finds half of it."""
        width = max(self._widths.get(path, 0), len(text) + 1, 32)
        self._widths[path], self._shown[path] = width, text
        descriptor = os.open(self._root / path.lstrip("/"), os.O_WRONLY)
        try:
            os.pwrite(descriptor, text.encode().ljust(width, b"\n"), 0)
        finally:
            os.close(descriptor)

    def _remove(self, path: str) -> None:
        if path in self._shown:
            del self._shown[path]
            if path in self._watched:
                self._watched.pop(path).close()
            (self._root / path.lstrip("/")).unlink(missing_ok=True)

    def _link(self) -> None:
        """Make the links whose targets are there; relative, so that they stay below the root."""
        for path, target in self._board.files.links.items():
            link = self._root / path.lstrip("/")
            if not link.is_symlink() and (self._root / target.lstrip("/")).exists():
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(os.path.relpath(self._root / target.lstrip("/"), link.parent))

    def _take_writes(self) -> bool:
        """Give the kernel what others wrote, in the order in which they did."""
        now_s = self._clock.now_s()
        news = {path: new for path, watched in self._watched.items() if (new := watched.news(now_s))}
        for path, (at_ns, text) in news.items():
            self._pending[path] = _Pending(at_ns=at_ns, text=text, until_s=now_s + GRACE_S)
        ordered = sorted(
            self._pending.items(), key=lambda item: (item[1].at_ns, _turn(item[0], item[1].text))
        )
        # Of several writes to one file only the last is seen, and a write may be seen before an earlier one
        # to another file. So one that is refused is tried again after each that is not, and for a while.
        left: list[tuple[str, _Pending]] = []
        for item in ordered:
            left.append(item)
            while True:
                refused = [(path, write) for path, write in left if not self._write(path, write)]
                if len(refused) == len(left):
                    break
                left = refused
        for path, write in left:
            if now_s >= write.until_s:
                self._watched[path].spoil()
                self._record(path, write.text, write.errno)
                del self._pending[path]
        return bool(news or ordered)

    def _write(self, path: str, write: _Pending) -> bool:
        try:
            self._board.write(path, write.text)
        except OSError as error:
            write.errno = error.errno or 0
            return False
        finally:
            self._board.writes.clear()
        self._record(path, write.text, 0)
        del self._pending[path]
        return True

    def _record(self, path: str, text: str, errno: int) -> None:
        line = json.dumps({"path": path, "text": text, "errno": errno})
        with (self._root / WRITES).open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def _follow_training(self) -> None:
        words = (self._root / DOING).read_text(encoding="utf-8", errors="replace").split()
        doing = words[0] if words and (len(words) < 2 or _is_alive(words[1])) else ""
        if doing != self._doing:
            self._train(doing)
        if self._doing:
            step_ms = ms_from_s(self._board.step_s(self._doing))
            show(self._root / STEP, f"{self._doing} {step_ms:.6f}")

    def _train(self, workload: str) -> None:
        """Train another workload, or none, on a thread of its own."""
        if self._trainer is not None:
            self._clock.interrupt()
            self._trainer.join()
            self._trainer = None
            self._clock.resume()
        self._doing = workload
        if not workload:
            show(self._root / STEP, "")
            return
        try:
            job = self._board.job(workload)
        except UnknownNameError:
            return

        def train() -> None:
            with suppress(_InterruptedError):
                while True:
                    job.step()

        self._trainer = threading.Thread(target=train, name="emulated-training", daemon=True)
        self._trainer.start()


def _turn(path: str, text: str) -> int:
    """Return the place among writes of one moment: CPUs come on line first and leave last."""
    if not path.endswith("/online"):
        return 1
    return 0 if text.strip() == "1" else 2


def _is_alive(pid: str) -> bool:
    return pid.isdecimal() and Path(f"/proc/{pid}").exists()
