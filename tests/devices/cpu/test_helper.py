"""The clocks of a processor through a helper, by a user who may not write them; the files are in memory."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Generator
from copy import copy

import pytest
from tests.devices.cpu.test_cpu import CPU, counter, ends, policy
from tests.devices.files import MemorySysfs
from tests.helper.serving import served

from powertrain.devices import DeviceSpec, Journal, VirtualClock
from powertrain.devices.cpu import KIND, CpuDevice
from powertrain.devices.remote import HelperClient, HelperPart
from powertrain.errors import DeviceError, DevicePermissionError, UnreachableModeError
from powertrain.records import PowerMode

MODE = PowerMode(cpu_cores=1, cpu_mhz=1200)


@pytest.fixture
def sysfs() -> MemorySysfs:
    made = MemorySysfs()
    policy(made, 0)
    policy(made, 1)
    return made


def seen_by_a_user(sysfs: MemorySysfs) -> MemorySysfs:
    """Return the same files, none of which may be written."""
    seen = copy(sysfs)
    seen.unwritable = dict.fromkeys(sysfs.files, errno.EACCES)
    return seen


def opened(sysfs: MemorySysfs, folder, options: str = "", **more) -> CpuDevice:
    return CpuDevice(options, sysfs=sysfs, journal=Journal(folder), clock=VirtualClock(), **more)


@pytest.fixture
def mine(sysfs, tmp_path) -> Generator[CpuDevice]:
    root = opened(sysfs, tmp_path / "root", for_others=True)
    with served(root, tmp_path) as helper, contextlib.closing(HelperClient(helper.path)) as client:
        yield opened(seen_by_a_user(sysfs), tmp_path / "mine", helper=lambda key: HelperPart(client))


def test_the_helper_holds_the_clock_and_the_user_the_cores(sysfs, mine, tmp_path):
    assert mine.space.names == ("cpu_cores", "cpu_mhz")
    assert not any(reason.what == "cpu_mhz" for reason in mine.missing)
    cpus, before = os.sched_getaffinity(0), ends(sysfs, f"{CPU}/cpufreq/policy0")
    with mine.hold(MODE):
        assert [ends(sysfs, f"{CPU}/cpufreq/policy{n}") for n in (0, 1)] == [(1200000, 1200000)] * 2
        assert len(os.sched_getaffinity(0)) == 1
        assert mine.still_holds() == ""
        assert Journal(tmp_path / "root").devices() == ["cpu"]
        assert Journal(tmp_path / "mine").devices() == []
        sysfs.put(f"{CPU}/cpufreq/policy1/scaling_max_freq", 2400000)
        assert "policy1 was set to 1200000 kHz" in mine.still_holds()
    assert ends(sysfs, f"{CPU}/cpufreq/policy0") == before
    assert os.sched_getaffinity(0) == cpus


def test_what_the_helper_cannot_set_leaves_the_cores_as_they_were(sysfs, mine):
    cpus = os.sched_getaffinity(0)
    sysfs.greatest[f"{CPU}/cpufreq/policy1/scaling_max_freq"] = 1800000
    with (
        pytest.raises(UnreachableModeError, match="policy1 was set to 2400000 kHz and shows"),
        mine.hold(MODE.replace(cpu_mhz=2400)),
    ):
        pass
    assert os.sched_getaffinity(0) == cpus


def test_a_helper_that_refuses_is_told_with_what_to_do(sysfs, tmp_path):
    def refuse(key: str) -> HelperPart:
        raise DevicePermissionError("this user is not in the group powertrain")

    device = opened(seen_by_a_user(sysfs), tmp_path, helper=refuse)
    (reason,) = (reason for reason in device.missing if reason.what == "cpu_mhz")
    assert "the helper cannot be used: this user is not in the group powertrain" in reason.sentence
    with pytest.raises(DevicePermissionError, match="not in the group"), device.hold(MODE):
        pass


def test_a_machine_without_clocks_has_nothing_that_a_helper_could_hold(tmp_path):
    with pytest.raises(DeviceError, match="has no cpu_mhz: the kernel offers no cpufreq here"):
        opened(MemorySysfs(), tmp_path, for_others=True)
    assert KIND.service is not None
    with pytest.raises(DeviceError, match="cpu has no cpu_mhz"):
        KIND.service(DeviceSpec("cpu"), tmp_path)


def test_energy_counters_that_are_root_s_are_not_read_for_others(sysfs, tmp_path):
    # Linux keeps them for root since they told of other processes' secrets (CVE-2020-8694).
    secret = counter(sysfs, "0", "package-0", 0)
    root = opened(sysfs, tmp_path / "root", for_others=True)
    with served(root, tmp_path) as helper, contextlib.closing(HelperClient(helper.path)) as client:
        seen = seen_by_a_user(sysfs)
        seen.unreadable = {secret: errno.EACCES}
        mine = opened(seen, tmp_path / "mine", helper=lambda key: HelperPart(client))
        assert mine.rails == ()
        assert client.read().rails_w == {}
