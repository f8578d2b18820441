"""Energy counters that do what counters should not, and what a profile makes of it."""

from __future__ import annotations

import errno

import pytest
from tests.devices.files import MemorySysfs

from powertrain.devices import Journal, VirtualClock
from powertrain.devices.cpu import CpuDevice
from powertrain.errors import DeviceError
from powertrain.profiling import profile_modes
from powertrain.records import PowerMode
from powertrain.workloads import Job

RAPL = "/sys/class/powercap/intel-rapl"
RANGE_UJ = 262_143_328_850
PACKAGE_W, MEMORY_W = 30.0, 4.0


class Machine:
    """Counters that follow a clock, as a test says from which moment on."""

    def __init__(self, tmp_path) -> None:
        self.sysfs, self.clock, self.journal = MemorySysfs(), VirtualClock(), Journal(tmp_path / "journal")
        self.counters: list[tuple[str, object]] = []

    def counter(
        self, number: str, label: str, energy_uj, *, reach: object = RANGE_UJ, limit_w: int = 0
    ) -> str:
        """Add a counter whose value is a function of the time."""
        folder = f"{RAPL}:{number}"
        self.sysfs.put(f"{folder}/name", label)
        if reach is not None:
            self.sysfs.put(f"{folder}/max_energy_range_uj", reach)
        if limit_w:
            self.sysfs.put(f"{folder}/constraint_0_power_limit_uw", limit_w * 1_000_000)
        self.counters.append((f"{folder}/energy_uj", energy_uj))
        self.count()
        return f"{folder}/energy_uj"

    def count(self) -> None:
        for path, energy_uj in self.counters:
            self.sysfs.put(path, round(energy_uj(self.clock.now_s())))

    def profile(self):
        """Measure a training of 50 ms a minibatch."""
        device = CpuDevice("cpu_cores=1", sysfs=self.sysfs, clock=self.clock, journal=self.journal)
        (found,) = profile_modes(device, Training(self), device.modes().take([0]))
        return found


class Training(Job):
    workload = "training"

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def prepare(self, mode) -> None:
        pass

    def step(self) -> None:
        for _ in range(10):
            self._machine.clock.sleep_s(0.005)
            self._machine.count()

    def close(self) -> None:
        pass

    def description(self):
        return {}


def steady(watts: float, *, start_uj: float = 5e9):
    return lambda now_s: start_uj + watts * 1e6 * now_s


def anew_at(at_s: float, watts: float, *, start_uj: float, to_uj: float = 0.0):
    """Count, and begin anew at a moment."""

    def energy_uj(now_s: float) -> float:
        if now_s < at_s:
            return start_uj + watts * 1e6 * now_s
        return to_uj + watts * 1e6 * (now_s - at_s)

    return energy_uj


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


@pytest.mark.parametrize("reach", [RANGE_UJ, 0, None, "none", 4_294_967_296])
@pytest.mark.parametrize("limit_w", [0, 65])
def test_a_counter_that_begins_anew_before_its_end_costs_a_reading_and_no_mean(machine, reach, limit_w):
    energy_uj = anew_at(1.22, PACKAGE_W, start_uj=200e9)
    machine.counter("0", "package-0", energy_uj, reach=reach, limit_w=limit_w)
    found = machine.profile()
    assert found.power_w == pytest.approx(PACKAGE_W, rel=0.05)
    assert found.flags == ()
    assert "package-0 began anew before the end of its range" in found.extra["dropped_readings"]


def test_one_that_reaches_the_end_of_its_range_counts_on(machine):
    start_uj = RANGE_UJ - 1.25 * PACKAGE_W * 1e6
    machine.counter("0", "package-0", lambda s: (start_uj + PACKAGE_W * 1e6 * s) % RANGE_UJ)
    found = machine.profile()
    assert found.power_w == pytest.approx(PACKAGE_W, rel=0.02)
    assert "dropped_readings" not in found.extra


def test_a_leap_forward_that_no_processor_draws_is_no_energy(machine):
    leap = lambda s: 5e9 + PACKAGE_W * 1e6 * s + (3e9 if s > 1.3 else 0)  # noqa: E731
    machine.counter("0", "package-0", leap)
    found = machine.profile()
    assert found.power_w == pytest.approx(PACKAGE_W, rel=0.05)
    assert "rose by more than can be drawn" in found.extra["dropped_readings"]


def test_of_two_packages_one_that_begins_anew_takes_the_reading_of_both(machine):
    machine.counter("0", "package-0", steady(PACKAGE_W))
    machine.counter("1", "package-1", anew_at(1.22, PACKAGE_W, start_uj=9e10))
    found = machine.profile()
    assert found.power_w == pytest.approx(2 * PACKAGE_W, rel=0.05)


def test_of_two_packages_one_that_stands_still_leaves_no_power_that_would_be_half(machine):
    machine.counter("0", "package-0", steady(PACKAGE_W))
    machine.counter("1", "package-1", lambda s: 5e9 + PACKAGE_W * 1e6 * min(s, 0.2))
    found = machine.profile()
    assert "sensor_failed" in found.flags
    assert found.power_w != found.power_w
    assert "stands still" in found.extra["failed_readings"]


def test_one_that_cannot_be_read_for_a_while_is_counted_over_the_gap(machine):
    path = machine.counter("0", "package-0", steady(PACKAGE_W))
    count = machine.count

    def counting() -> None:
        count()
        failing = 1.25 < machine.clock.now_s() < 1.5
        machine.sysfs.unreadable = {path: errno.EIO} if failing else {}

    machine.count = counting
    found = machine.profile()
    assert found.power_w == pytest.approx(PACKAGE_W, rel=0.05)
    assert "failed_readings" in found.extra


@pytest.mark.parametrize("text", ["", "none", "-5", "1.5", "٣"])
def test_a_counter_that_tells_no_number_is_no_energy(machine, text):
    path = machine.counter("0", "package-0", steady(PACKAGE_W))
    device = CpuDevice("cpu_cores=1", sysfs=machine.sysfs, clock=machine.clock, journal=machine.journal)
    machine.clock.sleep_s(0.5)
    machine.sysfs.put(path, text)
    with pytest.raises(DeviceError, match="which is no energy"):
        device.read_power()
    opened = CpuDevice("cpu_cores=1", sysfs=machine.sysfs, clock=machine.clock, journal=machine.journal)
    assert opened.rails == ()
    assert any("which is no energy" in note for note in opened.notes())


def test_a_platform_counter_that_shows_less_than_its_packages_is_flagged(machine):
    machine.counter("0", "package-0", steady(PACKAGE_W))
    machine.counter("1", "psys", steady(PACKAGE_W / 3))
    found = machine.profile()
    assert found.extra["power_from"] == "RAPL psys"
    assert "sensors_disagree" in found.flags
    assert "parts of it as 30" in found.extra["sensors"]


def test_a_platform_counter_that_never_counted_is_not_preferred_to_the_packages(machine):
    machine.counter("0", "package-0", steady(PACKAGE_W))
    machine.counter("0:0", "dram", steady(MEMORY_W))
    machine.counter("1", "psys", lambda s: 0)
    found = machine.profile()
    assert found.extra["power_from"] == "RAPL package-0 + RAPL dram of package-0"
    assert found.power_w == pytest.approx(PACKAGE_W + MEMORY_W, rel=0.02)


def test_two_counters_of_one_name_are_both_added(machine):
    machine.counter("0", "package-0", steady(PACKAGE_W))
    machine.counter("1", "package-0", steady(PACKAGE_W))
    assert machine.profile().power_w == pytest.approx(2 * PACKAGE_W, rel=0.02)


@pytest.mark.parametrize("name", [errno.EIO, "", "\ufffd\ufffdkage-1"])
def test_a_counter_whose_name_cannot_be_read_may_be_a_package_so_no_sum_is_told(machine, name):
    machine.counter("0", "package-0", steady(PACKAGE_W))
    machine.counter("1", str(name), steady(PACKAGE_W))
    if isinstance(name, int):
        machine.sysfs.unreadable[f"{RAPL}:1/name"] = name
    device = CpuDevice("cpu_cores=1", sysfs=machine.sysfs, clock=machine.clock, journal=machine.journal)
    assert device.rails == ()
    assert any("intel-rapl:1/name does not tell what is counted" in note for note in device.notes())


def test_a_part_of_a_package_is_not_added_to_it_whatever_its_name(machine):
    machine.counter("0", "package-0", steady(PACKAGE_W))
    machine.counter("0:0", "package-0-die-0", steady(PACKAGE_W))
    assert machine.profile().power_w == pytest.approx(PACKAGE_W, rel=0.02)


def test_a_counter_that_stood_still_while_another_counted_costs_that_time_and_no_mean(machine):
    def loses(now_s: float) -> float:
        return 5e9 + PACKAGE_W * 1e6 * (min(now_s, 1.2) + max(now_s - 1.7, 0))

    machine.counter("0", "package-0", steady(PACKAGE_W))
    machine.counter("1", "package-1", loses)
    found = machine.profile()
    assert found.power_w == pytest.approx(2 * PACKAGE_W, rel=0.03)
    assert "stood still" in found.extra["dropped_readings"]


def test_counters_that_all_move_once_a_second_as_in_a_virtual_machine_lose_nothing(machine):
    for number in range(2):
        machine.counter(str(number), f"package-{number}", lambda s: 5e9 + PACKAGE_W * 1e6 * int(s + 0.3))
    found = machine.profile()
    assert found.power_w == pytest.approx(2 * PACKAGE_W, rel=0.05)
    assert "dropped_readings" not in found.extra


@pytest.mark.parametrize(("file", "text"), [("enabled", "0"), ("constraint_0_power_limit_uw", "1")])
def test_a_limit_that_is_not_in_force_or_is_none_bounds_nothing(machine, file, text):
    machine.counter("0", "package-0", steady(3 * PACKAGE_W), limit_w=15)
    machine.sysfs.put(f"{RAPL}:0/{file}", text)
    assert machine.profile().power_w == pytest.approx(3 * PACKAGE_W, rel=0.02)


def test_a_processor_that_rested_for_long_may_draw_forty_times_as_much(machine):
    machine.counter("0", "package-0", lambda s: 5e9 + 2e6 * min(s, 3) + 80e6 * max(s - 3, 0))
    device = CpuDevice("cpu_cores=1", sysfs=machine.sysfs, clock=machine.clock, journal=machine.journal)
    for _ in range(30):
        machine.clock.sleep_s(0.1)
        machine.count()
        device.read_power()
    (found,) = profile_modes(device, Training(machine), device.modes().take([0]))
    assert found.power_w == pytest.approx(80, rel=0.05)


def test_a_clock_that_the_firmware_caps_flags_the_profile(machine):
    folder = "/sys/devices/system/cpu/cpufreq/policy0"
    for name, khz in (("min", 1_200_000), ("max", 2_400_000)):
        machine.sysfs.put(f"{folder}/cpuinfo_{name}_freq", khz)
        machine.sysfs.put(f"{folder}/scaling_{name}_freq", khz)
    machine.sysfs.put(f"{folder}/scaling_cur_freq", 1_500_000)
    device = CpuDevice("cpu_cores=1", sysfs=machine.sysfs, clock=machine.clock, journal=machine.journal)
    (found,) = profile_modes(device, Training(machine), device.modes().take([len(device.modes()) - 1]))
    assert found.mode == PowerMode(cpu_cores=1, cpu_mhz=2400)
    assert "capped" in found.flags
    assert found.extra["capped"] == "the processors were set to 2400000 kHz and run at 1500000 kHz"
