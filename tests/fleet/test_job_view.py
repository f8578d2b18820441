"""What a page shows of one job: its front, and what each choice saves."""

from __future__ import annotations

import numpy as np
import pytest

import powertrain as pt
from powertrain.dataset import MemoryStore
from powertrain.errors import DataError, UnknownNameError
from powertrain.fleet import job_view, saving
from powertrain.optimisation import choose
from powertrain.records import PowerMode, Profile
from powertrain.workflow import candidates, stored_workload

NANO = "sim:orin-nano"


def grid_of(device, workload="lstm", **more):
    """Return profiles of a grid of two clocks, by a formula."""
    return [
        Profile(
            device=device,
            workload=workload,
            mode=PowerMode(cpu_mhz=cpu, gpu_mhz=gpu),
            time_ms=5 + 9000 / gpu + 3000 / cpu,
            power_w=4 + gpu / 200 + cpu / 500,
            **more,
        )
        for cpu in (400, 800, 1600)
        for gpu in (300, 600, 900, 1200)
    ]


@pytest.fixture(scope="module")
def nano():
    board = pt.open_device(NANO)
    return board, board.measure("lstm", pt.plan(board, 15))


def test_it_chooses_what_choose_chooses_from_all_modes_of_a_known_board(nano):
    board, profiles = nano
    view = job_view(MemoryStore(profiles), device=board.name, workload="lstm")
    stored = stored_workload(MemoryStore(profiles), "lstm")
    found = candidates(stored.profiles, stored.modes)
    choice = choose(found.prediction, found.modes, max_power_w=8.0)

    assert (view.basis, view.profiles, view.flagged) == ("Predicted by gp from 15 profiles.", 15, 0)
    assert view.front.total == board.count()
    assert view.chosen(8.0).mode == str(choice.mode)
    assert view.chosen(8.0).energy_j == pytest.approx(choice.energy_j.value)
    assert view.chosen(0.1) is None


def test_what_is_saved_is_told_against_the_modes_of_the_vendor(nano):
    board, profiles = nano
    view = job_view(MemoryStore(profiles), device=board.name, workload="lstm")
    against = {one.name: one for one in view.baselines}
    stock = board.stock_modes()
    chosen = view.chosen(8.0)
    name = next(iter(stock))
    saved = saving(chosen, against[name])

    assert list(against) == list(stock)
    assert against[name].mode == str(stock[name])
    assert saved.time_pct == pytest.approx(100 * (1 - chosen.time_ms / against[name].time_ms))
    assert saved.power_w == pytest.approx(against[name].power_w - chosen.power_w)
    assert saved.energy_pct == pytest.approx(100 * (1 - chosen.energy_j / against[name].energy_j))
    assert list(view.front.marks.named) == list(stock)


def test_a_board_that_is_elsewhere_is_predicted_in_the_modes_it_was_ever_profiled_in():
    few = [p for p in grid_of("Orin of the lab") if p.mode["gpu_mhz"] != 600]
    store = MemoryStore([*few, *grid_of("Orin of the lab", "bert")])
    view = job_view(store, device="Orin of the lab", workload="lstm")

    assert view.basis == "Predicted by gp from 9 profiles."
    assert view.front.total == 12
    (highest,) = view.baselines
    assert (highest.name, highest.mode) == ("all knobs at their highest", "cpu_mhz=1600 gpu_mhz=1200")
    assert view.front.device == ""


def test_modes_that_were_all_measured_are_shown_as_measured():
    given = grid_of("Orin of the lab")
    view = job_view(MemoryStore(given), device="Orin of the lab", workload="lstm")

    assert view.front.basis == "measured"
    assert view.front.marks.measured is None
    np.testing.assert_allclose(np.sort(view.front.prediction.time_ms), sorted(p.time_ms for p in given))


def test_flagged_profiles_are_counted_and_left_out():
    good, bad = grid_of("Orin of the lab"), grid_of("Orin of the lab", flags=("throttled",))[:2]
    view = job_view(MemoryStore([*good, *bad]), device="Orin of the lab", workload="lstm")
    assert (view.profiles, view.flagged) == (14, 2)


def test_what_was_warned_of_stands_beside_the_front(nano):
    board, profiles = nano
    narrow = [p for p in profiles if p.mode["cpu_cores"] < 4]
    view = job_view(MemoryStore(narrow), device=board.name, workload="lstm")

    assert any("outside the range of cpu_cores" in remark for remark in view.remarks)


@pytest.mark.parametrize(
    ("profiles", "error", "message"),
    [
        ([], UnknownNameError, "there are no profiles of 'lstm' on 'Orin'"),
        (grid_of("Orin", flags=("throttled",)), DataError, "all profiles of lstm on Orin are flagged"),
        (
            [Profile(device="Orin", workload="lstm", mode=PowerMode(gpu_mhz=300), time_ms=9.0)],
            DataError,
            "no power of lstm on Orin was measured",
        ),
    ],
)
def test_what_cannot_be_drawn_is_told_in_one_line(profiles, error, message):
    with pytest.raises(error, match=message):
        job_view(MemoryStore(profiles), device="Orin", workload="lstm")
