from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from powertrain import units


@pytest.mark.parametrize(
    ("convert", "given_value", "expected"),
    [
        (units.watts_from_milliwatts, 30250.0, 30.25),
        (units.watts_from_microwatts, 30250000.0, 30.25),
        (units.mhz_from_khz, 1300500.0, 1300.5),
        (units.mhz_from_hz, 1300500000.0, 1300.5),
        (units.mhz_from_ghz, 1.3005, 1300.5),
        (units.khz_from_mhz, 1300.5, 1300500.0),
        (units.hz_from_mhz, 1300.5, 1300500000.0),
        (units.hz_from_khz, 1300500.0, 1300500000.0),
        (units.ms_from_s, 0.0125, 12.5),
        (units.ms_from_us, 12500.0, 12.5),
        (units.s_from_ms, 12.5, 0.0125),
        (units.hours_from_ms, 7.2e6, 2.0),
    ],
)
def test_a_conversion_takes_numbers_and_arrays(convert, given_value, expected):
    assert convert(given_value) == expected
    np.testing.assert_array_equal(convert(np.array([given_value, np.nan])), [expected, np.nan])


def test_every_conversion_is_exported_and_tested():
    public = {name for name, value in vars(units).items() if callable(value) and name.islower()}
    assert public == set(units.__all__)


def test_a_watt_for_a_second_is_a_joule():
    assert units.energy_j(power_w=1.0, time_ms=1000.0) == 1.0


@given(st.floats(min_value=1e-9, max_value=1e12))
def test_seconds_and_milliseconds_are_inverse(time_ms):
    assert units.ms_from_s(units.s_from_ms(time_ms)) == pytest.approx(time_ms, rel=1e-15)


POWER_OF_1000 = r"(1e-?(3|6|9|12)|1000(\.0)?|1_000_000)"
FACTOR = re.compile(rf"[*/] ?{POWER_OF_1000}(?![\w.])|(?<![\w.]){POWER_OF_1000} ?\*(?!\*)")
KEPT = {
    "devices/nvml/_device.py": "how the driver packs a version",
    "dataset/_schema.py": "SQL cannot call units.energy_j",
    "models/_coordinates.py": "a share of the smallest value, no unit",
    "models/_factors.py": "a share of the largest singular value, no unit",
    "models/paper/_predictor.py": "what rounding leaves, no unit",
    "report/_plots.py": "ticks of an axis, no unit",
    "workloads/training/_loading.py": "seeds of epochs, no unit",
    "workloads/nets/yolo.py": "a guard against division by zero",
}


def test_units_has_the_only_factors_of_1000():
    package = Path(units.__file__).parent
    found = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if path.name != "units.py"
        for line in path.read_text(encoding="utf-8").splitlines()
        if FACTOR.search(line.partition("#")[0]) and not line.strip().startswith('"')
    }
    assert found <= set(KEPT)
