"""Two processes and one emulated GPU: who has it, and who restores it."""

from __future__ import annotations

import signal

import pytest
from tests.devices.nvml.emulated import AT_REST, HOLD, RESTORE
from tests.waiting import PATIENCE_S

from powertrain.errors import DeviceBusyError

UUID = "GPU-e0000000-0000-4000-8000-000000000001"


@pytest.fixture
def holder(emulated):
    """Start a process that holds the first mode of the emulated GPU."""
    process = emulated.start(HOLD)
    assert process.stdout.readline() == "held\n", process.communicate()[1]
    yield process
    process.kill()
    process.communicate()


def test_a_gpu_that_another_process_holds_is_busy_and_the_other_gpu_is_not(emulated, holder):
    assert emulated.settings() == {"limit_mw": 200_000, "graphics_lock": 600, "memory_lock": 1600}
    device, other = emulated.open(), emulated.open(index=1)
    with pytest.raises(DeviceBusyError, match=rf"{UUID} is held by another process \(pid {holder.pid}\)"):
        device.hold(device.modes()[-1]).__enter__()
    with pytest.raises(DeviceBusyError):
        device.restore()
    assert emulated.get("limit_mw") == 200_000
    with other.hold(other.modes()[0]):
        assert emulated.get("limit_mw", gpu=1) == 200_000


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_gives_the_gpu_back(emulated, holder, number):
    holder.send_signal(number)
    holder.communicate(timeout=PATIENCE_S)
    assert holder.returncode != 0
    assert emulated.settings() == AT_REST
    assert emulated.kept() == []


def test_what_sigkill_leaves_behind_is_given_back_by_a_new_process(emulated, holder):
    holder.kill()
    holder.communicate()
    assert emulated.settings() == {"limit_mw": 200_000, "graphics_lock": 600, "memory_lock": 1600}
    assert emulated.kept() == [UUID]
    told, wrong = emulated.start(RESTORE).communicate(timeout=PATIENCE_S)
    assert told == "True False\n", wrong
    assert emulated.settings() == AT_REST
    assert emulated.kept() == []


def test_what_sigkill_leaves_behind_is_given_back_before_the_next_mode_is_held(emulated, holder, caplog):
    holder.kill()
    holder.communicate()
    device = emulated.open()
    with device.hold(device.modes()[-1]):
        assert emulated.settings() == {"limit_mw": 700_000, "graphics_lock": 1800, "memory_lock": 2600}
    assert emulated.settings() == AT_REST
    assert f"as process {holder.pid} had set it" in caplog.text
