"""The only factors of 1000 in the project.

Inside PowerTrain power is watts, energy joules, a minibatch milliseconds and a clock megahertz. Whatever
comes in other units is converted here, once, where it enters. All functions take a float or an array.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np

    Number = TypeVar("Number", float, np.ndarray)
else:
    Number = TypeVar("Number")

__all__ = [
    "bytes_from_megabytes",
    "celsius_from_millicelsius",
    "cycles_from_megacycles",
    "energy_j",
    "gflop_from_flop",
    "hours_from_ms",
    "hz_from_khz",
    "hz_from_mhz",
    "joules_from_microjoules",
    "joules_from_millijoules",
    "joules_from_picojoules",
    "khz_from_hz",
    "khz_from_mhz",
    "kilobytes_from_bytes",
    "megabytes_from_bytes",
    "megacycles_from_cycles",
    "mhz_from_ghz",
    "mhz_from_hz",
    "mhz_from_khz",
    "microohms_from_milliohms",
    "microwatts_from_watts",
    "millicelsius_from_celsius",
    "millivolts_from_microvolts",
    "milliwatts_from_microwatts",
    "milliwatts_from_watts",
    "ms_from_per_s",
    "ms_from_s",
    "ms_from_us",
    "s_from_ms",
    "s_from_ns",
    "watt_hours_from_joules",
    "watts_from_microwatts",
    "watts_from_milliwatts",
]


def watts_from_milliwatts(power_mw: Number) -> Number:
    """Convert milliwatts to watts."""
    return power_mw / 1e3


def watts_from_microwatts(power_uw: Number) -> Number:
    """Convert microwatts (Linux hwmon) to watts."""
    return power_uw / 1e6


def joules_from_microjoules(energy_uj: Number) -> Number:
    """Convert microjoules (Linux powercap) to joules."""
    return energy_uj / 1e6


def joules_from_millijoules(energy_mj: Number) -> Number:
    """Convert millijoules (NVML) to joules."""
    return energy_mj / 1e3


def celsius_from_millicelsius(temperature_mc: Number) -> Number:
    """Convert thousandths of a degree (Linux hwmon) to degrees Celsius."""
    return temperature_mc / 1e3


def millicelsius_from_celsius(temperature_c: Number) -> Number:
    """Convert degrees Celsius to thousandths of a degree (Linux hwmon)."""
    return temperature_c * 1e3


def milliwatts_from_watts(power_w: Number) -> Number:
    """Convert watts to milliwatts (NVML)."""
    return power_w * 1e3


def microwatts_from_watts(power_w: Number) -> Number:
    """Convert watts to microwatts (Linux hwmon)."""
    return power_w * 1e6


def mhz_from_khz(clock_khz: Number) -> Number:
    """Convert kilohertz (Linux cpufreq) to megahertz."""
    return clock_khz / 1e3


def mhz_from_hz(clock_hz: Number) -> Number:
    """Convert hertz (Linux devfreq) to megahertz."""
    return clock_hz / 1e6


def khz_from_mhz(clock_mhz: Number) -> Number:
    """Convert megahertz to kilohertz (Linux cpufreq)."""
    return clock_mhz * 1e3


def khz_from_hz(clock_hz: Number) -> Number:
    """Convert hertz (Linux devfreq) to kilohertz."""
    return clock_hz / 1e3


def hz_from_khz(clock_khz: Number) -> Number:
    """Convert kilohertz to hertz (Linux devfreq)."""
    return clock_khz * 1e3


def hz_from_mhz(clock_mhz: Number) -> Number:
    """Convert megahertz to hertz (Linux devfreq)."""
    return clock_mhz * 1e6


def mhz_from_ghz(clock_ghz: Number) -> Number:
    """Convert gigahertz to megahertz."""
    return clock_ghz * 1e3


def ms_from_per_s(rate: Number) -> Number:
    """Convert how many there are in a second to the milliseconds that one takes."""
    return 1e3 / rate


def ms_from_us(time_us: Number) -> Number:
    """Convert microseconds to milliseconds."""
    return time_us / 1e3


def ms_from_s(time_s: Number) -> Number:
    """Convert seconds to milliseconds."""
    return time_s * 1e3


def s_from_ms(time_ms: Number) -> Number:
    """Convert milliseconds to seconds."""
    return time_ms / 1e3


def hours_from_ms(time_ms: Number) -> Number:
    """Convert milliseconds to hours."""
    return time_ms / 3.6e6


def energy_j(*, power_w: Number, time_ms: Number) -> Number:
    """Return the energy [J] of running for `time_ms` at a mean of `power_w`."""
    return power_w * time_ms / 1e3


def watt_hours_from_joules(energy_j: Number) -> Number:
    """Convert joules to watt-hours."""
    return energy_j / 3.6e3


def bytes_from_megabytes(size_mb: Number) -> Number:
    """Convert megabytes to bytes."""
    return size_mb * 1e6


def cycles_from_megacycles(cycles_m: Number) -> Number:
    """Convert millions of clock cycles to cycles."""
    return cycles_m * 1e6


def gflop_from_flop(work_flop: Number) -> Number:
    """Convert floating-point operations to thousands of millions of them."""
    return work_flop / 1e9


def joules_from_picojoules(energy_pj: Number) -> Number:
    """Convert picojoules (energy of one operation or byte) to joules."""
    return energy_pj / 1e12


def kilobytes_from_bytes(size_bytes: Number) -> Number:
    """Convert bytes to kilobytes."""
    return size_bytes / 1e3


def megabytes_from_bytes(size_bytes: Number) -> Number:
    """Convert bytes to megabytes."""
    return size_bytes / 1e6


def megacycles_from_cycles(cycles: Number) -> Number:
    """Convert clock cycles to millions of them."""
    return cycles / 1e6


def microohms_from_milliohms(resistance_mohm: Number) -> Number:
    """Convert milliohms to microohms (Linux hwmon)."""
    return resistance_mohm * 1e3


def milliwatts_from_microwatts(power_uw: Number) -> Number:
    """Convert microwatts to milliwatts; a product of mV and mA is microwatts."""
    return power_uw / 1e3


def millivolts_from_microvolts(voltage_uv: Number) -> Number:
    """Convert microvolts to millivolts; a product of mA and milliohms is microvolts."""
    return voltage_uv / 1e3


def s_from_ns(time_ns: Number) -> Number:
    """Convert nanoseconds (time stamps of files) to seconds."""
    return time_ns / 1e9
