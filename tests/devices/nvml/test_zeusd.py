"""A GPU through zeusd, by a user who may not change it; the driver is emulated, and zeusd is a stand-in."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator

import pytest
from tests.devices.nvml.emulated import AT_REST
from tests.devices.nvml.test_nvml import MODE, TRAINING
from typing_extensions import override

from powertrain.devices import Journal
from powertrain.devices.nvml import NvmlDevice
from powertrain.errors import DeviceError, DevicePermissionError
from powertrain.testing import LiveDeviceSuite

HELD = {"limit_mw": 311_000, "graphics_lock": 900, "memory_lock": 1600}


class Through:
    """The GPUs that a zeusd sets, for a user."""

    def __init__(self, emulated, stand_in) -> None:
        self.emulated, self.zeusd = emulated, stand_in

    def open(self, options: str = "cpu_cores=1", **more) -> NvmlDevice:
        usual = {"euid": lambda: 1000, "helper": lambda key: None}
        return self.emulated.open(options, **{**usual, **more})


@pytest.fixture
def through(emulated, tmp_path, monkeypatch) -> Generator[Through]:
    pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
    from tests.devices.nvml.zeusd import zeusd

    emulated.set(root=0)
    path = tmp_path / "zeusd.sock"
    monkeypatch.setenv("ZEUSD_SOCK_PATH", str(path))
    monkeypatch.delenv("ZEUSD_TOKEN", raising=False)
    with zeusd(emulated, path) as stand_in:
        yield Through(emulated, stand_in)


class TestAGpuThroughZeusd(LiveDeviceSuite):
    """Everything that a live device does, by a user who may not change it."""

    @pytest.fixture(autouse=True)
    def training(self, through, monkeypatch):
        monkeypatch.setattr("powertrain.devices.nvml._device.cuda_index", lambda uuid: None)
        self.file = through.emulated.folder / "train.py"
        self.file.write_text(TRAINING)
        self.through = through

    @override
    def open_device(self) -> NvmlDevice:
        return self.through.open()

    @override
    def workload(self, device: NvmlDevice) -> str:
        return f"{self.file}:make"

    @override
    def state(self, device: NvmlDevice) -> object:
        return self.through.emulated.settings(), self.through.emulated.kept()


@pytest.mark.parametrize("old", [False, True], ids=["gpu in the query", "gpu in the path"])
def test_both_protocols_set_a_mode_and_restore_it(through, old):
    through.zeusd.old = old
    through.emulated.set(limit_mw=650_000)
    device = through.open()
    assert device.space.names == ("cpu_cores", "gpu_mhz", "mem_mhz", "power_limit_w")
    assert device.missing == ()
    assert device.notes()[0] == f"zeusd at {through.zeusd.path} sets gpu_mhz, mem_mhz, power_limit_w."
    with device.hold(MODE):
        assert through.emulated.settings() == HELD
        assert through.emulated.kept() == [device.key]
    assert through.emulated.settings() == {**AT_REST, "limit_mw": 650_000}
    assert through.emulated.kept() == []


def test_the_option_names_another_socket_and_is_used_by_root_too(through, monkeypatch):
    monkeypatch.setenv("ZEUSD_SOCK_PATH", "/nowhere")
    assert through.open().space.names == ("cpu_cores",)
    device = through.open(f"zeusd={through.zeusd.path}&gpu_mhz=900&cpu_cores=1", euid=lambda: 0)
    assert device.space.knob("gpu_mhz").values == (900,)
    assert device.spec == f"nvml:0?zeusd={through.zeusd.path}&gpu_mhz=900&cpu_cores=1"
    with device.hold(MODE):
        assert through.emulated.settings() == HELD
    with pytest.raises(DeviceError, match=r"zeusd at /nowhere does not answer \(No such file"):
        through.open("zeusd=/nowhere")


def test_a_helper_that_holds_the_gpu_goes_before_zeusd_and_root_needs_neither(through):
    def broken(key: str) -> None:
        raise DeviceError("it holds another device")

    assert "gpu_mhz" in through.open(helper=broken).space.names
    assert through.open(helper=None).space.names == ("cpu_cores",)  # who asks nobody
    through.emulated.set(root=1)
    through.zeusd.asked.clear()
    assert "gpu_mhz" in through.open(euid=lambda: 0).space.names
    assert through.zeusd.asked == []


def test_a_gpu_is_found_by_its_pci_address_whatever_its_number(through):
    through.zeusd.addresses = ("0000:02:00.0", "0000:01:00.0")
    with through.open().hold(MODE):
        assert through.emulated.settings() == HELD
        assert through.emulated.settings(gpu=1) == AT_REST
    through.zeusd.addresses = ("0000:07:00.0",)
    with pytest.raises(DevicePermissionError, match=r"does not have the GPU at 0000:01:00\.0"):
        through.open("gpu_mhz=900")


def test_a_gpu_whose_number_may_mean_another_one_is_not_set(through):
    through.zeusd.old = True
    through.zeusd.addresses = ("0000:01:00.0", "0000:02:00.0", "0000:03:00.0")
    with pytest.raises(DevicePermissionError, match="has 3 GPUs and 2 are shown here"):
        through.open("gpu_mhz=900")
    assert through.emulated.settings() == AT_REST


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"groups": ["gpu-read"]}, "does not serve gpu-control: start it with --enable gpu-control"),
        ({"token": "secret"}, "asks for a token: .* put it into ZEUSD_TOKEN"),
    ],
    ids=["reads alone", "a token is missing"],
)
def test_a_zeusd_that_does_not_do_it_is_told_in_one_line(through, change, told):
    vars(through.zeusd).update(change)
    with pytest.raises(DevicePermissionError, match=f"zeusd cannot be used: .*{told}") as refused:
        through.open("gpu_mhz=900")
    assert "\n" not in str(refused.value)


def test_a_token_is_shown_and_never_printed(through, monkeypatch):
    through.zeusd.token = "secret"
    monkeypatch.setenv("ZEUSD_TOKEN", "secret")
    with through.open().hold(MODE):
        assert through.emulated.settings() == HELD
    assert through.emulated.settings() == AT_REST
    monkeypatch.setenv("ZEUSD_TOKEN", "wrong-one")
    with pytest.raises(DeviceError, match="put a valid token into ZEUSD_TOKEN") as refused:
        through.open("gpu_mhz=900")
    assert "wrong-one" not in str(refused.value)


def test_a_zeusd_that_dies_while_a_mode_is_held_leaves_a_journal_for_the_next(through, tmp_path):
    from tests.devices.nvml.zeusd import zeusd

    with zeusd(through.emulated, tmp_path / "other.sock") as dying:
        device = through.open(f"zeusd={dying.path}&cpu_cores=1")
        hold = device.hold(MODE)
        hold.__enter__()
    with pytest.raises(DeviceError, match=r"does not answer .* start it again .* powertrain restore"):
        hold.__exit__(None, None, None)
    assert through.emulated.settings() == HELD
    assert through.emulated.kept() == [device.key]
    with zeusd(through.emulated, tmp_path / "other.sock"):
        assert through.open(f"zeusd={dying.path}&cpu_cores=1").restore()
    assert through.emulated.settings() == AT_REST
    assert Journal(through.emulated.folder / "journal").devices() == []


def test_a_signal_while_zeusd_works_restores_after_what_it_was_asked(through, monkeypatch):
    device = through.open()
    answer, locking, unlocked = through.zeusd.post, [], threading.Event()

    def slow(target, body, authorization):
        if "set_gpu_locked_clocks" in target and not locking:
            locking.append(target)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)  # it waits for this answer
            unlocked.wait(0.1)  # in which a restoration that does not wait would come first
        if "reset_gpu" in target:
            unlocked.set()
        return answer(target, body, authorization)

    monkeypatch.setattr(through.zeusd, "post", slow)
    with pytest.raises(KeyboardInterrupt), device.hold(MODE):
        pass
    assert locking
    assert unlocked.is_set()
    assert through.emulated.settings() == AT_REST
    assert through.emulated.kept() == []
