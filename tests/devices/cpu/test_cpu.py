"""The processor as a device, on a made-up sysfs where this machine cannot be made to have something."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from powertrain.devices import Journal, VirtualClock
from powertrain.devices.cpu import CpuDevice
from powertrain.errors import DeviceError, UnknownNameError, UnreachableModeError
from powertrain.opening import open_device
from powertrain.records import PowerMode

TABLE = "2400000 1800000 1200000 \n"


def write(path: Path, text: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")
    return path


def policy(sysfs: Path, number: int, *, table: str | None = TABLE, least=1200000, greatest=2400000) -> Path:
    folder = sysfs / f"devices/system/cpu/cpufreq/policy{number}"
    write(folder / "scaling_min_freq", least)
    write(folder / "scaling_max_freq", greatest)
    write(folder / "cpuinfo_min_freq", 1200000)
    write(folder / "cpuinfo_max_freq", 2400000)
    if table is not None:
        write(folder / "scaling_available_frequencies", table)
    return folder


def counter(sysfs: Path, number: str, label: str, energy_uj: int) -> Path:
    folder = sysfs / f"class/powercap/intel-rapl:{number}"
    write(folder / "name", label)
    write(folder / "max_energy_range_uj", 1_000_000)
    return write(folder / "energy_uj", energy_uj)


@pytest.fixture
def sysfs(tmp_path):
    return tmp_path / "sys"


def opened(sysfs: Path, options: str = "", **more) -> CpuDevice:
    return CpuDevice(options, sysfs=sysfs, journal=Journal(sysfs.parent / "journal"), **more)


def ends(folder: Path) -> tuple[int, int]:
    return int((folder / "scaling_min_freq").read_text()), int((folder / "scaling_max_freq").read_text())


def test_a_machine_that_offers_nothing_has_cores_and_says_what_is_missing(sysfs):
    device = opened(sysfs)
    assert device.space.names == ("cpu_cores",)
    assert len(device.space) == len(os.sched_getaffinity(0))
    assert device.rails == ()
    notes = " ".join(device.notes())
    assert "No cpu_mhz: the kernel offers no cpufreq here" in notes
    assert "No power sensor, so profiles have times alone" in notes
    with pytest.raises(DeviceError, match="no power sensor"):
        device.read_power()


def test_a_clock_is_held_in_all_policies_and_comes_back(sysfs):
    folders = [policy(sysfs, 0), policy(sysfs, 4, least=1800000)]
    device = opened(sysfs, "cpu_cores=1")
    assert device.space.knob("cpu_mhz").values == (1200, 1800, 2400)
    before = [ends(folder) for folder in folders]
    for mhz in device.space.knob("cpu_mhz").values:
        with device.hold(PowerMode(cpu_cores=1, cpu_mhz=mhz)):
            assert [ends(folder) for folder in folders] == [(mhz * 1000, mhz * 1000)] * 2
    assert [ends(folder) for folder in folders] == before


def test_a_driver_without_a_table_offers_steps_between_its_ends(sysfs):
    policy(sysfs, 0, table=None)
    values = opened(sysfs).space.knob("cpu_mhz").values
    assert (values[0], values[-1], len(values)) == (1200, 2400, 8)


def test_after_a_kill_another_process_gives_the_clock_back(sysfs):
    folder = policy(sysfs, 0)
    code = """
import os, signal, sys
from pathlib import Path
from powertrain.devices import Journal
from powertrain.devices.cpu import CpuDevice
sysfs = Path(sys.argv[1])
device = CpuDevice(sysfs=sysfs, journal=Journal(sysfs.parent / "journal"))
with device.hold(device.space[0]):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code, str(sysfs)], check=False)
    assert ends(folder) == (1200000, 1200000)
    assert opened(sysfs).restore()
    assert ends(folder) == (1200000, 2400000)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_clock_that_may_not_be_written_is_no_knob(sysfs):
    (policy(sysfs, 0) / "scaling_max_freq").chmod(0o444)
    device = opened(sysfs)
    assert "cpu_mhz" not in device.space.names
    assert any("scaling_max_freq may not be written: run as root" in note for note in device.notes())


def test_a_clock_that_shows_another_value_is_no_mode(sysfs, monkeypatch):
    folder = policy(sysfs, 0)
    device = opened(sysfs, "cpu_cores=1")
    real = Path.write_text

    def limited(self, data, **more):
        if self.name == "scaling_max_freq" and int(data) > 1800000:
            data = "1800000"
        return real(self, data, **more)

    monkeypatch.setattr(Path, "write_text", limited)
    with (
        pytest.raises(UnreachableModeError, match="policy0 was set to 2400000 kHz and shows"),
        device.hold(PowerMode(cpu_cores=1, cpu_mhz=2400)),
    ):
        pass
    assert ends(folder)[0] == 1200000


def test_cores_are_held_for_every_thread_and_child_and_come_back(sysfs):
    device = open_device("cpu")
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one processor leaves nothing to hold")
    before = os.sched_getaffinity(0)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        with device.hold(PowerMode(cpu_cores=1)):
            assert len(os.sched_getaffinity(0)) == 1
            assert os.sched_getaffinity(child.pid) == os.sched_getaffinity(0)
        assert os.sched_getaffinity(child.pid) == before
        child.communicate(b"\n")
    assert os.sched_getaffinity(0) == before


def test_cores_are_taken_before_their_second_threads(sysfs):
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        pytest.skip("one processor has no order")
    for cpu in cpus:
        write(sysfs / f"devices/system/cpu/cpu{cpu}/topology/thread_siblings_list", f"{cpus[0]}-{cpus[1]}")
    device = opened(sysfs)
    with device.hold(PowerMode(cpu_cores=1)):
        assert os.sched_getaffinity(0) == {cpus[0]}


def test_power_is_the_sum_of_packages_and_memory_and_counters_may_start_anew(sysfs):
    package = counter(sysfs, "0", "package-0", 900_000)
    counter(sysfs, "0:0", "core", 10)
    memory = counter(sysfs, "0:1", "dram", 100_000)
    clock = VirtualClock()
    device = opened(sysfs, clock=clock)
    assert device.rails == ("RAPL package-0", "RAPL dram of package-0")
    clock.sleep_s(0.5)
    write(package, 400_000)  # half a joule, beyond the end of its range
    write(memory, 200_000)
    reading = device.read_power()
    assert reading.power_w == pytest.approx((0.5 + 0.1) / 0.5)
    assert reading.energy_j == pytest.approx(0.6)
    assert device.read_power().power_w == reading.power_w  # no time has passed


def test_the_counter_of_the_whole_platform_is_taken_alone(sysfs):
    counter(sysfs, "0", "package-0", 0)
    counter(sysfs, "1", "psys", 0)
    assert opened(sysfs).rails == ("RAPL psys",)


def test_temperatures_come_from_the_processors_own_sensor(sysfs):
    write(sysfs / "class/hwmon/hwmon0/name", "nvme")
    write(sysfs / "class/hwmon/hwmon0/temp1_input", 99_000)
    write(sysfs / "class/hwmon/hwmon1/name", "k10temp")
    write(sysfs / "class/hwmon/hwmon1/temp1_input", 41_500)
    write(sysfs / "class/hwmon/hwmon1/temp2_input", -256_000)  # a zone that is switched off
    assert opened(sysfs).temperature_c() == 41.5


def test_throttling_is_counted_over_all_processors(sysfs):
    for cpu, count in ((0, 3), (1, 4)):
        write(sysfs / f"devices/system/cpu/cpu{cpu}/thermal_throttle/core_throttle_count", count)
    assert opened(sysfs).throttle_count() == 7


@pytest.mark.parametrize(
    ("options", "error", "remark"),
    [
        ("batch_size", DeviceError, "is not KNOB=VALUE"),
        ("batch_sise=8", UnknownNameError, "did you mean 'batch_size'"),
        ("batch_size=0", DeviceError, "whole number of at least 1"),
        ("batch_size=8.5", DeviceError, "whole number"),
        ("precision=fp8", DeviceError, "or fp32, tf32, bf16, fp16"),
        ("precision=7", DeviceError, "there are fp32"),
        ("compile=2", DeviceError, "0 or 1"),
        ("cpu_cores=4096", DeviceError, "cpu_cores has no value 4096"),
        ("loader_workers=-1", DeviceError, "at least 0"),
    ],
)
def test_an_option_that_makes_no_sense_is_one_line(options, error, remark):
    with pytest.raises(error, match=remark):
        open_device(f"cpu?{options}")


def test_knobs_of_the_training_join_the_space():
    device = open_device("cpu?cpu_cores=1&batch_size=8,16&loader_workers=0,2&precision=bf16,fp32&compile=0,1")
    assert device.space.shape == (1, 2, 2, 2, 2)
    assert device.space.knob("precision").values == (16, 32)
    assert device.spec.startswith("cpu?cpu_cores=1&")


def test_auto_opens_a_device_of_this_machine():
    assert open_device("auto?batch_size=8").space.knob("batch_size").values == (8,)
