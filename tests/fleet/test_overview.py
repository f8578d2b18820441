"""What a page says of a fleet, from what a store holds."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from powertrain.dataset import AddedProfile, Holding, MemoryStore
from powertrain.fleet import StoreReading, fleet_now, read_store
from powertrain.records import PowerMode, Profile

NOW = datetime(2026, 11, 26, 12, tzinfo=timezone.utc)
BOARD, OTHER = "Orin", "Nano (simulated)"


def profile(gpu_mhz=600, *, device=BOARD, workload="lstm", time_ms=20.0, power_w=10.0, flags=()):
    mode = PowerMode(gpu_mhz=gpu_mhz)
    return Profile(device=device, workload=workload, mode=mode, time_ms=time_ms, power_w=power_w, flags=flags)


def added(minutes_ago, **about):
    at = None if minutes_ago is None else NOW - timedelta(minutes=minutes_ago)
    return AddedProfile(profile=profile(**about), added_at=at)


def reading(*latest, more=0):
    """Return the reading of a store with some profiles, and `more` that were added before."""
    holdings = {}
    for number, one in enumerate(latest, start=more + 1):
        owner = one.profile.device, one.profile.workload
        before = holdings[owner].profiles if owner in holdings else more
        holdings[owner] = Holding(profiles=before + 1, newest=number, added_at=one.added_at)
    return StoreReading(store="fleet.db", holdings=holdings, latest=latest)


def test_boards_and_jobs_are_counted_and_simulated_ones_are_told():
    found = fleet_now(
        reading(
            added(50), added(40, workload="bert"), added(30, workload="bert"), added(20, device=OTHER), more=5
        ),
        NOW,
    )

    # Each job has had five profiles more before.
    assert (found.store, found.profiles) == ("fleet.db", 4 + 3 * 5)
    assert [(b.device, b.simulated, b.workloads, b.profiles) for b in found.boards] == [
        (BOARD, False, 2, 13),
        (OTHER, True, 1, 6),
    ]
    assert found.boards[0].seen == NOW - timedelta(minutes=30)
    assert [(job.workload, job.running) for job in found.jobs] == [
        ("lstm", False),
        ("bert", False),
        ("lstm", False),
    ]
    assert found.runs == ()


def test_a_run_is_the_profiles_that_came_one_soon_after_the_other_until_now():
    (run,) = fleet_now(
        reading(
            added(60, time_ms=1.0),  # of another run
            added(15, time_ms=30.0, power_w=5.0),
            added(9, time_ms=20.0, power_w=10.0),
            added(4, time_ms=2.0, flags=("throttled",)),
            added(3, time_ms=25.0, power_w=float("nan")),
        ),
        NOW,
    ).runs

    assert (run.profiles, run.flagged, run.or_more) == (4, 1, False)
    assert (run.began, run.seen) == (NOW - timedelta(minutes=15), NOW - timedelta(minutes=3))
    assert (run.fastest.time_ms, run.fastest.power_w, run.fastest.mode) == (20.0, 10.0, "gpu_mhz=600")
    assert run.thriftiest.energy_j == pytest.approx(0.15)


def test_the_run_that_was_seen_last_comes_first_and_its_job_is_running():
    found = fleet_now(reading(added(2, workload="bert"), added(8, device=OTHER), added(1)), NOW)

    assert [(run.device, run.workload) for run in found.runs] == [
        (BOARD, "lstm"),
        (BOARD, "bert"),
        (OTHER, "lstm"),
    ]
    assert all(job.running for job in found.jobs)
    assert [board.running for board in found.boards] == [2, 1]


def test_a_run_of_flagged_profiles_has_no_best_mode():
    (run,) = fleet_now(reading(added(1, flags=("throttled",))), NOW).runs
    assert (run.fastest, run.thriftiest) == (None, None)


def test_a_run_that_began_before_what_was_looked_at_says_so():
    (run,) = fleet_now(reading(added(2), added(1), more=7), NOW).runs
    assert (run.profiles, run.or_more) == (2, True)


def test_a_store_that_knows_no_times_shows_no_runs():
    found = fleet_now(read_store(MemoryStore([profile(), profile()])), NOW)

    assert (found.profiles, found.runs) == (2, ())
    assert found.boards[0].seen is None


def test_a_clock_that_is_ahead_is_told_in_one_line_and_its_run_is_shown():
    found = fleet_now(reading(added(-20), added(-25, device=OTHER)), NOW)

    assert len(found.runs) == 2
    assert found.remarks == (
        "Profiles of Nano (simulated) have a time 25 min ahead of this machine's, and so have 1 other "
        "device: set the clocks.",
    )
    assert fleet_now(reading(added(-0.1)), NOW).remarks == ()


def test_an_empty_store_is_an_empty_fleet():
    found = fleet_now(read_store(MemoryStore()), NOW)
    assert (found.profiles, found.boards, found.jobs, found.runs) == (0, (), (), ())
