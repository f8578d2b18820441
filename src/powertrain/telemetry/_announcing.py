"""A store that tells of what it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import final

from typing_extensions import override

from powertrain.dataset import AbstractStore
from powertrain.records import ManyProfiles, PowerMode, Profile

__all__ = ["AnnouncingStore"]


@final
class AnnouncingStore(AbstractStore):
    """Keeps profiles in another store, and tells of each once it is kept."""

    def __init__(self, store: AbstractStore, tell: Callable[[Profile], None]) -> None:
        """Take the store, which whoever opened it closes, and who is told."""
        self._store, self._tell = store, tell

    @property
    @override
    def location(self) -> str:
        return self._store.location

    @property
    @override
    def name(self) -> str:
        return self._store.name

    @override
    def add(self, profiles: Iterable[Profile]) -> int:
        kept = list(profiles)
        count = self._store.add(kept)
        for profile in kept:
            self._tell(profile)
        return count

    @override
    def profiles(self, *, device: str | None = None, workload: str | None = None) -> list[Profile]:
        return self._store.profiles(device=device, workload=workload)

    @override
    def columns(self, *, device: str | None = None, workload: str | None = None) -> ManyProfiles:
        return self._store.columns(device=device, workload=workload)

    @override
    def modes_of(self, device: str) -> list[PowerMode]:
        return self._store.modes_of(device)

    @override
    def refuse_read_only(self) -> None:
        self._store.refuse_read_only()

    @override
    def delete(self, *, device: str, workload: str) -> int:
        return self._store.delete(device=device, workload=workload)

    @override
    def counts(self) -> dict[tuple[str, str], int]:
        return self._store.counts()

    @override
    def close(self) -> None:
        self._store.close()
