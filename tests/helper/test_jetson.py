"""Emulated Jetsons through a helper, which is root there, by a user who may write nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.helper.serving import served
from typing_extensions import override

from powertrain.devices import AbstractLiveDevice, Journal, VirtualClock
from powertrain.devices.jetson import JetsonDevice
from powertrain.devices.remote import HelperClient, HelperPart
from powertrain.errors import DeviceBusyError, DevicePermissionError
from powertrain.records import PowerMode
from powertrain.testing import LiveDeviceSuite
from powertrain.virtual.emulated import EmulatedSysfs, Faults


@contextlib.contextmanager
def through_it(
    folder: Path, *, name: str = "orin-agx@jp6", faults: Faults | None = None
) -> Generator[tuple[EmulatedSysfs, JetsonDevice, JetsonDevice]]:
    """Yield an emulated Jetson, the device that a helper holds, and that of a user who may write nothing."""
    emulated = EmulatedSysfs(name, clock=VirtualClock(), faults=faults)
    journal = Journal(folder / "journal")
    device = JetsonDevice(sysfs=emulated, clock=emulated.clock, journal=journal, simulated=True)
    with served(device, folder) as helper, contextlib.closing(HelperClient(helper.path)) as client:
        mine = JetsonDevice(
            sysfs=emulated.seen_by("nobody"),
            clock=emulated.clock,
            journal=Journal(folder / "mine"),
            helper=lambda key: HelperPart(client),
            jobs=lambda workload, _data: emulated.job(workload),
            simulated=True,
        )
        yield emulated, device, mine


class TestAnyJetson(LiveDeviceSuite):
    """All that a live device does, by a user who may write nothing."""

    @pytest.fixture(autouse=True, params=["nano@jp4", "xavier-nx@jp5", "orin-agx@jp6", "thor@jp7"])
    def serve(self, request: pytest.FixtureRequest, tmp_path: Path) -> Generator[None]:
        with through_it(tmp_path, name=request.param) as (self.emulated, _, self.mine):
            yield

    @override
    def open_device(self) -> JetsonDevice:
        return self.mine

    @override
    def state(self, device: AbstractLiveDevice) -> object:
        return self.emulated.state()

    @override
    def workload(self, device: AbstractLiveDevice) -> str:
        return "resnet18"


class TestABoardThroughIt:
    """An emulated Jetson: the helper is root, and this user may write nothing."""

    @staticmethod
    def boards(folder: Path, faults: Faults | None = None):
        return through_it(folder, faults=faults)

    def test_has_the_modes_that_the_helper_has(self, tmp_path: Path):
        with self.boards(tmp_path) as (_, device, mine):
            assert mine.space == device.space
            assert mine.stock_modes() == device.stock_modes()
            assert any("powertrain-helper sets cpu_cores" in note for note in mine.notes())

    def test_shows_its_settings_so_that_they_can_be_compared(self, tmp_path: Path):
        with self.boards(tmp_path) as (_, _, mine):
            before = mine.state()
            assert before["powertrain-helper"]["cpu clocks"]
            with mine.hold(mine.space[7]):
                assert mine.state() != before
            assert mine.state() == before

    def test_is_kept_for_one_user_between_modes(self, tmp_path: Path):
        with self.boards(tmp_path) as (_, device, mine):
            with mine.reserved():
                with mine.hold(mine.space[7]):
                    pass
                client = HelperClient(tmp_path / "run/helper.sock")
                with pytest.raises(DeviceBusyError):
                    client.hold(device.space[7])
                client.close()
            with mine.hold(mine.space[7]):
                pass

    def test_that_something_else_sets_is_noticed(self, tmp_path: Path):
        with self.boards(tmp_path) as (emulated, _, mine), mine.hold(mine.space[7]):
            assert mine.still_holds() == ""
            emulated.apply("MAXN")
            assert "was set to" in mine.still_holds()

    def test_leaves_no_journal_of_the_user_s(self, tmp_path: Path):
        with self.boards(tmp_path) as (_, _, mine), mine.hold(mine.space[7]):
            assert Journal(tmp_path / "mine").devices() == []
            assert Journal(tmp_path / "journal").devices() == ["jetson"]

    def test_whose_monitors_are_root_s_is_read_by_the_helper(self, tmp_path: Path):
        with self.boards(tmp_path, faults=Faults(sensors_root_only=True)) as (_, device, mine):
            assert mine.rails == device.rails
            assert mine.read_power().power_w == pytest.approx(device.read_power().power_w, rel=0.1)
            assert any("from powertrain-helper" in note for note in mine.notes())

    def test_whose_helper_refuses_says_why(self, tmp_path: Path):
        emulated = EmulatedSysfs("orin-agx@jp6", clock=VirtualClock())

        def refuse(key: str) -> HelperPart:
            raise DevicePermissionError("this user is not in the group powertrain")

        mine = JetsonDevice(
            sysfs=emulated.seen_by("nobody"), clock=emulated.clock, helper=refuse, simulated=True
        )
        assert any("not in the group powertrain" in note for note in mine.notes())
        with (
            pytest.raises(DevicePermissionError, match="not in the group powertrain"),
            mine.hold(PowerMode({"gpu_mhz": 612.0, "cpu_cores": 1.0})),
        ):
            pass


def test_a_helper_that_may_not_switch_processors_does_not_offer_the_affinity_of_its_own_process():
    # As in a container with a read-only /sys: `cpu_cores` would be those of the helper, and of no training.
    emulated = EmulatedSysfs("orin-agx@jp6", clock=VirtualClock())
    seen = emulated.seen_by("nobody")
    assert JetsonDevice(sysfs=seen, clock=emulated.clock, simulated=True).space.names == ("cpu_cores",)
    with pytest.raises(DevicePermissionError, match="has no cpu_cores: this user may not write"):
        JetsonDevice(sysfs=seen, clock=emulated.clock, simulated=True, for_others=True)
