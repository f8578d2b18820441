"""The real Zeus library works with our stand-in for its daemon, so the stand-in speaks what zeusd speaks."""

from __future__ import annotations

import pytest
from tests.devices.nvml import conftest
from tests.devices.nvml.emulated import AT_REST

compiler, emulated_library = conftest.compiler, conftest.emulated_library
emulated = conftest.emulated


def test_the_zeus_library_sets_and_resets_a_gpu_through_the_stand_in(emulated, tmp_path):
    pytest.importorskip("zeus", reason="zeus-ml is not installed")
    from tests.devices.nvml.zeusd import zeusd
    from zeus.device.gpu.nvidia import ZeusdNVIDIAGPU

    emulated.set(root=0)
    path = tmp_path / "zeusd.sock"
    with zeusd(emulated, path) as stand_in:
        stand_in.old = True  # as the library 0.11 speaks
        gpu = ZeusdNVIDIAGPU(0, str(path))
        gpu.setPowerManagementLimit(311_000)
        gpu.setGpuLockedClocks(900, 900)
        gpu.setMemoryLockedClocks(1600, 1600)
        assert emulated.settings() == {"limit_mw": 311_000, "graphics_lock": 900, "memory_lock": 1600}
        gpu.resetGpuLockedClocks()
        gpu.resetMemoryLockedClocks()
        gpu.resetPowerManagementLimit()
    assert emulated.settings() == AT_REST
