"""The memory clock: what firmware locks, rounds and lets drift, and the cap that nvpmodel sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import final

from powertrain.units import khz_from_hz
from powertrain.virtual.emulated._limits import Settling
from powertrain.virtual.emulated._nodes import DEBUGFS, Node, flag_of, number_of
from powertrain.virtual.emulated._records import EmulatedBoard, Faults, PowerModel

__all__ = ["Memory"]

BPMP = f"{DEBUGFS}/bpmp/debug"
EMC = f"{BPMP}/clk/emc"
NANO_OVERRIDE = f"{DEBUGFS}/clk/override.emc"
BWMGR = "/sys/class/devfreq/bwmgr"
"""Of Thor: rbonghi/jetson_stats PR 825."""
THOR_BUSY_HZ = 3_200_000_000
SETTLES_S = 0.02
"""Until `rate` shows a lock. Assumed; public scripts wait a second."""


@final
class Memory:
    """The external memory's clock (EMC)."""

    def __init__(
        self,
        board: EmulatedBoard,
        faults: Faults,
        *,
        busy: Callable[[], bool],
        cpu_khz: Callable[[bool], float],
        now_s: Callable[[], float],
    ) -> None:
        self._board, self._faults = board, faults
        self._busy, self._cpu_khz, self._now_s = busy, cpu_khz, now_s
        self._table = board.emc_hz
        self._asked_hz = self._table[-1]
        self.locked = False
        self._locked_at_s = 0.0
        self._drifts_left = faults.emc_drifts
        self._drifted = False
        self._halted = 0
        self._state = 0
        self._cap_hz = 0
        self._bwmgr_least_hz, self._bwmgr_greatest_hz = self._table[0], self._table[-1]
        self._settling = Settling(self._table[-1], SETTLES_S)

    def apply(self, model: PowerModel) -> None:
        """Take the cap of a stock mode."""
        self._cap_hz = self._rounded_cap(model.emc_hz or 0)

    def ceiling_hz(self) -> int:
        """Return the highest clock that firmware and cap allow."""
        allowed = min(self._faults.emc_boot_cap_hz or self._table[-1], self._cap_hz or self._table[-1])
        return max((hz for hz in self._table if hz <= allowed), default=self._table[0])

    def target_hz(self, *, busy: bool) -> int:
        """Return the clock that lock, cap and load lead to."""
        ceiling_hz = self.ceiling_hz()
        if self.locked:
            # Rounded up, silently; seen on an Orin Nano Super with Jetson Linux 36: 1701.5 became 2133 MHz.
            hz = min(next((hz for hz in self._table if hz >= self._asked_hz), ceiling_hz), ceiling_hz)
            return self._table[max(self._table.index(hz) - 1, 0)] if self._drifted else hz
        if self._board.soc == "tegra264":
            return self._thor_hz(ceiling_hz, busy=busy)
        if busy:
            return ceiling_hz
        # The CPU's clock asks for a floor (interconnect on Orin, bwmgr on Xavier: tegra194-cpufreq.c). That
        # it is in proportion is assumed.
        floor_hz = self._table[-1] * self._cpu_khz(busy) / self._board.cpu_khz[-1]
        return min(next((hz for hz in self._table if hz >= floor_hz), ceiling_hz), ceiling_hz)

    def _thor_hz(self, ceiling_hz: int, *, busy: bool) -> int:
        """Return the clock that Thor's bwmgr chooses: it stays at 3200 MHz unless its least is raised.

        Public reports of boards; at rest it goes to its least, which is assumed.
        """
        most_hz = min(ceiling_hz, self._bwmgr_greatest_hz)
        wanted_hz = min(THOR_BUSY_HZ, most_hz) if busy else self._table[0]
        return min(max(wanted_hz, self._bwmgr_least_hz), most_hz)

    def arrive(self) -> None:
        """Be at the clock that a rest leads to."""
        self._settling.arrive(self.target_hz(busy=False))

    def follow(self) -> int:
        """Let the clock follow, and return it."""
        if self._drifts_now():
            drifted_at_s = self._locked_at_s + self._faults.emc_drift_after_s
            self._settling.follow(self.target_hz(busy=self._busy()), drifted_at_s)
        return self._settling.follow(self.target_hz(busy=self._busy()), self._now_s())

    def state(self) -> dict[str, str]:
        """Return what a run may change; the rate only while it is locked, else it moves by itself."""
        if self._board.soc == "tegra210":
            found = {f"{NANO_OVERRIDE}/clk_state": str(int(self.locked))}
            found[self.cap_path] = str(self._cap_hz)
            return found | ({f"{NANO_OVERRIDE}/clk_rate": str(self._asked_hz)} if self.locked else {})
        found = {
            f"{EMC}/mrq_rate_locked": str(int(self.locked)),
            f"{EMC}/state": str(self._state),
            self.cap_path: str(self._cap_hz),
        }
        if self._has_halt:
            found[f"{BPMP}/bwmgr/bwmgr_halt"] = str(self._halted)
        if self._board.soc == "tegra264":
            found[f"{BWMGR}/min_freq"] = str(self._bwmgr_least_hz)
            found[f"{BWMGR}/max_freq"] = str(self._bwmgr_greatest_hz)
        return found | ({f"{EMC}/rate": str(self._asked_hz)} if self.locked else {})

    @property
    def cap_path(self) -> str:
        """The file of nvpmodel's cap: stock confs of each generation."""
        if self._board.release.cap_is_rounded:
            return "/sys/kernel/nvpmodel_clk_cap/emc"
        return "/sys/kernel/nvpmodel_emc_cap/emc_iso_cap"

    @property
    def _has_halt(self) -> bool:
        # Seen on Orin Nano, AGX Orin and Thor.
        return self._board.soc in ("tegra234", "tegra264")

    def nodes(self) -> Mapping[str, Node]:
        """Return the files."""
        if self._board.soc == "tegra210":
            return self._nano_nodes()
        rate = Node.writable(lambda: str(self.follow()), self._write_rate)
        nodes = {
            f"{EMC}/rate": rate,
            f"{EMC}/min_rate": Node.text(str(self._table[0])),
            f"{EMC}/max_rate": Node(read=lambda: str(self._faults.emc_boot_cap_hz or self._table[-1])),
            f"{EMC}/mrq_rate_locked": Node.writable(lambda: str(int(self.locked)), self._write_lock),
            f"{EMC}/state": Node.writable(lambda: str(self._state), self._write_state),
            # Modes: 0660 of the older, 0664 of the newer.
            self.cap_path: Node.writable(
                self._read_cap, self._write_cap, 0o664 if self._board.release.cap_is_rounded else 0o660
            ),
        }
        if self._has_halt:
            nodes[f"{BPMP}/bwmgr/bwmgr_halt"] = Node.writable(lambda: str(self._halted), self._write_halt)
        return nodes | self._tables()

    def links(self) -> Mapping[str, str]:
        """Return the other ways to the files: none."""
        return {}

    def _tables(self) -> dict[str, Node]:
        """Return what lists clocks, in the forms that public scripts read."""
        jetpack, soc = self._board.release.jetpack, self._board.soc
        if soc == "tegra264":  # Thor: rows with hertz in the second column
            return {f"{EMC}/dvfs": Node.text(_rows(self._table))} | self._bwmgr_nodes()
        if soc == "tegra234" and jetpack >= 6:
            # Rows are points of the voltage, not all of which can be locked: 1600, 2750 and 3200 MHz cannot.
            points = {
                *self._table[1:],
                1_600_000_000,
                *((2_750_000_000, 3_200_000_000) if self._wide else ()),
            }
            return {f"{EMC}/dvfs_table": Node.text(_rows(sorted(points)))}
        if soc in ("tegra194", "tegra234"):
            # HazemAbdelhafez/variability:pyutils/hosts/agx.py: a folder whose names are kilohertz.
            folder = f"{BPMP}/emc/tables/regular"
            return {f"{folder}/{round(khz_from_hz(float(hz)))}": Node.text("0") for hz in self._table}
        # TX2: public scripts read this list; its form is that of a public read-out of an Orin module.
        listed = " ".join(f"{khz_from_hz(float(hz)):.0f}" for hz in self._table)
        return {f"{BPMP}/emc/possible_rates": Node.text(f"{listed} (kHz)")}

    def _bwmgr_nodes(self) -> dict[str, Node]:
        def least(text: str) -> None:
            self._bwmgr_least_hz = self._entry(number_of(text))

        def greatest(text: str) -> None:
            self._bwmgr_greatest_hz = self._entry(number_of(text))

        return {
            f"{BWMGR}/cur_freq": Node(read=lambda: str(self.follow())),
            f"{BWMGR}/min_freq": Node.writable(lambda: str(self._bwmgr_least_hz), least),
            f"{BWMGR}/max_freq": Node.writable(lambda: str(self._bwmgr_greatest_hz), greatest),
        }

    def _entry(self, hz: int) -> int:
        """Return the entry that a clock is rounded up to."""
        return next((entry for entry in self._table if entry >= hz), self._table[-1])

    @property
    def _wide(self) -> bool:
        return self._table[-1] > 3_000_000_000

    def _nano_nodes(self) -> dict[str, Node]:
        """Return those of Nano: jetson_clocks of JetPack 4."""
        bwmgr = f"{DEBUGFS}/tegra_bwmgr"
        return {
            f"{bwmgr}/emc_min_rate": Node.text(str(self._table[0])),
            f"{bwmgr}/emc_max_rate": Node.text(str(self._table[-1])),
            f"{DEBUGFS}/clk/emc/clk_rate": Node(read=lambda: str(self.follow())),
            f"{NANO_OVERRIDE}/clk_rate": Node.writable(lambda: str(self._asked_hz), self._write_rate),
            f"{NANO_OVERRIDE}/clk_update_rate": Node.writable(lambda: str(self._asked_hz), self._write_rate),
            f"{NANO_OVERRIDE}/clk_state": Node.writable(lambda: str(int(self.locked)), self._write_lock),
            self.cap_path: Node.writable(self._read_cap, self._write_cap, 0o660),
        }

    def _write_rate(self, text: str) -> None:
        self._asked_hz = number_of(text)
        self._locks_anew()

    def _write_lock(self, text: str) -> None:
        self.locked = bool(flag_of(text))
        self._locks_anew()

    def _locks_anew(self) -> None:
        self._locked_at_s, self._drifted = self._now_s(), False

    def _write_state(self, text: str) -> None:
        self._state = flag_of(text)

    def _write_halt(self, text: str) -> None:
        self._halted = flag_of(text)

    def _drifts_now(self) -> bool:
        """Let a lock go of the clock when it is time for that; tell whether it just did."""
        late = self._now_s() >= self._locked_at_s + self._faults.emc_drift_after_s
        if not (self.locked and late and not self._drifted and self._drifts_left):
            return False
        self._drifts_left -= 1
        self._drifted = True
        return True

    def _read_cap(self) -> str:
        if self._board.release.cap_is_rounded:
            return str(self._cap_hz or self.ceiling_hz())
        return str(self._cap_hz)

    def _write_cap(self, text: str) -> None:
        self._cap_hz = self._rounded_cap(number_of(text))

    def _rounded_cap(self, hz: int) -> int:
        """Return what is kept of a cap: newer kernels round it and can no more than the firmware allows."""
        if not self._board.release.cap_is_rounded or not hz:
            return hz
        most_hz = self._faults.emc_boot_cap_hz or self._table[-1]
        cap_hz = min(next((entry for entry in self._table if entry >= hz), self._table[-1]), most_hz)
        return 0 if cap_hz == self._table[-1] else cap_hz


def _rows(table: list[int] | tuple[int, ...]) -> str:
    return "\n".join(f"vdd_core {hz} {600 + 25 * place}" for place, hz in enumerate(table))
