"""A race serves measurements, keeps every number of trials, and goes on where it was stopped."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import numpy as np
import pytest

from powertrain.errors import DataError, UnknownNameError
from powertrain.evaluation import (
    RaceInterruptedError,
    RaceLimits,
    RacePlan,
    RaceRow,
    race,
    summarise_race,
    track_of_board,
    track_of_table,
)
from powertrain.opening import open_device
from powertrain.records import ModeTable, ProfileTable

METHODS = ("random", "coordinate", "tuner")


def repeated(power_w):
    """Two modes, the first measured three times."""
    modes = ModeTable(knobs=("gpu_mhz",), values=np.array([[400.0], [400.0], [800.0], [400.0]]))
    return ProfileTable(
        device="board", workload="w", modes=modes, time_ms=[9.0, 11.0, 5.0, 10.0], power_w=power_w
    )


@pytest.fixture(scope="module")
def tracks(grid, board_name):
    return {w: track_of_table(table) for (d, w), table in grid.items() if d == board_name}


@pytest.fixture(scope="module")
def plan(board_name):
    return RacePlan(
        device=board_name,
        targets=("lstm",),
        references=("others",),
        methods=METHODS,
        trials=5,
        limits=RaceLimits(count=2),
        seeds=2,
    )


@pytest.fixture(scope="module")
def found(plan, tracks, grid):
    return race(plan, tracks, grid)


class TestATrack:
    def test_serves_repeats_as_visits_and_takes_their_mean_for_the_truth(self):
        track = track_of_table(repeated([4.0, 5.0, 8.0, 6.0]))

        assert track.truth.time_ms.tolist() == [10.0, 5.0]
        assert track.truth.power_w.tolist() == [5.0, 8.0]
        visits = [track.measured(0, visit=v, seed=0) for v in range(3)]
        assert sorted(visit.time_ms for visit in visits) == [9.0, 10.0, 11.0]
        assert sorted(visit.power_w for visit in visits) == [4.0, 5.0, 6.0]
        assert track.noise_pct == pytest.approx(20.0)

    def test_leaves_out_what_lacks_a_power(self):
        track = track_of_table(repeated([4.0, math.nan, 8.0, 6.0]))
        assert track.truth.time_ms.tolist() == [9.5, 5.0]

    def test_costs_the_change_of_the_mode_the_settling_and_the_minibatches(self):
        cost_s = track_of_table(repeated([4.0, 5.0, 8.0, 6.0])).measured(1, visit=0, seed=0).duration_s
        assert cost_s == pytest.approx(3.0 + 10 * 5.0 / 1000)

    def test_of_work_that_takes_long_costs_one_unit_of_it(self):
        table = repeated([4.0, 5.0, 8.0, 6.0])
        long = ProfileTable(
            device="b", workload="w", modes=table.modes, time_ms=1e5 * table.time_ms, power_w=table.power_w
        )
        assert track_of_table(long).measured(1, visit=0, seed=0).duration_s == pytest.approx(3.0 + 500.0)

    def test_without_power_is_refused(self):
        with pytest.raises(DataError, match="has no power"):
            track_of_table(repeated([math.nan] * 4))

    def test_of_a_simulated_board_knows_the_truth_and_measures_with_noise(self):
        board = open_device("sim:orin-nano")
        track = track_of_board(board, "lstm")
        visits = [track.measured(5, visit=v, seed=0).power_w for v in range(4)]
        assert len(set(visits)) > 1
        assert np.mean(visits) == pytest.approx(track.truth.power_w[5], rel=0.03)


class TestLimits:
    def test_lie_evenly_between_the_least_power_and_that_of_the_fastest_mode(self):
        truth = track_of_table(repeated([4.0, 5.0, 8.0, 6.0])).truth
        assert RaceLimits(count=2).of(truth).tolist() == pytest.approx([6.0, 7.0])

    def test_that_no_mode_keeps_are_left_out(self):
        truth = track_of_table(repeated([4.0, 5.0, 8.0, 6.0])).truth
        assert RaceLimits(values_w=(3.0, 6.0)).of(truth).tolist() == [6.0]

    def test_that_leave_no_choice_are_refused(self, plan):
        flat = {"w": track_of_table(repeated([8.0, 8.0, 8.0, 8.0]))}
        alone = RacePlan(device=plan.device, targets=("all",))
        with pytest.raises(DataError, match=r"no target of .* has a limit that leaves a choice"):
            race(alone, flat, {})


class TestTheRows:
    def test_are_there_for_every_number_of_trials(self, found, plan):
        assert len(found.rows) == len(METHODS) * plan.seeds * 2 * plan.trials
        case = [row for row in found.rows if row.method == "random" and row.seed == 1][: plan.trials]
        assert [row.trials for row in case] == [1, 2, 3, 4, 5]
        assert all(a.cost_s < b.cost_s for a, b in pairwise(case))
        assert case[0].references == ("resnet18", "mobilenet_v3")

    def test_say_what_the_truth_says_of_the_mode_named(self, found, tracks):
        truth = tracks["lstm"].truth
        for row in found.rows:
            best_ms = truth.time_ms[truth.power_w <= row.limit_w].min()
            if math.isnan(row.regret_pct):
                assert not row.feasible
                continue
            time_ms = best_ms * (1 + row.regret_pct / 100)
            power_w = truth.power_w[np.isclose(truth.time_ms, time_ms, rtol=1e-9)]
            assert len(power_w)
            assert row.feasible == bool((power_w <= row.limit_w).any())
            assert row.excess_pct == pytest.approx(max(0.0, 100 * (power_w.min() / row.limit_w - 1)))

    def test_say_how_much_of_the_true_front_was_measured_so_far(self, found, tracks):
        for method in METHODS:
            shares = [row.hypervolume_pct for row in found.rows if row.method == method and row.seed == 0][:5]
            assert shares == sorted(shares)
            assert 0 < shares[-1] <= 100
        everything = range(len(tracks["lstm"].truth))
        assert tracks["lstm"].hypervolume_pct(everything) == pytest.approx(100)
        assert tracks["lstm"].hypervolume_pct([]) == 0

    def test_have_the_keys_of_the_document_and_no_number_where_nothing_is_named(self, found):
        document = json.loads(json.dumps(found.as_json()))
        assert set(document["rows"][0]) == {
            "method", "device", "target", "references", "seed", "limit_w", "trials", "cost_s",
            "regret_pct", "feasible", "excess_pct", "hypervolume_pct",
        }  # fmt: skip
        nothing = [row for row in found.rows if math.isnan(row.regret_pct)]
        assert [row["regret_pct"] for row in document["rows"]].count(None) == len(nothing)
        assert RaceRow.from_json(document["rows"][0]).as_json() == document["rows"][0]

    def test_are_the_same_from_two_processes(self, found, plan, tracks, grid):
        again = race(plan, tracks, grid, jobs=2)
        assert again.as_json() == found.as_json()

    def test_put_a_method_that_names_nothing_last(self):
        def row(regret_pct):
            return RaceRow(
                method="m", device="d", target="t", references=(), seed=0, limit_w=1.0, trials=1,
                cost_s=1.0, regret_pct=regret_pct, feasible=True, excess_pct=0.0,
            )  # fmt: skip

        (line,) = summarise_race([row(1.0), row(math.nan), row(2.0), row(3.0)])
        assert line.median_regret_pct == 2.0
        assert line.p90_regret_pct == math.inf
        assert line.none_named_pct == 25.0


class TestAStoppedRace:
    def test_goes_on_from_the_file_and_ends_the_same(self, found, plan, tracks, grid, tmp_path):
        kept = tmp_path / "cases.jsonl"

        def stop(done, total, what):
            if done == 2:
                raise KeyboardInterrupt

        with pytest.raises(RaceInterruptedError) as stopped:
            race(plan, tracks, grid, kept=kept, progress=stop)
        assert 0 < len(stopped.value.race.rows) < len(found.rows)
        assert stopped.value.race.interrupted
        kept.write_text(kept.read_text() + '{"case": ["tuner", 0')  # what a killed process may leave

        told = []
        again = race(plan, tracks, grid, kept=kept, progress=lambda done, total, what: told.append(done))

        assert again.as_json() == found.as_json()
        assert told == [3, 4, 5, 6]

    @pytest.mark.parametrize("content", ["", "hello", '{"version": 1, "race": "another"}\n'])
    def test_refuses_a_file_of_something_else(self, plan, tracks, grid, tmp_path, content):
        kept = tmp_path / "cases.jsonl"
        kept.write_text(content)
        with pytest.raises(DataError, match=r"cases of another race|no cases of a race"):
            race(plan, tracks, grid, kept=kept)


def test_an_unknown_target_or_method_is_named(plan, tracks, grid):
    with pytest.raises(UnknownNameError, match="lstn"):
        race(RacePlan(device=plan.device, targets=("lstn",)), tracks, grid)
    with pytest.raises(UnknownNameError, match="racing method 'tunr'"):
        RacePlan(device=plan.device, targets=("lstm",), methods=("tunr",))
    with pytest.raises(ValueError, match="seeds are counted from 1"):
        RacePlan(device=plan.device, targets=("lstm",), seeds=0)
