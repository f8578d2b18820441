from __future__ import annotations

import doctest

import pytest

from powertrain import wording
from powertrain.wording import counted, duration


def test_its_examples_are_true():
    assert doctest.testmod(wording).failed == 0


@pytest.mark.parametrize(
    ("n", "noun", "text"),
    [
        (0, "mode", "0 modes"),
        (1, "mode", "1 mode"),
        (18096, "mode", "18,096 modes"),
        (2, "cpufreq policy", "2 cpufreq policies"),
        (2, "minibatch", "2 minibatches"),
        (1, "minibatch", "1 minibatch"),
    ],
)
def test_a_noun_agrees_with_its_number(n, noun, text):
    assert counted(n, noun) == text


@pytest.mark.parametrize("time_s", [0.004, 0.4, 4.0, 40.0, 400.0, 4000.0, 40_000.0, 4e6])
def test_no_time_that_passed_is_shown_as_zero_or_with_an_exponent(time_s):
    text = duration(time_s)

    assert not text.startswith(("0 ", "0.0 "))
    assert "e" not in text
