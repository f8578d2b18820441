"""Holding a device in a mode, and restoring it on every way out.

The ways out: the end of the block, an exception, Ctrl-C, SIGTERM and SIGHUP, at any moment, also while the
device is being restored. The signals' handlers restore the device themselves before they raise, so that no
line of Python between the block and its end has to run for it. SIGKILL is the journal's.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from types import FrameType, TracebackType
from typing import Any, final

from typing_extensions import override

from powertrain.devices._journal import Journal
from powertrain.devices._locks import Claim
from powertrain.errors import DeviceError, PowerTrainError
from powertrain.records import PowerMode

__all__ = ["Held", "Holder", "Settings", "Terminated", "restore_held"]

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
OTHER_SIGNALS = tuple(sorted(map(int, signal.valid_signals() - {*SIGNALS, signal.SIGKILL, signal.SIGSTOP})))


NOT_RESTORED = (PowerTrainError, OSError)
"""What is raised where a device could not be restored."""


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP came; a device that was held has been restored."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.exit_code = 128 + signum


class Settings(ABC):
    """What a device lets be changed, as plain reads and writes."""

    outlives_process: bool
    """Whether what is written stays after the death of the process, so that a journal is needed."""

    @abstractmethod
    def check(self, mode: PowerMode) -> None:
        """Refuse a mode that the device lacks, or may not be put into, without writing anything."""

    def check_some(self, mode: PowerMode) -> None:
        """Refuse some knobs' values in the same way; `write` and `lost` then concern these knobs alone.

        Raises:
            MissingKnobError: Some of the knobs can only be set together with others, which the message names.
        """
        self.check(mode)

    def in_force(self) -> Mapping[str, tuple[float, float]]:
        """Return the lowest and the highest value of each knob now; they are equal if it is held.

        Knobs that cannot be read are left out.
        """
        return {}

    @abstractmethod
    def save(self) -> Mapping[str, Any]:
        """Return the present state as JSON values: a mode is about to be held, and this to be restored."""

    def shown(self) -> Mapping[str, Any]:
        """Return the present state like `save`, for whoever only looks."""
        return self.save()

    @abstractmethod
    def write(self, mode: PowerMode) -> None:
        """Put the device into a mode, and read it back.

        Raises:
            UnreachableModeError: It is in another one.
            DevicePermissionError: It may not be changed.
        """

    @abstractmethod
    def lost(self, mode: PowerMode) -> str:
        """Return why a mode that was written is no longer in force, empty if it is as far as can be told."""

    def capped(self, mode: PowerMode) -> str:
        """Return which clock of a mode that was written runs below it; empty if none, or not known."""
        del mode
        return ""

    @abstractmethod
    def put_back(self, saved: Mapping[str, Any]) -> None:
        """Bring back a state that `save` returned; to be called again after it failed half-way is fine."""

    def kept_by(self, keep: Callable[[Mapping[str, Any]], None]) -> None:
        """Take the function that keeps a saved state in the journal; the holder gives it once.

        Settings whose state comes into view only while they are written call it with all that they know,
        before they change any of it.
        """
        del keep

    def reserved(self) -> AbstractContextManager[None]:
        """Keep others from the device while the context lasts, where the journal's lock does not."""
        return nullcontext()


@final
class Holder:
    """Holds one device in one mode at a time."""

    def __init__(
        self,
        settings: Settings,
        *,
        name: str,
        spec: str,
        key: str | None = None,
        journal: Journal | None = None,
        private: bool = False,
    ) -> None:
        """Make the holder of a device.

        Args:
            settings: How the device is read and written.
            name: The device's, for messages.
            spec: What opens the device again.
            key: Tells this device from all others of the machine; the spec by default.
            journal: Where its state is kept, if the settings outlive the process; the default one if None.
            private: Whether each process that opens it has a device of its own, so that none has to wait for
                another; others see all the same who holds one.
        """
        self.settings, self.name, self.spec = settings, name, spec
        self.key = key or spec.partition("?")[0]
        kept = journal or Journal()
        self.journal = kept if settings.outlives_process else None
        self._locks, self._private = (Journal() if private else kept).locks, private
        self._claim: Claim | None = None
        settings.kept_by(self.keep)
        self.busy = self.reserved = False
        self.mode: PowerMode | None = None

    def keep(self, saved: Mapping[str, Any]) -> None:
        """Save a state in the journal, where what is written outlives the process."""
        if self.journal is not None:
            self.journal.keep(self.key, spec=self.spec, device=self.name, saved=saved)

    def hold(self, mode: PowerMode, *, some: bool = False) -> Held:
        """Return the context in which the device is in a mode, or in which `some` of its knobs are set."""
        return Held(self, mode, check=self.settings.check_some if some else self.settings.check)

    def lost(self) -> str:
        """Return why the mode that is held is no longer in force, empty if it is."""
        if self.mode is None or not self.busy:
            return "it was restored meanwhile"
        return self.settings.lost(self.mode)

    def capped(self) -> str:
        """Return which clock runs below the mode that is held, empty if none."""
        mode = self.mode
        return "" if mode is None else self.settings.capped(mode)

    @contextmanager
    def reserve(self) -> Generator[None]:
        """Keep other processes from holding the device, between one mode and the next as well.

        What a dead process left is restored first: whoever looks at the device as it is looks at no leavings.
        """
        if self.reserved:
            yield
            return
        with self._locked(alone=not self._private), self.settings.reserved():
            if self.journal is not None:
                self.restore_locked(self.journal)
            self.reserved = True
            try:
                yield
            finally:
                self.reserved = False

    @contextmanager
    def share(self) -> Generator[None]:
        """Let others see that the device is held; only who wants it for itself alone is kept from it."""
        if self.reserved:
            yield
            return
        with self._locked(alone=False):
            yield

    def note(self, mode: PowerMode | None) -> None:
        """Let others see in which mode the device is now."""
        if self._claim is not None:
            self._claim.note(mode)

    @contextmanager
    def _locked(self, *, alone: bool) -> Generator[None]:
        needed = self.journal is not None and not self._private
        about = {"spec": self.spec, "device": self.name}
        with self._locks.locked(self.key, **about, alone=alone, needed=needed) as self._claim:
            try:
                yield
            finally:
                self._claim = None

    def restore(self) -> bool:
        """Restore what a dead process left behind; return whether there was anything.

        Raises:
            DeviceBusyError: It is not dead.
        """
        if self.journal is None or self.journal.left_behind(self.key) is None:
            return False
        with self._locked(alone=True):
            return self.restore_locked(self.journal)

    def restore_locked(self, journal: Journal) -> bool:
        """Do that while the lock is held."""
        entry = journal.left_behind(self.key)
        if entry is None:
            return False
        self.settings.put_back(entry.saved)
        journal.forget(self.key)
        logger.warning("%s was left as process %d had set it: it is restored now", self.name, entry.pid)
        return True


@final
class Held(AbstractContextManager[None]):
    """One holding of a mode."""

    def __init__(self, holder: Holder, mode: PowerMode, *, check: Callable[[PowerMode], None]) -> None:
        self._holder, self._mode, self._check = holder, mode, check
        self._saved: Mapping[str, Any] | None = None
        self._lock = ExitStack()
        self._handlers: dict[int, Any] = {}
        self._released = False
        self._working, self._process = True, os.getpid()
        self._pending: int | None = None

    @override
    def __enter__(self) -> None:
        holder = self._holder
        if holder.busy:
            raise DeviceError(f"{holder.name} holds a mode already: leave that before holding {self._mode}")
        self._check(self._mode)
        self._catch_signals()
        try:
            with _undisturbed():
                self._take()
        except BaseException:
            self._end()
            raise
        self._working = False
        self._deliver()

    @override
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._working = True
        self._end()

    def _take(self) -> None:
        holder, journal = self._holder, self._holder.journal
        # The order is the promise: lock, restore what a dead process left, save, keep, and only then write.
        if journal is not None:
            self._lock.enter_context(holder.reserve())
            holder.restore_locked(journal)  # once more, where the device has been reserved for long
        else:
            self._lock.enter_context(holder.share())
        saved = holder.settings.save()
        holder.keep(saved)
        holder.busy, self._saved = True, saved
        _HELD.add(self)
        holder.mode = self._mode
        holder.note(self._mode)
        holder.settings.write(self._mode)

    def _restore(self) -> None:
        """Bring the saved state back, once; then let others have the device."""
        if os.getpid() != self._process:
            return  # a fork, in which nothing is held: the device is the first process's
        with _undisturbed():
            self._bring_back()

    def _bring_back(self) -> None:
        _HELD.discard(self)
        holder, saved = self._holder, self._saved
        try:
            if saved is not None:
                # A failure keeps the journal, so that the next process can restore what this one could not.
                holder.settings.put_back(saved)
                self._saved = None
                if holder.journal is not None:
                    holder.journal.forget(holder.key)
        finally:
            with ExitStack() as last:  # whatever fails, the others are done, and Ctrl-C is what it was
                last.callback(self._release_signals)
                last.callback(self._lock.close)
                if saved is not None:
                    holder.busy, holder.mode = False, None
                    holder.note(None)

    def restore_from_outside(self) -> None:
        """Bring the saved state back while the thread that holds is stuck, and let it hold nothing more."""
        holder, saved = self._holder, self._saved
        if saved is None or os.getpid() != self._process:
            return
        holder.settings.put_back(saved)
        self._saved = None
        if holder.journal is not None:
            holder.journal.forget(holder.key)

    def disarm(self) -> None:
        """Let go of everything in a child that was forked, without restoring: the parent goes on holding.

        The child gets the signals' handlers back that there were before.
        """
        holder, self._saved = self._holder, None
        holder.busy, holder.mode = False, None
        for number, before in self._handlers.items():
            if signal.getsignal(number) == self._on_signal:
                signal.signal(number, before)
        self._handlers = {}

    def _catch_signals(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # signals are the main thread's
        for number in SIGNALS:
            # Who ignores a signal, as nohup does with SIGHUP, is not to die of it here either.
            before = signal.getsignal(number)
            if before is not signal.SIG_IGN and before is not None:
                self._handlers[number] = before
                signal.signal(number, self._on_signal)

    def _release_signals(self) -> None:
        self._released = True
        for number, before in self._handlers.items():
            # Somebody may have installed a handler of his own meanwhile, which stays.
            if signal.getsignal(number) == self._on_signal:
                # Who held another device and let go of it first could not take his handler away.
                while isinstance(owner := getattr(before, "__self__", None), Held) and owner._released:
                    before = owner._handlers[number]
                signal.signal(number, before)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            self._hand_on(number, frame)
            return
        if self._working:
            self._pending = number  # delivered once the device is in a whole state
            return
        self._pending = number
        self._deliver(frame)

    def _end(self) -> None:
        """Restore the device, and act on a signal that came meanwhile."""
        try:
            self._restore()
        except NOT_RESTORED:
            raise
        except Exception:  # of a handler of the script's, which had to wait
            self._deliver()
            raise
        self._deliver()

    def _deliver(self, frame: FrameType | None = None) -> None:
        """Restore the device and act on a signal that waits, if there is one."""
        number, self._pending = self._pending, None
        if number is None:
            return
        self._working = True
        try:
            self._restore()
        except NOT_RESTORED:  # which is worse than a signal that is lost
            raise
        except Exception as error:  # as PyTorch's handler raises where a worker got the signal as well
            logger.debug("signal %d goes before %r", number, error)
        self._raise(number, frame)

    def _hand_on(self, number: int, frame: FrameType | None) -> None:
        """Have a signal do in a forked process what it would do if nothing were held."""
        before: Callable[[int, FrameType | None], Any] | int = self._handlers[number]
        if callable(before):
            before(number, frame)
            return
        signal.signal(number, before)
        os.kill(os.getpid(), number)

    def _raise(self, number: int, frame: FrameType | None) -> None:
        before: Callable[[int, FrameType | None], Any] | int = self._handlers[number]
        if number == signal.SIGINT and before == signal.default_int_handler:
            raise KeyboardInterrupt
        if callable(before):
            before(number, frame)
            return
        raise Terminated(number)


@contextmanager
def _undisturbed() -> Generator[None]:
    """Keep handlers of other signals waiting, which may raise: PyTorch's does when a worker has died.

    They are called at the end, in the order in which their signals first came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    found = {number: signal.getsignal(number) for number in OTHER_SIGNALS}
    theirs = {number: handler for number, handler in found.items() if callable(handler)}
    came: dict[int, FrameType | None] = {}
    for number in theirs:
        signal.signal(number, came.setdefault)
    try:
        yield
    finally:
        for number, handler in theirs.items():
            signal.signal(number, handler)
        with ExitStack() as last:  # all are called, even if one raises
            for number, frame in reversed(came.items()):
                last.callback(theirs[number], number, frame)


_HELD: weakref.WeakSet[Held] = weakref.WeakSet()
"""What this process holds now."""


def restore_held() -> None:
    """Restore all that this process holds, from a thread other than the one that holds it and is stuck."""
    for held in list(_HELD):
        try:
            held.restore_from_outside()
        except (PowerTrainError, OSError) as error:
            # The journal stays, so that the next process restores it.
            logger.error("this was not restored: %s", error)


def _disarm_child() -> None:
    """Make a child that was just forked hold nothing, whatever its parent holds.

    Else a worker of a pool that is terminated would restore the board under the training of its parent, and
    the parent's lock would last as long as the child.
    """
    for held in list(_HELD):
        held.disarm()
    _HELD.clear()


_MASKS: list[set[signal.Signals]] = []
"""The masks of signals before forks that are going on."""


def _block() -> None:
    # A signal that reaches a fork before its interpreter is ready is lost where Python has a handler for it.
    _MASKS.append(signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS))  # pyright: ignore[reportArgumentType]


def _unblock() -> None:
    if _MASKS:
        signal.pthread_sigmask(signal.SIG_SETMASK, _MASKS.pop())


def _end_by_signals_as_usual() -> None:
    """Have a child end by a signal as it would without us, also where the command line has a handler.

    A handler of Python's runs when the interpreter next looks. A worker that is just going to sleep does not
    look any more, and whoever terminates it and waits for its end would wait for ever.
    """
    own = __name__.partition(".")[0]
    for number in SIGNALS:
        handler = signal.getsignal(number)
        if callable(handler) and str(handler.__module__).partition(".")[0] == own:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def _begin_child() -> None:
    _disarm_child()
    _end_by_signals_as_usual()
    _unblock()


os.register_at_fork(before=_block, after_in_parent=_unblock, after_in_child=_begin_child)
