"""The choice at every power limit at once is the one that `choose` makes at each."""

from __future__ import annotations

import numpy as np
import pytest

from powertrain.errors import DataError, NoFeasibleModeError
from powertrain.optimisation import best_by_power, choose
from powertrain.records import Limits, ModeTable, Prediction


def predicted(seed: int, n: int = 60) -> tuple[Prediction, ModeTable]:
    """Return predictions with many ties, some unknown, over modes of one knob."""
    rng = np.random.default_rng(seed)
    time_ms, power_w = (rng.integers(1, 12, n).astype(float) for _ in range(2))
    time_ms[rng.random(n) < 0.1] = np.nan
    sd = rng.choice([np.nan, 0.0, 0.1, 0.3], n)
    prediction = Prediction(time_ms=time_ms, power_w=power_w, time_rel_sd=sd, power_rel_sd=sd)
    return prediction, ModeTable(knobs=("gpu_mhz",), values=np.arange(float(n))[:, None])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("objective", "risk", "others"),
    [("time", 0.05, {}), ("time", 0.5, {"max_energy_j": 0.03}), ("energy", 0.3, {"max_time_ms": 9.0})],
)
def test_it_is_what_choose_chooses_at_any_limit(seed, objective, risk, others):
    prediction, modes = predicted(seed)
    asked = {"objective": objective, "risk": risk}
    steps = best_by_power(prediction, others=Limits(max_power_w=3.0, **others), **asked)
    limits_w = np.unique([*steps.limits_w, *np.nextafter(steps.limits_w, 0), *np.linspace(0.5, 25, 60)])

    for limit_w in limits_w.tolist():
        try:
            chosen = choose(prediction, modes, max_power_w=limit_w, **others, **asked).index
        except NoFeasibleModeError:
            chosen = None
        assert steps.row_at(limit_w) == chosen

    assert (np.diff(steps.limits_w) > 0).all()
    assert (steps.rows[1:] != steps.rows[:-1]).all()


def test_where_nothing_keeps_the_other_limits_there_are_no_steps():
    prediction, _ = predicted(0)
    steps = best_by_power(prediction, others=Limits(max_time_ms=0.1))
    assert len(steps.rows) == 0
    assert steps.row_at(1e9) is None


def test_a_prediction_without_power_is_refused():
    with pytest.raises(DataError, match="power limit was asked"):
        best_by_power(Prediction(time_ms=np.ones(3)))
