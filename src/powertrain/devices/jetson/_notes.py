"""What a Jetson says of itself, one sentence each."""

from __future__ import annotations

import math
from collections.abc import Sequence

from powertrain.devices._sysfs import Sysfs
from powertrain.devices.jetson._counters import Counters
from powertrain.devices.jetson._detect import Identity
from powertrain.devices.jetson._power import MAYBE_NESTED, PowerRails
from powertrain.devices.jetson.nvpmodel import present_mode, read_conf
from powertrain.errors import DeviceError

__all__ = ["note_of_events", "note_of_nvpmodel", "notes_of_identity", "notes_of_power"]


def notes_of_identity(identity: Identity, *, simulated: bool) -> tuple[str, ...]:
    """Return which board it is, and under which release."""
    jetpack = f"JetPack {identity.jetpack}" if identity.jetpack else "a JetPack that is not known here"
    release = f"Jetson Linux {identity.l4t} ({jetpack})" if identity.l4t else "no /etc/nv_tegra_release"
    board = ", ".join(filter(None, (identity.model, identity.module, identity.soc)))
    emulated = ("Emulated: no number of it is a measurement.",) if simulated else ()
    return (*emulated, f"{board}: {release}.")


def notes_of_power(power: PowerRails, summed: Sequence[str], *, source: str) -> tuple[str, ...]:
    """Return which rails make the board's power, and over which time a reading goes.

    Args:
        power: The monitors.
        summed: The rails that are added; with none there is nothing to say here.
        source: What is read in their place; empty: nothing.
    """
    if not summed:
        return ()
    others = [label for label in power.labels if label not in summed]
    told = f"Power is {'the sum of ' * (len(summed) > 1)}{', '.join(summed)}, from "
    told += f"{source or 'the power monitors'}; the carrier board may come on top"
    told += f"; {', '.join(others)} are recorded and not added." if others else "."
    outer, inner = MAYBE_NESTED
    nested = f"Whether {outer} carries {inner} as well is not published: if so, it is counted twice."
    window_s = power.averaging.window_s
    window = "Over which time the power monitors average is not known."
    if not math.isnan(window_s):
        window = f"Readings are averaged over {window_s:.3g} s ({power.averaging.samples:g} samples)."
    return (told, nested, window) if set(MAYBE_NESTED) <= set(summed) else (told, window)


def note_of_events(counters: Counters) -> str:
    """Return whether cuts of the clocks for too high a current are noticed."""
    if counters.has_events:
        return "Over-current events are counted."
    return "Over-current events are not told here, so a cut of that kind goes unnoticed."


def note_of_nvpmodel(sysfs: Sysfs) -> str:
    """Return in which stock mode the board is."""
    try:
        conf = read_conf(sysfs)
    except DeviceError as error:
        return f"{error}."
    mode = present_mode(sysfs, conf)
    if mode is None:
        return f"nvpmodel is in a mode that {conf.path} does not have."
    return f"nvpmodel is in {mode.name} (id {mode.id}), of {conf.path}."
