"""A store that lasts as long as the process."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from typing import final

from typing_extensions import override

from powertrain.dataset._base import AbstractStore
from powertrain.errors import StoreError
from powertrain.records import Profile

__all__ = ["MemoryStore"]


@final
class MemoryStore(AbstractStore):
    """Keeps profiles in memory: for a demonstration, a test, or a CSV file that needs no database."""

    def __init__(self, profiles: Iterable[Profile] = ()) -> None:
        self._lock = threading.Lock()
        self._profiles = list(profiles)
        self._closed = False

    @property
    @override
    def location(self) -> str:
        return "memory:"

    @override
    def add(self, profiles: Iterable[Profile]) -> int:
        added = list(profiles)
        with self._lock:
            self._open_profiles().extend(added)
        return len(added)

    @override
    def profiles(self, *, device: str | None = None, workload: str | None = None) -> list[Profile]:
        with self._lock:
            return [
                p
                for p in self._open_profiles()
                if device in (None, p.device) and workload in (None, p.workload)
            ]

    @override
    def delete(self, *, device: str, workload: str) -> int:
        with self._lock:
            before = self._open_profiles()
            self._profiles = [p for p in before if (p.device, p.workload) != (device, workload)]
            return len(before) - len(self._profiles)

    @override
    def counts(self) -> dict[tuple[str, str], int]:
        with self._lock:
            return dict(sorted(Counter((p.device, p.workload) for p in self._open_profiles()).items()))

    @override
    def close(self) -> None:
        self._closed = True

    def _open_profiles(self) -> list[Profile]:
        if self._closed:
            raise StoreError("the store in memory is closed: open a new one")
        return self._profiles
