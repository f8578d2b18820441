"""What every device promises, checked on each of them."""

from __future__ import annotations

import numpy as np
import pytest

from powertrain.devices import BOARDS, AbstractDevice, ReplayDevice, is_simulated, open_device
from powertrain.errors import DeviceError, MissingKnobError, UnknownNameError
from powertrain.records import ModeTable, ProfileTable


def replayed() -> ReplayDevice:
    modes = ModeTable(
        knobs=("gpu_mhz", "power_limit_w"), values=np.array([[300.5, 20], [300.5, 30], [900, 30], [1200, 40]])
    )
    first = ProfileTable(
        device="Toy board",
        workload="bert",
        modes=modes,
        time_ms=np.array([40.0, 39, 14, 10]),
        power_w=np.array([9.0, 9.1, 20, 31]),
    )
    second = ProfileTable(
        device="Toy board",
        workload="lstm",
        modes=modes.take([3, 0]),
        time_ms=np.array([2.0, 7]),
        power_w=np.full(2, np.nan),
    )
    return ReplayDevice([first, second], spec="replay:toy.csv")


@pytest.fixture(params=[*BOARDS, "replay"])
def device(request: pytest.FixtureRequest) -> AbstractDevice:
    return replayed() if request.param == "replay" else open_device(request.param)


def some_modes(device: AbstractDevice, workload: str) -> ModeTable:
    modes = device.modes(workload=workload)
    return modes.take(np.linspace(0, len(modes) - 1, 7).astype(int))


def test_its_name_says_whether_it_is_simulated(device):
    assert is_simulated(device.name) == device.simulated


def test_its_modes_are_distinct_and_lie_in_its_space(device):
    modes = device.modes()
    assert len(modes) > 0
    assert modes.knobs == device.space.names
    assert len(np.unique(modes.values, axis=0)) == len(modes)
    assert all(modes[i] in device.space for i in (0, len(modes) // 2, len(modes) - 1))


def test_every_workload_can_be_measured_in_each_of_its_modes(device):
    for workload in device.workloads():
        modes = device.modes(workload=workload)
        table = device.measure(workload, modes)
        assert (table.device, table.workload) == (device.name, workload)
        np.testing.assert_array_equal(table.modes.values, modes.values)
        assert table.has_time or table.has_power


def test_a_measurement_does_not_depend_on_the_order_or_the_company_of_the_modes(device):
    workload = device.workloads()[0]
    modes = some_modes(device, workload)
    together = device.measure(workload, modes, seed=3)
    backwards = device.measure(workload, modes.take(np.arange(len(modes))[::-1]), seed=3)
    np.testing.assert_array_equal(together.time_ms, backwards.time_ms[::-1])
    np.testing.assert_array_equal(together.power_w, backwards.power_w[::-1])
    for row in range(len(modes)):
        alone = device.measure(workload, modes.take([row]), seed=3)
        assert alone.time_ms[0] == together.time_ms[row]


def test_the_order_of_the_knobs_does_not_matter(device):
    workload = device.workloads()[0]
    modes = some_modes(device, workload)
    knobs = modes.knobs[::-1]
    turned = ModeTable(knobs=knobs, values=modes.select(knobs))
    expected, table = device.measure(workload, modes), device.measure(workload, turned)
    assert table.modes.knobs == device.space.names
    np.testing.assert_array_equal(table.modes.values, modes.values)
    np.testing.assert_array_equal(table.time_ms, expected.time_ms)


def test_a_mode_asked_twice_answers_twice_the_same(device):
    workload = device.workloads()[0]
    modes = device.modes(workload=workload).take([2, 0, 2])
    table = device.measure(workload, modes)
    assert table.time_ms[0] == table.time_ms[2]
    assert len(table) == 3


def test_measuring_no_modes_gives_an_empty_table(device):
    workload = device.workloads()[0]
    table = device.measure(workload, device.modes().take(np.array([], dtype=int)))
    assert len(table) == 0


def test_modes_survive_being_printed_and_parsed(device):
    workload = device.workloads()[0]
    modes = some_modes(device, workload)
    copied = ModeTable.of([type(mode).parse(str(mode)) for mode in modes])
    np.testing.assert_allclose(
        device.measure(workload, copied).time_ms, device.measure(workload, modes).time_ms
    )


def test_its_stock_modes_are_modes_of_its_space(device):
    assert all(mode in device.space for mode in device.stock_modes().values())


def test_it_says_something_about_itself(device):
    assert device.notes()
    assert all(note.endswith(".") for note in device.notes())


def test_an_unknown_workload_is_refused_with_the_nearest(device):
    name = device.workloads()[0]
    with pytest.raises(UnknownNameError, match=f"did you mean '{name}'"):
        device.measure(name + "x", device.modes().take([0]))
    with pytest.raises(UnknownNameError):
        device.modes(workload=name + "x")


def test_a_mode_that_does_not_exist_is_refused_with_the_nearest(device):
    workload = device.workloads()[0]
    mode = device.modes(workload=workload)[0]
    wrong = ModeTable.of([mode.replace(gpu_mhz=mode["gpu_mhz"] + 1)])
    with pytest.raises(DeviceError, match=rf"nearest.*{mode['gpu_mhz']:g}"):
        device.measure(workload, wrong)


def test_missing_and_unknown_knobs_are_refused_by_name(device):
    workload = device.workloads()[0]
    modes = device.modes(workload=workload).take([0])
    fewer = ModeTable(knobs=modes.knobs[1:], values=modes.values[:, 1:])
    more = ModeTable(knobs=(*modes.knobs, "warp"), values=np.append(modes.values, [[1.0]], axis=1))
    for wrong in (fewer, more):
        with pytest.raises(MissingKnobError, match="gpu_mhz"):
            device.measure(workload, wrong)
