"""A device's settings, written by the helper."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, final

from typing_extensions import override

from powertrain.devices.remote._base import RemoteSettings
from powertrain.devices.remote._client import HelperClient, helper_here
from powertrain.errors import DeviceError, MissingKnobError
from powertrain.records import PowerMode
from powertrain.space import SOFTWARE_KNOBS

__all__ = ["HelperSettings", "remote_settings"]


@final
class HelperSettings(RemoteSettings):
    """Has the helper write; what it saved, and its journal, are the helper's."""

    name = "powertrain-helper"
    outlives_process = False

    def __init__(self, client: HelperClient) -> None:
        """Ask a helper what it holds; nothing is changed."""
        self.client = client
        self._description = client.describe()
        self.knobs: Mapping[str, tuple[float, ...]] = {
            knob.name: knob.values for knob in self._description.space.knobs
        }
        self.rails = self._description.rails
        self.shown = dict[str, Any]

    @override
    def check(self, mode: PowerMode) -> None:
        self._of_helper(mode)

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
    def put_back(self, saved: Mapping[str, Any]) -> None:
        self.client.release()

    @override
    def notes(self) -> tuple[str, ...]:
        lease_s = self._description.lease_s
        return (
            f"{self.name} sets {', '.join(self.knobs)}; it gives the board back when this process "
            f"ends or shows no sign of life for {lease_s:g} s.",
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
        hardware = [name for name in mode if name in self.knobs or name not in SOFTWARE_KNOBS]
        if set(hardware) != set(self.knobs):
            raise MissingKnobError(
                f"the mode has the knobs {', '.join(mode)}; the helper sets {', '.join(self.knobs)}"
            )
        values: dict[str, float] = {}
        for knob in self._description.space.knobs:
            try:
                values[knob.name] = knob.values[knob.index(mode[knob.name])]
            except ValueError as error:
                raise DeviceError(f"{self._description.device}: {error}") from None
        return PowerMode(values)


def remote_settings() -> HelperSettings | None:
    """Return settings through this machine's helper; None if there is none.

    Raises:
        DeviceError: There is one, and this user may not use it, or it does not answer.
    """
    client = helper_here()
    if client is None:
        return None
    try:
        return HelperSettings(client)
    except DeviceError:
        client.close()
        raise
