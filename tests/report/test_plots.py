"""Drawing: what stands in a figure, not its pixels."""

from __future__ import annotations

import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from powertrain.errors import MissingExtraError, PowerTrainError
from powertrain.records import Choice, Interval, Limits, ModeTable, Prediction, ProfileTable
from powertrain.report import (
    Illustration,
    RunPlot,
    Stretch,
    agreement_plot,
    draw_agreement,
    draw_front,
    draw_learning,
    draw_run,
    figure_svg,
    front_plot,
    learning_plot,
    log_ticks,
    save_figure,
)

matplotlib = pytest.importorskip("matplotlib", reason="drawing needs the extra 'report'")


def drawn(kind: str, name: str = "bert", n: int = 40):
    rng = np.random.default_rng(n)
    modes = ModeTable(knobs=("gpu_mhz",), values=np.arange(1.0, n + 1)[:, None])
    time_ms, power_w = 1e4 / modes.column("gpu_mhz"), 10 + modes.column("gpu_mhz")
    truth = ProfileTable(
        device="Toy (simulated)", workload=name, modes=modes, time_ms=time_ms, power_w=power_w
    )
    sd = np.full(n, 0.1)
    guess = Prediction(
        time_ms=time_ms * np.exp(0.1 * rng.normal(size=n)),
        power_w=power_w * np.exp(0.1 * rng.normal(size=n)),
        time_rel_sd=sd,
        power_rel_sd=sd,
    )
    if kind == "agreement":
        return draw_agreement(agreement_plot(truth, guess, method=f"gp of {name}"))
    if kind == "front":
        nan = float("nan")
        choice = Choice(
            mode=modes[0],
            index=0,
            time_ms=Interval(value=time_ms[0], low=0.9 * time_ms[0], high=1.1 * time_ms[0]),
            power_w=Interval(value=power_w[0], low=nan, high=nan),
            energy_j=Interval(value=1.0, low=nan, high=nan),
            objective="time",
            limits=Limits(max_power_w=30),
            risk=0.5,
            why="",
        )
        named = {f"MAXN {name}": modes[n - 1]}
        return draw_front(
            front_plot(guess, modes, title=f"{name} on Toy", choice=choice, truth=truth, named=named)
        )
    rows = [
        {
            "method": method,
            "device": "Toy (simulated)",
            "target": name,
            "profiles": profiles,
            "seed": 0,
            "time_mape": 100 / profiles,
            "power_mape": None,
        }
        for method in ("gp", "linear", "mine", name)
        for profiles in range(10, 10 + 20 * min(n, 3), 20)
    ]
    return draw_learning(learning_plot(rows))


def words(figure) -> str:
    root = ElementTree.fromstring(figure_svg(figure))
    return " ".join("".join(e.itertext()) for e in root.iter("{http://www.w3.org/2000/svg}text"))


def test_a_tuned_run_is_drawn_with_its_limit_and_without_a_sensor_by_its_times_alone():
    def words_of(power_w, limit_w=30.0):
        kinds = ("found", "trial", "trial", "held")
        stretches = tuple(
            Stretch(kind=kind, start_s=i, end_s=i + 1.0, time_ms=50.0 + i, power_w=power_w)
            for i, kind in enumerate(kinds)
        )
        return words(draw_run(RunPlot(title="bert on Toy", stretches=stretches, limit_w=limit_w)))

    for part in ("bert on Toy", "minibatch time [ms]", "power [W]", "limit 30 W", "as found", "best mode"):
        assert part in words_of(25.0)
    assert "power" not in words_of(float("nan"))
    assert "limit" not in words_of(25.0, float("inf"))


KINDS = pytest.mark.parametrize("kind", ["agreement", "front", "learning"])


@KINDS
def test_units_and_the_device_stand_in_the_figure(kind):
    text = words(drawn(kind))
    expected = {
        "agreement": ("true time [ms]", "predicted power [W]", "MAPE", "(simulated)", "gp of bert"),
        "front": ("minibatch time [ms]", "power [W]", "limit 30 W", "MAXN bert", "true front", "chosen"),
        "learning": ("time MAPE [%]", "profiles of the workload", "(simulated)", "linear", "median"),
    }
    for part in expected[kind]:
        assert part in text


@KINDS
@pytest.mark.parametrize("name", ["$x^{$", "<b>&amp;", "_hidden", "$\\frac{1}{0}$", "模型\n名", "x" * 500])
def test_any_name_can_be_drawn_as_it_is(kind, name):
    text = words(drawn(kind, name))
    if len(name) < 100:
        assert " ".join(name.split()) in text


@KINDS
@pytest.mark.parametrize("n", [1, 2])
def test_a_figure_of_one_or_two_modes_can_be_drawn(kind, n):
    assert words(drawn(kind, n=n))


@KINDS
def test_the_same_numbers_give_the_same_bytes(kind, tmp_path):
    for suffix in ("svg", "png"):
        one, two = tmp_path / f"one.{suffix}", tmp_path / f"two.{suffix}"
        save_figure(drawn(kind), one)
        save_figure(drawn(kind), two)
        assert one.read_bytes() == two.read_bytes()
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")


@KINDS
def test_a_drawing_can_stand_in_a_page(kind):
    svg = figure_svg(drawn(kind, "<script>"))
    assert Illustration(svg=svg, caption="x").svg == svg


def test_a_cloud_of_modes_does_not_make_a_large_drawing():
    assert len(figure_svg(drawn("front", n=5_000))) < 600_000


def test_a_file_of_another_type_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\.png or \.svg"):
        save_figure(drawn("learning"), tmp_path / "plot.bmp")


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(PowerTrainError, match="cannot write the plot"):
        save_figure(drawn("learning"), tmp_path / "absent" / "plot.png")


def test_drawing_leaves_the_settings_of_matplotlib_as_they_were():
    before = dict(matplotlib.rcParams)
    figure_svg(drawn("front"))
    assert dict(matplotlib.rcParams) == before


def test_neither_importing_nor_drawing_loads_pyplot():
    code = (
        "import sys, powertrain.report as r\n"
        "assert 'matplotlib' not in sys.modules\n"
        "row = dict(method='gp', device='d', target='t', profiles=1, seed=0, time_mape=1.0, power_mape=1.0)\n"
        "r.figure_svg(r.draw_learning(r.learning_plot([row])))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_without_matplotlib_one_line_says_what_to_install(monkeypatch):
    plot = learning_plot(
        [{"method": "gp", "device": "d", "target": "t", "profiles": 1, "time_mape": 1.0, "power_mape": 1.0}]
    )
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"powertrain\[report\]"):
        draw_learning(plot)


@pytest.mark.parametrize(
    ("low", "high"), [(0.5, 0.5001), (20, 48), (7, 60), (1, 1000), (3, 5e6), (1e-6, 1e-5), (300, 300)]
)
def test_a_logarithmic_axis_has_some_round_ticks_inside_and_not_too_many(low, high):
    ticks = log_ticks(low, high)
    inside = [tick for tick in ticks if low <= tick <= high]
    assert ticks == sorted(set(ticks))
    assert all(tick > 0 for tick in inside)
    assert (2 if high > low else 0) <= len(inside) <= 12
