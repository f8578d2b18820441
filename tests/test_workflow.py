from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import powertrain as pt
from powertrain.dataset import MemoryStore
from powertrain.errors import CsvError, DataError, MissingKnobError, NoFeasibleModeError, UnknownNameError
from powertrain.models import predictor_class
from powertrain.report import render_html, to_text
from powertrain.workflow import (
    StoreSummary,
    demo_fronts,
    demo_page,
    demo_tables,
    export_csv,
    import_csv,
    modes_csv,
    modes_of_device,
    paper_grid,
    predicted_modes,
    read_modes,
    read_tables,
    run_demo,
    store_page,
    summarise_store,
)

PROFILE = pt.Profile(device="b", workload="w", mode=pt.PowerMode(gpu_mhz=100), time_ms=5, power_w=6)


@pytest.fixture(scope="module")
def board():
    return pt.open_device("sim:orin-agx")


@pytest.fixture(scope="module")
def predictor(board):
    reference = pt.fit(board.measure("resnet18", pt.plan(board, 200)))
    return pt.transfer([reference], board.measure("mobilenet_v3", pt.plan(board, 15)))


def test_ten_lines_lead_from_a_board_to_a_mode_that_keeps_the_limit(board, predictor):
    best = pt.choose(predictor, board.modes(), max_power_w=30)
    truth = board.truth("mobilenet_v3", pt.ModeTable.of([best.mode]))

    assert truth.power_w[0] < 30 * 1.02
    assert best.power_w.value < 30


def test_a_limit_that_no_mode_keeps_is_an_error_with_the_nearest(board, predictor):
    with pytest.raises(NoFeasibleModeError, match="cpu_cores="):
        pt.choose(predictor, board.modes(), max_power_w=1)


def test_a_front_holds_its_modes_with_their_predictions(board, predictor):
    front = pt.front(predictor, board.modes())

    assert len(front) == len(front.modes) == len(front.prediction)
    assert np.array_equal(predictor.predict(front.modes).time_ms, front.prediction.time_ms)
    assert (np.diff(front.prediction.time_ms) > 0).all()
    assert (np.diff(front.prediction.power_w) < 0).all()


def test_a_plan_has_distinct_modes_of_the_device(board):
    modes = pt.plan(board, 30, seed=3)

    assert len({*modes}) == 30
    assert all(mode in board.space for mode in modes)


def test_the_papers_grid_of_the_agx_orin_has_4368_modes(board):
    grid = paper_grid(board.space)

    assert grid.shape == (6, 14, 13, 4)
    assert len(grid) == 4368
    assert grid.knob("cpu_mhz").values[-1] == 2201.6
    assert grid.knob("cpu_cores").values == (2, 4, 6, 8, 10, 12)


def test_a_replay_reads_the_file_of_its_spec(tmp_path):
    path = tmp_path / "a.csv"
    pt.write_csv([PROFILE], path)
    device = pt.open_device(f"replay:{path}")

    assert device.name == "b"
    assert device.measure("w", device.modes()).time_ms == pytest.approx([5])


def test_only_the_profiles_that_a_store_lacks_are_imported(tmp_path):
    other = dataclasses.replace(PROFILE, mode=pt.PowerMode(gpu_mhz=200), power_w=float("nan"))
    path = tmp_path / "a.csv"
    store = MemoryStore()
    pt.write_csv([PROFILE, PROFILE], path)
    assert import_csv(path, store).added == {("b", "w"): 2}
    pt.write_csv([PROFILE, other, PROFILE, PROFILE], path)
    imported = import_csv(path, store)

    assert (imported.added, imported.skipped) == ({("b", "w"): 2}, 2)
    assert len(store.profiles()) == 4
    assert import_csv(path, store).skipped == 4
    assert sum(import_csv(path, store, again=True).added.values()) == 4


def test_an_export_of_nothing_known_is_refused(tmp_path):
    store = MemoryStore([PROFILE])

    with pytest.raises(UnknownNameError, match="workload of b"):
        export_csv(store, tmp_path / "a.csv", device="b", workload="v")
    with pytest.raises(UnknownNameError, match="device"):
        export_csv(store, tmp_path / "a.csv", device="c")
    with pytest.raises(DataError):
        export_csv(MemoryStore(), tmp_path / "a.csv")


def test_tables_of_several_files_are_averaged_over_repeats(tmp_path):
    pt.write_csv([PROFILE], tmp_path / "a.csv")
    pt.write_csv([dataclasses.replace(PROFILE, time_ms=7)], tmp_path / "b.csv")
    tables = read_tables([tmp_path / "a.csv", tmp_path / "b.csv"])

    assert tables["b", "w"].time_ms == pytest.approx([6])


def test_modes_come_back_from_the_file_they_were_written_to(board, tmp_path):
    modes = pt.plan(board, 20)
    path = tmp_path / "modes.csv"
    path.write_text(modes_csv(modes))

    assert np.array_equal(read_modes(path, knobs=modes.knobs).values, modes.values)
    assert list(read_modes(path, knobs=("gpu_mhz",)).column("gpu_mhz")) == list(modes.column("gpu_mhz"))


def test_modes_cannot_be_read_from_what_is_no_text(tmp_path):
    path = tmp_path / "modes.csv"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(CsvError, match="UTF-8"):
        read_modes(path, knobs=("gpu_mhz",))


def test_a_device_must_have_the_predictors_knobs(board, predictor, tmp_path):
    assert len(modes_of_device(board, predictor)) == 18096
    table = pt.ProfileTable.of(
        dataclasses.replace(PROFILE, mode=pt.PowerMode(gpu_mhz=100 + i)) for i in range(5)
    )
    with pytest.raises(MissingKnobError, match="cpu_cores"):
        modes_of_device(board, predictor_class("linear").fit(table))


def test_intervals_enclose_the_value_by_the_same_factor(board, predictor):
    modes = pt.plan(board, 5)
    rows = list(predicted_modes(modes, predictor.predict(modes)))
    assert len(rows) == 5
    for row in rows:
        for interval in row.values.values():
            assert interval.value**2 == pytest.approx(interval.low * interval.high)


def test_a_report_of_an_empty_database_is_refused():
    with pytest.raises(DataError, match="no profiles yet"):
        summarise_store(MemoryStore())


def test_a_report_leaves_flagged_profiles_out_and_counts_them():
    flagged = dataclasses.replace(PROFILE, flags=("throttled",), time_ms=99999)
    summary = summarise_store(MemoryStore([PROFILE, flagged]))

    assert (summary.profiles, summary.flagged) == (2, 1)
    page = render_html(store_page(summary))
    assert "99,999" not in page
    assert "1 flagged" in page


def test_a_report_draws_what_was_measured_and_calls_it_so():
    profiles = [
        dataclasses.replace(PROFILE, mode=pt.PowerMode(gpu_mhz=100 * i), time_ms=10 / i, power_w=5 + i)
        for i in range(1, 6)
    ]
    page = render_html(store_page(summarise_store(MemoryStore(profiles))))

    assert '"basis":"measured"' in page
    assert "as predicted" not in page


def test_a_report_shows_all_modes_as_a_predictor_predicts_them(board, predictor):
    profiles = board.measure(predictor.workload, pt.plan(board, 15))
    summary = StoreSummary(name="a.db", tables=(profiles,), profiles=15, flagged=0)
    (section,) = store_page(summary, [predictor]).sections
    (view,) = section.fronts

    assert (view.basis, len(view.modes), view.device) == ("predicted", 18096, board.spec)
    assert view.marks.measured is not None
    assert len(view.marks.measured) == 15
    elsewhere = dataclasses.replace(summary, tables=(dataclasses.replace(profiles, workload="bert"),))
    with pytest.raises(UnknownNameError, match=r"the page shows bert on .*: leave that predictor out"):
        store_page(elsewhere, [predictor])


def test_names_in_a_report_are_escaped():
    profile = dataclasses.replace(PROFILE, workload="<script>alert(1)</script>")

    page = render_html(store_page(summarise_store(MemoryStore([profile]))))
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


@pytest.fixture(scope="module")
def demo(board, tmp_path_factory):
    grid = board.space.thinned(cpu_cores=4, cpu_mhz=6, gpu_mhz=3)
    return run_demo(tmp_path_factory.mktemp("demo"), methods=("gp",), grid=grid)


def test_the_demonstration_chooses_a_mode_near_the_true_best(demo):
    (gp,) = demo.methods

    assert demo.best.excess_w == demo.best.time_penalty_pct == 0
    assert gp.outcome is not None
    assert gp.outcome.excess_w < 1
    assert gp.time_mape < 20
    assert {outcome.name for outcome in demo.stock} == {"MAXN", "MODE_15W", "MODE_30W", "MODE_50W"}


def test_the_demonstration_can_be_gone_on_with(demo):
    predictor = pt.load_predictor(demo.predictor_path)
    with pt.open_store(demo.folder / "profiles.db") as store:
        assert store.counts() == {
            (demo.device, "mobilenet_v3"): 15,
            (demo.device, "resnet18"): demo.grid_modes,
        }

    assert predictor.workload == "mobilenet_v3"


def test_the_page_of_the_demonstration_says_that_the_board_is_simulated(demo):
    page = render_html(demo_page(demo))

    assert "Simulated." in page
    assert "MAXN" in page


def test_the_figure_and_the_table_of_the_demonstration_show_the_same_stock_modes(demo):
    (plot,) = demo_fronts(demo)
    drawn = {name: (point.time_ms[0], point.power_w[0]) for name, point in plot.marks.named.items()}

    assert drawn == {outcome.name: (outcome.time_ms, outcome.power_w) for outcome in demo.stock}
    for name in ("MODE_15W", "MODE_30W"):  # parts of the GPU are off: it is slower than its clocks alone
        mode = next(outcome.mode for outcome in demo.stock if outcome.name == name)
        (row,) = np.flatnonzero((demo.truth.modes.values == list(mode.values())).all(axis=1))
        assert drawn[name][0] > demo.truth.time_ms[row]
        assert drawn[name][1] < demo.truth.power_w[row]
    assert "MODE_15W and MODE_30W switch off parts of the GPU" in to_text(demo_tables(demo)[1])


def test_the_tables_of_the_demonstration_compare_with_the_best_and_the_stock_modes(demo):
    errors, chosen = map(to_text, demo_tables(demo))

    assert "gp" in errors
    for name in ("gp, 15 profiles", "true best", "MAXN"):
        assert name in chosen
