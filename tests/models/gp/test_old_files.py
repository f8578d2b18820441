"""Predictor files of earlier versions predict what they did when they were written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from powertrain.models import load_predictor, predictor_class
from powertrain.records import ModeTable, ProfileTable
from powertrain.space import ModeSpace

FILES = Path(__file__).parents[2] / "data" / "predictors"
MODES = ModeSpace.of({"cpu_cores": [1, 2, 4], "cpu_mhz": [500, 1000, 2000], "batch_size": [4, 16]}).table()
SOME = MODES.take(np.array([0, 5, 17]))


@pytest.mark.parametrize(
    ("name", "time_ms", "power_w"),
    [
        (
            "gp-0.3.0-fitted",
            [41.00876566724073, 53.002791886532876, 28.989076663235124],
            [3.748981067872347, 6.00100438613569, 9.001628668171962],
        ),
        (
            "gp-0.3.0-transferred",
            [57.0005410904551, 92.81414691571774, 38.31011553045423],
            [3.7500937732882784, 6.009050695201193, 9.023260971363639],
        ),
    ],
)
def test_a_file_of_version_0_3_0_predicts_what_it_did(name: str, time_ms: list[float], power_w: list[float]):
    prediction = load_predictor(FILES / f"{name}.ptm").predict(SOME)

    # That version computed the kernel in double precision, and this one does in single.
    np.testing.assert_allclose(prediction.time_ms, time_ms, rtol=1e-4)
    np.testing.assert_allclose(prediction.power_w, power_w, rtol=1e-4)


def test_a_file_of_version_0_3_0_still_serves_as_a_reference():
    few: ModeTable = MODES.take(np.arange(0, 18, 3))
    cores, mhz, batch = few.values.T
    target = ProfileTable(
        device="board",
        workload="target",
        modes=few,
        time_ms=5 + 1.5 * batch * 4000 / (cores * mhz) + batch,
        power_w=3 + cores * mhz / 2000 + batch / 8,
    )

    transferred = predictor_class("gp").transfer([load_predictor(FILES / "gp-0.3.0-fitted.ptm")], target)

    # Version 0.3.0 made another model of it; what both know at the profiles they say alike.
    at_profiles = transferred.predict(few)
    np.testing.assert_allclose(at_profiles.time_ms, target.time_ms, rtol=0.02)
    np.testing.assert_allclose(at_profiles.power_w, target.power_w, rtol=0.02)
