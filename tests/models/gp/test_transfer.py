"""What references do to a prediction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.models.surfaces import SPACE, mape, work

from powertrain.models import predictor_class
from powertrain.planning import plan_modes

GP, ALONE = predictor_class("gp"), predictor_class("gp-alone")
ALL = SPACE.table()
SHARES = [(0.6, 0.1, 0.3), (0.1, 0.9, 0.1), (0.3, 0.3, 0.5)]
REFERENCES = [GP.fit(work(f"r{i}", ALL, shares=shares)) for i, shares in enumerate(SHARES)]


def errors(kind, references, target, n, seed):
    found = kind.transfer(references, target.take(plan_modes(ALL, n, seed=seed)).within(SPACE.ends()))
    predicted = found.predict(ALL)
    return mape(predicted.time_ms, target.time_ms), mape(predicted.power_w, target.power_w)


@pytest.mark.parametrize("seed", range(3))
def test_a_target_that_is_a_reference_at_another_level_is_known_from_four_profiles(seed):
    twin = work("twin", ALL, shares=SHARES[1])
    target = replace(twin, columns={"time_ms": 7 * twin.time_ms, "power_w": 2 * twin.power_w})

    time_error, power_error = errors(GP, REFERENCES, target, 4, seed)

    assert time_error < 2
    assert power_error < 2


@pytest.mark.parametrize("n", [6, 12])
def test_references_that_have_nothing_in_common_with_the_target_do_little_harm(n):
    rng = np.random.default_rng(1)
    wild = [
        GP.fit(
            replace(
                work(f"wild{i}", ALL),
                columns={c: np.exp(rng.standard_normal(len(ALL))) for c in ("time_ms", "power_w")},
            )
        )
        for i in range(3)
    ]
    target = work("target", ALL, shares=(0.5, 0.2, 0.4))

    with_them = np.mean([errors(GP, wild, target, n, seed) for seed in range(3)], axis=0)
    without = np.mean([errors(ALONE, [], target, n, seed) for seed in range(3)], axis=0)

    assert (with_them < 1.5 * without + 1.0).all()


def test_references_that_are_alike_help_where_profiles_are_few():
    target = work("target", ALL, shares=(0.4, 0.3, 0.35))

    with_them = np.mean([errors(GP, REFERENCES, target, 4, seed) for seed in range(4)], axis=0)
    without = np.mean([errors(ALONE, [], target, 4, seed) for seed in range(4)], axis=0)

    assert (with_them < without).all()


def test_twins_among_the_references_make_the_prediction_surer():
    target = work("target", ALL, shares=SHARES[1])
    twins = [GP.fit(work(f"twin{i}", ALL, shares=SHARES[i % 2])) for i in range(4)]
    rows = plan_modes(ALL, 4, seed=0)

    surer, plain = (
        GP.transfer(some, target.take(rows)).predict(ALL).of("time").sd.mean() for some in (twins, REFERENCES)
    )

    assert surer < 0.5 * plain


def test_the_trust_of_a_transferred_predictor_names_what_it_learned_from():
    target = work("target", ALL, shares=SHARES[1])

    trust = GP.transfer(REFERENCES, target.take(plan_modes(ALL, 5))).trust(ALL)

    assert sum(trust.values()) == pytest.approx(1.0)
    assert {"", "r1", "all references together"} <= set(trust)


def test_without_references_all_trust_is_in_the_profiles():
    assert GP.fit(work("w", ALL)).trust(ALL) == {"": 1.0}


def test_a_cleanly_measured_reference_does_not_make_a_noisy_target_look_clean():
    clean = [GP.fit(work("clean", ALL, shares=(0.3, 0.5, 0.3)))]
    held: list[float] = []
    for seed in range(10):
        target = work("target", ALL, shares=(0.5, 0.2, 0.4), noise=0.02, seed=seed)
        profiles = target.take(plan_modes(ALL, 10, seed=seed)).within(SPACE.ends())
        prediction = GP.transfer(clean, profiles).predict(ALL)
        for name, true in (("time", target.time_ms), ("power", target.power_w)):
            low, high = prediction.of(name).intervals()
            held.append(float(np.mean((low <= true) & (true <= high))))

    assert 0.85 < np.mean(held) < 0.97  # 0.9 is meant


def noisy(seed: int):
    """Measure a workload in 30 modes, ten of them 20 % off in time, and return it with the truth."""
    truth = work("target", ALL, shares=(0.5, 0.2, 0.4))
    profiles = truth.take(plan_modes(ALL, 30, seed=seed)).within(SPACE.ends())
    off = np.exp(np.where(np.arange(30) % 3 == 0, np.random.default_rng(seed).normal(0.0, 0.2, 30), 0.0))
    columns = {**profiles.columns, "time_ms": profiles.time_ms * off}
    return replace(profiles, columns=columns), truth


def mean_error(change) -> float:
    """Return the error of the time after `change` was made to the profiles, over some seeds."""
    found: list[float] = []
    for seed in range(4):
        profiles, truth = noisy(seed)
        found.append(mape(GP.transfer(REFERENCES, change(profiles)).predict(ALL).time_ms, truth.time_ms))
    return float(np.mean(found))


def test_the_mean_of_many_repeats_counts_more_than_one_measurement():
    many = np.where(np.arange(30) % 3 == 0, 1, 100)

    assert mean_error(lambda p: replace(p, repeats=many)) < 0.7 * mean_error(lambda p: p)


def test_a_profile_with_a_large_standard_error_counts_less():
    error = np.where(np.arange(30) % 3 == 0, 0.2, 0.0)

    assert mean_error(lambda p: replace(p, se={"time_ms": error})) < 0.7 * mean_error(lambda p: p)


def test_a_reference_known_from_few_profiles_counts_less_than_one_known_in_every_mode():
    twin = work("twin", ALL, shares=(0.5, 0.2, 0.4), noise=0.03)
    target = work("target", ALL, shares=(0.5, 0.2, 0.4))
    shown = target.take(plan_modes(ALL, 8)).within(SPACE.ends())

    def told(n: int):
        return GP.transfer([GP.fit(twin.take(plan_modes(ALL, n)).within(SPACE.ends()))], shown)

    few, every = told(6), told(len(ALL))

    assert few.trust(ALL)[""] > every.trust(ALL)[""]
