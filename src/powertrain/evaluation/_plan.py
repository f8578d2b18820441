"""What an evaluation scores, and what that means on the tables at hand."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, final

import numpy as np

from powertrain.errors import DataError, MissingKnobError, PowerTrainError, UnknownNameError
from powertrain.planning import Sampling
from powertrain.records import FloatArray, ProfileTable
from powertrain.wording import counted

__all__ = [
    "ALL",
    "NONE",
    "OTHERS",
    "SAME",
    "EvaluationPlan",
    "LimitSweep",
    "Tables",
    "Target",
    "references_of",
    "resolve",
]

logger = logging.getLogger(__name__)

ALL = "all"
"""As a target: every workload of the device (unless a workload has this name)."""
OTHERS = "others"
"""As a reference: every workload but the target (unless a workload has this name)."""
SAME = "same"
"""As a reference: the target's own workload, on other devices (unless a workload has this name)."""
NONE = "none"
"""As the only reference: no reference (unless a workload has this name)."""

AUTO_LIMITS = 30
"""Limits of a sweep for which none are given; each counts for about 3 % of a share of them."""
MOST_LIMITS = 10_000
"""A longer sweep is taken for a mistyped step."""

Tables = Mapping[tuple[str, str], ProfileTable]
"""Profiles by `(device, workload)`."""


@final
@dataclass(frozen=True, kw_only=True)
class LimitSweep:
    """The power limits under which each method has to choose."""

    values_w: tuple[float, ...] = ()
    """The limits [W]; none stands for `count` of them, spread over the target's true power."""
    count: int = AUTO_LIMITS

    def __post_init__(self) -> None:
        if not all(v > 0 and math.isfinite(v) for v in self.values_w):
            wrong = (v for v in self.values_w if not (v > 0 and math.isfinite(v)))
            raise ValueError(f"power limits are positive numbers, not {_listed(wrong)}")
        count = len(self.values_w) or self.count
        if not 1 <= count <= MOST_LIMITS:
            raise ValueError(f"a sweep has 1 to {MOST_LIMITS} power limits, not {count}")

    @classmethod
    def parse(cls, text: str) -> LimitSweep:
        """Read `LOW:HIGH:STEP` in W (ends included), one number, or `auto` or `auto:COUNT`."""
        head, _, rest = text.strip().partition(":")
        try:
            if head == "auto":
                return cls(count=int(rest)) if rest else cls()
            numbers = [float(part) for part in text.split(":")]
        except ValueError:
            numbers = []
        if len(numbers) == 1:
            return cls(values_w=(numbers[0],))
        if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
            raise ValueError(f"{text!r} is neither LOW:HIGH:STEP in W, as in 17:50:1, nor auto or auto:30")
        low, high, step = numbers
        if not (0 < low <= high and step > 0):
            raise ValueError(f"{text!r}: LOW and STEP are above 0, and HIGH is at least LOW")
        # 17:50:0.1 ends at 50, although 0.1 has no exact binary form.
        steps = math.floor((high - low) / step + 1e-9)
        if steps >= MOST_LIMITS:
            raise ValueError(f"{text!r} is more than {MOST_LIMITS} limits: take a larger STEP")
        return cls(values_w=tuple(low + step * i for i in range(steps + 1)))

    def limits_w(self, power_w: FloatArray) -> FloatArray:
        """Return the limits [W] as given, or from the 5th percentile of true powers `(n,)` to the largest."""
        if self.values_w:
            return np.array(self.values_w)
        # Below the fifth percentile so few modes are left that the choice is hardly one.
        low, high = float(np.percentile(power_w, 5)), float(power_w.max())
        return np.linspace(low, high, self.count)


@final
@dataclass(frozen=True, kw_only=True)
class EvaluationPlan:
    """Which methods are scored, on which targets, with how many profiles."""

    device: str
    """Device of the targets."""
    targets: tuple[str, ...]
    """Workloads, or `"all"`."""
    references: tuple[str, ...] = ()
    """Workloads to transfer from, `"others"` (all but the target) or `"same"` (the target elsewhere)."""
    reference_devices: tuple[str, ...] = ()
    """Devices of the references; none stands for the target's own."""
    methods: tuple[str, ...] = ("gp",)
    profiles: tuple[int, ...] = (50,)
    """Numbers of profiled modes."""
    seeds: int = 5
    """How many draws of the profiled modes: seeds 0, 1, ..."""
    sampling: Sampling = "spread"
    informed: bool = False
    """Whether a spread plan looks where the references, as `gp` knows them, differ most."""
    limits: LimitSweep | None = None
    """Power limits to choose under; without, only the errors are scored."""
    risks: tuple[float, ...] = (0.05,)

    def __post_init__(self) -> None:
        for name in ("targets", "methods", "profiles", "risks"):
            values: Sequence[object] = getattr(self, name)
            if not values:
                raise ValueError(f"an evaluation needs at least one of {name}")
            object.__setattr__(self, name, tuple(dict.fromkeys(values)))
        object.__setattr__(self, "references", tuple(dict.fromkeys(self.references)))
        for name, counts in (("profiles", self.profiles), ("seeds", (self.seeds,))):
            if wrong := [n for n in counts if n < 1]:
                raise ValueError(f"{name} are counted from 1, not {_listed(wrong)}")
        if wrong := [risk for risk in self.risks if not 0 < risk < 1]:
            raise ValueError(f"a risk lies between 0 and 1, ends excluded, not at {_listed(wrong)}")
        if self.reference_devices and not self.references:
            raise ValueError(
                f"reference devices ({', '.join(self.reference_devices)}) were given without references: "
                f"name the workloads too, or {OTHERS!r}, or {SAME!r}"
            )


def _listed(numbers: Iterable[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Target:
    """One workload to predict, with what it is predicted from and the limits to choose under."""

    table: ProfileTable
    """One row per mode."""
    references: tuple[ProfileTable, ...]
    limits_w: FloatArray
    """`(n_limits,)`; empty where choices are not scored."""

    @property
    def reference_names(self) -> tuple[str, ...]:
        """Names of the references; one on another device is named as `workload @ device`."""
        own = self.table.device
        return tuple(r.workload if r.device == own else f"{r.workload} @ {r.device}" for r in self.references)


class Wanted(Protocol):
    """What names targets and references: the plan of an evaluation, or of a race."""

    @property
    def device(self) -> str:
        """Device of the targets."""
        ...

    @property
    def targets(self) -> tuple[str, ...]:
        """Workloads."""
        ...

    @property
    def references(self) -> tuple[str, ...]:
        """Workloads to learn from."""
        ...

    @property
    def reference_devices(self) -> tuple[str, ...]:
        """Devices of the references; none stands for the target's own."""
        ...


def resolve(plan: EvaluationPlan, tables: Tables) -> list[Target]:
    """Look up the targets, their references and their limits, refusing what cannot be scored.

    Of the targets that `"all"` stands for, those that cannot be scored are left out with a warning, unless
    that leaves none.

    Raises:
        UnknownNameError: the device, a target, or a reference is not in `tables`, or no reference is left.
        MissingKnobError: a reference and its target have different knobs.
        DataError: as many profiles asked as a target has modes, or limits that none of them keeps.
    """
    devices = [device for device, _ in tables]
    if plan.device not in devices:
        raise UnknownNameError.of("device", plan.device, devices)
    known = [workload for device, workload in tables if device == plan.device]
    if ALL in plan.targets and ALL not in known:
        return _all_that_can_be_scored(plan, known, tables)
    return [_target(plan, name, known, tables) for name in plan.targets]


def _all_that_can_be_scored(plan: EvaluationPlan, known: Sequence[str], tables: Tables) -> list[Target]:
    """Return every workload as a target; those without references or with too few modes are left out."""
    tried = {name: _target_or_reason(plan, name, known, tables) for name in known}
    targets = [target for target in tried.values() if isinstance(target, Target)]
    for name, reason in tried.items():
        if isinstance(reason, PowerTrainError):
            if not targets:
                raise reason
            logger.warning("%s is left out of the targets: %s", name, reason)
    return targets


def _target_or_reason(
    plan: EvaluationPlan, name: str, known: Sequence[str], tables: Tables
) -> Target | DataError | UnknownNameError:
    try:
        return _target(plan, name, known, tables)
    except (DataError, UnknownNameError) as reason:
        return reason


def _target(plan: EvaluationPlan, name: str, known: Sequence[str], tables: Tables) -> Target:
    if name not in known:
        raise UnknownNameError.of(f"workload of {plan.device}", name, known)
    table = tables[plan.device, name].averaged()
    _refuse_too_many_profiles(plan, table)
    references = tuple(tables[owner].averaged() for owner in references_of(plan, name, tables))
    for reference in references:
        _refuse_other_knobs(table, reference)
    return Target(table=table, references=references, limits_w=_limits_w(plan, table))


def references_of(plan: Wanted, target: str, tables: Tables) -> list[tuple[str, str]]:
    """Return the `(device, workload)` of the references that exist, the target itself never among them."""
    if not plan.references or _none_is_wanted(plan, tables):
        return []
    own = (plan.device, target)
    # A workload that is called "others" or "same" means itself: whoever named it so wants it found.
    devices = plan.reference_devices or (plan.device,)
    keywords = {OTHERS, SAME} - {workload for _, workload in tables}
    _refuse_unknown_references(plan, devices, keywords, tables)
    wanted: list[tuple[str, str]] = []
    named_itself = False
    for name in plan.references:
        if name == OTHERS and name in keywords:
            wanted += [owner for owner in tables if owner[0] in devices and owner[1] != target]
        elif name == SAME and name in keywords:
            wanted += [(device, target) for device in devices if device != plan.device]
        else:
            named_itself |= own in [(device, name) for device in devices]
            wanted += [(device, name) for device in devices if (device, name) != own]
    found = list(dict.fromkeys(owner for owner in wanted if owner in tables))
    if named_itself and plan.targets == (target,):
        logger.warning("%s on %s is the target, so it is left out of its references", target, plan.device)
    if not found:
        raise _no_reference(target, devices, tables, named_itself=named_itself)
    return found


def _none_is_wanted(plan: Wanted, tables: Tables) -> bool:
    return plan.references == (NONE,) and NONE not in {workload for _, workload in tables}


def _refuse_unknown_references(
    plan: Wanted, devices: Sequence[str], keywords: set[str], tables: Tables
) -> None:
    """Refuse a reference that is not a keyword and does not exist on any of `devices`."""
    known = {workload for device, workload in tables if device in devices} | keywords
    unknown = next((name for name in plan.references if name not in known), None)
    if unknown is not None:
        _refuse_unknown_devices(devices, tables)
        raise UnknownNameError.of(f"reference on {' or '.join(devices)}", unknown, known)


def _refuse_unknown_devices(devices: Sequence[str], tables: Tables) -> None:
    known = {device for device, _ in tables}
    for device in devices:
        if device not in known:
            raise UnknownNameError.of("reference device", device, known)


def _no_reference(
    target: str, devices: Sequence[str], tables: Tables, *, named_itself: bool
) -> UnknownNameError:
    _refuse_unknown_devices(devices, tables)
    place = " or ".join(devices)
    if named_itself:
        return UnknownNameError(
            f"no reference is left on {place} but the target itself: name another workload or device"
        )
    return UnknownNameError(f"{target} has no reference on {place}: name another workload or device")


def _refuse_too_many_profiles(plan: EvaluationPlan, table: ProfileTable) -> None:
    most = max(plan.profiles)
    # Errors are over the modes that were not profiled, so at least one has to be left.
    if most >= len(table):
        raise DataError(
            f"{counted(most, 'profile')} asked, but {table.workload} on {table.device} has "
            f"{counted(len(table), 'mode')}, and the "
            f"errors are over those not profiled: ask for at most {len(table) - 1}"
        )


def _refuse_other_knobs(target: ProfileTable, reference: ProfileTable) -> None:
    pairs = ((reference, target), (target, reference))
    for lacking, having in pairs:
        missing = [knob for knob in having.modes.knobs if knob not in lacking.modes.knobs]
        if missing:
            raise MissingKnobError(
                f"{lacking.workload} on {lacking.device} lacks the knob {', '.join(missing)}, which "
                f"{having.workload} on {having.device} has: add the column, or leave the reference out"
            )


def _limits_w(plan: EvaluationPlan, table: ProfileTable) -> FloatArray:
    """Return the limits [W] that at least one mode of `table` keeps."""
    if plan.limits is None:
        return np.empty(0)
    measured = np.isfinite(table.time_ms) & np.isfinite(table.power_w)
    if not measured.any():
        lacking = "time" if not table.has_time else "power"
        logger.warning(
            "%s on %s has no %s: its choices are not scored", table.workload, table.device, lacking
        )
        return np.empty(0)
    power_w = table.power_w[measured]
    limits_w = plan.limits.limits_w(power_w)
    # A limit that no mode keeps has no best mode to compare a choice with.
    kept = limits_w >= power_w.min()
    if not kept.any():
        raise DataError(
            f"no mode of {table.workload} on {table.device} keeps the limits up to {limits_w.max():g} W: "
            f"the least power is {power_w.min():.4g} W"
        )
    if not kept.all():
        logger.warning(
            "%d limits below %.4g W, the least power of %s on %s, are left out",
            int((~kept).sum()),
            power_w.min(),
            table.workload,
            table.device,
        )
    return limits_w[kept]
