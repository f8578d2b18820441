"""What evaluate tells of the worth of references."""

import dataclasses

import pytest

from powertrain.evaluation import EvaluationPlan, evaluate, worth_of


@pytest.fixture(scope="module")
def scored(board_name, grid):
    plan = EvaluationPlan(
        device=board_name,
        targets=("lstm",),
        references=("others",),
        methods=("gp", "gp-alone"),
        profiles=(6,),
        seeds=1,
    )
    return plan, evaluate(plan, grid)


def test_the_shares_of_the_sources_add_up_to_one(scored):
    (worth,) = worth_of(scored[1].rows)

    assert sum(worth.trust.values()) == pytest.approx(1.0)
    assert "" in worth.trust


def test_the_errors_without_references_are_those_of_gp_alone(scored):
    _, evaluation = scored
    (worth,) = worth_of(evaluation.rows)
    alone = next(row for row in evaluation.rows if row.method == "gp-alone")

    assert worth.time_mape_without == alone.time_mape
    assert worth.helped == (worth.time_mape <= alone.time_mape and worth.power_mape <= alone.power_mape)


def test_with_the_reference_none_the_profiles_are_alone(scored, grid):
    plan, evaluation = scored
    bare = evaluate(dataclasses.replace(plan, references=("none",), methods=("gp",)), grid)

    assert bare.rows[0].case.references == ()
    assert bare.rows[0].time_mape == next(r for r in evaluation.rows if r.method == "gp-alone").time_mape
    assert worth_of(bare.rows) == ()


def test_an_informed_plan_profiles_other_modes(scored, grid):
    plan, evaluation = scored
    informed = evaluate(dataclasses.replace(plan, informed=True, methods=("gp-alone",)), grid)

    assert informed.rows[0].time_mape != next(r for r in evaluation.rows if r.method == "gp-alone").time_mape
