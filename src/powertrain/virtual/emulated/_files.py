"""Files that say which board this is, and nvpmodel's."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from powertrain.virtual.emulated._nodes import DEBUGFS, FileTree, Node
from powertrain.virtual.emulated._records import EmulatedBoard

__all__ = ["STATUS", "BoardPart", "conf_text", "file_tree"]

CONF = "/etc/nvpmodel.conf"
STATUS = "/var/lib/nvpmodel/status"
BOOT_ID = "/proc/sys/kernel/random/boot_id"
CHIP_IDS = {"tegra210": "33", "tegra186": "24", "tegra194": "25", "tegra234": "35"}
"""Trouvaille1/EcoEdgeInfer:nvpmplus.py."""
CPU = "/sys/devices/system/cpu"


class BoardPart(Protocol):
    """A part of a board, with its files."""

    def nodes(self) -> Mapping[str, Node]:
        """Return the files."""
        ...

    def links(self) -> Mapping[str, str]:
        """Return the other ways to the files."""
        ...


def file_tree(
    board: EmulatedBoard,
    parts: Sequence[BoardPart],
    *,
    conf: str,
    model: Callable[[], int],
    boots: Callable[[], int],
) -> FileTree:
    """Return all files of a board: those of its parts, those that tell which it is, and nvpmodel's.

    Args:
        board: The board.
        parts: Its parts.
        conf: The text of nvpmodel's conf.
        model: Tells the id of the mode that nvpmodel was last asked for.
        boots: Tells how often it has been started again.
    """
    home = f"/etc/nvpmodel/{board.conf}"
    nodes: dict[str, Node] = {
        **_identity_nodes(board, boots),
        home: Node.text(conf),
        STATUS: Node(read=lambda: f"pmode:{model():04d}"),
        # debugfs is there even where nothing in it may be seen.
        f"{DEBUGFS}/.emulated": Node.text(board.name),
    }
    for part in parts:  # each makes its links when it has made its files
        nodes.update(part.nodes())
    links = {path: target for part in parts for path, target in part.links().items()}
    return FileTree(nodes, {CONF: home, **links})


def _identity_nodes(board: EmulatedBoard, boots: Callable[[], int]) -> Mapping[str, Node]:
    """Return the files that tell board, release and boot."""
    nodes = {
        "/proc/device-tree/model": Node.text(f"{board.model}\0"),
        "/proc/device-tree/compatible": Node.text("".join(f"{name}\0" for name in board.compatible)),
        "/etc/nv_tegra_release": Node.text(
            f"# {board.release.linux}, GCID: 0, BOARD: generic, EABI: aarch64"
        ),
        BOOT_ID: Node(read=lambda: str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{board.name} boot {boots()}"))),
    }
    if board.soc in CHIP_IDS:
        nodes["/sys/module/tegra_fuse/parameters/tegra_chip_id"] = Node.text(CHIP_IDS[board.soc])
        if board.release.jetpack >= 5:
            nodes["/sys/devices/soc0/soc_id"] = Node.text(CHIP_IDS[board.soc])
    return nodes


def conf_text(board: EmulatedBoard, *, gpu: str, gpu_folder: str, cap: str) -> str:
    """Return an nvpmodel conf in the form of the stock ones, made from the board's tables.

    NVIDIA/skills:skills/jetson-customize-nvpmodel/SKILL.md; android_device_nvidia_*:nvpmodel/*.conf.
    """
    masks = board.soc in ("tegra194", "tegra234")
    lines = [f"# Modes of an emulated {board.title}.", ""]
    lines += ["< PARAM TYPE=FILE NAME=CPU_ONLINE >"]
    # The conf of TX2 leaves out CPU 0, which is always on line.
    declared = [cpu for cpu in board.cpus if cpu or board.soc != "tegra186"]
    lines += [f"CORE_{cpu} {CPU}/cpu{cpu}/online" for cpu in declared]
    if masks:
        lines += ["", "< PARAM TYPE=FILE NAME=TPC_POWER_GATING >", f"TPC_PG_MASK {gpu_folder}/tpc_pg_mask"]
    lines += ["", "< PARAM TYPE=FILE NAME=GPU_POWER_CONTROL_ENABLE >"]
    lines += [f"GPU_PWR_CNTL_EN {gpu_folder}/power/control"]
    for number, name in enumerate(board.cpu_clocks):
        base = f"{CPU}/cpu{_first_cpu(board, number)}/cpufreq"
        lines += ["", f"< PARAM TYPE=CLOCK NAME={name} >", f"FREQ_TABLE {base}/scaling_available_frequencies"]
        lines += [f"MAX_FREQ {base}/scaling_max_freq", f"MIN_FREQ {base}/scaling_min_freq"]
    lines += ["", "< PARAM TYPE=CLOCK NAME=GPU >", f"FREQ_TABLE {gpu}/available_frequencies"]
    lines += [f"MAX_FREQ {gpu}/max_freq", f"MIN_FREQ {gpu}/min_freq"]
    lines += ["", "< PARAM TYPE=CLOCK NAME=EMC >", f"MAX_FREQ {cap}"]
    lines += _models(board, declared, masks=masks)
    return "\n".join([*lines, "", f"< PM_CONFIG DEFAULT={board.default_model} >"])


def _models(board: EmulatedBoard, declared: list[int], *, masks: bool) -> list[str]:
    lines: list[str] = []
    for model in board.power_models:
        lines += ["", f"< POWER_MODEL ID={model.id} NAME={model.name} >"]
        lines += [f"CPU_ONLINE CORE_{cpu} {int(cpu in model.online)}" for cpu in declared]
        if masks:
            lines += [f"TPC_POWER_GATING TPC_PG_MASK {model.tpc_mask or 0}"]
        lines += ["GPU_POWER_CONTROL_ENABLE GPU_PWR_CNTL_EN on"]
        for number, name in enumerate(board.cpu_clocks):
            if any(cpu in model.online for cpu in _cpus(board, number)):
                lines += [f"{name} MIN_FREQ {board.cpu_floor_khz}", f"{name} MAX_FREQ {model.cpu_khz or -1}"]
        lines += [f"GPU MIN_FREQ {model.gpu_least_hz or 0}", f"GPU MAX_FREQ {model.gpu_hz or -1}"]
        lines += [f"EMC MAX_FREQ {model.emc_hz or 0}"]
    return lines


def _cpus(board: EmulatedBoard, number: int) -> tuple[int, ...]:
    """Return the CPUs of a parameter: those of a policy, or a single one."""
    return board.policies[number] if len(board.cpu_clocks) == len(board.policies) else (number,)


def _first_cpu(board: EmulatedBoard, number: int) -> int:
    return _cpus(board, number)[0]
