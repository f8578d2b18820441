"""Tables in Python: rows, slices, data frames, views, and copies through pickle."""

from __future__ import annotations

import pickle
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest

import powertrain as pt
from powertrain.errors import DataError, MissingExtraError
from powertrain.records import ManyProfiles
from powertrain.space import ModeSpace
from powertrain.testing import example_profiles


@pytest.fixture(scope="module")
def board():
    return pt.open_device("sim:orin-nano")


@pytest.fixture(scope="module")
def profiles(board):
    return board.measure("resnet18", pt.plan(board, 20))


@pytest.fixture(scope="module")
def predictor(profiles):
    return pt.fit(profiles, method="linear")


def same(a: pt.ProfileTable, b: pt.ProfileTable) -> bool:
    return list(a) == list(b) and (a.device, a.workload, a.modes.knobs) == (
        b.device,
        b.workload,
        b.modes.knobs,
    )


def test_a_row_is_a_profile_and_a_slice_a_table(profiles):
    assert profiles[3].time_ms == profiles.time_ms[3]
    assert profiles[-1].mode == profiles.modes[-1]
    assert len(profiles[2:5]) == 3
    assert same(profiles[:], profiles)
    with pytest.raises(IndexError):
        profiles[20]


def test_modes_predictions_and_fronts_can_be_sliced(board, predictor):
    modes = board.modes()
    front = pt.front(predictor, modes)
    assert modes[1:3][0] == modes[1]
    assert predictor.predict(modes)[:4].time_ms.shape == (4,)
    assert front[0].values["time_ms"].value == front.prediction.time_ms[0]
    assert len(front[:1]) == 1


def test_a_data_frame_of_profiles_comes_back(profiles):
    frame = profiles.to_pandas()
    assert list(frame.columns[:2]) == ["device", "workload"]
    assert same(pt.ProfileTable.from_pandas(frame), profiles)
    assert same(pt.ProfileTable.from_pandas(pl.from_pandas(frame)), profiles)


def test_the_columns_of_a_frame_are_known_in_other_spellings_or_asked_about():
    frame = pd.DataFrame({"GPU Freq (MHz)": [900, 800], "fan": [30, 60], "time[s]": [0.005, 0.006]})
    with pytest.raises(DataError, match=r"columns=\{'fan': 'knob:fan'\}"):
        pt.ProfileTable.from_pandas(frame, device="D", workload="w")
    table = pt.ProfileTable.from_pandas(frame, device="D", workload="w", columns={"fan": "knob:fan_pct"})
    assert table.modes.knobs == ("gpu_mhz", "fan_pct")
    np.testing.assert_array_equal(table.time_ms, [5, 6])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"gpu_mhz": [1, 2], "time_ms": [1, 2], "workload": ["a", "b"]}, "holds 2 workloads, a, b"),
        ({"gpu_mhz": [1, 2], "time_ms": [1, "x"], "workload": ["a", "a"]}, "column 'time_ms' holds 'x'"),
        ({"time_ms": [1, 2], "workload": ["a", "a"]}, "no column of the data frame is a knob"),
        ({"gpu_mhz": [1, 2], "workload": ["a", "a"]}, "neither time_ms nor power_w"),
    ],
)
def test_a_frame_that_is_no_table_of_profiles_is_refused(columns, message):
    with pytest.raises(DataError, match=message):
        pt.ProfileTable.from_pandas(pd.DataFrame(columns), device="D")


def test_what_is_no_frame_is_a_type_error():
    with pytest.raises(TypeError, match="a list is not a data frame"):
        pt.ProfileTable.from_pandas([1, 2])


def test_fronts_modes_and_predictions_become_frames(board, predictor):
    front = pt.front(predictor, board.modes())
    frame = front.to_pandas()
    assert len(frame) == len(front)
    assert {*front.modes.knobs, "time_ms", "power_w", "energy_j"} <= set(frame.columns)
    assert list(board.modes()[:3].to_pandas().columns) == list(board.modes().knobs)


def test_without_pandas_one_line_says_what_to_install(profiles, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match=r"a data frame needs pandas, .*powertrain\[tables\]"):
        profiles.to_pandas()


def test_every_value_shows_itself_in_one_line_and_in_a_notebook(board, profiles, predictor):
    modes = board.modes()
    choice = pt.choose(predictor, modes, max_power_w=10)
    shown = [board, board.space, modes, profiles, predictor, choice, predictor.predict(modes)]
    shown += [pt.front(predictor, modes), ManyProfiles.of(profiles)[:2], pt.open_store(), choice.limits]
    for value in shown:
        assert "\n" not in repr(value)
        assert len(repr(value)) < 200
    for value in [*shown[:8], profiles[0], choice.mode]:
        assert value._repr_html_().startswith("<")
    assert "resnet18" in repr(profiles)
    assert "more" in profiles._repr_html_()


def test_a_name_is_no_markup_in_a_notebook():
    modes = ModeSpace.of({"gpu_mhz": [100, 200]}).table()
    table = pt.ProfileTable(device="<b>", workload="w&w", modes=modes, time_ms=[1, 2])
    assert "<b>" not in table._repr_html_()
    assert "w&amp;w" in table._repr_html_()


def test_values_survive_pickling(board, profiles, predictor):
    modes = board.modes()
    choice = pt.choose(predictor, modes, max_power_w=10)
    again = [
        pickle.loads(pickle.dumps(v))
        for v in (profiles, modes, choice, profiles[0], predictor.predict(modes))
    ]
    assert same(again[0], profiles)
    assert again[0].measured == profiles.measured
    assert (again[2].mode, again[2].limits, again[3]) == (choice.mode, choice.limits, profiles[0])
    front = pickle.loads(pickle.dumps(pt.front(predictor, modes)))
    assert len(front.to_pandas()) == len(front)


def test_many_profiles_are_the_same_as_the_list_that_they_were_made_of():
    given = example_profiles()
    many = ManyProfiles.of(given)
    assert many == given
    assert many[1:3] == given[1:3]
    assert [many[-1]] == given[-1:]
    assert {owner: list(part) for owner, part in many.by_owner().items()} == {
        owner: [p for p in given if (p.device, p.workload) == owner] for owner in many.by_owner()
    }


def test_digests_are_equal_for_equal_profiles_alone():
    given = example_profiles()
    digests = ManyProfiles.of(given).digests()
    assert (digests[0] == digests[-1]).all()
    assert len(np.unique(digests, axis=0)) == len(given) - 1
    # In another order and with other columns beside.
    assert (ManyProfiles.of(given[::-1]).digests()[::-1] == digests).all()
    assert (ManyProfiles.of(given[:1]).digests()[0] == digests[0]).all()


def test_drawings_go_where_they_are_asked_to(board, profiles, predictor):
    figures = pytest.importorskip("matplotlib.figure")
    axes = figures.Figure().subplots(1, 3)
    modes = board.modes()
    prediction = predictor.predict(modes)
    assert pt.plot.front(pt.front(predictor, modes), ax=axes[0]) is axes[0]
    assert axes[0].get_xlabel() == "minibatch time [ms]"
    truth = board.measure("resnet18", modes)
    assert pt.plot.agreement(truth, prediction, ax=axes[1:]) == list(axes[1:])
    assert len(pt.plot.front(profiles, title="as measured").figure.axes) == 1
    with pytest.raises(ValueError, match="2 panels, and 1 axes"):
        pt.plot.agreement(truth, prediction, ax=axes[:1])
    with pytest.raises(TypeError, match="does not know its modes"):
        pt.plot.front(prediction)


def test_a_page_of_a_front_marks_the_profiles_and_names_the_device(board, profiles, predictor):
    modes = board.modes()
    choice = pt.choose(predictor, modes, max_power_w=9)
    text = pt.plot.page(predictor.predict(modes), modes, choice=choice, measured=profiles, device=board)

    assert "<strong>Simulated.</strong>" in text
    assert f"--device {board.spec} -- COMMAND" in text
    assert f"The {len(profiles)} profiles, as measured" in text
    assert '"basis":"measured"' in pt.plot.page(profiles)
