"""Clocks: virtual time is exact, real time calls and stops."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.waiting import PATIENCE_S

from powertrain.devices import MonotonicClock, VirtualClock

durations = st.lists(st.floats(0, 50, allow_subnormal=False), max_size=8)


@given(durations)
def test_virtual_time_passes_only_by_sleeping(lengths_s):
    clock = VirtualClock()
    for length_s in lengths_s:
        clock.sleep_s(length_s)
    assert clock.now_s() == pytest.approx(sum(lengths_s))


@given(durations, st.floats(0.3, 10))
def test_what_is_periodic_happens_at_its_times_however_one_sleeps(lengths_s, period_s):
    clock = VirtualClock()
    seen: list[float] = []
    with clock.every(period_s, lambda: seen.append(clock.now_s())):
        for length_s in lengths_s:
            clock.sleep_s(length_s)
    clock.sleep_s(100)
    assert seen == pytest.approx([period_s * (k + 1) for k in range(len(seen))])
    assert len(seen) == pytest.approx(sum(lengths_s) / period_s, abs=1.001)


def test_two_things_that_are_due_at_once_happen_in_the_order_they_were_asked_for():
    clock, seen = VirtualClock(), []
    with clock.every(1, lambda: seen.append("first")), clock.every(1, lambda: seen.append("second")):
        clock.sleep_s(2)
    assert seen == ["first", "second"] * 2


@pytest.mark.parametrize("clock", [VirtualClock(), MonotonicClock()], ids=["virtual", "real"])
def test_time_never_goes_back(clock):
    before_s = clock.now_s()
    clock.sleep_s(-5)
    assert clock.now_s() >= before_s


def test_a_real_clock_calls_on_a_thread_that_ends_with_the_context():
    clock, called = MonotonicClock(), threading.Event()
    before = threading.active_count()
    with clock.every(0.01, called.set):
        assert called.wait(PATIENCE_S)
    assert threading.active_count() == before


def test_an_error_on_the_thread_is_raised_where_it_was_started():
    clock, called = MonotonicClock(), threading.Event()

    def fail() -> None:
        called.set()
        raise OSError("the sensor is gone")

    with pytest.raises(OSError, match="sensor is gone"), clock.every(0.01, fail):
        assert called.wait(PATIENCE_S)
