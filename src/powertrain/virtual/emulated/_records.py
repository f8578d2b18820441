"""What an emulated board is made of: the tables of its kernel, and the records that hold them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, final

from powertrain.virtual.simulated._records import Board

__all__ = ["Channel", "EmulatedBoard", "Faults", "PowerModel", "Release", "Write"]


@final
@dataclass(frozen=True, kw_only=True)
class Release:
    """A generation of JetPack: its Jetson Linux, and what its kernel does differently."""

    jetpack: int
    linux: str
    """As `/etc/nv_tegra_release` tells it: major and revision."""
    kernel: tuple[int, int]

    @property
    def refuses_crossed_limits(self) -> bool:
        """Whether a least clock above the greatest is refused (EINVAL), which ended with PM QoS.

        Linux drivers/devfreq/devfreq.c (5.5) and drivers/cpufreq/cpufreq.c (5.3).
        """
        return self.kernel < (5, 5)

    @property
    def inactive_policy_is_busy(self) -> bool:
        """Whether files of a policy without online CPUs give EBUSY on reading and writing.

        Linux drivers/cpufreq/cpufreq.c: before that patch of 2022 only a store was refused, with EINVAL.
        Assumed to be in the 5.15 of Jetson Linux 36.
        """
        return self.kernel >= (5, 15)

    @property
    def cap_is_rounded(self) -> bool:
        """Whether the memory cap is `nvpmodel_clk_cap/emc`, which shows what it was rounded to."""
        return self.jetpack >= 6

    @property
    def power_by_iio(self) -> bool:
        """Whether INA3221 are read through iio (driver ina3221x) and not hwmon."""
        return self.jetpack == 4


@final
@dataclass(frozen=True, kw_only=True)
class Channel:
    """One channel of a power monitor."""

    chip: str
    """I2C bus and address, as in `1-0040`."""
    number: int
    """From 1, as hwmon counts."""
    label: str
    components: tuple[str, ...]
    """Whose power it carries; none: it is not connected, or shows 0."""
    bus_mv: float
    shunt_mohm: float


@final
@dataclass(frozen=True, kw_only=True)
class PowerModel:
    """A stock nvpmodel mode; None means no cap."""

    id: int
    name: str
    online: tuple[int, ...]
    cpu_khz: int | None = None
    gpu_hz: int | None = None
    emc_hz: int | None = None
    tpc_mask: int | None = None
    fbp_mask: int | None = None
    gpu_least_hz: int | None = None


@final
@dataclass(frozen=True, kw_only=True)
class EmulatedBoard:
    """A Jetson under one generation of JetPack."""

    name: str
    title: str
    """What a device on it is called; the suffix of simulated devices is not part of it."""
    model: str
    """Of the device tree."""
    compatible: tuple[str, ...]
    soc: Literal["tegra210", "tegra186", "tegra194", "tegra234", "tegra264"]
    release: Release
    policies: tuple[tuple[int, ...], ...]
    cpu_khz: tuple[int, ...]
    cpu_floor_khz: int
    """That nvpmodel sets in every stock mode."""
    cpu_clocks: tuple[str, ...]
    """Names of the conf's CPU parameters, one per policy or, where there are as many, one per CPU."""
    gpu_hz: tuple[int, ...]
    emc_hz: tuple[int, ...]
    """What can be locked."""
    channels: tuple[Channel, ...]
    power_models: tuple[PowerModel, ...]
    default_model: int
    conf: str
    """Name of the nvpmodel conf."""
    tpcs: int
    """GPU clusters of the die, of which a mask switches some off."""
    physics: Board
    """Whose formulas give time and power."""
    samples: int = 512
    assumed: tuple[str, ...] = ()
    """What of this is not a published fact, but assumed for the emulation."""

    @property
    def cpus(self) -> tuple[int, ...]:
        """All CPUs."""
        return tuple(sorted(cpu for policy in self.policies for cpu in policy))

    def power_model(self, name_or_id: str | int) -> PowerModel:
        """Return a stock mode by name or id."""
        return next(model for model in self.power_models if name_or_id in (model.id, model.name))


@final
@dataclass(frozen=True, kw_only=True)
class Faults:
    """What may go wrong on a board; by default nothing does."""

    emc_drifts: int = 0
    """How many memory-clock locks let go of the rate after `emc_drift_after_s`; the lock flag stays."""
    emc_drift_after_s: float = 0.3
    emc_boot_cap_hz: int | None = None
    """The boot firmware's own cap, which nobody has raised (no nvphs service)."""
    undone_after_s: float | None = None
    """A service puts the stock mode back so long after each first write that follows a rest; see `undos`."""
    undos: int = 1
    """How often it does that."""
    gpu_hidden: bool = False
    """The devfreq node of the GPU appears only once rail gating is off, or the GPU was used."""
    gpu_unreachable_hz: frozenset[int] = frozenset()
    """Entries of the table at which the GPU never arrives: it takes the one below, or above the lowest."""
    overcurrent_at_s: tuple[float, ...] = ()
    """When over-current events happen, after the start."""
    sensor_errors: Mapping[str, int] = field(default_factory=dict[str, int])
    """errno of reading a rail, by its label."""
    sensor_errors_last: int | None = None
    """So many reads of each such rail fail, then they work; None: all fail."""
    refused: Mapping[str, int] = field(default_factory=dict[str, int])
    """errno of writing to a path."""
    silent: Mapping[str, int] = field(default_factory=dict[str, int])
    """errno of reading a path; ETIMEDOUT for a file that never answers."""
    no_debugfs: bool = False
    """debugfs is not mounted, as in most containers."""
    read_only: bool = False
    """All of /sys is mounted read-only, as in most containers."""
    sensors_root_only: bool = False
    """The power monitors' files may be read by root only (seen on Jetson Linux 35.5)."""
    limits_forgotten: bool = False
    """A CPU policy whose CPUs come back has lost the limits it had."""
    thermal_cpu_khz: int | None = None
    """Limit that the kernel sets because the board is hot."""
    thermal_gpu_hz: int | None = None
    thermal_until_s: float = float("inf")
    """When that ends, after the start."""


@final
@dataclass(frozen=True, kw_only=True)
class Write:
    """A write that was tried."""

    time_s: float
    path: str
    """With links followed."""
    text: str
    errno: int = 0
    """0: it was accepted."""
