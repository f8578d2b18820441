"""What a helper tells of its device."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from typing_extensions import Self

from powertrain.errors import DeviceError
from powertrain.records import PowerMode
from powertrain.space import ModeSpace

__all__ = ["Description", "HelperStatus", "Sensors"]


@final
@dataclass(frozen=True, kw_only=True)
class Description:
    """What a helper holds."""

    device: str
    spec: str
    key: str
    """What tells the device from all others of the machine; a spec may name another one elsewhere."""
    simulated: bool
    space: ModeSpace
    stock: Mapping[str, PowerMode]
    rails: tuple[str, ...]
    lease_s: float
    """Time without a sign of life after which it restores the device."""

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """Read an answer to `describe`."""
        # Whatever a helper of another release sends, the client ends with one line that says so.
        try:
            return cls(
                device=str(answer["device"]),
                spec=str(answer["spec"]),
                key=str(answer["key"]),
                simulated=bool(answer["simulated"]),
                space=ModeSpace.of(answer["knobs"]),
                stock={str(name): PowerMode(mode) for name, mode in answer["stock"].items()},
                rails=tuple(map(str, answer["rails"])),
                lease_s=float(answer["lease_s"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise _misunderstood(error) from error


@final
@dataclass(frozen=True, kw_only=True)
class HelperStatus:
    """Who holds the device."""

    held: bool
    yours: bool = False
    pid: int = 0
    uid: int = -1
    since_s: float = math.nan
    """Seconds since 1970."""
    mode: PowerMode | None = None
    """None while the device is merely reserved."""

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """Read an answer to `status`."""
        rest = dict(answer)
        try:
            mode = rest.pop("mode", None)
            return cls(**rest, mode=None if mode is None else PowerMode(mode))
        except (TypeError, ValueError) as error:
            raise _misunderstood(error) from error


@final
@dataclass(frozen=True, kw_only=True)
class Sensors:
    """What the helper reads of the device for those who may not."""

    rails_w: Mapping[str, float]
    """Power of each rail; none where the device has no power sensor."""
    throttle_count: int

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """Read an answer to `read`."""
        try:
            return cls(
                rails_w={
                    str(rail): math.nan if watts is None else float(watts)
                    for rail, watts in answer["rails_w"].items()
                },
                throttle_count=int(answer["throttle_count"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise _misunderstood(error) from error


def _misunderstood(error: Exception) -> DeviceError:
    return DeviceError(f"the helper's answer is not understood ({error}): install one release for both")
