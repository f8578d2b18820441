"""The self-test of a device, on simulated boards, on this machine's processor, and where things go wrong."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.profiling.faulty import FaultyBoard

from powertrain.errors import DeviceError, DevicePermissionError, UnreachableModeError
from powertrain.opening import open_device
from powertrain.selftest import inspect_device, selftest_json, selftest_page, selftest_tables, try_device
from powertrain.selftest._report import nameless
from powertrain.selftest._trials import modes_to_try
from powertrain.space import ModeSpace


def check(result, name):
    return next(found for found in result.checks if found.name == name)


def fail(error):
    def raise_it(_):
        raise error

    return raise_it


@pytest.fixture
def board():
    return FaultyBoard()


def both_parts(board, **options):
    return try_device(board, inspect_device(board), **options)


@pytest.mark.parametrize("spec", ["sim:orin-agx", "sim:orin-nano", "sim:xavier-agx"])
def test_a_simulated_board_passes_both_parts(spec):
    result = both_parts(open_device(spec))

    assert result.failed == ()
    assert len(result.trials) == 8
    assert all(trial.held for trial in result.trials)
    assert check(result, "power follows the mode").ok


@pytest.mark.parametrize("name", ["orin-agx@jp5", "orin-nano-super@jp6", "nano@jp4", "tx2@jp4", "thor@jp7"])
def test_an_emulated_jetson_passes_both_parts_and_tells_every_rail_of_every_mode(name):
    result = both_parts(open_device(f"emulated:{name}"))

    assert result.failed == ()
    assert len(result.trials) == 8
    rails = set(result.readings[0].rails_w)
    assert rails >= set(result.rails)
    for trial in result.trials:
        assert set(trial.rails_w) == rails
        assert trial.power_w == pytest.approx(sum(trial.rails_w[rail] for rail in result.rails))


def test_the_processor_passes_without_a_power_sensor(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    result = both_parts(open_device("cpu"))

    assert result.failed == ()
    assert result.trials


def test_the_first_part_changes_nothing(board):
    def refuse(mode):
        raise AssertionError(f"{mode} was set")

    board.at_write = refuse
    result = inspect_device(board)

    assert result.failed == ()
    assert result.trials == ()
    assert len(result.readings) == 3


def test_a_device_that_cannot_be_held_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("device,workload,gpu_mhz,time_ms,power_w\nb,w,100,5,6\nb,w,200,4,7\n")
    from powertrain.workflow import open_device as open_any

    with pytest.raises(DeviceError):
        inspect_device(open_any(f"replay:{path}"))


def test_the_reading_costs_are_told_and_slow_ones_fail(board):
    ticks = iter(np.arange(100) * 0.15)
    result = inspect_device(board, timer=lambda: next(ticks))

    assert result.reading_ms == pytest.approx(150)
    assert [found.name for found in result.failed] == ["a reading's cost"]


def test_a_sensor_that_fails_is_told_with_what_it_said(board):
    board.at_reading = fail(OSError(5, "Input/output error"))
    result = inspect_device(board)

    assert [found.name for found in result.failed] == ["power"]
    assert "Input/output error" in check(result, "power").says


def test_a_mode_that_does_not_hold_fails_and_the_others_are_tried(board):
    def snap(mode):
        if mode["gpu_mhz"] > 600:
            raise UnreachableModeError("gpu_mhz was set to 612 and shows 306")

    board.at_write = snap
    result = both_parts(board)

    assert not check(result, "modes held").ok
    assert "shows 306" in check(result, "modes held").says
    assert len(result.trials) == 8
    assert any(trial.held for trial in result.trials)
    assert check(result, "restored").ok


def test_a_device_that_may_not_be_changed_is_asked_once(board):
    board.at_write = fail(DevicePermissionError("run as root"))
    result = both_parts(board)

    assert len(result.trials) == 1
    assert "run as root" in check(result, "modes held").says


def test_a_setting_that_somebody_undoes_while_it_is_held_is_told(board):
    def undo(step):
        if step == 0:
            board.board._holder.settings.put_back({"row": 3, "tpcs": None})

    board._holder, board.at_step = board.board._holder, undo
    result = both_parts(board)

    assert not check(result, "modes held").ok
    assert "somebody else changed it: row" in result.trials[0].problem


def test_a_device_that_is_not_given_back_fails(board):
    settings = board.board._holder.settings
    board._holder = board.board._holder

    def forget(step):
        if step == 0:
            settings.put_back = lambda saved: None

    board.at_step = forget
    result = both_parts(board)

    assert [found.name for found in result.failed] == ["modes held", "restored"]
    assert "it was not restored: row" in result.trials[0].problem


def test_a_device_that_tells_no_settings_says_that_nothing_can_be_compared(board):
    result = both_parts(board)

    assert "nothing to compare" in check(result, "restored").says


def test_a_sensor_that_fails_under_load_is_a_problem_of_the_mode(board):
    found = inspect_device(board)
    board.at_reading = fail(OSError(5, "Input/output error"))
    result = try_device(board, found)

    assert "Input/output error" in check(result, "modes held").says
    assert check(result, "restored").ok


def test_ctrl_c_ends_it_and_the_device_is_given_back(board):
    board._holder = board.board._holder
    before = board.state()
    board.at_step = fail(KeyboardInterrupt())

    with pytest.raises(KeyboardInterrupt):
        both_parts(board)
    assert board.state() == before


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=4).map(
        lambda sizes: ModeSpace.of({f"k{i}": range(1, size + 1) for i, size in enumerate(sizes)})
    ),
    st.integers(0, 5),
)
def test_the_modes_to_try_are_distinct_and_have_both_ends(space, seed):
    modes = modes_to_try(space.table(), seed=seed)

    assert len(modes) == min(len(space), 8)
    assert len(np.unique(modes.values, axis=0)) == len(modes)
    assert modes[0] == space[0]
    assert space[-1] in list(modes)[:3]


def test_the_same_seed_tries_the_same_modes():
    table = open_device("sim:orin-agx").modes()

    assert list(modes_to_try(table, seed=3)) == list(modes_to_try(table, seed=3))
    assert list(modes_to_try(table, seed=3)) != list(modes_to_try(table, seed=4))


def test_the_report_is_one_page_with_all_data_in_it():
    result = both_parts(open_device("sim:orin-nano"))
    page = selftest_page(result)

    assert page.startswith("# PowerTrain self-test of Jetson Orin Nano")
    assert "All checks hold; 8 modes were tried. The device is simulated" in page
    (data,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    assert json.loads(data) == selftest_json(result)
    assert json.loads(data)["ok"] is True


def test_the_report_of_a_failure_says_so_first(board):
    board.at_reading = fail(OSError(5, "Input/output error"))

    assert "1 of 5 checks failed; nothing was set." in selftest_page(inspect_device(board))


def test_tables_show_what_was_found():
    titles = [table.title for table in selftest_tables(both_parts(open_device("sim:orin-nano")))]

    assert titles[1:] == ["Readings of the power", "Checks", "Modes that were held"]


PRIVATE = (
    "/home/alice/.local/state/powertrain/jetson.json",
    "alice@bench-7: 3f2b8c1e-1d2a-4b7c-9e0f-0123456789ab",
    "48:b0:2d:12:34:56 serial 1421220059871",
    "GPU-3F2B8C1E-1D2A-4B7C-9E0F-0123456789AB 00a1b2c3d4e5f60718",
)


def test_nothing_that_says_whose_machine_it_is_stays_in_a_report():
    told = nameless({"notes": list(PRIVATE)}, names=["alice", "bench-7"])

    shown = json.dumps(told)
    for secret in ("alice", "bench-7", "3f2b8c1e", "3F2B8C1E", "48:b0", "1421220059871", "00a1b2c3"):
        assert secret not in shown
    assert told["notes"][0] == "/home/USER/.local/state/powertrain/jetson.json"


def test_clocks_releases_and_common_names_stay_in_a_report():
    kept = [
        "# R36 (release), REVISION: 4.3, GCID: 38968081",
        "gpu_mhz=1300.5",
        "sim:orin-agx",
        1984000.0,
        None,
    ]

    assert nameless(kept, names=["orin", "nvidia", "root"]) == kept


@given(st.lists(st.text() | st.floats(allow_nan=False) | st.booleans()))
def test_hiding_names_twice_changes_nothing_more(values):
    once = nameless(values, names=["bench-7"])

    assert nameless(once, names=["bench-7"]) == once
