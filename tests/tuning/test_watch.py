"""Whether a training still goes as it was measured to: slow to speak, and not fooled by noise."""

from __future__ import annotations

import math

import pytest

from powertrain.records import Limits
from powertrain.tuning import Goal, Patience, Watch

USUAL = {"time_ms": 50.0, "power_w": 20.0}


def watch(*, limit_w: float = math.inf, **patience) -> Watch:
    made = Watch(Goal(limits=Limits(max_power_w=limit_w)), Patience(**patience))
    made.expect(USUAL, at_s=0.0)
    return made


def glances(watch, *values, from_s=1000.0):
    """Give one glance after the other, 10 s apart; return what the last led to."""
    found = None
    for i, (time_ms, power_w) in enumerate(values):
        found = watch.add({"time_ms": time_ms, "power_w": power_w}, at_s=from_s + 10 * i)
    return found


def test_what_goes_as_expected_is_no_departure():
    assert glances(watch(), *[(52.0, 19.0)] * 50) is None


@pytest.mark.parametrize(
    ("now", "why"),
    [
        ((60.0, 20.0), "the time of a minibatch is 60 ms, not 50"),
        ((40.0, 20.0), "the time of a minibatch is 40 ms, not 50"),
        ((50.0, 25.0), "the power is 25 W, not 20"),
    ],
)
def test_a_change_counts_once_three_glances_agree(now, why):
    one = watch()
    assert glances(one, now, now) is None
    found = glances(one, now)
    assert found.kind == "change"
    assert found.why == why
    assert found.values == {"time_ms": now[0], "power_w": now[1]}


def test_glances_to_both_sides_are_noise():
    assert glances(watch(), *[(60.0, 20.0), (40.0, 20.0)] * 10) is None


def test_one_glance_that_went_well_begins_the_count_anew():
    assert glances(watch(), (60, 20), (60, 20), (50, 20), (60, 20), (60, 20)) is None


def test_a_decision_rests_for_a_while_that_doubles():
    one = watch(rest_s=100.0)
    assert glances(one, *[(60.0, 20.0)] * 3, from_s=50.0) is None
    assert glances(one, (60.0, 20.0), from_s=100.0).kind == "change"
    one.expect(USUAL, at_s=1000.0)
    assert glances(one, *[(60.0, 20.0)] * 3, from_s=1150.0) is None
    assert glances(one, (60.0, 20.0), from_s=1200.0).kind == "change"


def test_a_limit_that_is_exceeded_counts_also_at_rest_but_not_by_what_measurements_differ():
    assert glances(watch(limit_w=20.0), *[(50.0, 20.1)] * 10, from_s=0.0) is None
    found = glances(watch(limit_w=20.0), *[(50.0, 20.4)] * 3, from_s=0.0)
    assert found.kind == "limit"
    assert found.why == "the power is 20.4 W (limit 20)"


def test_power_that_cannot_be_read_any_more_is_no_departure():
    one = watch(limit_w=20.0)
    for i in range(10):
        assert one.add({"time_ms": 50.0}, at_s=1000.0 + 10 * i) is None


@pytest.mark.parametrize("wrong", [{"time_tolerance": 0}, {"glances": 0}, {"rest_s": -1}])
def test_patience_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match="above 0"):
        Patience(**wrong)
