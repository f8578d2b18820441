"""What a database says of a fleet at one moment: boards, jobs, and runs that go on, as frozen records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import final

from powertrain.dataset import AbstractStore, AddedProfile, Holding
from powertrain.devices import is_simulated
from powertrain.records import Owner, Profile
from powertrain.wording import counted, duration

__all__ = ["BestSoFar", "BoardNow", "FleetNow", "Job", "LiveRun", "StoreReading", "fleet_now", "read_store"]

LATEST = 1_000
"""Profiles that are looked at for runs."""
QUIET = timedelta(minutes=10)
"""A run goes on as long as its profiles come closer together than that. The slowest take a few minutes."""
MOST_AHEAD = timedelta(seconds=30)
"""By which the clock of another machine may be ahead before that is worth a word."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class StoreReading:
    """What was read from a store at one moment."""

    store: str
    """Its name."""
    holdings: Mapping[Owner, Holding]
    latest: Sequence[AddedProfile]
    """Some profiles that were added last, in the order of adding."""


@final
@dataclass(frozen=True, kw_only=True)
class Job:
    """A workload on a board."""

    device: str
    workload: str
    profiles: int
    seen: datetime | None
    """When its last profile was added; None where that is not known."""
    running: bool


@final
@dataclass(frozen=True, kw_only=True)
class BoardNow:
    """A board, or all boards of one name."""

    device: str
    simulated: bool
    workloads: int
    profiles: int
    seen: datetime | None
    """When the last profile was added; None where that is not known."""
    running: int
    """Runs that go on."""


@final
@dataclass(frozen=True, kw_only=True)
class BestSoFar:
    """The best mode that a run has measured; NaN is what was not measured."""

    mode: str
    time_ms: float
    power_w: float
    energy_j: float

    @classmethod
    def of(cls, profile: Profile) -> BestSoFar:
        """Take the numbers of a profile."""
        return cls(
            mode=str(profile.mode),
            time_ms=profile.time_ms,
            power_w=profile.power_w,
            energy_j=profile.energy_j,
        )


@final
@dataclass(frozen=True, kw_only=True)
class LiveRun:
    """Profiles of a job that have come one after the other until now."""

    device: str
    workload: str
    profiles: int
    """How many have come, flagged ones included."""
    or_more: bool
    """Whether there may have been more: only the last ones of a store are looked at."""
    flagged: int
    began: datetime
    """When the first was added."""
    seen: datetime
    """When the last was added."""
    fastest: BestSoFar | None
    """The mode of the shortest minibatch, flagged profiles left out; None where no time was measured."""
    thriftiest: BestSoFar | None
    """The mode of the least energy a minibatch; None where none was measured."""


@final
@dataclass(frozen=True, kw_only=True)
class FleetNow:
    """What a store says of a fleet."""

    store: str
    profiles: int
    boards: tuple[BoardNow, ...]
    jobs: tuple[Job, ...]
    runs: tuple[LiveRun, ...]
    """The one that was seen last comes first."""
    remarks: tuple[str, ...]
    """What does not fit together, a sentence each."""


def read_store(store: AbstractStore) -> StoreReading:
    """Read what `fleet_now` needs, at a cost that hardly grows with the number of profiles."""
    return StoreReading(store=store.name, holdings=store.holdings(), latest=store.latest(LATEST))


def fleet_now(reading: StoreReading, now: datetime) -> FleetNow:
    """Say what goes on.

    Args:
        reading: What the store holds.
        now: The time, with its zone.
    """
    runs = _runs(reading, now)
    running = [(run.device, run.workload) for run in runs]
    jobs = tuple(
        Job(
            device=device,
            workload=workload,
            profiles=held.profiles,
            seen=held.added_at,
            running=(device, workload) in running,
        )
        for (device, workload), held in reading.holdings.items()
    )
    by_device: dict[str, list[Job]] = {}
    for job in jobs:
        by_device.setdefault(job.device, []).append(job)
    return FleetNow(
        store=reading.store,
        profiles=sum(job.profiles for job in jobs),
        boards=tuple(_board(device, own) for device, own in by_device.items()),
        jobs=jobs,
        runs=runs,
        remarks=_remarks(reading, now),
    )


def _board(device: str, jobs: Sequence[Job]) -> BoardNow:
    return BoardNow(
        device=device,
        simulated=is_simulated(device),
        workloads=len(jobs),
        profiles=sum(job.profiles for job in jobs),
        seen=max((job.seen for job in jobs if job.seen is not None), default=None),
        running=sum(job.running for job in jobs),
    )


def _runs(reading: StoreReading, now: datetime) -> tuple[LiveRun, ...]:
    by_job: dict[Owner, list[AddedProfile]] = {}
    for added in reading.latest:
        by_job.setdefault((added.profile.device, added.profile.workload), []).append(added)
    # Of a store with fewer profiles, all were looked at.
    cut = sum(held.profiles for held in reading.holdings.values()) > len(reading.latest)
    found = [_run(own, now, cut=cut) for own in by_job.values()]
    runs = [run for run in found if run is not None]
    return tuple(sorted(runs, key=lambda run: (-run.seen.timestamp(), run.device, run.workload)))


def _run(added: Sequence[AddedProfile], now: datetime, *, cut: bool) -> LiveRun | None:
    """Return the run that the last profiles of a job are of, None if it has ended."""
    own: list[AddedProfile] = []
    after = now
    for one in reversed(added):
        if one.added_at is None or after - one.added_at > QUIET:
            break
        after = min(one.added_at, after)
        own.append(one)
    times = [one.added_at for one in own if one.added_at is not None]
    if not times:
        return None
    good = [one.profile for one in reversed(own) if not one.profile.flags]
    timed = [profile for profile in good if profile.time_ms == profile.time_ms]
    both = [profile for profile in timed if profile.energy_j == profile.energy_j]
    return LiveRun(
        device=own[0].profile.device,
        workload=own[0].profile.workload,
        profiles=len(own),
        or_more=cut and len(own) == len(added),
        flagged=len(own) - len(good),
        began=min(times),
        seen=max(times),
        fastest=BestSoFar.of(min(timed, key=lambda profile: profile.time_ms)) if timed else None,
        thriftiest=BestSoFar.of(min(both, key=lambda profile: profile.energy_j)) if both else None,
    )


def _remarks(reading: StoreReading, now: datetime) -> tuple[str, ...]:
    """Say whose clock is ahead of this machine's, since all that is said of runs hangs on that."""
    ahead = {
        added.profile.device: added.added_at - now
        for added in reading.latest
        if added.added_at is not None and added.added_at - now > MOST_AHEAD
    }
    if not ahead:
        return ()
    device, most = max(ahead.items(), key=lambda one: one[1])
    others = f", and so have {counted(len(ahead) - 1, 'other device')}" if len(ahead) > 1 else ""
    return (
        f"Profiles of {device} have a time {duration(most.total_seconds())} ahead of this machine's{others}: "
        "set the clocks.",
    )
