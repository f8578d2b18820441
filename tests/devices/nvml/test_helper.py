"""A GPU through a helper, which is root there, by a user who may not change it; the driver is emulated."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator

import pytest
from tests.api_server import api_server
from tests.devices.nvml.emulated import AT_REST, UNKNOWN
from tests.devices.nvml.test_nvml import MODE, TRAINING
from tests.helper.serving import served
from tests.waiting import until
from typing_extensions import override

from powertrain.devices import DeviceSpec, Journal
from powertrain.devices.nvml import KIND, NvmlDevice
from powertrain.devices.remote import HelperClient, HelperPart, ask_helper
from powertrain.errors import DeviceBusyError, DeviceError, DevicePermissionError
from powertrain.fleet import known_modes
from powertrain.integrations.kubernetes import Agent, ApiServer, Pace
from powertrain.records import PowerMode
from powertrain.testing import LiveDeviceSuite


class Through:
    """The GPU that a helper holds, and that of a user."""

    def __init__(self, emulated, path, client) -> None:
        self.emulated, self.path, self.client = emulated, path, client
        self.mine = self.open("cpu_cores=1")

    def open(self, options: str = "", **more) -> NvmlDevice:
        journal = Journal(self.emulated.folder / "mine")
        usual = {"euid": lambda: 1000, "journal": journal, "helper": lambda key: HelperPart(self.client)}
        return self.emulated.open(options, **{**usual, **more})


@pytest.fixture
def through(emulated) -> Generator[Through]:
    device = emulated.open("", for_others=True)
    with (
        served(device, emulated.folder) as helper,
        contextlib.closing(HelperClient(helper.path)) as client,
    ):
        yield Through(emulated, helper.path, client)
    assert emulated.settings() == AT_REST


class TestAGpuThroughAHelper(LiveDeviceSuite):
    """Everything that a live device does, by a user who may not change it."""

    @pytest.fixture(autouse=True)
    def training(self, through, monkeypatch):
        monkeypatch.setattr("powertrain.devices.nvml._device.cuda_index", lambda uuid: None)
        self.file = through.emulated.folder / "train.py"
        self.file.write_text(TRAINING)
        self.through = through

    @override
    def open_device(self) -> NvmlDevice:
        return self.through.open("cpu_cores=1")

    @override
    def workload(self, device: NvmlDevice) -> str:
        return f"{self.file}:make"

    @override
    def state(self, device: NvmlDevice) -> object:
        return self.through.emulated.settings(), self.through.emulated.kept()


def test_the_helper_has_the_knobs_of_the_gpu_and_not_the_cores_of_its_own_process(emulated):
    device = emulated.open("", for_others=True)
    assert device.space.names == ("gpu_mhz", "mem_mhz", "power_limit_w")
    assert device.stock_modes() == {}


def test_a_user_has_the_knobs_of_root_and_the_cores_of_their_own_process(through):
    root = through.emulated.open("cpu_cores=1")
    assert through.mine.space == root.space
    assert len(through.mine.modes()) == len(root.modes())
    assert through.mine.missing == root.missing == ()
    assert any("powertrain-helper sets gpu_mhz, mem_mhz, power_limit_w" in n for n in through.mine.notes())


def test_a_mode_is_set_by_the_helper_which_keeps_the_journal(through):
    before = through.mine.state()
    with through.mine.hold(MODE):
        settings = {"limit_mw": 311_000, "graphics_lock": 900, "memory_lock": 1600}
        assert through.emulated.settings() == settings
        assert through.mine.still_holds() == ""
        assert through.mine.state() != before
        assert through.emulated.kept() == [through.mine.key]
        assert Journal(through.emulated.folder / "mine").devices() == []
        through.emulated.set(limit_mw=600_000)
        assert "the power limit shows 600 W" in through.mine.still_holds()
    assert through.emulated.settings() == AT_REST
    assert through.mine.state() == before


def test_clocks_that_do_not_exist_together_are_refused_before_anything_is_written(through):
    with pytest.raises(DeviceError, match="not together"), through.mine.hold(MODE.replace(gpu_mhz=1800)):
        pass
    assert through.emulated.get("writes") == 0


def test_a_limit_that_the_helper_reads_back_as_another_is_unreachable_and_put_back(through):
    through.emulated.set(rounds_limit=1)
    with pytest.raises(DeviceError, match="set to 311 W and shows 310 W"), through.mine.hold(MODE):
        pass
    assert through.emulated.settings() == AT_REST


def test_a_client_that_leaves_gets_the_gpu_restored(through):
    client = HelperClient(through.path)
    client.hold(PowerMode({name: value for name, value in MODE.items() if name != "cpu_cores"}))
    assert through.emulated.get("graphics_lock") == 900
    client.close()
    until(lambda: through.emulated.settings() == AT_REST)


def test_one_user_at_a_time_holds_the_gpu(through):
    other = HelperClient(through.path)
    other.reserve()
    with pytest.raises(DeviceBusyError), through.mine.hold(MODE):
        pass
    other.free()
    with through.mine.reserved(), through.mine.hold(MODE), pytest.raises(DeviceBusyError):
        other.reserve()
    other.close()


def test_what_the_helper_could_not_restore_is_restored_when_it_tries_again(through, caplog):
    with (
        pytest.raises(DeviceError, match="could not be restored; the helper keeps trying"),
        through.mine.hold(MODE),
    ):
        through.emulated.fail("nvmlDeviceResetGpuLockedClocks", UNKNOWN)
    assert through.emulated.settings() == {**AT_REST, "graphics_lock": 900}
    through.emulated.fail("", 0)


def test_a_helper_of_another_gpu_is_not_asked_to_set_this_one(through, monkeypatch):
    monkeypatch.setenv("POWERTRAIN_HELPER_SOCKET", str(through.path))
    assert through.open(helper=ask_helper).space.names[1:] == ("gpu_mhz", "mem_mhz", "power_limit_w")
    second = through.open(index=1, helper=ask_helper)
    assert second.space.names == ("cpu_cores",)
    with pytest.raises(DevicePermissionError, match=r"cannot be used: it holds nvml:0 .* no other"):
        through.open("gpu_mhz=900", index=1, helper=ask_helper)


def test_root_asks_no_helper(through):
    def never(key: str) -> None:
        raise AssertionError("asked")

    assert "gpu_mhz" in through.open(euid=lambda: 0, helper=never).space.names


def test_an_agent_of_a_cluster_keeps_a_budget_through_the_helper_by_the_power_limit_alone(through):
    stop = threading.Event()
    with api_server() as cluster:
        cluster.annotate("power-budget-w", "320")
        server, known = ApiServer(cluster.url, "node-7"), known_modes(through.mine)
        agent = Agent(server, through.mine, known, name="agent-1", pace=Pace(least_wait_s=0.01))
        running = threading.Thread(target=agent.run, args=(stop,))
        running.start()
        try:
            cluster.status_is("keeps 320 W with at most 311.0 W: power_limit_w=311")
            assert through.emulated.settings() == {
                "limit_mw": 311_000,
                "graphics_lock": 1800,
                "memory_lock": 2600,
            }
        finally:
            stop.set()
            until(lambda: cluster.cut_watches() or not running.is_alive())
    assert through.emulated.settings() == AT_REST


def test_a_helper_for_a_gpu_needs_what_its_driver_asks_for_and_there_must_be_such_a_gpu(emulated, tmp_path):
    assert KIND.service is not None
    needs = KIND.service(DeviceSpec("nvml:1"), tmp_path)
    assert (needs.capabilities, needs.writable) == (("CAP_SYS_ADMIN",), ())
    with pytest.raises(DeviceError, match=r"nvml:2: there is no such GPU, .* shows nvml:0, nvml:1"):
        KIND.service(DeviceSpec("nvml:2"), tmp_path)
