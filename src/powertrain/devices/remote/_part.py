"""The part of a device that the helper sets."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, final

from typing_extensions import override

from powertrain.devices.remote._base import RemotePart
from powertrain.devices.remote._client import HelperClient, helper_here
from powertrain.errors import DeviceError
from powertrain.records import PowerMode

__all__ = ["HelperPart", "ask_helper"]


@final
class HelperPart(RemotePart):
    """Has the helper write; what it saved, and its journal, are the helper's."""

    name = "powertrain-helper"

    def __init__(self, client: HelperClient) -> None:
        """Ask a helper what it holds; nothing is changed."""
        self.client = client
        self._description = client.describe()
        self.knobs: Mapping[str, tuple[float, ...]] = {
            knob.name: knob.values for knob in self._description.space.knobs
        }
        self.rails = self._description.rails
        self.readable = ()
        self.shown = dict[str, Any]

    @override
    def in_force(self) -> Mapping[str, tuple[float, float]]:
        """Return what can be read, and of the rest what the helper is holding, if it is."""
        mode = self.client.status().mode
        held = {} if mode is None else {name: (value, value) for name, value in mode.items()}
        read = {name: ends for part in self.readable for name, ends in part.in_force().items()}
        return {**held, **read}

    @override
    def save(self) -> Mapping[str, Any]:
        return self.shown()

    @override
    def write(self, mode: PowerMode) -> None:
        self.client.hold(self._of_helper(mode))

    @override
    def lost(self, mode: PowerMode) -> str:
        return self.client.lost()

    @override
    def capped(self, mode: PowerMode) -> str:
        """Ask the parts that this process reads by itself: of what runs, everybody may read as much."""
        concerned = (part for part in self.readable if all(knob in mode for knob in part.in_force()))
        return "; ".join(filter(None, (part.capped(mode) for part in concerned)))

    @override
    def put_back(self, saved: Mapping[str, Any]) -> None:
        self.client.release()

    @override
    def notes(self) -> tuple[str, ...]:
        lease_s = self._description.lease_s
        return (
            f"{self.name} sets {', '.join(self.knobs)}; it restores the device when this process ends or "
            f"shows no sign of life for {lease_s:g} s.",
        )

    @override
    def read_w(self) -> Mapping[str, float]:
        return self.client.read().rails_w

    @override
    def throttle_count(self) -> int:
        return self.client.read().throttle_count

    @override
    @contextmanager
    def reserved(self) -> Generator[None]:
        """Keep other clients of the helper away while the context lasts."""
        self.client.reserve()
        try:
            yield
        finally:
            self.client.free()

    def _of_helper(self, mode: PowerMode) -> PowerMode:
        """Return what the helper is asked for: its own knobs, with its values to the last bit."""
        # A mode that went through a file lacks the last digits, and the helper takes no other than its own.
        values: dict[str, float] = {}
        for knob in self._description.space.knobs:
            if knob.name not in mode:
                raise DeviceError(
                    f"{self.name} sets {', '.join(self.knobs)} together: {knob.name} cannot be left out"
                )
            try:
                values[knob.name] = knob.values[knob.index(mode[knob.name])]
            except ValueError as error:
                raise DeviceError(f"{self._description.device}: {error}") from None
        return PowerMode(values)


def ask_helper(key: str) -> HelperPart | None:
    """Return the part of a device that this machine's helper sets; None if there is no helper.

    Args:
        key: What tells the device from all others of this machine.

    Raises:
        DeviceError: There is a helper, and this user may not use it, it does not answer, or it holds another
            device.
    """
    client = helper_here()
    if client is None:
        return None
    # By the key: `nvml:0` is another GPU in a container that sees only some, and must not be set for it.
    try:
        held = client.describe()
        if held.key != key:
            raise DeviceError(f"it holds {held.spec} ({held.device}) and no other device")
        return HelperPart(client)
    except DeviceError:
        client.close()
        raise
