"""A sweep or a tuning over a fleet loses nothing, whatever becomes of the boards."""

from __future__ import annotations

import math

import pytest
from tests.fleet.engine import HereEngine

from powertrain.dataset import open_store
from powertrain.errors import FleetError, UnknownModeError, UnknownNameError, WorkloadError
from powertrain.fleet import BOARD, FleetOptions, Wanted, Work, profile_fleet, sharing, tune_fleet
from powertrain.profiling import Procedure
from powertrain.records import Limits, ModeTable, PowerMode
from powertrain.tuning import Goal

LSTM = Work(workload="lstm")
QUICK = Procedure(precision=0.2, limit_s=3)


@pytest.fixture
def lines():
    return []


@pytest.fixture
def store():
    with open_store() as opened:
        yield opened


def swept(engine, store, lines, *, work=LSTM, number=12, wanted=None, **how):
    options = FleetOptions(procedure=QUICK, batch=3, say=lines.append, **how)
    return profile_fleet(engine, work, wanted or Wanted(number=number), store, options)


def modes_of(store):
    return [profile.mode for profile in store.profiles()]


def test_every_mode_is_measured_and_every_board_measures_the_shared_ones(store, lines):
    told = []
    done = swept(
        HereEngine("ab"),
        store,
        lines,
        shared=2,
        progress=lambda done, total, what: told.append((done, total)),
    )

    assert done.measured == 14 == len(store.profiles())
    assert len(set(modes_of(store))) == 12
    assert {p.extra[BOARD] for p in store.profiles()} == {"a", "b"} == set(done.boards)
    assert [board.modes for board in done.spread.quantities["time"].boards] == [2, 2]
    assert told[-1] == (14, 14)
    assert not lines


def test_what_a_board_had_not_finished_when_it_died_others_measure(store, lines):
    engine = HereEngine("abc", dies={"b": 2})
    done = swept(engine, store, lines, number=16, shared=0)

    assert sorted(map(str, modes_of(store))) == sorted(map(str, set(modes_of(store))))
    assert done.measured == 16
    assert done.lost == ("b",)
    assert done.boards["b"] == 2
    assert lines == ["b is gone (a test): 1 mode of its batch go to others"]


def test_a_board_that_fails_is_left_out_with_one_line(store, lines):
    done = swept(HereEngine("ab", fails={"a": 1}), store, lines, shared=0)

    assert done.boards == {"a": 1, "b": 11}
    assert lines == ["a is left out: its sensor fails; 2 modes go to others"]


def test_a_board_that_joins_takes_its_part(store, lines):
    done = swept(HereEngine("a", comes={"new": 1}, dies={"a": 4}), store, lines, shared=0)

    assert done.boards == {"a": 4, "new": 8}


def test_when_no_board_is_left_what_is_finished_is_kept_and_the_next_run_goes_on(store, lines):
    with pytest.raises(FleetError, match=r"no board is left, and 9 modes are not measured; what is finished"):
        swept(HereEngine("a", dies={"a": 3}), store, lines)

    done = swept(HereEngine("b"), store, lines)
    assert (done.kept, done.measured) == (3, 9)
    again = HereEngine("b")
    assert swept(again, store, lines).measured == 0
    assert not again.orders


def test_a_module_of_another_kind_under_the_same_name_is_left_out_with_one_line(store, lines):
    engine = HereEngine("abc", specs={"b": "sim:orin-agx"})
    done = swept(engine, store, lines, shared=0)

    assert set(done.boards) == {"a", "c"}
    assert len(lines) == 1
    assert lines[0].startswith(
        "b is left out: it is Jetson AGX Orin 64GB (simulated), and the others are Jet"
    )


def test_boards_with_other_clocks_under_the_same_name_are_left_out(store, lines):
    engine = HereEngine(["a", "b", "late"], comes={"late": 2}, specs={"late": "sim:orin-nano?seed=9"})
    engine.there.remove("late")
    engine.facts = lambda boards, ask=engine.facts: {
        board: other_clocks(told) if board == "late" else told for board, told in ask(boards).items()
    }
    done = swept(engine, store, lines, shared=0, number=8)

    assert set(done.boards) == {"a", "b"}


def other_clocks(told):
    from dataclasses import replace

    return replace(told, knobs=((told.knobs[0][0], (1.0, 2.0)), *told.knobs[1:]))


def test_a_board_that_cannot_be_opened_is_left_out(store, lines):
    done = swept(HereEngine("ab", specs={"a": "sim:nowhere"}), store, lines, shared=0)

    assert set(done.boards) == {"b"}
    assert lines[0].startswith("a is left out: unknown device 'sim:nowhere'")


def test_a_clock_that_disagrees_is_remarked_on_and_nothing_is_lost(store, lines):
    done = swept(HereEngine("ab", clocks_off_s={"b": -90.0}), store, lines, shared=0)

    assert done.measured == 12
    assert len(lines) == 1
    assert lines[0].startswith("the clock of b is 90 s behind of this machine's")


@pytest.mark.parametrize("boards", [[], ["a"]], ids=["none", "none that opens"])
def test_without_a_board_there_is_one_line(store, lines, boards):
    with pytest.raises(FleetError, match=r"no board of this kind|none of 1 board can be used"):
        swept(HereEngine(boards, specs={"a": "sim:nowhere"}), store, lines)


def test_a_workload_or_a_mode_that_the_boards_lack_is_refused_before_anything_is_measured(store, lines):
    engine = HereEngine("a")
    with pytest.raises(UnknownNameError, match="unknown workload"):
        swept(engine, store, lines, work=Work(workload="nothing"), number=3)
    bad = ModeTable.of([PowerMode(cpu_cores=6, cpu_mhz=1, gpu_mhz=2, mem_mhz=3)])
    with pytest.raises(UnknownModeError, match="has no mode cpu_cores=6"):
        swept(engine, store, lines, wanted=Wanted(listed=lambda knobs: bad))
    assert not engine.orders


def test_a_training_that_fails_ends_the_sweep_and_the_boards_are_restored(store, lines, tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("def make():\n    raise RuntimeError('no data')\n", encoding="utf-8")
    engine = HereEngine("ab")
    with pytest.raises(WorkloadError, match="no data"):
        swept(engine, store, lines, work=Work.of(f"{path}:make"), number=4)

    assert engine.cancelled == 1


def test_a_training_of_ones_own_travels_with_its_text(store, lines, tmp_path):
    path = tmp_path / "mine.py"
    text = "import time\n\ndef make():\n    return lambda: time.sleep(0.002)\n"
    path.write_text(text, encoding="utf-8")
    work = Work.of(f"{path}:make")
    path.unlink()
    engine = HereEngine("a", specs={"a": "sim:orin-nano?clock=real&off=all"})
    options = FleetOptions(procedure=Procedure(stabilise_s=0, stabilise_limit_s=0.1, limit_s=0.1))
    done = profile_fleet(engine, work, Wanted(number=2), store, options)

    assert done.workload == "mine.py:make"
    assert done.measured == 2


def test_a_file_that_is_not_there_is_refused():
    with pytest.raises(UnknownNameError, match=r"there is no file none\.py"):
        Work.of("none.py:make")


def test_a_dry_run_tells_how_it_would_be_shared_out_and_measures_nothing(store, lines):
    engine = HereEngine("abc")
    options = FleetOptions(shared=2, say=lines.append)
    told = sharing(engine, LSTM, Wanted(number=None), store, options)

    assert told.measurements == told.modes + 2 * 2
    assert told.boards == ("a", "b", "c")
    assert not engine.orders


def tuned(engine, store, lines, **how):
    options = FleetOptions(procedure=QUICK, say=lines.append, **how)
    goal = Goal(limits=Limits(max_power_w=8))
    return tune_fleet(engine, LSTM, goal, store, options, trials=8)


def test_boards_tune_together_and_a_board_that_dies_gives_its_mode_to_another(store, lines):
    engine = HereEngine("abc", dies={"a": 1})
    found = tuned(engine, store, lines)

    assert found.decision.values["power_w"] <= 8
    assert len(found.trials) == len(store.profiles()) <= 8
    assert found.lost == ("a",)
    assert lines == ["a is gone (a test): its mode goes to another"]
    assert len({board for board, _ in engine.orders[:3]}) == 3  # at the same time


def test_a_tuning_that_lost_all_its_boards_goes_on(store, lines):
    with pytest.raises(FleetError, match="no board is left after 2 trials"):
        tuned(HereEngine("a", dies={"a": 2}), store, lines)
    found = tuned(HereEngine("b"), store, lines)

    assert found.recalled == 2
    assert found.decision.mode is not None
    assert not math.isnan(found.decision.values["time_ms"])
