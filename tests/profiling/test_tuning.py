"""Trying modes on the first minibatches of a training, and holding the best for the rest."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
import re
import warnings

import pytest
from tests.profiling.faulty import FaultyBoard

import powertrain as pt
from powertrain.dataset import MemoryStore
from powertrain.errors import DeviceBusyError, DeviceError, MissingKnobError
from powertrain.opening import open_device
from powertrain.profiling import Glance, Procedure
from powertrain.records import PowerMode
from powertrain.tuning import Patience
from powertrain.workflow import TuneOptions, Tuning, summary_lines, tune_job

ROUGH = Procedure(precision=0.5)
LIMIT_W = 9.0


@pytest.fixture
def board():
    board = open_device("sim:orin-nano?off=noise")
    before = board.mode
    yield board
    assert board.mode == before


def trained(board, minibatches=3000, workload="lstm", **how):
    """Train on a board under a limit; return the report, the mode at the end, and what was said."""
    said, job = [], board.job(workload)
    how = {"max_power_w": LIMIT_W, "trials": 5, "procedure": ROUGH, "say": said.append, **how}
    with pt.tune(device=board, **how) as tuning:
        for _ in pt.measured(range(minibatches)):
            job.step()
        mode = board.mode
    return tuning.report(), mode, said


def renamed(modes):
    return dataclasses.replace(modes, knobs=("a", "b", "c", "d"))


class TestTheTraining:
    def test_goes_on_in_the_best_mode_that_was_measured_to_keep_the_limit(self, board):
        report, mode, said = trained(board)

        kept = [t for t in report.trials if t.keeps]
        assert 1 < len(report.trials) <= 5
        assert report.state == "held"
        assert mode == report.decision.mode == min(kept, key=lambda t: t.time_ms).mode
        assert report.decision.values["power_w"] <= LIMIT_W
        assert report.minibatches == 3000
        assert [told.kind for told in said][:3] == ["start", "found", "trial"]
        assert f"holding {mode}" in str(said[-1])
        assert f'powertrain apply "{mode}" --device ' in report.apply

    def test_is_tuned_where_it_only_calls_step(self, board):
        job = board.job("lstm")
        with pt.tune(device=board, max_power_w=LIMIT_W, trials=4, procedure=ROUGH) as tuning:
            for _ in range(3000):
                job.step()
                pt.step()
            assert board.mode == tuning.report().decision.mode

    def test_goes_on_as_it_was_found_where_that_is_asked_for(self, board):
        before = board.mode
        report, mode, said = trained(board, then="restore")
        assert mode == before
        assert report.state == "restored"
        assert report.decision.mode is not None
        assert "the device is as it was found" in str(said[-1])

    def test_that_ends_during_the_trials_is_told_the_best_so_far(self, board):
        report, _, _ = trained(board, minibatches=100, max_power_w=11)
        assert 1 <= len(report.trials) < 5
        assert report.state == "trying"
        assert report.reason == "the training ended"
        assert report.decision.mode is not None
        assert summary_lines(report)[0].startswith("the training ended; the best mode so far is cpu_cores=")

    def test_that_fails_leaves_its_error_and_the_device_as_it_was(self, board):
        with pytest.raises(ZeroDivisionError), pt.tune(device=board, trials=4, procedure=ROUGH):  # noqa: PT012
            for batch in pt.measured(range(3000)):
                board.job("lstm").step()
                1 / (2900 - batch)

    @pytest.mark.parametrize(
        ("limit", "seen", "nearest"),
        [
            ({"max_power_w": 1.0}, "the least power seen is", {"cpu_cores": 1, "mem_mhz": 204}),
            (
                {"max_power_w": None, "max_time_ms": 9.0},
                "the least time of a minibatch seen is",
                {"mem_mhz": 2133},
            ),
            ({"max_power_w": None, "max_energy_j": 0.1}, "the least energy of a minibatch seen is", {}),
        ],
    )
    def test_is_neither_slowed_nor_stopped_where_no_mode_keeps_the_limit(self, board, limit, seen, nearest):
        before = board.mode
        with pytest.warns(RuntimeWarning, match=seen) as warned:
            report, mode, _ = trained(board, **limit, trials=9, say=None, minibatches=1000)
        assert mode == before
        assert report.state == "as found"
        assert report.decision.mode is None
        if "max_energy_j" not in limit:
            assert len(report.trials) <= 8  # the lowest or the highest mode of all told that there is none
        (told,) = re.findall(r"the nearest, (.*?), has ", str(warned[0].message))
        assert nearest.items() <= PowerMode.parse(told).items()

    def test_goes_on_in_the_mode_of_least_power_where_a_supply_can_bear_no_more(self, board):
        report, mode, said = trained(board, max_power_w=1.0, hard_limit_w=1.5, minibatches=1000)
        least = min(report.trials, key=lambda t: t.power_w)
        assert mode == least.mode
        assert report.found is None  # as found it may draw more than that
        assert "going on in that mode" in str(said[-1])

    @pytest.mark.parametrize("limit_w", [LIMIT_W, None])
    def test_goes_on_when_the_sensor_dies_with_one_warning(self, limit_w):
        board = FaultyBoard("sim:orin-nano?off=noise")
        before, job = board.board.mode, board.job("lstm")

        def dies(reading):
            if reading > 100:
                raise DeviceError("the sensor does not answer")

        board.at_reading = dies
        seen = []
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            with pt.tune(device=board, max_power_w=limit_w, procedure=ROUGH) as tuning:
                for _ in pt.measured(range(6000)):
                    job.step()
                    seen.append(board.board.mode)
        assert len(seen) == 6000
        assert seen[-1] == before
        assert tuning.report().state == "failed"
        (only,) = warned
        assert "tuning ends, and the training goes on as it was before: the power sensor" in str(only.message)

    def test_goes_on_when_a_mode_cannot_be_set(self):
        board = FaultyBoard("sim:orin-nano?off=noise")
        job = board.job("lstm")

        def refuses(mode):
            raise DeviceError(f"no {mode['gpu_mhz']}")

        board.at_write = refuses
        with pytest.warns(RuntimeWarning, match="tuning ends.*: no "):  # noqa: SIM117, PT031
            with pt.tune(device=board, procedure=ROUGH) as tuning:
                for _ in pt.measured(range(1000)):
                    job.step()
        assert tuning.report().state == "failed"


class TestWhatIsRefusedBeforeTheTrainingBegins:
    @pytest.mark.parametrize(
        ("how", "message"),
        [
            ({"max_power_w": 30}, "no power sensor, and a limit on the power needs one"),
            ({"objective": "energy"}, "no power sensor, and the objective energy needs one"),
            ({"hard_limit_w": 30}, "no power sensor, and a hard limit needs one"),
        ],
    )
    def test_a_goal_that_needs_a_sensor_which_is_not_there(self, board, how, message):
        board.rails = ()
        with pytest.raises(DeviceError, match=message), pt.tune(device=board, **how):
            pass

    def test_a_reference_of_other_knobs(self, board):
        table = board.measure("lstm", pt.plan(board, 8))
        predictor = pt.fit(dataclasses.replace(table, modes=renamed(table.modes), ends=None))
        with (
            pytest.raises(MissingKnobError, match="leave it out"),
            pt.tune(device=board, references=[predictor]),
        ):
            pass

    def test_a_knob_of_the_training(self):
        with (
            pytest.raises(MissingKnobError, match=r"FILE\.py:FUNCTION"),
            pt.tune(device="cpu?batch_size=8,16"),
        ):
            pass

    @pytest.mark.parametrize(
        "how", [{"trials": 0}, {"max_power_w": -1}, {"then": "stay"}, {"risk": 2}, {"minibatches": 0}]
    )
    def test_what_makes_no_sense(self, how):
        with pytest.raises(ValueError, match=r"."):
            pt.tuned([], **how)

    def test_a_keyword_that_there_is_not(self):
        with pytest.raises(TypeError, match="watts"):
            pt.tuned([], watts=30)

    def test_a_device_that_another_process_holds(self, tmp_path):
        spec = f"sim:orin-nano?state={tmp_path / 'board.json'}"
        with open_device(spec).reserved(), pytest.raises(DeviceBusyError), pt.tune(device=spec):
            pass


class TestWithoutAPowerSensor:
    @pytest.mark.parametrize("max_time_ms", [None, 100.0])
    def test_the_least_time_is_found(self, board, max_time_ms):
        board.rails = ()
        report, mode, _ = trained(board, max_power_w=None, max_time_ms=max_time_ms)
        assert mode == min(report.trials, key=lambda t: t.time_ms).mode
        assert all(t.power_w != t.power_w for t in report.trials)


class TestAnotherGoalThanTime:
    @pytest.mark.parametrize(
        ("goal", "cost"),
        [
            ({"objective": "energy", "max_time_ms": 120.0}, lambda t: t.time_ms * t.power_w),
            ({"objective": "power", "max_energy_j": 1.2}, lambda t: t.power_w),
            ({"objective": "edp"}, lambda t: t.time_ms**2 * t.power_w),
        ],
        ids=["energy", "power", "edp"],
    )
    def test_the_mode_that_is_best_for_it_within_the_limits_is_held(self, board, goal, cost):
        report, mode, said = trained(board, max_power_w=None, **goal)
        kept = [t for t in report.trials if t.keeps]
        assert report.state == "held"
        assert mode == report.decision.mode == min(kept, key=cost).mode
        assert " J" in str(said[2])  # what the goal asks for beyond time and power is told

    def test_the_front_is_reported_and_its_fastest_mode_is_held(self, board):
        report, mode, said = trained(board, max_power_w=None, objective="front", trials=6)
        front = report.decision.front
        assert len(front) >= 3
        for one in front:
            assert not any(
                t.time_ms < one.values["time_ms"] and t.power_w < one.values["power_w"] for t in report.trials
            )
        assert mode == front[0].mode == min(report.trials, key=lambda t: t.time_ms).mode
        lines = summary_lines(report)
        assert lines[0] == f"the measured front of time and power has {len(front)} modes:"
        assert [str(one.mode) in line for one, line in zip(front, lines[1:], strict=False)] == [True] * len(
            front
        )
        assert "on the front so far" in str(said[2])

    def test_an_emulated_jetson_is_tuned_for_energy_as_well(self):
        quick = Procedure(
            stabilise_s=0.0,
            stabilise_limit_s=0.0,
            time_tolerance=math.inf,
            power_tolerance=math.inf,
            most_minibatches=5,
        )
        device = "emulated:orin-nano@jp6"
        how = {
            "objective": "energy",
            "max_time_ms": 1e4,
            "trials": 3,
            "procedure": quick,
            "say": lambda _: None,
        }
        with pt.tune(device=device, **how) as tuning:
            for _ in pt.measured(range(3000)):
                pass
        report = tuning.report()
        kept = [t for t in report.trials if t.keeps]
        assert report.decision.mode == min(kept, key=lambda t: t.time_ms * t.power_w).mode


class TestARunThatWasStopped:
    def test_goes_on_with_the_trials_that_the_store_has(self, board):
        store = MemoryStore()
        first, _, _ = trained(board, minibatches=300, store=store)
        again, _, said = trained(board, store=store)
        recalled = [t for t in again.trials if t.recalled]
        assert [t.mode for t in recalled] == [t.mode for t in first.trials]
        assert len(again.trials) <= 6
        assert f"{len(recalled)} trials made before" in str(said[0])
        assert len(store.profiles()) == len(again.trials)

    def test_does_not_recall_those_of_another_training(self, board):
        store = MemoryStore()
        trained(board, store=store, name="mine")
        other, _, _ = trained(board, store=store, name="other")
        assert not any(t.recalled for t in other.trials)


class TestATrainingThatChanges:
    def test_is_tuned_again_from_what_it_was_before(self, board):
        said, jobs = [], [board.job("lstm"), board.job("mobilenet_v3")]
        with pt.tune(
            device=board,
            max_power_w=LIMIT_W,
            trials=6,
            procedure=ROUGH,
            patience=Patience(rest_s=0.0),
            say=said.append,
        ) as tuning:
            for batch in pt.measured(range(9000)):
                jobs[batch > 4500].step()
            report = tuning.report()
        (why,) = report.changes
        assert "the time of a minibatch is" in why
        assert [told.kind for told in said].count("hold") == 2
        assert {t.phase for t in report.trials} == {1, 2}
        assert report.decision.values["power_w"] <= LIMIT_W
        assert report.state == "held"

    def test_is_left_alone_while_it_goes_as_it_went(self, board):
        report, _, _ = trained(board, minibatches=30_000, patience=Patience(rest_s=0.0))
        assert report.changes == ()


class TestAModeThatExceedsTheLimitAfterAll:
    @pytest.fixture
    def tuning(self, board):
        how = {"device": board, "max_power_w": LIMIT_W, "trials": 8, "procedure": ROUGH}
        *_, tuning = tune_job("lstm", TuneOptions.of({**how, "store": MemoryStore()}), minibatches=2500)
        assert tuning.report().state == "held"
        return tuning

    def test_is_left_and_the_next_best_is_taken(self, tuning):
        held = tuning.report().decision
        glance = Glance(
            time_ms=held.values["time_ms"],
            power_w=LIMIT_W * 1.02,
            duration_s=10.0,
            minibatches=100,
            throttled=False,
            at_s=0.0,
        )
        assert [tuning.saw(glance) for _ in range(3)] == [False, False, True]
        assert tuning.decision.mode != held.mode
        assert tuning.report().changes == ("the power is 9.18 W (limit 9)",)


class TestAStandIn:
    def test_passes_for_its_loader_and_keeps_its_goal_when_it_is_copied_or_wrapped(self):
        loader = pt.tuned([1, 2, 3], max_power_w=30)
        assert isinstance(loader, list)
        assert len(loader) == 3
        assert loader[1] == 2
        for other in (copy.copy(loader), copy.deepcopy(loader), pt.measured(loader)):
            assert type(other) is type(loader)
        assert list(pickle.loads(pickle.dumps(loader))) == [1, 2, 3]

    def test_reports_to_what_measures_already(self, board, tmp_path):
        job = board.job("lstm")
        with (
            pt.open_store(tmp_path / "p.db") as store,
            pt.measuring(board, "mine", board.space.table([9_00]), store) as found,
        ):
            for _ in pt.tuned(range(2000), max_power_w=3, device="sim:orin-agx"):
                job.step()
                if found:
                    break
            with pt.tune(max_power_w=3, device="sim:orin-agx") as tuning:
                assert tuning.report() is None
        assert len(found) == 1


def test_a_tuning_says_what_it_is_worth(board):
    report, _, _ = trained(board, minibatches=20_000, max_power_w=None, objective="energy")
    found, decided, saving = report.found, report.decision.values, report.saving
    assert saving.time_pct == pytest.approx(100 * (1 - decided["time_ms"] / found.time_ms))
    assert saving.power_w == pytest.approx(found.power_w - decided["power_w"])
    assert 0 < report.cost_s < report.tuning_s
    lines = summary_lines(report)
    assert any(line.startswith("compared with the device as found: ") for line in lines)
    assert lines[-1] == f"again: {report.apply}"
    assert f"best mode {report.decision.mode}>" in repr(report)
    assert f"<td>{report.trials[-1].mode}</td>" in report._repr_html_()


def test_a_tuning_of_a_job_is_that_of_its_loop(board):
    options = TuneOptions.of({"device": board, "max_power_w": LIMIT_W, "trials": 5, "procedure": ROUGH})
    *_, tuning = tune_job("lstm", options, minibatches=3000)
    assert isinstance(tuning, Tuning)
    report = tuning.report()
    assert report.minibatches == 3000
    assert report.decision.values["power_w"] <= LIMIT_W
