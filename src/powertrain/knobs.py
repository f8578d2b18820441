"""The knobs that PowerTrain knows by name: what each sets, and its bounds in files and options."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

__all__ = ["KNOWN_KNOBS", "SOFTWARE_KNOBS", "KnownKnob", "is_speed"]


@final
@dataclass(frozen=True, kw_only=True)
class KnownKnob:
    """What PowerTrain knows of a knob by its name."""

    meaning: str
    """What it sets, with the unit."""
    least: float = 1e-30
    """The smallest value that it can have; a clock or a number of cores is above zero."""
    most: float = math.inf
    software: bool = False
    """Whether the training itself sets it; the device sets all others."""


KNOWN_KNOBS: dict[str, KnownKnob] = {
    "cpu_cores": KnownKnob(meaning="active CPU cores"),
    "cpu_mhz": KnownKnob(meaning="CPU clock [MHz]"),
    "gpu_mhz": KnownKnob(meaning="GPU clock [MHz]"),
    "mem_mhz": KnownKnob(meaning="memory clock [MHz]"),
    "power_limit_w": KnownKnob(meaning="power limit of the board or GPU [W]"),
    "batch_size": KnownKnob(meaning="samples in a minibatch", least=1, software=True),
    "loader_workers": KnownKnob(meaning="data-loading processes", least=0, software=True),
    "precision": KnownKnob(
        meaning="arithmetic, by its bits: 32 fp32, 19 tf32, 16 bf16 (15 stands for fp16)", software=True
    ),
    "compile": KnownKnob(meaning="1: torch.compile", least=0, most=1, software=True),
}
"""The knobs that PowerTrain knows by name. Files and options hold their values to these bounds."""

SOFTWARE_KNOBS: tuple[str, ...] = tuple(name for name, known in KNOWN_KNOBS.items() if known.software)
"""Knobs that the training itself sets; the device sets all others."""


def is_speed(knob: str) -> bool:
    """Whether raising the knob can only make the work faster and the board hungrier."""
    return "mhz" in knob or knob.endswith(("_w", "cores", "threads"))
