"""Modes that are chosen on a board and deployed as nvpmodel's: they mean the same there."""

from __future__ import annotations

import pytest
from tests.devices.jetson.boards import board_of, device_on, every_board, middle

from powertrain.devices.jetson.nvpmodel import parse_conf
from powertrain.workflow import deployment, vendor_modes


@every_board
def test_a_mode_that_is_deployed_is_the_mode_that_was_held(name, tmp_path):
    device = device_on(board_of(name), tmp_path)
    cores = device.space.knob("cpu_cores").values
    for count in (cores[0], cores[len(cores) // 2], cores[-1]):
        mode = middle(device).replace(cpu_cores=count)
        written = deployment(vendor_modes(device), mode, device=device, whole=True)
        again = parse_conf(written.text).mode(written.name)
        assert again.mode_in(device.space, order=device.core_order) == mode
        assert again.online == tuple(sorted(device.core_order[: int(count)]))


def test_on_tx2_the_denver_cores_are_switched_on_last(tmp_path):
    device = device_on(board_of("tx2@jp4"), tmp_path)
    text = deployment(vendor_modes(device), middle(device).replace(cpu_cores=4), device=device).text
    lines = [line.removeprefix("CPU_ONLINE ") for line in text.splitlines() if line.startswith("CPU_ONLINE")]
    assert lines == ["CORE_1 0", "CORE_2 0", "CORE_3 1", "CORE_4 1", "CORE_5 1"]


@pytest.mark.parametrize(
    ("options", "mhz", "written"),
    [("", 2133.0, "2133000000"), ("mem_mhz=665.6,2133", 2133.0, "2133000000"), ("", 3199.0, "0")],
)
def test_only_the_greatest_memory_clock_of_the_board_lifts_the_cap(options, mhz, written, tmp_path):
    device = device_on(board_of("orin-agx@jp6"), tmp_path, options)
    mode = middle(device).replace(mem_mhz=mhz)
    assert f"EMC MAX_FREQ {written}\n" in deployment(vendor_modes(device), mode, device=device).text
