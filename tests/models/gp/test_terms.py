from __future__ import annotations

import numpy as np
import pytest

from powertrain.models.gp._terms import Term, terms_of
from powertrain.quantities import POWER, TIME


def test_time_falls_and_power_rises_with_a_speed():
    assert terms_of(TIME, ["gpu_mhz"], time_is_known=False) == (Term(knobs=("gpu_mhz",), rising=False),)
    assert terms_of(POWER, ["gpu_mhz"], time_is_known=False) == (Term(knobs=("gpu_mhz",), rising=True),)


def test_a_knob_that_is_no_speed_may_act_either_way():
    terms = terms_of(TIME, ["batch_size"], time_is_known=False)

    assert {term.rising for term in terms} == {True, False}


def test_a_known_time_lets_a_speed_raise_the_energy_of_the_work():
    terms = terms_of(POWER, ["gpu_mhz"], time_is_known=True)

    assert Term(knobs=("gpu_mhz",), rising=True, per_work=True) in terms


def test_a_number_of_units_also_acts_together_with_its_own_clock():
    terms = terms_of(TIME, ["cpu_cores", "cpu_mhz", "gpu_mhz"], time_is_known=False)

    assert [term.knobs for term in terms if len(term.knobs) > 1] == [("cpu_cores", "cpu_mhz")]


def test_the_slope_of_a_term_is_the_log_of_the_product_of_its_knobs():
    logs = {"cpu_cores": np.array([1.0, 2.0]), "cpu_mhz": np.array([10.0, 20.0])}

    np.testing.assert_array_equal(Term(knobs=("cpu_cores", "cpu_mhz"), rising=True).slope(logs), [11, 22])
    np.testing.assert_array_equal(Term(knobs=("cpu_mhz",), rising=False).slope(logs), [-10, -20])


def test_a_term_comes_back_from_its_json_form():
    term = Term(knobs=("cpu_cores", "cpu_mhz"), rising=True, per_work=True)

    assert Term.from_header(term.header()) == term


@pytest.mark.parametrize(
    ("old", "term"),
    [
        (["gpu_mhz", 1], Term(knobs=("gpu_mhz",), rising=False)),
        (["gpu_mhz", -1], Term(knobs=("gpu_mhz",), rising=True)),
        (["gpu_mhz", -2], Term(knobs=("gpu_mhz",), rising=True, per_work=True)),
        (["cpu_cores*cpu_mhz", -1], Term(knobs=("cpu_cores", "cpu_mhz"), rising=True)),
    ],
)
def test_the_form_of_version_0_3_0_is_read(old: list, term: Term):
    assert Term.from_header(old) == term
