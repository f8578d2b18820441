"""What every device does, and what every live one does besides."""

# The names of the tests are their documentation.

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import contextmanager

import numpy as np
import pytest

from powertrain.devices import AbstractDevice, AbstractLiveDevice, AbstractTabulatedDevice, is_simulated
from powertrain.errors import DeviceError, MissingKnobError, UnknownNameError
from powertrain.profiling import Procedure, profile_modes
from powertrain.records import ModeTable, PowerMode
from powertrain.units import ms_from_s
from powertrain.workloads import job_name

__all__ = ["DeviceSuite", "LiveDeviceSuite", "TabulatedDeviceSuite"]


def beside(mode: PowerMode) -> PowerMode:
    """Return a mode that no device has: one value is a little off."""
    knob, value = next(iter(mode.items()))
    return mode.replace(**{knob: value + 1e-3})


class DeviceSuite(ABC):
    """What every device does. Subclass it as `TestX` and implement `open_device`."""

    @abstractmethod
    def open_device(self) -> AbstractDevice:
        """Return the device under test: seven modes or more, and a workload."""

    def some_modes(self, device: AbstractDevice, workload: str) -> ModeTable:
        """Return seven modes in which the workload can be measured."""
        modes = device.modes(workload=workload)
        return modes.take(np.linspace(0, len(modes) - 1, 7).astype(int))

    def test_its_name_says_whether_it_is_simulated(self) -> None:
        device = self.open_device()
        assert is_simulated(device.name) == device.simulated

    def test_its_modes_are_distinct_and_lie_in_its_space(self) -> None:
        device = self.open_device()
        modes = device.modes()
        assert len(modes) > 0
        assert modes.knobs == device.space.names
        assert len(np.unique(modes.values, axis=0)) == len(modes)
        assert all(modes[i] in device.space for i in (0, len(modes) // 2, len(modes) - 1))

    def test_its_stock_modes_are_modes_of_its_space(self) -> None:
        device = self.open_device()
        assert all(mode in device.space for mode in device.stock_modes().values())

    def test_it_says_something_about_itself(self) -> None:
        notes = self.open_device().notes()
        assert notes
        assert all(note.endswith(".") for note in notes)


class TabulatedDeviceSuite(DeviceSuite):
    """What a device that answers for any mode at once does in addition."""

    @abstractmethod
    def open_device(self) -> AbstractTabulatedDevice:
        """Return the device under test."""

    def test_every_workload_can_be_measured_in_each_of_its_modes(self) -> None:
        device = self.open_device()
        for workload in device.workloads():
            modes = device.modes(workload=workload)
            table = device.measure(workload, modes)
            assert (table.device, table.workload) == (device.name, workload)
            np.testing.assert_array_equal(table.modes.values, modes.values)
            assert table.has_time or table.has_power

    def test_a_measurement_does_not_depend_on_the_order_or_the_company_of_the_modes(self) -> None:
        device = self.open_device()
        workload = device.workloads()[0]
        modes = self.some_modes(device, workload)
        together = device.measure(workload, modes, seed=3)
        backwards = device.measure(workload, modes.take(np.arange(len(modes))[::-1]), seed=3)
        np.testing.assert_array_equal(together.time_ms, backwards.time_ms[::-1])
        np.testing.assert_array_equal(together.power_w, backwards.power_w[::-1])
        for row in range(len(modes)):
            alone = device.measure(workload, modes.take([row]), seed=3)
            assert alone.time_ms[0] == together.time_ms[row]

    def test_the_order_of_the_knobs_does_not_matter(self) -> None:
        device = self.open_device()
        workload = device.workloads()[0]
        modes = self.some_modes(device, workload)
        knobs = modes.knobs[::-1]
        turned = ModeTable(knobs=knobs, values=modes.select(knobs))
        expected, table = device.measure(workload, modes), device.measure(workload, turned)
        assert table.modes.knobs == device.space.names
        np.testing.assert_array_equal(table.modes.values, modes.values)
        np.testing.assert_array_equal(table.time_ms, expected.time_ms)

    def test_a_mode_asked_twice_answers_twice_the_same(self) -> None:
        device = self.open_device()
        workload = device.workloads()[0]
        table = device.measure(workload, device.modes(workload=workload).take([2, 0, 2]))
        assert table.time_ms[0] == table.time_ms[2]
        assert len(table) == 3

    def test_measuring_no_modes_gives_an_empty_table(self) -> None:
        device = self.open_device()
        none = device.modes().take(np.array([], dtype=int))
        assert len(device.measure(device.workloads()[0], none)) == 0

    def test_modes_survive_being_printed_and_parsed(self) -> None:
        device = self.open_device()
        workload = device.workloads()[0]
        modes = self.some_modes(device, workload)
        copied = ModeTable.of([PowerMode.parse(str(mode)) for mode in modes])
        np.testing.assert_allclose(
            device.measure(workload, copied).time_ms, device.measure(workload, modes).time_ms
        )

    def test_an_unknown_workload_is_refused_with_the_nearest(self) -> None:
        device = self.open_device()
        name = device.workloads()[0]
        with pytest.raises(UnknownNameError, match=f"did you mean '{name}'"):
            device.measure(name + "x", device.modes().take([0]))
        with pytest.raises(UnknownNameError):
            device.modes(workload=name + "x")

    def test_a_mode_that_does_not_exist_is_refused_with_the_nearest(self) -> None:
        device = self.open_device()
        workload = device.workloads()[0]
        mode = device.modes(workload=workload)[0]
        wrong = ModeTable.of([beside(mode)])
        with pytest.raises(DeviceError, match=rf"nearest.*{next(iter(mode.values())):g}"):
            device.measure(workload, wrong)

    def test_missing_and_unknown_knobs_are_refused_by_name(self) -> None:
        device = self.open_device()
        workload = device.workloads()[0]
        modes = device.modes(workload=workload).take([0])
        fewer = ModeTable(knobs=modes.knobs[1:], values=modes.values[:, 1:])
        more = ModeTable(knobs=(*modes.knobs, "warp"), values=np.append(modes.values, [[1.0]], axis=1))
        for wrong in (fewer, more):
            with pytest.raises(MissingKnobError, match=device.space.names[0]):
                device.measure(workload, wrong)


class LiveDeviceSuite(DeviceSuite):
    """What every live device does in addition. Also implement `state`."""

    @abstractmethod
    def open_device(self) -> AbstractLiveDevice:
        """Return the device under test."""

    def workload(self, device: AbstractLiveDevice) -> str:
        """Return a workload that takes little time to train."""
        return device.workloads()[0]

    @abstractmethod
    def state(self, device: AbstractLiveDevice) -> object:
        """Return everything about the device that holding a mode may change, in a form to compare."""

    def test_what_it_was_before_a_mode_was_held_it_is_again_on_every_way_out(self) -> None:
        device = self.open_device()
        before = self.state(device)
        modes = self.some_modes(device, self.workload(device))

        def leave_by(error: type[BaseException], mode: PowerMode) -> None:
            with device.hold(mode):
                raise error

        for mode, error in zip(modes, (KeyboardInterrupt, ValueError, SystemExit), strict=False):
            with pytest.raises(error):
                leave_by(error, mode)
            assert self.state(device) == before
        with device.hold(modes[0]):
            pass
        assert self.state(device) == before

    def test_it_is_given_back_when_a_run_is_left_in_the_middle(self) -> None:
        device = self.open_device()
        before, workload = self.state(device), self.workload(device)
        run = profile_modes(device, workload, self.some_modes(device, workload).take([0, 1]))
        next(run)
        run.close()
        assert self.state(device) == before

    def test_some_knobs_are_held_and_the_others_stay_as_they_are(self) -> None:
        device = self.open_device()
        before, ends = self.state(device), device.in_force()
        mode = self.some_modes(device, self.workload(device))[0]
        name = next(knob.name for knob in device.space.knobs if len(knob.values) > 1)
        try:
            with device.hold_some(PowerMode({name: mode[name]})):
                during = device.in_force()
        except MissingKnobError:
            return  # its knobs are set together, and it says so
        assert self.state(device) == before
        assert during.keys() == ends.keys()
        for knob, (least, greatest) in during.items():
            expected = (mode[name], mode[name]) if knob == name else ends[knob]
            np.testing.assert_allclose((least, greatest), expected)

    def test_a_mode_cannot_be_held_inside_another(self) -> None:
        device = self.open_device()
        mode = self.some_modes(device, self.workload(device))[0]
        with device.hold(mode), pytest.raises(DeviceError, match="holds a mode already"), device.hold(mode):
            pass

    def test_a_mode_that_it_lacks_is_refused_before_anything_changes(self) -> None:
        device = self.open_device()
        before, mode = self.state(device), self.some_modes(device, self.workload(device))[0]
        with (
            pytest.raises(DeviceError, match="nearest"),
            device.hold(beside(mode)),
        ):
            pass
        with pytest.raises(UnknownNameError):
            device.job(self.workload(device) + "x")
        assert self.state(device) == before

    def test_power_is_read_where_there_are_rails_and_refused_where_there_are_none(self) -> None:
        device = self.open_device()
        with self._training(device):
            if not device.rails:
                with pytest.raises(DeviceError, match="no power sensor"):
                    device.read_power()
                return
            reading = device.read_power()
        assert all(watts >= 0 for watts in reading.rails_w.values())
        assert reading.power_w > 0
        assert reading.time_s <= device.clock.now_s()

    def test_work_takes_time_on_its_clock(self) -> None:
        device = self.open_device()
        before_s = device.clock.now_s()
        with self._training(device):
            assert device.clock.now_s() > before_s
        assert device.throttle_count() >= 0
        assert np.isnan(device.temperature_c()) or -40 < device.temperature_c() < 130

    def test_what_it_says_of_the_machine_is_text(self) -> None:
        said = self.open_device().environment()
        assert all(isinstance(name, str) and isinstance(text, str) for name, text in said.items())

    def test_there_is_nothing_to_restore_when_nothing_was_left_behind(self) -> None:
        device = self.open_device()
        with device.hold(self.some_modes(device, self.workload(device))[0]):
            pass
        assert not device.restore()

    @contextmanager
    def _training(self, device: AbstractLiveDevice) -> Generator[None]:
        """Hold a mode in which one minibatch has been trained."""
        mode = self.some_modes(device, self.workload(device))[0]
        with device.job(self.workload(device)) as job, device.hold(mode):
            job.prepare(mode)
            job.step()
            yield

    def test_a_profile_of_a_mode_says_what_it_cost(self) -> None:
        device = self.open_device()
        workload = self.workload(device)
        mode = self.some_modes(device, workload).take([6])
        (profile,) = profile_modes(device, workload, mode, procedure=Procedure(most_minibatches=5))
        assert (profile.device, profile.workload, profile.mode) == (device.name, job_name(workload), mode[0])
        assert ms_from_s(profile.duration_s) >= 4 * profile.time_ms
