"""Power monitors of each board: chips, rails, shunts, and what each rail carries."""

from __future__ import annotations

from collections.abc import Sequence

from powertrain.virtual.emulated._records import Channel
from powertrain.virtual.simulated._records import COMPONENTS

__all__ = [
    "AGX_ORIN_CHANNELS",
    "AGX_XAVIER_CHANNELS",
    "NANO_CHANNELS",
    "THOR_CHANNELS",
    "TX2_CHANNELS",
    "module_channels",
]


def _channels(
    chip: str,
    rails: Sequence[tuple[str, tuple[str, ...]]],
    *,
    bus_mv: Sequence[float],
    shunt_mohm: float,
) -> tuple[Channel, ...]:
    return tuple(
        Channel(
            chip=chip, number=number, label=label, components=components, bus_mv=mv, shunt_mohm=shunt_mohm
        )
        for number, ((label, components), mv) in enumerate(zip(rails, bus_mv, strict=True), start=1)
    )


# Chips and labels: rbonghi/jetson_stats:jtop/core/power.py and its tests of tegrastats. 2 milliohm shunts on
# AGX Orin, 5 on the others: upstream device trees. NC is not connected.
# Whether VIN_SYS_5V0 holds VDDQ_VDD2_1V8AO is not published: here it does.
AGX_ORIN_CHANNELS = (
    *_channels(
        "1-0040",
        [
            ("VDD_GPU_SOC", ("gpu", "soc")),
            ("VDD_CPU_CV", ("cpu", "cv")),
            ("VIN_SYS_5V0", ("memory", "system")),
        ],
        bus_mv=(19_904, 19_904, 4_976),
        shunt_mohm=2.0,
    ),
    *_channels(
        "1-0041",
        [("NC", ()), ("VDDQ_VDD2_1V8AO", ("memory",)), ("NC", ())],
        bus_mv=(0, 4_976, 0),
        shunt_mohm=2.0,
    ),
)


def module_channels(chip: str) -> tuple[Channel, ...]:
    """Return those of Orin NX and Nano and of Xavier NX: VDD_IN is the module."""
    return _channels(
        chip,
        [("VDD_IN", COMPONENTS), ("VDD_CPU_GPU_CV", ("cpu", "gpu", "cv")), ("VDD_SOC", ("soc",))],
        bus_mv=(4_976, 4_976, 4_976),
        shunt_mohm=5.0,
    )


AGX_XAVIER_CHANNELS = (
    *_channels(
        "1-0040",
        [("GPU", ("gpu",)), ("CPU", ("cpu",)), ("SOC", ("soc",))],
        bus_mv=(19_048, 19_048, 19_048),
        shunt_mohm=5.0,
    ),
    *_channels(
        "1-0041",
        [("CV", ("cv",)), ("VDDRQ", ("memory",)), ("SYS5V", ("system",))],
        bus_mv=(19_048, 19_048, 4_976),
        shunt_mohm=5.0,
    ),
)
TX2_CHANNELS = (
    *_channels(
        "0-0040",
        [("VDD_SYS_GPU", ("gpu",)), ("VDD_SYS_SOC", ("soc", "cv")), ("VDD_4V0_WIFI", ())],
        bus_mv=(19_048, 19_048, 4_792),
        shunt_mohm=5.0,
    ),
    *_channels(
        "0-0041",
        [("VDD_IN", COMPONENTS), ("VDD_SYS_CPU", ("cpu",)), ("VDD_SYS_DDR", ("memory",))],
        bus_mv=(19_048, 19_048, 4_976),
        shunt_mohm=5.0,
    ),
)
NANO_CHANNELS = _channels(
    "6-0040",
    [("POM_5V_IN", COMPONENTS), ("POM_5V_GPU", ("gpu",)), ("POM_5V_CPU", ("cpu",))],
    bus_mv=(4_976, 4_976, 4_976),
    shunt_mohm=5.0,
)
# rbonghi/jetson_stats PR 900: an INA3221 and an INA238 whose power1_input is the total. Voltages assumed.
THOR_CHANNELS = (
    *_channels(
        "2-0040",
        [
            ("VDD_GPU", ("gpu",)),
            ("VDD_CPU_SOC_MSS", ("cpu", "cv", "soc", "memory")),
            ("VIN_SYS_5V0", ("system",)),
        ],
        bus_mv=(19_904, 19_904, 4_976),
        shunt_mohm=2.0,
    ),
    *_channels("2-0044", [("VIN", COMPONENTS)], bus_mv=(19_904,), shunt_mohm=2.0),
)
