"""Where this board keeps its memory clock (EMC), and which clocks it might have."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import final

from powertrain.devices._files import Files, whole_number
from powertrain.units import hz_from_khz, hz_from_mhz

__all__ = ["DEBUGFS", "EmcFiles", "candidates_hz", "find_emc"]

DEBUGFS = "/sys/kernel/debug"
BPMP = f"{DEBUGFS}/bpmp/debug"
# Nano has no BPMP: jetson_clocks of JetPack 4.
NANO, NANO_LIMITS = f"{DEBUGFS}/clk/override.emc", f"{DEBUGFS}/tegra_bwmgr"
CAPS = (
    "/sys/kernel/nvpmodel_clk_cap/emc",  # JetPack 6 on: shows the effective cap
    "/sys/kernel/nvpmodel_emc_cap/emc_iso_cap",  # before: shows the number that was written, 0 for none
)
"""The cap that nvpmodel sets (stock confs; NVIDIA/skills, clock-control-model.md)."""

PUBLISHED_MHZ = {
    # TX1, the same chip; its 40.8, 68 and 102 MHz are called problematic there and are left out.
    "tegra210": (204, 408, 665.6, 800, 1065.6, 1331.2, 1600),
    # jingchen95/ERASE:DVFS_Impact.sh; dipayan2/osldvfs:JetsonTX2/scripts/run_benchmark.py.
    "tegra186": (40.8, 68, 102, 204, 408, 665.6, 800, 1062.4, 1331.2, 1600, 1866),
    # HazemAbdelhafez/variability:pyutils/hosts/agx.py.
    "tegra194": (204, 408, 665.6, 800, 1065.6, 1331.2, 1600, 1866, 2133),
    # Scripts of the PowerTrain study; locked one by one on an Orin Nano Super with Jetson Linux 36.
    "tegra234": (204, 665.6, 2133, 3199),
    # What a public sweep tool for Thor asks for.
    "tegra264": (665.6, 1200, 1600, 2133, 2750, 3200, 3750, 4266),
}
"""Memory clocks that have been published, for boards that list none. Each is tried before it is believed."""

RATES = (f"{BPMP}/emc/possible_rates", f"{DEBUGFS}/emc/available_rates")
LEAST_CLOCK_HZ = 10**7
"""Below it a number in such a list is kilohertz: clocks are 40.8 to 4266 MHz."""


@final
@dataclass(frozen=True, kw_only=True)
class EmcFiles:
    """The files of the memory clock; all in Hz, all but the cap in debugfs, which is root's."""

    lock: str
    """1: the clock stays at `rate`."""
    rate: str
    """What the clock is to be."""
    shown: str
    """What it is."""
    least: str
    greatest: str
    halt: str = ""
    """1: the bandwidth manager keeps its hands off; empty where there is none.

    Seen in public scripts for Orin Nano, AGX Orin and Thor.
    """
    cap: str = ""


def find_emc(files: Files) -> EmcFiles | None:
    """Return the files of the memory clock; None where there are none, or none that may be seen.

    BPMP's: TX2, Xavier, Orin, Thor; read on Jetson Linux 32 to 38 by public scripts.
    """
    # What tells no number could not be restored: it is left alone, and trying tells what can be set all the
    # same.
    cap = next((path for path in CAPS if files.number(path) is not None), "")
    emc, halt = f"{BPMP}/clk/emc", f"{BPMP}/bwmgr/bwmgr_halt"
    if files.sysfs.exists(f"{emc}/mrq_rate_locked"):
        return EmcFiles(
            lock=f"{emc}/mrq_rate_locked",
            rate=f"{emc}/rate",
            shown=f"{emc}/rate",
            least=f"{emc}/min_rate",
            greatest=f"{emc}/max_rate",
            halt=halt if files.number(halt) is not None else "",
            cap=cap,
        )
    if files.sysfs.exists(f"{NANO}/clk_state"):
        real = f"{DEBUGFS}/clk/emc/clk_rate"
        return EmcFiles(
            lock=f"{NANO}/clk_state",
            rate=f"{NANO}/clk_update_rate",
            shown=real if files.sysfs.exists(real) else f"{NANO}/clk_rate",
            least=f"{NANO_LIMITS}/emc_min_rate",
            greatest=f"{NANO_LIMITS}/emc_max_rate",
            cap=cap,
        )
    return None


def candidates_hz(files: Files, emc: EmcFiles, soc: str) -> tuple[int, ...]:
    """Return clocks that the memory might have, ascending; no list is sure to have those that can be set.

    1. `emc/tables/regular`, a folder whose names are kHz (AGX Xavier: HazemAbdelhafez/variability agx.py).
    2. `emc/possible_rates`, kHz: on an Orin module `204000 665600 2133000 (kHz)`, all that its firmware
       could do (a public report); public scripts read it on TX2, too. `emc/available_rates` is the upstream
       driver's; on Jetson Linux not confirmed.
    3. `clk/emc/dvfs_table` (Orin from Jetson Linux 36 on) or `dvfs` (Thor), Hz in the second column. These
       are points of the voltage: not all can be set, and some that can are missing. So they are completed by
    4. what has been published for the chip, which is all there is where nothing is listed.

    Those above the greatest that firmware names are left out: it boots some images with a cap that can not
    be raised (tiiuae/ghaf PR 2071).
    """
    names = map(whole_number, files.sysfs.listdir(f"{BPMP}/emc/tables/regular"))
    listed = {round(hz_from_khz(float(khz))) for khz in names if khz is not None}
    for path in RATES:
        numbers = files.numbers(path)
        listed |= {n if n >= LEAST_CLOCK_HZ else round(hz_from_khz(float(n))) for n in numbers if n}
    if not listed:
        listed = {round(hz_from_mhz(float(mhz))) for mhz in PUBLISHED_MHZ.get(soc, ())}
    for name in ("dvfs_table", "dvfs"):
        text = files.text(f"{BPMP}/clk/emc/{name}")
        listed |= {int(hz) for hz in re.findall(r"^\s*\S+\s+(\d{8,11})\b", text, re.MULTILINE | re.ASCII)}
    least, greatest = files.number(emc.least) or 0, files.number(emc.greatest) or 0
    listed |= {hz for hz in (least, greatest) if hz}
    return tuple(sorted(hz for hz in listed if least <= hz <= (greatest or hz)))
