from __future__ import annotations

import pytest

from powertrain.evaluation import Tables
from powertrain.opening import open_device
from powertrain.records import ProfileTable

BOARD = open_device("sim:orin-agx")
OTHER = "Another board"


@pytest.fixture(scope="session")
def grid() -> Tables:
    """Three workloads on the simulated board, and one of them on another, each over the same 160 modes."""
    modes = BOARD.space.thinned(cpu_cores=6, cpu_mhz=7, gpu_mhz=4).table()
    tables = {(BOARD.name, w): BOARD.measure(w, modes) for w in ("resnet18", "mobilenet_v3", "lstm")}
    seen = tables[BOARD.name, "resnet18"]
    elsewhere = ProfileTable(
        device=OTHER,
        workload="resnet18",
        modes=modes,
        time_ms=seen.time_ms * 1.7,
        power_w=seen.power_w * 0.6,
    )
    return {**tables, (OTHER, "resnet18"): elsewhere}


@pytest.fixture(scope="session")
def board_name() -> str:
    return BOARD.name
