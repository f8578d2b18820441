"""Spaces whose full grid no machine could hold: many knobs, or values that never repeat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from tests.models.surfaces import mape

from powertrain.models import load_predictor, predictor_class
from powertrain.records import ModeTable, ProfileTable

GP = predictor_class("gp")


def wide(
    knobs: int, profiles: int, *, levels: int | None, workload: str = "reference", seed: int = 0
) -> ProfileTable:
    """Measure work that passes through one stage a knob, at `levels` clocks each, or at any clock."""
    rng = np.random.default_rng(seed)
    shape = (profiles, knobs)
    clocks = (
        rng.uniform(100, 1000, shape) if levels is None else rng.choice(np.linspace(100, 1000, levels), shape)
    )
    shares = np.random.default_rng(1).dirichlet(np.full(knobs, 0.5))
    if workload != "reference":
        shares = shares * np.random.default_rng(2).uniform(0.5, 1.5, knobs)
    time_ms = 0.5 + (10 * shares / (clocks / 1000)).sum(axis=1)
    power_w = 5 + (200 * shares * (clocks / 1000) ** 2).sum(axis=1) / time_ms
    modes = ModeTable(knobs=tuple(f"part{j}_mhz" for j in range(knobs)), values=clocks)
    return ProfileTable(device="board", workload=workload, modes=modes, time_ms=time_ms, power_w=power_w)


def first(profiles: ProfileTable, n: int) -> ProfileTable:
    return profiles.take(np.arange(n))


@pytest.mark.parametrize(
    ("knobs", "profiles", "levels"),
    [(15, 300, 2), (7, 1000, None), (20, 2000, 5), (3, 300, None), (64, 200, 3)],
)
def test_any_number_of_knobs_is_fitted_and_predicted(knobs: int, profiles: int, levels: int | None):
    table = wide(knobs, profiles, levels=levels)
    unseen = wide(knobs, 500, levels=levels, seed=7)

    prediction = GP.fit(table).predict(unseen.modes)

    assert mape(prediction.time_ms, unseen.time_ms) < 5
    assert mape(prediction.power_w, unseen.power_w) < 5


@pytest.mark.parametrize(("knobs", "levels"), [(15, 2), (20, None)])
def test_a_reference_with_many_knobs_helps_where_there_are_few_profiles(knobs: int, levels: int | None):
    reference = GP.fit(wide(knobs, 800, levels=levels))
    target = wide(knobs, 500, levels=levels, workload="target", seed=3)

    alone = GP.fit(first(target, 8)).predict(target.modes)
    helped = GP.transfer([reference], first(target, 8)).predict(target.modes)

    assert mape(helped.time_ms, target.time_ms) < mape(alone.time_ms, target.time_ms)
    assert mape(helped.power_w, target.power_w) < mape(alone.power_w, target.power_w)


def saved_and_loaded(predictor, folder):
    predictor.save(folder / "predictor.ptm")
    return load_predictor(folder / "predictor.ptm")


def numbers(predictor, modes: ModeTable) -> Sequence[np.ndarray]:
    prediction = predictor.predict(modes)
    return [prediction.time_ms, prediction.power_w, prediction.time_rel_sd, prediction.power_rel_sd]


@pytest.mark.parametrize("without", [(), ("time_ms",), ("power_w",)])
def test_references_with_many_knobs_survive_their_files(tmp_path, without: tuple[str, ...]):
    table = wide(9, 120, levels=4)
    lent = ProfileTable(
        device=table.device,
        workload=table.workload,
        modes=table.modes,
        time_ms=np.full(120, np.nan) if "time_ms" in without else table.time_ms,
        power_w=np.full(120, np.nan) if "power_w" in without else table.power_w,
    )
    target = wide(9, 60, levels=4, workload="target", seed=3)
    reference = GP.fit(lent)

    transferred = GP.transfer([reference], first(target, 10))
    again = GP.transfer([saved_and_loaded(reference, tmp_path)], first(target, 10))

    expected = numbers(transferred, target.modes)
    np.testing.assert_array_equal(numbers(again, target.modes), expected)
    np.testing.assert_array_equal(numbers(saved_and_loaded(transferred, tmp_path), target.modes), expected)


def test_beyond_the_range_of_a_reference_its_edge_holds():
    reference = GP.fit(wide(9, 300, levels=4))
    target = wide(9, 40, levels=4, workload="target", seed=3)
    transferred = GP.transfer([reference], target)
    edge = np.full((1, 9), 1000.0)

    at_edge, beyond = (
        transferred.predict(ModeTable(knobs=target.modes.knobs, values=edge * factor)).time_ms[0]
        for factor in (1.0, 1.02)
    )

    assert beyond == pytest.approx(at_edge, rel=0.05)
