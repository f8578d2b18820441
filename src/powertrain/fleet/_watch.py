"""Watching a store for whoever shows it: what is known is shown at once, and read again in the background."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import final

from powertrain.dataset import AbstractStore, open_store, store_file
from powertrain.errors import PowerTrainError, StoreError, UnknownNameError
from powertrain.fleet._job_view import JobView, job_view
from powertrain.fleet._kept import SHARE, Answer, Kept, Workers
from powertrain.fleet._overview import StoreReading, read_store
from powertrain.wording import duration

__all__ = ["FleetWatch"]

PERIOD_S = 2.0
REFIT_PERIODS = 2.5
"""Between two fits of a job whose profiles become more."""
SILENT_S = 15.0
"""For which a store may take to answer, before that is a problem; a million profiles take a second."""
FITTERS = 2
"""Jobs that are fitted at the same time."""
MOST_JOBS = 64
"""Whose fronts are kept: half a megabyte each."""


@final
class FleetWatch:
    """Knows what a store holds, and the fronts of the jobs that were asked for.

    Nothing is read as long as nobody asks. A store that cannot be read for a while, such as a server that is
    away, leaves what was last known.
    """

    def __init__(
        self,
        location: Path | str,
        *,
        period_s: float = PERIOD_S,
        share: float = SHARE,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        """Read the store for the first time.

        Args:
            location: What `open_store` takes. The store has to exist.
            period_s: Between two readings at least, however many people look.
            share: Nor is anything worked out again for so many times as long as it took.
            now: What tells the time, with its zone.

        Raises:
            StoreError: It cannot be opened or read.
            UnknownNameError: There is no such kind of store.
        """
        self.now = now if now is not None else partial(datetime.now, timezone.utc)
        self._source = _Source(location)
        self._readers = Workers(1, at_end=self._source.close_own)
        self._fitters = Workers(FITTERS, at_end=self._source.close_own)
        self._reading: Kept[StoreReading] = Kept(self._readers, period_s=period_s, share=share)
        self._jobs: Kept[JobView] = Kept(
            self._fitters, period_s=REFIT_PERIODS * period_s, share=share, most=MOST_JOBS
        )
        with open_store(location, create=False) as store:
            self._reading.put("store", read_store(store))
        self._read_at = self.now()

    @property
    def read_at(self) -> datetime:
        """When the store was last read without a problem."""
        return self._read_at

    def reading(self) -> Answer[StoreReading]:
        """Return what is known of the store."""
        known = self._reading.ask("store", None, self._read)
        problem = known.problem
        if problem is None and known.waited_s > SILENT_S:
            problem = StoreError(f"it has not answered for {duration(known.waited_s)}")
        return replace(known, problem=problem)

    def job(self, reading: StoreReading, device: str, workload: str) -> Answer[JobView]:
        """Return what is known of a job.

        Args:
            reading: What was last read.
            device: Name of the device.
            workload: Name of the workload.

        Raises:
            UnknownNameError: There is no such job.
        """
        owner = device, workload
        held = reading.holdings.get(owner)
        if held is None:
            raise UnknownNameError(f"there are no profiles of {workload!r} on {device!r}")
        return self._jobs.ask(owner, (held.profiles, held.newest), partial(self._view, device, workload))

    def close(self) -> None:
        """Stop; what is worked out now is left to itself."""
        for workers in (self._readers, self._fitters):
            workers.end()

    def _read(self) -> StoreReading:
        with self._source.reading() as store:
            reading = read_store(store)
        self._read_at = self.now()
        return reading

    def _view(self, device: str, workload: str) -> JobView:
        with self._source.reading() as store:
            return job_view(store, device=device, workload=workload)


@final
class _Source:
    """Opens the store: a file for each use, a server once for each thread."""

    def __init__(self, location: Path | str) -> None:
        self._location = location
        # A file may be replaced, and one that cannot be written is read as it was when it was opened.
        self._once = store_file(location) is None
        self._own = threading.local()

    @contextmanager
    def reading(self) -> Generator[AbstractStore]:
        """Hold a store that no other thread uses."""
        if not self._once:
            with open_store(self._location, create=False) as store:
                yield store
            return
        if getattr(self._own, "store", None) is None:
            self._own.store = open_store(self._location, create=False)
        try:
            yield self._own.store
        except StoreError:  # the next try opens it again
            self.close_own()
            raise

    def close_own(self) -> None:
        """Close the store of this thread."""
        store: AbstractStore | None = getattr(self._own, "store", None)
        self._own.store = None
        if store is not None:
            with suppress(PowerTrainError):
                store.close()
