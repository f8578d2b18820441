"""The numbers of the interactive front, and the page around them."""

from __future__ import annotations

import base64
import json
import re
from importlib import resources

import numpy as np
import pytest

from powertrain.errors import DataError
from powertrain.optimisation import choose
from powertrain.records import ModeTable, Prediction, ProfileTable
from powertrain.report import (
    FrontView,
    Goal,
    Marks,
    Points,
    ReportPage,
    Section,
    front_json,
    front_view,
    render_html,
)

HOSTILE = "</script><script>alert(1)</script><!--"


def some_modes(n: int) -> tuple[ModeTable, Prediction]:
    rng = np.random.default_rng(n)
    values = np.column_stack([rng.integers(1, 5, n), 100.5 * np.arange(1, n + 1)])
    sd = np.full(n, 0.05)
    prediction = Prediction(
        time_ms=1e4 / values[:, 1] * rng.uniform(1, 1.2, n),
        power_w=10 + values[:, 1] / 200 * rng.uniform(1, 1.2, n),
        time_rel_sd=sd,
        power_rel_sd=sd,
    )
    return ModeTable(knobs=("cpu_cores", "gpu_mhz"), values=values), prediction


def view(n: int = 40, **marks) -> FrontView:
    modes, prediction = some_modes(n)
    return front_view(prediction, modes, title="bert on Toy", marks=Marks(**marks))


def measured(n: int = 3, **more) -> ProfileTable:
    modes, prediction = some_modes(n)
    about = {"device": "Toy", "workload": "bert", **more}
    return ProfileTable(**about, modes=modes, time_ms=prediction.time_ms, power_w=prediction.power_w)


def column(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype=kind)


def page(*views: FrontView) -> str:
    return render_html(ReportPage(title="T", lead="L", sections=(Section(title="S", fronts=views),)))


def test_the_page_gets_every_mode_as_it_was_predicted():
    modes, prediction = some_modes(40)
    data = json.loads(front_json(view(40, measured=measured())))

    np.testing.assert_allclose(column(data["time_ms"], "<f4"), prediction.time_ms, rtol=1e-6)
    np.testing.assert_allclose(column(data["power_w"], "<f4"), prediction.power_w, rtol=1e-6)
    for row in (0, 7, 39):
        words = [f"{k['name']}={k['values'][column(k['at'], 'u1')[row]]}" for k in data["knobs"]]
        assert " ".join(words) == str(modes[row])
    assert [one["mode"] for one in data["measured"]] == [str(mode) for mode in measured().modes]


def test_a_knob_of_many_values_is_written_in_two_bytes():
    data = json.loads(front_json(view(300)))
    assert column(data["knobs"][1]["at"], "<u2").tolist() == list(range(300))


def test_a_choice_brings_its_limits_its_objective_and_its_risk():
    modes, prediction = some_modes(40)
    asked = {"objective": "energy", "max_power_w": 17.0, "max_time_ms": 90.0, "risk": 0.2}
    choice = choose(prediction, modes, **asked)
    made = front_view(prediction, modes, title="", goal=Goal.of(choice))

    assert made.steps.row_at(17.0) == choice.index
    assert (made.limit_w, made.goal.risk) == (17.0, 0.2)
    assert "energy" in made.goal.sought
    assert made.goal.others == "time <= 90 ms"


def test_without_a_power_limit_the_page_starts_where_nothing_is_left_out():
    modes, prediction = some_modes(40)
    choice = choose(prediction, modes)
    made = front_view(prediction, modes, title="", goal=Goal.of(choice))
    low_w, high_w, _ = made.ends_w

    assert made.steps.row_at(made.limit_w) == choice.index
    assert low_w < made.steps.limits_w[0] <= made.limit_w <= high_w


def test_a_space_too_large_to_draw_keeps_its_front_and_its_choices():
    modes, prediction = some_modes(90_000)
    made = front_view(prediction, modes, title="")

    assert made.total == 90_000
    assert len(made.modes) < 50_000
    chosen = choose(prediction, modes, max_power_w=300)
    row = made.steps.row_at(300)
    assert row is not None
    assert made.modes[row] == chosen.mode
    assert np.diff(made.prediction.time_ms[made.front]).min() > 0


@pytest.mark.parametrize("known", ["time_ms", "power_w"])
def test_a_front_needs_time_and_power(known):
    modes, _ = some_modes(3)
    with pytest.raises(DataError, match="needs predictions of both"):
        front_view(Prediction(**{known: np.ones(3)}), modes, title="")


@pytest.mark.parametrize("n", [1, 2])
def test_one_or_two_modes_make_a_page(n):
    modes, prediction = some_modes(n)
    bare = Prediction(time_ms=prediction.time_ms, power_w=prediction.power_w)
    made = front_view(bare, modes, title="", marks=Marks(measured=measured(n)))
    low_w, high_w, step_w = made.ends_w

    assert low_w < high_w
    assert step_w > 0
    assert json.loads(front_json(made))["time_sd"] is None
    assert "<table>" in page(made)


def test_the_tables_say_the_same_as_the_drawing():
    text = page(view(40, measured=measured()))
    limits = re.findall(r'<td[^>]*data-label="limit \[W\]">([^<]+)</td>', text)

    assert len(limits) > 5
    assert "slower than the fastest [%]" in text
    assert "The 3 profiles, as measured" in text


def test_a_page_allows_its_own_script_and_no_name_becomes_markup():
    hostile = measured(workload=HOSTILE, device=HOSTILE)
    modes, prediction = some_modes(3)
    named = {HOSTILE: Points(time_ms=np.ones(1), power_w=np.ones(1))}
    marks = Marks(measured=hostile, truth=hostile, named=named)
    text = page(front_view(prediction, modes, title=HOSTILE, marks=marks, device=HOSTILE))

    assert text.count("<script") == page(view()).count("<script") == 2
    assert re.search(r"script-src &#x27;sha256-[\w+/]{43}=&#x27;", text)
    assert "alert(1)" in text


def test_a_script_element_holds_the_script_as_it_is():
    script = (resources.files("powertrain.report") / "assets" / "front.js").read_text(encoding="utf-8")
    assert not re.search(r"</script|<!--", script)
    assert f"<script>{script}</script>" in page(view())


def test_the_page_of_many_modes_is_small():
    assert len(page(view(18_096, measured=measured(15)))) < 1_000_000
