"""A profile or a choice as a flat mapping, the way loggers of experiments take it."""

from __future__ import annotations

import math

from powertrain.records import Choice, Profile

__all__ = ["metrics", "tags"]

PREFIX = "powertrain/"


def metrics(result: Profile | Choice) -> dict[str, float]:
    """Return the numbers of a result by names with units, such as `powertrain/power_w`.

    They are the time of a minibatch [ms], its energy [J], the mean power [W], whatever else was measured or
    predicted, and the knobs of the mode (`powertrain/mode/gpu_mhz`). What is not known is left out. Of a
    choice they are predicted: the values, and the ends of the central 90 % intervals (`..._low`, `..._high`).
    """
    found = _predicted(result) if isinstance(result, Choice) else _measured(result)
    found |= {f"mode/{name}": float(value) for name, value in result.mode.items()}
    return {PREFIX + name: value for name, value in found.items() if math.isfinite(value)}


def tags(result: Profile | Choice) -> dict[str, str]:
    """Return what a result says in words, by the same kind of names.

    A profile says its mode, device, workload and flags; a choice its mode, objective, limits and reason.
    """
    if isinstance(result, Choice):
        limits = ", ".join(f"{name}={limit:g}" for name, limit in result.limits.active().items())
        said = {"objective": result.objective, "limits": limits, "why": result.why}
    else:
        said = {"device": result.device, "workload": result.workload, "flags": ", ".join(result.flags)}
    said["mode"] = str(result.mode)  # as `powertrain apply` takes it
    return {PREFIX + name: text for name, text in said.items() if text}


def _measured(profile: Profile) -> dict[str, float]:
    return {**profile.values, "energy_j": profile.energy_j, "duration_s": profile.duration_s}


def _predicted(choice: Choice) -> dict[str, float]:
    intervals = {
        "time_ms": choice.time_ms,
        "power_w": choice.power_w,
        "energy_j": choice.energy_j,
        **choice.others,
    }
    found: dict[str, float] = {}
    for name, interval in intervals.items():
        found |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
    return found
