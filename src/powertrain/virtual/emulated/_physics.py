"""Whose formulas give the time and power of each emulated board."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from powertrain.space import ModeSpace
from powertrain.units import mhz_from_hz, mhz_from_khz
from powertrain.virtual.simulated._boards import BOARDS
from powertrain.virtual.simulated._records import Board

__all__ = ["physics_of"]

SIMULATED_TWINS = {
    "orin-agx@jp5": "sim:orin-agx",
    "orin-agx@jp6": "sim:orin-agx-r36",
    "orin-agx@jp7": "sim:orin-agx-r36",
    "xavier-agx@jp4": "sim:xavier-agx",
    "xavier-agx@jp5": "sim:xavier-agx",
    "orin-nano@jp5": "sim:orin-nano",
    "orin-nano@jp6": "sim:orin-nano",
    "orin-nano-super@jp6": "sim:orin-nano-super",
    "orin-nano-super@jp7": "sim:orin-nano-super",
}
"""Emulated boards that are simulated as well, with the simulated one: they take the same time and power."""

SCALED_FROM = {
    "orin-agx-32gb": ("sim:orin-agx-r36", 1.0, 7),
    "orin-nx-16gb": ("sim:orin-nano-super", 1.2, 4),
    "orin-nx-8gb": ("sim:orin-nano-super", 1.1, 4),
    "xavier-nx": ("sim:xavier-agx", 0.7, 3),
    "tx2": ("sim:xavier-agx", 0.6, 2),
    "nano": ("sim:xavier-agx", 0.35, 1),
    "thor": ("sim:orin-agx-r36", 1.6, 10),
}
"""The others: which board they are scaled from, the factor on its powers, and their GPU clusters. Assumed."""


def physics_of(
    name: str, *, cores: int, cpu_khz: Sequence[int], gpu_hz: Sequence[int], emc_hz: Sequence[int]
) -> Board:
    """Return the formulas of a board: its twin's, or those of the board that it is scaled from."""
    if name in SIMULATED_TWINS:
        return BOARDS[SIMULATED_TWINS[name]]
    original, factor, tpcs = SCALED_FROM[name.partition("@")[0]]
    space = ModeSpace.of(
        {
            "cpu_cores": range(1, cores + 1),
            "cpu_mhz": [mhz_from_khz(float(khz)) for khz in cpu_khz],
            "gpu_mhz": [mhz_from_hz(float(hz)) for hz in gpu_hz],
            "mem_mhz": [mhz_from_hz(float(hz)) for hz in emc_hz],
        }
    )
    return _scaled(BOARDS[original], space, factor, tpcs)


def _scaled(board: Board, space: ModeSpace, factor: float, tpcs: int) -> Board:
    cpu, gpu, memory, rest = board.cpu, board.gpu, board.memory, board.rest
    # Times follow from the tables of clocks and the count of clusters; only powers need a factor.
    share = tpcs / gpu.tpcs
    refresh_w, memory_w = memory.rest_w
    return replace(
        board,
        space=space,
        stock={},
        default_stock="",
        cpu=replace(
            cpu, busy_w=factor * cpu.busy_w, tree_w=factor * cpu.tree_w, leakage_w=factor * cpu.leakage_w
        ),
        gpu=replace(
            gpu,
            tpcs=tpcs,
            active_w=factor * share * gpu.active_w,
            tree_w=factor * share * gpu.tree_w,
            leakage_w=factor * share * gpu.leakage_w,
        ),
        memory=replace(memory, rest_w=(factor * refresh_w, factor * memory_w), soc_w=factor * memory.soc_w),
        rest=replace(rest, soc_w=factor * rest.soc_w, system_w=factor * rest.system_w),
    )
