"""What a Jetson says of itself, one sentence each."""

from __future__ import annotations

import math

from powertrain.devices._sysfs import Sysfs
from powertrain.devices.jetson._counters import Counters
from powertrain.devices.jetson._detect import Identity
from powertrain.devices.jetson._power import PowerRails
from powertrain.devices.jetson._rails import Rails
from powertrain.devices.jetson.nvpmodel import STATUS, asked_mode_id, present_mode, read_conf
from powertrain.errors import DeviceError

__all__ = ["note_of_events", "note_of_nvpmodel", "notes_of_identity", "notes_of_power"]


def notes_of_identity(identity: Identity, *, simulated: bool) -> tuple[str, ...]:
    """Return which board it is, and under which release."""
    jetpack = f"JetPack {identity.jetpack}" if identity.jetpack else "a JetPack that is not known here"
    release = f"Jetson Linux {identity.l4t} ({jetpack})" if identity.l4t else "no /etc/nv_tegra_release"
    board = ", ".join(filter(None, (identity.model, identity.module, identity.soc)))
    emulated = ("Emulated: no number of it is a measurement.",) if simulated else ()
    return (*emulated, f"{board}: {release}.")


def notes_of_power(power: PowerRails, rule: Rails, *, source: str) -> tuple[str, ...]:
    """Return which rails make the board's power, and over which time a reading goes.

    Args:
        power: The monitors.
        rule: The rails that are added; with none there is nothing to say here.
        source: What is read in their place; empty: nothing.
    """
    summed = rule.summed
    if not summed:
        return ()
    others = [label for label in power.labels if label not in summed]
    told = f"Power is {'the sum of ' * (len(summed) > 1)}{', '.join(summed)}, {rule.scope}, from "
    told += f"{source or 'the power monitors'}; the carrier board may come on top"
    told += (
        f"; {', '.join(others)} {'is' if len(others) == 1 else 'are'} recorded and not added."
        if others
        else "."
    )
    if not rule.confirmed:
        told += f" That these rails are the whole is UNCONFIRMED ({rule.source})."
    window_s = power.averaging.window_s
    window = "Over which time the power monitors average is not known."
    if not math.isnan(window_s):
        window = f"Readings are averaged over {window_s:.3g} s ({power.averaging.samples:g} samples)."
    return (told, *map(_note_of_nested, rule.twice), window)


def _note_of_nested(pair: tuple[str, str]) -> str:
    return f"{pair[0]} is said to feed {pair[1]}, and both are added: if so, the second is counted twice."


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
    asked = asked_mode_id(sysfs)
    if asked is None:
        return f"Which nvpmodel mode is in force is not known: {STATUS} tells none, as before the first use."
    mode = present_mode(sysfs, conf)
    if mode is None:
        return f"nvpmodel is in a mode (id {asked}) that {conf.path} does not have."
    return f"nvpmodel is in {mode.name} (id {mode.id}), of {conf.path}."
