"""The processor as a device, on files in memory where this machine cannot be made to have something."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest
from tests.devices.files import MemorySysfs
from tests.processes import Process

from powertrain.devices import Journal, VirtualClock, Why
from powertrain.devices._sysfs import RealSysfs, Sysfs
from powertrain.devices.cpu import CpuDevice
from powertrain.errors import DeviceError, DevicePermissionError, UnknownNameError, UnreachableModeError
from powertrain.opening import open_device
from powertrain.records import PowerMode

TABLE = "2400000 1800000 1200000 \n"
CPU = "/sys/devices/system/cpu"
RAPL = "/sys/class/powercap/intel-rapl"


def policy_files(
    number: int, *, table: str | None = TABLE, least=1200000, greatest=2400000
) -> dict[str, str]:
    files = {
        "scaling_min_freq": least,
        "scaling_max_freq": greatest,
        "cpuinfo_min_freq": 1200000,
        "cpuinfo_max_freq": 2400000,
        **({} if table is None else {"scaling_available_frequencies": table}),
    }
    return {f"{CPU}/cpufreq/policy{number}/{name}": str(text) for name, text in files.items()}


def policy(sysfs: MemorySysfs, number: int, **more) -> str:
    for path, text in policy_files(number, **more).items():
        sysfs.put(path, text)
    return f"{CPU}/cpufreq/policy{number}"


def counter(sysfs: MemorySysfs, number: str, label: str, energy_uj: int) -> str:
    folder = f"{RAPL}:{number}"
    sysfs.put(f"{folder}/name", label)
    sysfs.put(f"{folder}/max_energy_range_uj", 1_000_000)
    return sysfs.put(f"{folder}/energy_uj", energy_uj)


@pytest.fixture
def sysfs():
    return MemorySysfs()


@pytest.fixture
def opened(sysfs, tmp_path):
    """Return what opens the made-up processor, as another process would: with a journal in a folder."""

    def opened(options: str = "", **more) -> CpuDevice:
        usual = {"sysfs": sysfs, "journal": Journal(tmp_path / "journal"), "clock": VirtualClock()}
        return CpuDevice(options, **{**usual, **more})

    return opened


def ends(sysfs: Sysfs, folder: str) -> tuple[int, int]:
    return int(sysfs.read(f"{folder}/scaling_min_freq")), int(sysfs.read(f"{folder}/scaling_max_freq"))


def test_a_machine_that_offers_nothing_has_cores_and_says_what_is_missing(opened):
    device = opened()
    assert device.space.names == ("cpu_cores",)
    assert len(device.space) == len(os.sched_getaffinity(0))
    assert device.rails == ()
    assert [(reason.what, reason.why) for reason in device.missing] == [
        ("cpu_mhz", Why.ABSENT),
        ("power sensor", Why.ABSENT),
    ]
    notes = " ".join(device.notes())
    assert "No cpu_mhz: the kernel offers no cpufreq here." in notes
    assert "No power sensor, so profiles have times alone: the kernel offers no RAPL counters here." in notes
    with pytest.raises(DeviceError, match="no power sensor"):
        device.read_power()
    with pytest.raises(DeviceError, match="has no cpu_mhz: the kernel offers no cpufreq"):
        opened("cpu_mhz=1200")


def test_a_clock_is_held_in_all_policies_and_comes_back(sysfs, opened):
    folders = [policy(sysfs, 0), policy(sysfs, 4, least=1800000), policy(sysfs, 10)]
    device = opened("cpu_cores=1")
    assert device.space.knob("cpu_mhz").values == (1200, 1800, 2400)
    before = [ends(sysfs, folder) for folder in folders]
    for mhz in device.space.knob("cpu_mhz").values:
        with device.hold(PowerMode(cpu_cores=1, cpu_mhz=mhz)):
            assert [ends(sysfs, folder) for folder in folders] == [(mhz * 1000, mhz * 1000)] * 3
    assert [ends(sysfs, folder) for folder in folders] == before


def test_a_driver_without_a_table_offers_steps_between_its_ends(sysfs, opened):
    policy(sysfs, 0, table=None)
    values = opened().space.knob("cpu_mhz").values
    assert (values[0], values[-1], len(values)) == (1200, 2400, 8)


def test_clocks_that_the_firmware_forbids_are_not_offered(sysfs, opened):
    sysfs.put(f"{policy(sysfs, 0, greatest=1800000)}/bios_limit", 1_800_000)
    assert opened("cpu_cores=1").space.knob("cpu_mhz").values == (1200, 1800)


def test_the_processors_name_is_short_and_holds_nothing_that_a_terminal_obeys(sysfs, opened):
    sysfs.put("/proc/cpuinfo", "model name : Odd\x1b[31m\0Processor" + 500 * "x")
    name = opened("cpu_cores=1").name
    assert name.startswith("Odd")
    assert name.isprintable()
    assert len(name) < 150


def test_after_a_kill_another_process_restores_the_clock(tmp_path):
    for path, text in policy_files(0).items():
        file = tmp_path / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    code = """
import os, signal, sys
from pathlib import Path
from powertrain.devices import Journal
from powertrain.devices._sysfs import RealSysfs
from powertrain.devices.cpu import CpuDevice
root = Path(sys.argv[1])
device = CpuDevice(sysfs=RealSysfs(root), journal=Journal(root / "journal"))
with device.hold(device.space[0]):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    tree, folder = RealSysfs(tmp_path), f"{CPU}/cpufreq/policy0"
    assert ends(tree, folder) == (1200000, 1200000)
    assert CpuDevice(sysfs=tree, journal=Journal(tmp_path / "journal")).restore()
    assert ends(tree, folder) == (1200000, 2400000)


def test_a_clock_that_may_not_be_written_is_no_knob_and_is_refused_by_its_permission(sysfs, opened):
    path = f"{policy(sysfs, 0)}/scaling_max_freq"
    sysfs.unwritable[path] = errno.EACCES
    device = opened()
    assert "cpu_mhz" not in device.space.names
    assert [reason.why for reason in device.missing if reason.what == "cpu_mhz"] == [Why.FORBIDDEN]
    assert any(f"No cpu_mhz: this user may not write {path}; run sudo" in note for note in device.notes())
    with pytest.raises(DevicePermissionError, match=r"no cpu_mhz: this user may not write .*_max_freq"):
        opened("cpu_mhz=1200")
    with pytest.raises(DevicePermissionError), device.hold(PowerMode(cpu_cores=1, cpu_mhz=1200)):
        pass
    assert sysfs.writes == []


def test_a_clock_that_shows_another_value_is_no_mode(sysfs, opened):
    folder = policy(sysfs, 0)
    sysfs.greatest[f"{folder}/scaling_max_freq"] = 1800000
    with (
        pytest.raises(UnreachableModeError, match="policy0 was set to 2400000 kHz and shows"),
        opened("cpu_cores=1").hold(PowerMode(cpu_cores=1, cpu_mhz=2400)),
    ):
        pass
    assert ends(sysfs, folder)[0] == 1200000


def test_a_policy_that_refuses_to_be_restored_does_not_keep_the_others(sysfs, opened):
    folders = [policy(sysfs, 0), policy(sysfs, 1)]
    device = opened("cpu_cores=1")
    held = device.hold(PowerMode(cpu_cores=1, cpu_mhz=1200))
    held.__enter__()
    sysfs.unwritable[f"{folders[0]}/scaling_max_freq"] = errno.EBUSY
    with pytest.raises(DeviceError, match=r"policy0/scaling_max_freq does not take 2400000 \(Device or"):
        held.__exit__(None, None, None)
    assert ends(sysfs, folders[1]) == (1200000, 2400000)
    sysfs.unwritable.clear()
    assert device.restore()  # the journal still has it
    assert ends(sysfs, folders[0]) == (1200000, 2400000)


def test_a_policy_that_does_not_tell_its_limits_is_not_changed(sysfs, opened):
    policy(sysfs, 0)
    folder = policy(sysfs, 1)
    device = opened("cpu_cores=1")
    before = len(sysfs.writes)
    sysfs.unreadable[f"{folder}/scaling_min_freq"] = errno.EBUSY
    with (
        pytest.raises(UnreachableModeError, match="policy1 does not tell what it is set to"),
        device.hold(PowerMode(cpu_cores=1, cpu_mhz=1200)),
    ):
        pass
    assert not any(folder in path for path, _ in sysfs.writes[before:])


def test_a_service_that_sets_the_clock_back_at_once_makes_the_mode_unreachable(sysfs, opened):
    folder = policy(sysfs, 0)
    clock = VirtualClock()
    device = opened("cpu_cores=1", clock=clock)
    sleep_s = clock.sleep_s

    def undo(duration_s: float) -> None:
        sleep_s(duration_s)
        sysfs.put(f"{folder}/scaling_max_freq", 2400000)

    object.__setattr__(clock, "sleep_s", undo)
    with (
        pytest.raises(UnreachableModeError, match=r"policy0 was set to 1200000 .*something else sets it"),
        device.hold(PowerMode(cpu_cores=1, cpu_mhz=1200)),
    ):
        pass


def test_cores_are_held_for_every_thread_and_child_and_come_back():
    device = open_device("cpu")
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one processor leaves nothing to hold")
    before = os.sched_getaffinity(0)
    with Process([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        with device.hold(PowerMode(cpu_cores=1)):
            assert len(os.sched_getaffinity(0)) == 1
            assert os.sched_getaffinity(child.pid) == os.sched_getaffinity(0)
        assert os.sched_getaffinity(child.pid) == before
        child.communicate(b"\n")
    assert os.sched_getaffinity(0) == before


def test_cores_are_taken_before_their_second_threads(sysfs, opened):
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        pytest.skip("one processor has no order")
    for cpu in cpus:
        sysfs.put(f"{CPU}/cpu{cpu}/topology/thread_siblings_list", f"{cpus[0]}-{cpus[1]}")
    device = opened()
    with device.hold(PowerMode(cpu_cores=1)):
        assert os.sched_getaffinity(0) == {cpus[0]}


def test_power_is_the_sum_of_packages_and_memory_and_counters_may_start_anew(sysfs, opened):
    package = counter(sysfs, "0", "package-0", 900_000)
    counter(sysfs, "0:0", "core", 10)
    memory = counter(sysfs, "0:1", "dram", 100_000)
    clock = VirtualClock()
    device = opened(clock=clock)
    assert device.rails == ("RAPL package-0", "RAPL dram of package-0")
    clock.sleep_s(0.5)
    sysfs.put(package, 400_000)  # half a joule, beyond the end of its range
    sysfs.put(memory, 200_000)
    reading = device.read_power()
    assert reading.power_w == pytest.approx((0.5 + 0.1) / 0.5)
    assert reading.energy_j == pytest.approx(0.6)
    assert device.read_power().power_w == reading.power_w  # no time has passed


def test_the_counter_of_the_whole_platform_is_taken_alone(sysfs, opened):
    counter(sysfs, "0", "package-0", 0)
    counter(sysfs, "1", "psys", 0)
    assert opened().rails == ("RAPL psys",)


def test_a_counter_that_only_root_may_read_is_no_sensor_and_none_is_read_in_its_place(sysfs, opened):
    counter(sysfs, "0", "package-0", 0)
    sysfs.unreadable[counter(sysfs, "1", "package-1", 0)] = errno.EACCES
    device = opened()
    assert device.rails == ()
    assert device.missing[-1].why is Why.FORBIDDEN
    with pytest.raises(DevicePermissionError, match=r"no power sensor: this user may not read .*energy_uj"):
        device.read_power()


def test_temperatures_come_from_the_processors_own_sensor(sysfs, opened):
    sysfs.put("/sys/class/hwmon/hwmon0/name", "nvme")
    sysfs.put("/sys/class/hwmon/hwmon0/temp1_input", 99_000)
    sysfs.put("/sys/class/hwmon/hwmon1/name", "k10temp")
    sysfs.put("/sys/class/hwmon/hwmon1/temp1_input", 41_500)
    sysfs.put("/sys/class/hwmon/hwmon1/temp2_input", -256_000)  # a zone that is switched off
    assert opened().temperature_c() == 41.5


def test_throttling_is_counted_over_all_processors(sysfs, opened):
    for cpu, count in ((0, 3), (1, 4)):
        sysfs.put(f"{CPU}/cpu{cpu}/thermal_throttle/core_throttle_count", count)
    assert opened().throttle_count() == 7


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
