"""What a quantity brings with it: one entry, and every layer knows it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from powertrain import quantities
from powertrain.cli import powertrain
from powertrain.dataset import MemoryStore, open_store, read_csv, write_csv
from powertrain.errors import DataError, UnknownNameError
from powertrain.evaluation import EvaluationPlan, evaluate
from powertrain.models import METHODS, load_predictor, predictor_class
from powertrain.optimisation import choose, front_of
from powertrain.quantities import Quantity
from powertrain.records import Estimate, Limits, ModeTable, PowerMode, Prediction, Profile, ProfileTable
from powertrain.report import agreement_plot, draw_agreement, figure_svg, render_html
from powertrain.workflow import store_page, summarise_store

TEMPERATURE = Quantity(
    name="temperature",
    column="temperature_c",
    unit="°C",
    title="temperature of the chip",
    link="linear",
    low=-273.15,
    slope=1,
)
GPU_MEMORY = Quantity(name="gpu_mem", column="gpu_mem_mb", unit="MB", title="memory of the GPU in use")
LOAD = Quantity(
    name="load", column="load_pct", unit="%", title="load", link="linear", reaches_low=True, high=100.0
)
CLOCKS_MHZ = np.array([300.0, 400.0, 500.0, 600.0, 700.0, 800.0, 900.0, 1000.0])


@pytest.fixture(autouse=True)
def with_more_quantities(monkeypatch):
    for quantity in (TEMPERATURE, GPU_MEMORY):
        monkeypatch.setitem(quantities.QUANTITIES, quantity.name, quantity)


def profile(gpu_mhz: float, mem_mhz: float = 1000.0, workload: str = "net") -> Profile:
    return Profile(
        device="board",
        workload=workload,
        mode=PowerMode(gpu_mhz=gpu_mhz, mem_mhz=mem_mhz),
        time_ms=2e4 / gpu_mhz + 1e4 / mem_mhz,
        power_w=5 + gpu_mhz / 50,
        temperature_c=gpu_mhz / 20 - 20 + mem_mhz / 500,
        temperature_se=0.5,
        gpu_mem_mb=700.0 + mem_mhz / 10,
    )


def profiles(workload: str = "net") -> list[Profile]:
    return [profile(gpu, mem, workload) for gpu in CLOCKS_MHZ for mem in (800.0, 1000.0)]


def table() -> ProfileTable:
    return ProfileTable.of(profiles())


def run(*arguments: object) -> str:
    done = CliRunner().invoke(powertrain, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return done.output


class TestAnotherQuantity:
    def test_is_kept_by_every_store_and_file(self, tmp_path):
        kept = profiles()
        with open_store(tmp_path / "p.db") as store:
            store.add(kept)
            assert store.profiles() == kept
        memory = MemoryStore(kept)
        assert memory.table(workload="net").columns["temperature_c"].min() < 0
        write_csv(kept, tmp_path / "p.csv")
        assert read_csv(tmp_path / "p.csv").profiles == kept

    def test_is_a_column_of_the_databases_view(self, tmp_path):
        import sqlite3

        with open_store(tmp_path / "p.db") as store:
            store.add(profiles()[:1])
        connection = sqlite3.connect(tmp_path / "p.db")
        row = connection.execute("SELECT temperature_c, temperature_se, gpu_mem_mb FROM profiles").fetchone()
        connection.close()
        assert row == (pytest.approx(300 / 20 - 20 + 800 / 500), 0.5, 780.0)

    def test_becomes_an_extra_where_a_version_does_not_know_it(self, tmp_path, monkeypatch):
        with open_store(tmp_path / "p.db") as store:
            store.add(profiles()[:1])
        monkeypatch.delitem(quantities.QUANTITIES, "gpu_mem")
        with open_store(tmp_path / "p.db") as store:
            (found,) = store.profiles()
        assert found.extra["gpu_mem_mb"] == "780.0"

    @pytest.mark.parametrize("method", METHODS)
    def test_is_learned_saved_and_predicted_by_every_method(self, method, tmp_path):
        kind, truth = predictor_class(method), table()
        reference = kind.fit(truth)
        few = truth.take(np.arange(0, 16, 2) + np.arange(8) % 2)
        made = kind.transfer([reference], few) if kind.uses_references else kind.fit(few)
        made.save(tmp_path / "p.ptm")
        for one in (made, load_predictor(tmp_path / "p.ptm")):
            found = one.predict(truth.modes).of("temperature").value
            assert np.abs(found - truth.columns["temperature_c"]).mean() < 4
            memory_mb = one.predict(truth.modes).of("gpu_mem").value
            assert np.abs(memory_mb / truth.columns["gpu_mem_mb"] - 1).mean() < 0.03

    def test_can_limit_a_choice_and_be_a_cost_of_a_front(self):
        prediction = predictor_class("gp").fit(table()).predict(table().modes)
        free = choose(prediction, table().modes)
        cool = choose(prediction, table().modes, max_temperature_c=10.0, risk=0.5)
        assert free.mode["gpu_mhz"] == 1000
        assert cool.mode["gpu_mhz"] < 650
        assert cool.others["temperature_c"].value <= 10.0
        assert Limits(max_temperature_c=-5.0).active() == {"max_temperature_c": -5.0}
        assert len(front_of(prediction, costs=("time", "temperature"))) > 1

    def test_is_shown_by_the_command_line(self, tmp_path):
        write_csv(profiles(), tmp_path / "p.csv")
        write_csv([profile(c) for c in CLOCKS_MHZ], tmp_path / "modes.csv")
        run("import", tmp_path / "p.csv", "--db", tmp_path / "p.db")
        run("fit", "--db", tmp_path / "p.db", "--workload", "net", "--out", tmp_path / "p.ptm")
        shown = run("predict", tmp_path / "p.ptm", "--modes", tmp_path / "modes.csv", "--json")
        assert {"temperature_c", "gpu_mem_mb"} <= set(json.loads(shown)["predictions"][0])
        assert "temperature [°C]" in run("predict", tmp_path / "p.ptm", "--modes", tmp_path / "modes.csv")
        chosen = run("choose", tmp_path / "p.ptm", "--modes", tmp_path / "modes.csv", "--json")
        assert {"temperature_c", "gpu_mem_mb"} <= set(json.loads(chosen)["choice"]["others"])

    def test_is_scored_drawn_and_summed_up_on_pages(self):
        targets = {("board", name): ProfileTable.of(profiles(name)) for name in ("net", "other")}
        plan = EvaluationPlan(
            device="board",
            targets=("net",),
            references=("other",),
            methods=("linear",),
            profiles=(6,),
            seeds=1,
        )
        row = evaluate(plan, targets).as_json()["rows"][0]
        assert row["temperature_mae"] < 4
        assert row["gpu_mem_mape"] < 5
        prediction = predictor_class("gp").fit(table()).predict(table().modes)
        plot = agreement_plot(table(), prediction, method="gp")
        assert [panel.quantity for panel in plot.panels] == ["time", "power", "temperature", "gpu_mem"]
        assert "predicted temperature [°C]" in figure_svg(draw_agreement(plot))
        assert "least temperature [°C]" in render_html(store_page(summarise_store(MemoryStore(profiles()))))


class TestTheTable:
    def test_every_derived_quantity_is_made_of_measured_ones(self):
        measured = {q.name for q in quantities.measured()}
        for quantity in quantities.derived():
            assert set(quantity.powers) <= measured

    def test_names_columns_and_limits_are_distinct(self):
        for names in ("name", "column", "limit_name"):
            found = [getattr(q, names) for q in quantities.QUANTITIES.values()]
            assert len(set(found)) == len(found)

    def test_a_value_beyond_the_bounds_of_its_quantity_is_refused(self):
        with pytest.raises(
            DataError, match=r"temperature_c is -300.0: a measurement is a number above -273.15 °C"
        ):
            replace(profile(300), temperature_c=-300.0)

    def test_a_quantity_that_does_not_exist_is_refused_by_its_name(self):
        with pytest.raises(UnknownNameError, match="unknown quantity 'powr': did you mean 'power'"):
            quantities.find("powr")
        with pytest.raises(TypeError, match="'watts' is not a column of a profile"):
            Profile(device="d", workload="w", mode=PowerMode(x=1), watts=3.0)
        with pytest.raises(TypeError, match="'watts' belongs to no quantity"):
            Prediction(time_ms=np.ones(1), watts=np.ones(1))
        with pytest.raises(ValueError, match="unknown limit 'max_watts'"):
            Limits(max_watts=3.0)


class TestDerivedQuantities:
    @given(
        time_sd=st.floats(0, 0.5), power_sd=st.floats(0, 0.5), rho=st.floats(-1, 1), noise=st.floats(0, 0.1)
    )
    def test_energy_has_the_variance_of_a_sum_of_correlated_logarithms(self, time_sd, power_sd, rho, noise):
        prediction = Prediction(
            estimates={
                "time": self.estimate("time", 20.0, time_sd, noise),
                "power": self.estimate("power", 30.0, power_sd, noise),
            },
            correlations={("power", "time"): np.array([rho])},
        )
        energy = prediction.of("energy")
        variance = time_sd**2 + power_sd**2 + 2 * rho * time_sd * power_sd
        assert energy.value[0] == pytest.approx(0.6)
        assert energy.mean_sd[0] == pytest.approx(np.sqrt(max(variance, 0)), abs=1e-7)
        assert energy.noise_sd[0] == pytest.approx(np.sqrt(2) * noise)
        edp = prediction.of("edp")
        assert edp.value[0] == pytest.approx(0.6 * 0.02)
        squared = 4 * time_sd**2 + power_sd**2 + 4 * rho * time_sd * power_sd
        assert edp.mean_sd[0] == pytest.approx(np.sqrt(max(squared, 0)), abs=1e-7)

    @staticmethod
    def estimate(name: str, value: float, mean_sd: float, noise_sd: float) -> Estimate:
        return Estimate(
            quantity=quantities.find(name),
            value=np.array([value]),
            sd=np.array([np.hypot(mean_sd, noise_sd)]),
            noise_sd=np.array([noise_sd]),
        )

    def test_the_default_predictor_knows_that_what_takes_longer_draws_less(self):
        rng = np.random.default_rng(0)
        modes = ModeTable.of([p.mode for p in profiles()])
        noisy = replace(
            table(),
            time_ms=table().time_ms * np.exp(0.05 * rng.standard_normal(16)),
            power_w=table().power_w * np.exp(0.05 * rng.standard_normal(16)),
        )
        rho = (
            predictor_class("gp")
            .fit(noisy.take([0, 3, 5, 10, 15]))
            .predict(modes)
            .correlation("time", "power")
        )
        assert (rho <= 0).all()
        assert (rho < -0.01).any()


class TestTheBoundsOfAQuantity:
    def test_are_its_values_only_where_it_reaches_them(self):
        assert [LOAD.holds(value) for value in (-1, 0, 50, 100, 101)] == [False, True, True, True, False]
        inner = replace(LOAD, reaches_low=False, reaches_high=False)
        assert [inner.holds(value) for value in (0.0, 50.0, 100.0)] == [False, True, False]
        assert LOAD.holds(np.array([-1.0, 0.0, np.nan, np.inf])).tolist() == [False, True, False, False]
        assert LOAD.described == "a number of at least 0 % and of at most 100 %"

    def test_must_leave_out_zero_where_errors_are_relative(self):
        with pytest.raises(ValueError, match="relative errors"):
            Quantity(name="load", column="load_pct", unit="%", title="load", reaches_low=True)

    def test_hold_in_files_options_and_limits_alike(self, tmp_path, monkeypatch):
        monkeypatch.setitem(quantities.QUANTITIES, LOAD.name, LOAD)
        head = "device,workload,gpu_mhz,time_ms,power_w,load_pct"
        (tmp_path / "p.csv").write_text(f"{head}\nboard,net,300,10,5,0\nboard,net,600,6,8,100\n")
        assert [p.values["load_pct"] for p in read_csv(tmp_path / "p.csv").profiles] == [0.0, 100.0]
        for value, problem in (("-1", "negative"), ("101", "101")):
            (tmp_path / "bad.csv").write_text(f"{head}\nboard,net,300,10,5,{value}\n")
            with pytest.raises(DataError, match=problem):
                read_csv(tmp_path / "bad.csv")
        assert Limits(max_load_pct=0.0)["max_load_pct"] == 0.0
        with pytest.raises(ValueError, match="of at most 100 %"):
            Limits(max_load_pct=101.0)
