"""The GPU's devfreq node, wherever a release puts it, and what powers the GPU."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from typing import final

from powertrain.virtual.emulated._limits import Limits, Settling, nearest
from powertrain.virtual.emulated._nodes import Node, flag_of, number_of, refuse
from powertrain.virtual.emulated._records import EmulatedBoard, Faults, PowerModel

__all__ = ["Graphics"]

CLASS = "/sys/class/devfreq"
GOVERNORS = ("wmark_active", "wmark_simple", "nvhost_podgov", "userspace", "performance", "simple_ondemand")
SETTLES_S = 0.02
"""Until a clock is what was asked. Assumed; Kernel Tuner polls until it is."""

THOR_GPU = "/sys/devices/platform/bus@0/d0b0000000.pcie/pci0000:00/0000:00:00.0/0000:01:00.0"
"""A PCI device; its parts have devfreq nodes of their own (public scripts for Jetson Linux 38.2)."""
THOR_VIDEO = f"{THOR_GPU}/gpu-nvd-0/devfreq/gpu-nvd-0"
CHIPS = {"tegra210": "57000000.gpu", "tegra186": "17000000.gp10b", "tegra194": "17000000.gv11b"}


def _place(board: EmulatedBoard) -> tuple[str, str, str]:
    """Return the folder of the GPU, the name of its devfreq node, and that of its node in the device tree.

    Stock nvpmodel confs; `nvpmodel -q --verbose` of Jetson Linux 36.4.3 (TIARE006/powercap_orin_ws); with
    bus@0: joshua41057/neural-operator-jetson-benchmark:harness/preflight_clocks.sh; Thor:
    rbonghi/jetson_stats issue 885.
    """
    if board.soc == "tegra264":
        return THOR_GPU, "gpu-gpc-0", ""
    if board.soc != "tegra234":
        chip = CHIPS[board.soc]
        return f"/sys/devices/{chip}", chip, chip.partition(".")[2]
    if board.release.jetpack == 5:
        return "/sys/devices/17000000.ga10b", "17000000.ga10b", "ga10b"
    bus = "/bus@0" if board.release.jetpack >= 7 else ""
    return f"/sys/devices/platform{bus}/17000000.gpu", "17000000.gpu", "gpu"


@final
class Graphics:
    """The GPU."""

    def __init__(
        self,
        board: EmulatedBoard,
        faults: Faults,
        *,
        busy: Callable[[], bool],
        ceiling_hz: Callable[[], int | None],
        now_s: Callable[[], float],
    ) -> None:
        self._board, self._busy, self._now_s = board, busy, now_s
        self._table = board.gpu_hz
        self._unreachable = faults.gpu_unreachable_hz
        self._hidden = faults.gpu_hidden
        self.folder, self._name, self._of_node = _place(board)
        self._part = f"{self.folder}/{self._name}" if board.soc == "tegra264" else self.folder
        self.devfreq = f"{self._part}/devfreq/{self._name}"
        self.limits = Limits(
            board.gpu_hz, strict=board.release.refuses_crossed_limits, ceiling=ceiling_hz, name="GPU"
        )
        self._governor = "nvhost_podgov"
        self._set_hz: int | None = None
        # Thor has no such switch where we looked.
        self.railgate = int(board.soc != "tegra264")
        self._power_control = "auto"
        self.tpc_mask = self.fbp_mask = 0
        self._settling = Settling(board.gpu_hz[0], SETTLES_S)

    def apply(self, model: PowerModel, *, boot: bool) -> None:
        """Take the limits of a stock mode; its masks only at boot, before the GPU was used."""
        table = self._table
        least = table[0] if model.gpu_least_hz is None else nearest(table, model.gpu_least_hz)
        self.limits.ask(least, table[-1] if model.gpu_hz is None else nearest(table, model.gpu_hz))
        if boot:
            self.tpc_mask, self.fbp_mask = model.tpc_mask or 0, model.fbp_mask or 0

    def clusters(self) -> int:
        """Return how many TPCs are on."""
        off = (self.tpc_mask & ((1 << self._board.tpcs) - 1)).bit_count()
        return max(min(self._board.tpcs - off, self._board.physics.gpu.tpcs), 1)

    def target_hz(self, *, busy: bool) -> int:
        """Return the clock that the governor asks for, as far as the GPU can do it."""
        least, greatest = self.limits.effective()
        asked = {"performance": greatest, "userspace": min(max(self._set_hz or least, least), greatest)}
        hz = nearest(self._table, asked.get(self._governor, greatest if busy else least))
        if hz in self._unreachable:
            hz = self._table[max(self._table.index(hz) - 1, 0)] if hz != self._table[0] else self._table[1]
        return hz

    def powered(self) -> bool:
        """Tell whether the GPU's rail is on."""
        return self._busy() or not self.railgate or self._power_control == "on"

    def arrive(self) -> None:
        """Be at the clock that a rest leads to."""
        self._settling.arrive(self.target_hz(busy=False))

    def follow(self) -> int:
        """Let the clock follow, and return it."""
        return self._settling.follow(self.target_hz(busy=self._busy()), self._now_s())

    def used(self) -> None:
        """Note that something runs on the GPU: its node is there from now on."""
        self._hidden = False

    def state(self) -> dict[str, str]:
        """Return what a run may change."""
        found = {
            f"{self.devfreq}/governor": self._governor,
            f"{self.devfreq}/min_freq": str(self.limits.least),
            f"{self.devfreq}/max_freq": str(self.limits.greatest),
            f"{self.folder}/power/control": self._power_control,
        }
        if self._board.soc != "tegra264":
            found[f"{self.folder}/railgate_enable"] = str(self.railgate)
            found[f"{self.folder}/tpc_pg_mask"] = str(self.tpc_mask)
        if self._governor == "userspace":
            found[f"{self.devfreq}/userspace/set_freq"] = str(self._set_hz)
        return found

    def nodes(self) -> Mapping[str, Node]:
        """Return the files."""
        nodes = self._devfreq_nodes() | self._power_nodes()
        if self._board.soc == "tegra264":
            nodes |= _other_devfreq(THOR_VIDEO, 1_692_000_000)
            # As every device has one; that of a part does not power the whole.
            nodes[f"{self._part}/power/control"] = Node.text("auto")
            # anduril/jetpack-nixos:modules/nvpmodel.nix.
            nodes["/opt/nvidia/l4t-gpusetup/gpu_pg_mask"] = Node.text("gpu_pg_mask_param=512")
        elif self._board.release.jetpack >= 5:
            # Others than the GPU are listed, too. Assumed.
            base = "/sys/devices/platform/15340000.vic"
            nodes |= _other_devfreq(f"{base}/devfreq/15340000.vic", 729_600_000)
            nodes[f"{base}/of_node/name"] = Node.text("vic\0")
        return nodes

    def links(self) -> Mapping[str, str]:
        """Return the other ways to the files."""
        links = {f"{CLASS}/{self._name}": self.devfreq}
        if self._board.soc == "tegra264":
            links[f"{CLASS}/gpu-nvd-0"] = THOR_VIDEO
            links["/sys/bus/pci/devices/0000:01:00.0"] = self.folder
        elif self._board.release.jetpack >= 5:
            vic = "/sys/devices/platform/15340000.vic"
            links[f"{CLASS}/15340000.vic"] = f"{vic}/devfreq/15340000.vic"
            links[f"{vic}/devfreq/15340000.vic/device"] = vic
        if self._board.release.jetpack <= 5:
            links["/sys/devices/gpu.0"] = self.folder
        elif self._board.soc != "tegra264":
            links[f"{self.folder}/devfreq_dev"] = self.devfreq
        links[f"{self.devfreq}/device"] = self._part
        return links

    def _devfreq_nodes(self) -> dict[str, Node]:
        limits, table = self.limits, self._table
        here = self._here

        def node(read: Callable[[], str], write: Callable[[str], None] | None = None) -> Node:
            mode = 0o444 if write is None else 0o644
            return Node(read=read, write=write, mode=mode, present=here)

        nodes = {
            "name": node(lambda: self._name),
            "available_frequencies": node(lambda: " ".join(map(str, table))),
            "available_governors": node(lambda: " ".join(GOVERNORS)),
            "cur_freq": node(self._read_clock),
            "target_freq": node(self._read_clock),
            "min_freq": node(lambda: str(limits.effective()[0]), limits.write_least),
            "max_freq": node(lambda: str(limits.effective()[1]), limits.write_greatest),
            "governor": node(lambda: self._governor, self._write_governor),
            "polling_interval": node(lambda: "25"),
            "userspace/set_freq": Node(
                read=lambda: str(self._set_hz) if self._set_hz else "undefined",
                write=self._write_clock,
                mode=0o644,
                present=lambda: here() and self._governor == "userspace",
            ),
        }
        return {f"{self.devfreq}/{name}": node for name, node in nodes.items()}

    def _power_nodes(self) -> dict[str, Node]:
        nodes = {
            f"{self.folder}/power/control": Node.writable(lambda: self._power_control, self._write_control),
            f"{self.folder}/power/runtime_status": Node(
                read=lambda: "active" if self.powered() else "suspended"
            ),
        }
        if self._board.soc == "tegra264":
            return nodes
        nodes[f"{self.folder}/railgate_enable"] = Node.writable(
            lambda: str(self.railgate), self._write_railgate
        )
        nodes[f"{self.folder}/load"] = Node(read=lambda: "990" if self._busy() else "0")
        nodes[f"{self.folder}/of_node/name"] = Node.text(f"{self._of_node}\0")
        for name, mask in (("tpc_pg_mask", lambda: self.tpc_mask), ("fbp_pg_mask", lambda: self.fbp_mask)):
            nodes[f"{self.folder}/{name}"] = Node.writable(lambda mask=mask: str(mask()), self._write_mask)
        return nodes

    def _here(self) -> bool:
        return not self._hidden

    def _read_clock(self) -> str:
        clock = self.follow()
        if self._board.soc == "tegra264" and not self._busy():
            return "0"  # at rest, in public records of runs on boards
        if self.powered():
            return str(clock)
        # Without power there is no clock: tegrastats of Jetson Linux 35 shows GR3D_FREQ 0%@0, later ones the
        # lowest entry.
        return "0" if self._board.release.jetpack == 5 else str(self._table[0])

    def _write_governor(self, text: str) -> None:
        if text.strip() not in GOVERNORS:
            raise refuse(errno.EINVAL)
        self._governor, self._set_hz = text.strip(), None

    def _write_clock(self, text: str) -> None:
        self._set_hz = number_of(text)

    def _write_control(self, text: str) -> None:
        if text.strip() not in ("auto", "on"):
            raise refuse(errno.EINVAL)
        self._power_control = text.strip()

    def _write_railgate(self, text: str) -> None:
        self.railgate = flag_of(text)
        if not self.railgate:
            self.used()

    def _write_mask(self, text: str) -> None:
        # nvgpu's sysfs: once the golden context exists, EBUSY, or ENODEV (OE4T/meta-tegra issues 1268, 1864).
        number_of(text)
        raise refuse(errno.ENODEV if self._board.release.jetpack == 4 else errno.EBUSY)


def _other_devfreq(path: str, greatest_hz: int) -> dict[str, Node]:
    """Return a node that is not the GPU's."""

    def refused(text: str) -> None:
        raise refuse(errno.EINVAL)

    texts = {"name": path.rpartition("/")[2], "cur_freq": str(greatest_hz), "governor": "userspace"}
    nodes = {f"{path}/{name}": Node.text(text) for name, text in texts.items()}
    for name in ("min_freq", "max_freq"):
        nodes[f"{path}/{name}"] = Node.writable(lambda: str(greatest_hz), refused)
    nodes[f"{path}/available_frequencies"] = Node.text(str(greatest_hz))
    return nodes
