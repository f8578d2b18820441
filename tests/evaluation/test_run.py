from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from powertrain.evaluation import (
    EvaluationInterruptedError,
    EvaluationPlan,
    LimitSweep,
    evaluate,
)
from powertrain.models import predictor_class
from powertrain.planning import plan_modes

ROW_KEYS = [
    "method",
    "device",
    "target",
    "references",
    "profiles",
    "seed",
    "sampling",
    "time_mape",
    "power_mape",
    "time_p95_ape",
    "power_p95_ape",
    "fit_s",
    "predict_s",
    "coverage90_time",
    "coverage90_power",
    "trust",
]


@pytest.fixture(scope="session")
def plan(board_name):
    return EvaluationPlan(
        device=board_name,
        targets=("lstm",),
        references=("others",),
        methods=("gp", "linear"),
        profiles=(8, 20),
        seeds=2,
        limits=LimitSweep(count=5),
        risks=(0.05, 0.5),
    )


@pytest.fixture(scope="session")
def evaluation(plan, grid):
    return evaluate(plan, grid)


def without_times(row):
    return dataclasses.replace(row, fit_s=0, predict_s=0)


def test_rows_have_exactly_the_keys_of_the_contract(evaluation):
    document = evaluation.as_json()

    assert list(document)[:3] == ["rows", "choices", "summary"]
    assert all(list(row) == ROW_KEYS for row in document["rows"])
    assert document["interrupted"] is False


def test_there_is_a_row_per_method_count_and_seed(evaluation):
    rows = [(row.method, row.case.profiles, row.case.seed) for row in evaluation.rows]

    assert sorted(rows) == [(m, n, s) for m in ("gp", "linear") for n in (8, 20) for s in (0, 1)]


def test_references_and_sampling_are_named_in_every_row(evaluation):
    row = evaluation.as_json()["rows"][0]

    assert row["references"] == ["resnet18", "mobilenet_v3"]
    assert row["sampling"] == "spread"


def test_errors_are_over_the_modes_that_were_not_drawn(plan, grid):
    plan = dataclasses.replace(plan, methods=("linear",), profiles=(20,), seeds=1, limits=None)
    (row,) = evaluate(plan, grid).rows

    table = grid[plan.device, "lstm"]
    drawn = plan_modes(table.modes, 20, sampling="spread", seed=0)
    rest = np.delete(np.arange(len(table)), drawn)
    predicted = predictor_class("linear").fit(table.take(drawn)).predict(table.modes.take(rest))
    errors = 100 * np.abs(predicted.time_ms / table.time_ms[rest] - 1)
    assert row.time_mape == pytest.approx(errors.mean())
    assert row.time_p95_ape == pytest.approx(np.percentile(errors, 95))


def test_the_same_seed_gives_the_same_rows(plan, grid, evaluation):
    again = evaluate(plan, grid)

    assert list(map(without_times, again.rows)) == list(map(without_times, evaluation.rows))
    assert repr(again.choices) == repr(evaluation.choices)


def test_each_reference_is_fitted_once_per_method_that_uses_it(evaluation):
    fits = [(fit.method, fit.workload) for fit in evaluation.reference_fits]

    assert sorted(fits) == [("gp", "mobilenet_v3"), ("gp", "resnet18")]


def test_repeated_modes_are_averaged_before_they_are_drawn(plan, grid):
    plan = dataclasses.replace(plan, methods=("linear",), profiles=(8,), seeds=1, limits=None)
    table = grid[plan.device, "lstm"]
    twice = table.take(np.r_[np.arange(len(table)), np.arange(len(table))])
    repeated = evaluate(plan, {**grid, (plan.device, "lstm"): twice})

    assert list(map(without_times, repeated.rows)) == list(map(without_times, evaluate(plan, grid).rows))


@pytest.mark.parametrize("quantity", ["time", "power"])
def test_a_quantity_that_was_not_measured_is_null(plan, grid, quantity):
    table = grid[plan.device, "lstm"]
    column = {"time": "time_ms", "power": "power_w"}[quantity]
    lacking = dataclasses.replace(table, **{column: np.full(len(table), np.nan)})
    plan = dataclasses.replace(plan, profiles=(8,), seeds=1)
    evaluation = evaluate(plan, {**grid, (plan.device, "lstm"): lacking})

    other = {"time": "power", "power": "time"}[quantity]
    for row in evaluation.as_json()["rows"]:
        assert row[f"{quantity}_mape"] is row[f"{quantity}_p95_ape"] is row[f"coverage90_{quantity}"] is None
        assert row[f"{other}_mape"] > 0
    assert evaluation.choices == ()


def test_choices_cover_every_limit_for_each_method_and_risk_and_for_the_baselines(evaluation):
    seen = {(c.method, "-" if math.isnan(c.risk) else c.risk) for c in evaluation.choices}

    assert seen == {
        *((method, risk) for method in ("gp", "linear") for risk in (0.05, 0.5)),
        ("observed", "-"),
        ("maximum", "-"),
    }
    assert len(evaluation.choices) == 6 * 2 * 2 * 5


def test_penalty_and_excess_are_those_of_the_truth(evaluation, grid):
    for choice in evaluation.choices:
        table = grid[choice.case.device, choice.case.target]
        best_ms = table.time_ms[table.power_w <= choice.limit_w].min()
        assert choice.best_time_ms == best_ms
        if choice.mode is None:
            continue
        assert choice.time_penalty_pct == pytest.approx(100 * (choice.time_ms / best_ms - 1))
        assert choice.excess_w == pytest.approx(max(0, choice.power_w - choice.limit_w))
        assert choice.excess_w > 0 or choice.time_penalty_pct >= 0


def test_the_observed_baseline_keeps_every_limit_and_the_largest_limit_is_easy_for_the_maximum(evaluation):
    observed = [c for c in evaluation.choices if c.method == "observed" and c.feasible]
    maximum = [c for c in evaluation.choices if c.method == "maximum"]

    assert observed
    assert {c.excess_w for c in observed} == {0}
    assert maximum
    for choice in maximum:
        assert list(choice.mode.values()) == [12, 2201.6, 1300.5, 3199]


def test_a_limit_for_which_a_method_finds_no_mode_has_a_null_penalty(plan, grid):
    least_w = float(grid[plan.device, "lstm"].power_w.min())
    plan = dataclasses.replace(
        plan, methods=("linear",), risks=(0.0001,), limits=LimitSweep(values_w=(least_w,))
    )
    found = [c for c in evaluate(plan, grid).as_json()["choices"] if c["method"] == "linear"]

    assert not any(choice["feasible"] for choice in found)
    assert all(choice["time_penalty_pct"] is choice["excess_w"] is choice["mode"] is None for choice in found)


def test_the_document_is_plain_json_without_nan(evaluation):
    text = json.dumps(evaluation.as_json(), allow_nan=False)

    assert "NaN" not in text


def test_progress_is_told_before_every_step(plan, grid):
    told = []
    evaluate(plan, grid, progress=lambda *step: told.append(step))

    totals = {total for _, total, _ in told}
    assert totals == {8}
    assert [done for done, _, what in told if "seed" in what] == list(range(8))


def test_ctrl_c_hands_over_the_rows_that_are_done(plan, grid):
    def interrupt(done, total, what):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(EvaluationInterruptedError) as caught:
        evaluate(plan, grid, progress=interrupt)

    partial = caught.value.evaluation
    assert partial.interrupted
    assert len(partial.rows) == 3
    assert partial.as_json()["interrupted"] is True


def test_without_references_every_method_learns_from_the_profiles_alone(plan, grid):
    plan = dataclasses.replace(plan, references=(), profiles=(20,), seeds=1, limits=None)
    evaluation = evaluate(plan, grid)

    assert [row.case.references for row in evaluation.rows] == [(), ()]
    assert all(row.time_mape > 0 for row in evaluation.rows)
