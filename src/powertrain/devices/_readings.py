"""What may be believed of a power sensor: one rule for every source, be it a file, a program or a library."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from powertrain.errors import DeviceError

__all__ = ["NOISE_W", "board_w"]

NOISE_W = 0.5
"""How far below zero a rail may read. The zero of a monitor is off by a step or two of its resolution; the
coarsest step that is known is 0.4 W (AGX Orin, 2 milliohms on 20 V)."""


def board_w(rails_w: Mapping[str, float], summed: Iterable[str]) -> float:
    """Return the power of a whole device: the sum of some of its rails [W].

    Args:
        rails_w: What each rail shows.
        summed: Those that are added.

    Raises:
        DeviceError: A rail that is added is absent, shows no number, or shows less than noise explains; or
            the sum is not above zero, which nothing that works can be.
    """
    total_w = 0.0
    for rail in summed:
        power_w = rails_w.get(rail, math.nan)
        if not math.isfinite(power_w):
            raise DeviceError(f"{rail} shows no power: the sensor gave nothing for it")
        if power_w < -NOISE_W:
            raise DeviceError(f"{rail} shows {power_w:.4g} W: a power below zero is not believed")
        total_w += power_w
    if total_w <= 0:
        raise DeviceError(f"the power sensor shows {total_w:.4g} W: nothing that works draws that little")
    return total_w
