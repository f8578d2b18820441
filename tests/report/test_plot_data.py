"""What the plots will show, as numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from powertrain.errors import DataError
from powertrain.records import Choice, Interval, Limits, ModeTable, PowerMode, Prediction, ProfileTable
from powertrain.report import Points, agreement_plot, front_plot, learning_plot

MODES = ModeTable(knobs=("gpu_mhz",), values=np.array([[300.0], [600], [900], [1200]]))
NAN = float("nan")


def truth(time_ms=(40.0, 20, 14, 12), power_w=(10.0, 15, 22, 40)) -> ProfileTable:
    return ProfileTable(
        device="Toy (simulated)",
        workload="bert",
        modes=MODES,
        time_ms=np.array(time_ms),
        power_w=np.array(power_w),
    )


def prediction(time_ms=(44.0, 20, 14, 12), power_w=(10.0, 12, 22, 40)) -> Prediction:
    none = np.full(len(time_ms), NAN)
    return Prediction(
        time_ms=np.array(time_ms), power_w=np.array(power_w), time_rel_sd=none, power_rel_sd=none
    )


def choice(row: int = 1, **limits: float) -> Choice:
    guess = prediction()

    def interval(value: float) -> Interval:
        return Interval(value=float(value), low=0.9 * value, high=1.1 * value)

    return Choice(
        mode=MODES[row],
        index=row,
        time_ms=interval(guess.time_ms[row]),
        power_w=interval(guess.power_w[row]),
        energy_j=interval(guess.energy_j[row]),
        objective="time",
        limits=Limits(**limits),
        risk=0.05,
        why="it is",
    )


def test_agreement_states_the_mean_and_the_95th_percentile_of_the_relative_error():
    plot = agreement_plot(truth(), prediction(), method="gp, 2 profiles")
    time, power = plot.panels
    assert (time.quantity, time.unit, power.quantity, power.unit) == ("time", "ms", "power", "W")
    assert time.mean_error == pytest.approx(10 / 4)
    assert power.mean_error == pytest.approx(20 / 4)
    assert time.p95_error == pytest.approx(np.percentile([10, 0, 0, 0], 95))
    assert plot.title == "bert on Toy (simulated): gp, 2 profiles"


def test_agreement_leaves_out_what_the_predictor_has_seen():
    for profiled in ([0, 2], np.array([True, False, True, False])):
        time, _ = agreement_plot(truth(), prediction(), method="gp", profiled=profiled).panels
        assert time.true.tolist() == [20, 12]
        assert time.mean_error == 0


def test_agreement_has_a_panel_only_for_what_is_known():
    no_time = agreement_plot(truth(time_ms=[NAN] * 4), prediction(), method="gp")
    assert [panel.quantity for panel in no_time.panels] == ["power"]
    some = agreement_plot(truth(time_ms=(40.0, NAN, 14, NAN)), prediction(), method="gp")
    assert some.panels[0].true.tolist() == [40, 14]


def test_agreement_without_anything_to_compare_is_refused():
    with pytest.raises(DataError, match="nothing to compare for bert"):
        agreement_plot(truth(), prediction(), method="gp", profiled=[0, 1, 2, 3])
    with pytest.raises(ValueError, match="2 predictions of 4 modes"):
        agreement_plot(truth(), prediction((1.0, 2), (1.0, 2)), method="gp")


def test_the_fronts_rise_in_time_and_fall_in_power():
    plot = front_plot(
        prediction((44.0, 20, 21, 12), (10.0, 12, 22, 40)), MODES, title="bert on Toy", truth=truth()
    )
    assert plot.front.time_ms.tolist() == [12, 20, 44]
    assert plot.front.power_w.tolist() == [40, 12, 10]
    assert plot.true_front.time_ms.tolist() == [12, 14, 20, 40]
    assert len(plot.modes) == 4
    assert plot.limit_w == math.inf


def test_the_choice_brings_its_limit_and_its_truth():
    plot = front_plot(prediction(), MODES, title="", choice=choice(1, max_power_w=30), truth=truth())
    assert plot.limit_w == 30
    assert (plot.chosen_true.time_ms.tolist(), plot.chosen_true.power_w.tolist()) == ([20], [15])


def test_without_truth_there_is_no_true_front_and_no_true_point():
    plot = front_plot(prediction(), MODES, title="", choice=choice())
    assert len(plot.true_front) == len(plot.chosen_true) == 0
    assert plot.limit_w == math.inf


def test_what_has_a_time_and_power_of_its_own_is_shown_there():
    own = Points(time_ms=np.array([76.0]), power_w=np.array([24.9]))
    plot = front_plot(prediction(), MODES, title="", truth=truth(), named={"MODE_30W": own})
    assert plot.named == {"MODE_30W": own}


def test_named_modes_are_true_where_known_and_predicted_elsewhere():
    partial = truth().take([2, 3])
    named = {
        "MAXN": MODES[3],
        "LOW": MODES[0],
        "ELSEWHERE": PowerMode(gpu_mhz=7),
        "OTHER": PowerMode(cpu_mhz=7),
    }
    plot = front_plot(prediction(), MODES, title="", truth=partial, named=named)
    assert {name: (p.time_ms[0], p.power_w[0]) for name, p in plot.named.items()} == {
        "MAXN": (12, 40),
        "LOW": (44, 10),
    }


def test_modes_without_a_time_or_a_power_are_left_out_of_the_front():
    plot = front_plot(prediction((NAN, 20, 14, 12), (10.0, 12, NAN, 40)), MODES, title="")
    assert plot.front.time_ms.tolist() == [12, 20]
    with pytest.raises(DataError, match="predictions of both"):
        front_plot(prediction(power_w=[NAN] * 4), MODES, title="")


def row(
    method: str, profiles: int, seed: int, time_mape: float | None, power_mape: float | None = None
) -> dict:
    return {
        "method": method,
        "device": "Toy (simulated)",
        "target": "bert",
        "profiles": profiles,
        "seed": seed,
        "time_mape": time_mape,
        "power_mape": power_mape,
    }


def test_curves_are_the_median_and_the_quartiles_over_seeds():
    errors = {10: [4.0, 8, 6, 5, 7], 50: [2.0, 1, 3, 2, 2]}
    rows = [row("gp", n, seed, e) for n, some in errors.items() for seed, e in enumerate(some)]
    plot = learning_plot(reversed(rows))
    (curve,) = plot.panels["time"]
    assert curve.profiles.tolist() == [10, 50]
    assert curve.median_pct.tolist() == [6, 2]
    assert (curve.low_pct.tolist(), curve.high_pct.tolist()) == ([5, 2], [7, 2])
    assert list(plot.panels) == ["time"]
    assert plot.title == "bert on Toy (simulated)"


def test_methods_keep_their_order_and_lacking_errors_are_left_out():
    plot = learning_plot(
        [row("paper", 10, 0, 9.0, 5.0), row("gp", 10, 0, NAN, 2.0), row("gp", 20, 0, None, 1.0)]
    )
    assert [curve.method for curve in plot.panels["time"]] == ["paper"]
    assert [curve.method for curve in plot.panels["power"]] == ["paper", "gp"]


def test_several_targets_are_counted_in_the_title():
    plot = learning_plot([row("gp", 10, 0, 1.0), {**row("gp", 10, 0, 2.0), "target": "lstm"}])
    assert plot.title == "2 workloads on Toy (simulated)"
    assert learning_plot([row("gp", 10, 0, 1.0)], title="mine").title == "mine"


def test_an_evaluation_without_errors_is_refused():
    for rows in ([], [row("gp", 10, 0, None)]):
        with pytest.raises(DataError, match="no errors to plot"):
            learning_plot(rows)
