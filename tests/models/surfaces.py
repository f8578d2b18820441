"""Synthetic workloads with a known truth, for tests of predictors."""

from __future__ import annotations

import numpy as np

from powertrain.records import ModeTable, ProfileTable
from powertrain.space import ModeSpace

SPACE = ModeSpace.of(
    {
        "cpu_mhz": [345.6, 652.8, 960, 1267.2, 1574.4, 2035.2],
        "gpu_mhz": [114.75, 318.75, 522.75, 726.75, 930.75, 1134.75, 1300.5],
        "mem_mhz": [204, 665.6, 1331.2, 1866],
    }
)


def work(
    name: str,
    modes: ModeTable,
    *,
    shares: tuple[float, float, float] = (0.2, 0.6, 0.3),
    device: str = "board",
    noise: float = 0.0,
    seed: int = 0,
) -> ProfileTable:
    """Measure a made-up workload whose time is a sum of cycles over clocks, in some modes of `SPACE`."""
    f = modes.values / np.array([2035.2, 1300.5, 1866.0])
    time_ms = 100.0 * (0.05 + (np.array(shares) / f).sum(axis=1))
    busy = np.array(shares) / f / (time_ms[:, None] / 100.0)
    power_w = 5.0 + (np.array([4.0, 18.0, 6.0]) * busy * f**2).sum(axis=1) + 2.0 * f[:, 1]
    rng = np.random.default_rng(seed)
    return ProfileTable(
        device=device,
        workload=name,
        modes=modes,
        time_ms=time_ms * np.exp(noise * rng.standard_normal(len(modes))),
        power_w=power_w * np.exp(noise * rng.standard_normal(len(modes))),
        ends=SPACE.ends(),
    )


def mape(predicted: np.ndarray, true: np.ndarray) -> float:
    """Return the mean absolute percentage error."""
    return float(100 * np.mean(np.abs(predicted / true - 1)))
