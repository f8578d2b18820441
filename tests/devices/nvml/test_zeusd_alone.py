"""An AMD GPU through zeusd alone, which sets and reads it; zeusd is a stand-in, the driver emulated."""

from __future__ import annotations

import math
import socket
from collections.abc import Generator

import pytest
from tests.devices.nvml.emulated import AT_REST
from tests.devices.nvml.test_nvml import TRAINING
from typing_extensions import override

from powertrain.devices import Journal
from powertrain.devices._sysfs import RealSysfs
from powertrain.devices.zeusd import ZeusdDevice
from powertrain.errors import DeviceError, UnknownModeError
from powertrain.opening import found_here, open_device
from powertrain.records import PowerMode
from powertrain.testing import LiveDeviceSuite

MODE = PowerMode(cpu_cores=1, gpu_mhz=900, power_limit_w=311)


class Alone:
    """The GPUs of a machine without NVIDIA's library."""

    def __init__(self, emulated, stand_in) -> None:
        self.emulated, self.zeusd = emulated, stand_in

    def open(self, options: str = "cpu_cores=1&gpu_mhz=900,1200") -> ZeusdDevice:
        journal, files = Journal(self.emulated.folder / "journal"), RealSysfs(self.emulated.root)
        return ZeusdDevice(0, options, socket=self.zeusd.path, journal=journal, sysfs=files)


@pytest.fixture
def alone(emulated, tmp_path, monkeypatch) -> Generator[Alone]:
    from tests.devices.nvml.zeusd import zeusd

    emulated.set(root=0)
    path = tmp_path / "zeusd.sock"
    monkeypatch.setenv("ZEUSD_SOCK_PATH", str(path))
    monkeypatch.delenv("ZEUSD_TOKEN", raising=False)
    with zeusd(emulated, path) as stand_in:
        stand_in.vendor = "AMD"
        yield Alone(emulated, stand_in)


class TestAGpuOfAnyVendor(LiveDeviceSuite):
    """Everything that a live device does."""

    @pytest.fixture(autouse=True)
    def training(self, alone):
        self.file = alone.emulated.folder / "train.py"
        self.file.write_text(TRAINING)
        self.alone = alone

    @override
    def open_device(self) -> ZeusdDevice:
        return self.alone.open()

    @override
    def workload(self, device: ZeusdDevice) -> str:
        return f"{self.file}:make"

    @override
    def state(self, device: ZeusdDevice) -> object:
        return self.alone.emulated.settings(), self.alone.emulated.kept()


def test_limits_are_found_and_clocks_are_those_that_the_user_names(alone):
    device = alone.open("cpu_cores=1")
    assert device.space.names == ("cpu_cores", "power_limit_w")
    assert device.space.knob("power_limit_w").values[::9] == (200, 700)
    assert any("No gpu_mhz: zeusd does not tell which clocks" in note for note in device.notes())
    assert alone.open().space.knob("gpu_mhz").values == (900, 1200)


def test_a_mode_is_set_and_restored_by_the_reset_that_amd_has(alone):
    alone.emulated.set(limit_mw=650_000)
    device = alone.open()
    with device.hold(MODE):
        assert alone.emulated.settings() == {"limit_mw": 311_000, "graphics_lock": 900, "memory_lock": 0}
        alone.emulated.set(limit_mw=600_000)
        assert "the power limit shows 600 W" in device.still_holds()
        device.state()  # whoever looks changes nothing of what is restored
    assert alone.emulated.settings() == {**AT_REST, "limit_mw": 650_000}


def test_power_and_energy_are_read_through_it_as_far_as_it_tells_them(alone):
    assert alone.open().read_power().energy_j > 0
    alone.zeusd.counts_energy = False
    reading = alone.open().read_power()
    assert reading.power_w > 0
    assert math.isnan(reading.energy_j)


def test_a_zeusd_that_reads_nothing_offers_no_limit_that_it_could_not_restore(alone):
    alone.zeusd.groups.remove("gpu-read")
    device = alone.open("cpu_cores=1")
    assert device.space.names == ("cpu_cores",)
    assert device.rails == ()
    assert any("start it with --enable gpu-read" in note for note in device.notes())


def test_gpus_that_nvml_does_not_have_are_found_by_themselves(alone):
    assert [spec for spec in found_here() if spec.startswith("zeusd")] == ["zeusd:0", "zeusd:1"]
    assert open_device("zeusd:1").name == "AMD Emulated GPU"
    alone.zeusd.vendor = "NVIDIA"
    assert not any(spec.startswith("zeusd") for spec in found_here())


def test_what_is_not_there_is_told_in_one_line(alone, monkeypatch):
    with pytest.raises(DeviceError, match=r"zeusd:7: there is no such GPU, .* has zeusd:0, zeusd:1"):
        open_device("zeusd:7")
    with (
        pytest.raises(DeviceError, match="gpu_mhz=123 is refused"),
        alone.open("gpu_mhz=123").hold_some(PowerMode(gpu_mhz=123)),
    ):
        pass
    assert alone.emulated.settings() == AT_REST
    with pytest.raises(UnknownModeError):
        alone.open("gpu_mhz=fast")
    alone.zeusd.old = True
    with pytest.raises(DeviceError, match="is too old to read GPUs from: install a newer one"):
        open_device("zeusd:0")
    monkeypatch.setenv("ZEUSD_SOCK_PATH", "/nowhere")
    with pytest.raises(DeviceError, match="no zeusd listens here: start it"):
        open_device("zeusd:0")


def test_a_zeusd_that_hangs_or_speaks_something_else_is_told_in_one_line(alone, tmp_path, monkeypatch):
    path = tmp_path / "silent.sock"
    with monkeypatch.context() as impatient, socket.socket(socket.AF_UNIX) as silent:
        impatient.setattr("powertrain.devices.zeusd._client.DISCOVERY_S", 0.05)
        impatient.setenv("ZEUSD_SOCK_PATH", str(path))
        silent.bind(str(path))
        silent.listen()
        with pytest.raises(DeviceError, match=r"does not answer \(timed out\): start it again"):
            open_device("zeusd:0")
        assert not any(spec.startswith("zeusd") for spec in found_here())
    monkeypatch.setenv("ZEUSD_SOCK_PATH", str(alone.zeusd.path))
    for answer in ("[]", "nothing", '{"enabled_api_groups": 3}'):
        monkeypatch.setattr(alone.zeusd, "discover_text", lambda answer=answer: answer)
        with pytest.raises(DeviceError, match="answers /discover with what is no such answer"):
            open_device("zeusd:0")
