from __future__ import annotations

import math

import pytest

from powertrain.evaluation import Case, ChoiceRow, ErrorRow, summarise

NAN = float("nan")


def case(target="a", seed=0, profiles=10):
    return Case(device="d", target=target, references=(), profiles=profiles, seed=seed, sampling="spread")


def error(time_mape, *, target="a", seed=0, method="gp", coverage=NAN):
    return ErrorRow(
        method=method,
        case=case(target, seed),
        time_mape=time_mape,
        power_mape=NAN,
        time_p95_ape=time_mape,
        power_p95_ape=NAN,
        fit_s=1.0,
        predict_s=2.0,
        coverage90_time=coverage,
        coverage90_power=NAN,
    )


def choice(penalty, excess_w, *, limit_w=20.0, feasible=True):
    return ChoiceRow(
        method="gp",
        case=case(),
        risk=0.05,
        limit_w=limit_w,
        feasible=feasible,
        time_penalty_pct=penalty,
        excess_w=excess_w,
        excess_pct=100 * excess_w / limit_w,
    )


def test_errors_are_reduced_over_targets_and_seeds():
    rows = [error(1.0), error(3.0, target="b"), error(2.0, seed=1), error(6.0, target="b", seed=1)]
    (line,) = summarise(rows, []).errors

    assert (line.targets, line.seeds) == (2, 2)
    assert (line.time_mape.mean, line.time_mape.median) == (3.0, 2.5)
    assert line.time_mape.sd_over_seeds == pytest.approx(math.sqrt(2))  # of 2 and 4
    assert math.isnan(line.power_mape.mean)


def test_methods_keep_the_order_of_their_first_row():
    rows = [error(1.0, method="paper"), error(1.0, method="gp"), error(2.0, method="paper", seed=1)]

    assert [line.method for line in summarise(rows, []).errors] == ["paper", "gp"]


def test_coverage_is_averaged_where_it_is_known():
    (line,) = summarise([error(1.0, coverage=80.0), error(1.0, coverage=90.0, seed=1)], []).errors

    assert line.coverage90_time == 85.0
    assert math.isnan(line.coverage90_power)


def test_shares_are_of_all_limits_and_penalties_of_those_with_a_mode():
    rows = [choice(4.0, 0.0), choice(-2.0, 0.3), choice(0.0, 1.5), choice(NAN, NAN, feasible=False)]
    (line,) = summarise([], rows).choices

    assert line.choices == 4
    assert line.no_mode_pct == 25
    assert line.median_time_penalty_pct == 0.0
    assert (line.exceeded_pct, line.exceeded_by_2pct_pct, line.exceeded_by_1w_pct) == (50, 25, 25)
    assert line.mean_excess_w == pytest.approx(0.45)


def test_of_nothing_the_summary_is_empty():
    summary = summarise([], [])

    assert summary.errors == summary.choices == ()
