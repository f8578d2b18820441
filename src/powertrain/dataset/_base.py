"""The contract of every profile store."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import final

import numpy as np
from typing_extensions import Self

from powertrain.dataset._lately import AddedProfile, Holding
from powertrain.errors import UnknownNameError
from powertrain.records import ManyProfiles, ModeTable, PowerMode, Profile, ProfileTable, Shown, View
from powertrain.space import ModeSpace

__all__ = ["AbstractStore"]


class AbstractStore(Shown):
    """Keeps profiles. Several threads and processes may use one store at once.

    A store only grows by `add` and shrinks by `delete`. `add` is atomic: either all the profiles it was given
    are kept, or none, and once it has returned they survive the death of the process. Repeated
    measurements of a mode are all kept, in the order in which they were added; `table` averages them.
    """

    @property
    @abstractmethod
    def location(self) -> str:
        """What opens the store again, for messages: a file, or a URL without its password."""

    @property
    def name(self) -> str:
        """A file's or a database's own name, for titles: the last part of the location, if nothing else."""
        return self.location.rstrip("/:").rpartition("/")[2]

    def _view(self) -> View:
        return View(title=f"store of profiles {self.location}")

    @abstractmethod
    def add(self, profiles: Iterable[Profile]) -> int:
        """Keep profiles and return how many there were; all or none."""

    @abstractmethod
    def profiles(self, *, device: str | None = None, workload: str | None = None) -> list[Profile]:
        """Return the profiles of a device and a workload (all by default), in the order of adding."""

    def columns(self, *, device: str | None = None, workload: str | None = None) -> ManyProfiles:
        """Return the same as `profiles`, as columns, which a million profiles fit into.

        A store that can read columns straight from where it keeps them overrides this.
        """
        return ManyProfiles.of(self.profiles(device=device, workload=workload))

    def modes_of(self, device: str) -> list[PowerMode]:
        """Return the different modes in which a device was profiled, for any workload, flagged or not.

        A store that finds them without reading all profiles overrides this.
        """
        return list(dict.fromkeys(profile.mode for profile in self.profiles(device=device)))

    def holdings(self) -> dict[tuple[str, str], Holding]:
        """Return what is held by `(device, workload)`, sorted: how many profiles, and when the last one came.

        A store that knows when profiles were added overrides this.
        """
        return {owner: Holding(profiles=n, newest=n, added_at=None) for owner, n in self.counts().items()}

    def latest(self, n: int) -> list[AddedProfile]:
        """Return the `n` profiles that were added last, in the order of adding.

        A store that knows when profiles were added, or finds them without reading all, overrides this.
        """
        return [AddedProfile(profile=one, added_at=None) for one in self.profiles()[-n:]]

    def refuse_read_only(self) -> None:
        """Raise `StoreError` where nothing can be added: called before a run that would measure for nothing.

        A store that cannot always be written overrides this.
        """

    @abstractmethod
    def delete(self, *, device: str, workload: str) -> int:
        """Forget the profiles of a workload on a device; return how many there were."""

    @abstractmethod
    def counts(self) -> dict[tuple[str, str], int]:
        """Return the number of profiles by `(device, workload)`, sorted."""

    @abstractmethod
    def close(self) -> None:
        """Release what the store holds open; closing twice is harmless."""

    @final
    def table(
        self, *, workload: str, device: str | None = None, knobs: Sequence[str] | None = None
    ) -> ProfileTable:
        """Return the unflagged profiles of one workload as columns, repeats averaged.

        Its `ends` are those of all modes in which the device was profiled, for any workload. `device` may be
        left out when the workload was profiled on one device only. Unknown names raise `UnknownNameError`
        with the nearest ones.
        """
        counts = self.counts()
        devices = sorted({d for d, w in counts if w == workload})
        if not devices:
            raise UnknownNameError.of("workload", workload, (w for _, w in counts))
        if device is None and len(devices) > 1:
            raise UnknownNameError(
                f"workload {workload!r} was profiled on {', '.join(devices)}: name the device"
            )
        device = device if device is not None else devices[0]
        if device not in devices:
            raise UnknownNameError.of("device", device, devices)
        table = self.columns(device=device, workload=workload).table(knobs=knobs).averaged()
        return table.within(self._ends(device, table.modes.knobs))

    @final
    def _ends(self, device: str, knobs: Sequence[str]) -> ModeTable:
        """Return the smallest and the largest value of each knob over all profiles of a device."""
        modes = [mode for mode in self.modes_of(device) if set(knobs) <= set(mode)]
        values = ModeTable.of(modes, knobs).values
        return ModeTable(knobs=tuple(knobs), values=np.stack([values.min(axis=0), values.max(axis=0)]))

    @final
    def space(self, *, device: str, knobs: Sequence[str]) -> ModeSpace:
        """Return the smallest grid that holds all modes in which a device was profiled with these knobs."""
        modes = [mode for mode in self.modes_of(device) if set(mode) == set(knobs)]
        if not modes:
            raise UnknownNameError.of("device", device, (d for d, _ in self.counts()))
        return ModeSpace.spanned_by(ModeTable.of(modes, knobs))

    @final
    def __enter__(self) -> Self:
        return self

    @final
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
