"""One GPU behind zeusd, of any vendor: what it tells, and what it can be told."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final
from urllib.parse import urlencode

from powertrain.devices.zeusd._client import ZeusdClient
from powertrain.errors import DeviceError

__all__ = ["ZeusdGpu", "gpus_of"]


@final
class ZeusdGpu:
    """The GPU; every question is one request."""

    def __init__(self, path: Path, number: int) -> None:
        """Find the GPU.

        Raises:
            DevicePermissionError: This user may not have it set.
            DeviceError: There is no zeusd, it is too old, or it has no such GPU.
        """
        self.spec, self.number = f"zeusd:{number}", number
        self.client = ZeusdClient(path, device=self.spec)
        content = self.client.discover()
        described = {} if content is None else gpus_of(content)
        if content is None or (not described and content.get("gpu_ids")):
            raise DeviceError(f"zeusd at {path} is too old to read GPUs from: install a newer one")
        if number not in described:
            found = ", ".join(f"zeusd:{i}" for i in described) or "none"
            raise DeviceError(f"{self.spec}: there is no such GPU, zeusd at {path} has {found}")
        about = described[number]
        self.address = str(about.get("pci_address", ""))
        self.name = str(about.get("name") or f"GPU {self.address or number}")
        self.counts_energy = about.get("cumulative_energy_available") is True

    def number_of(self, command: str, name: str) -> int:
        """Return a number that a GET tells of this GPU.

        Raises:
            DeviceError: It does not tell it.
        """
        target = f"/gpu/{command}?{urlencode({'gpu_ids': self.number})}"
        status, told = self.client.ask("GET", target)
        if status != http.client.OK:
            raise self.client.refused(command, status, told)
        try:
            content: dict[str, Any] = json.loads(told)
            # `get_power` has the GPUs below the name of the quantity, the others the other way round.
            found = content[name][str(self.number)] if name in content else content[str(self.number)][name]
        except (ValueError, KeyError, TypeError) as error:
            raise self.client.odd(f"/gpu/{command}") from error
        if not isinstance(found, int) or isinstance(found, bool) or found < 0:
            raise self.client.odd(f"/gpu/{command}")
        return found

    def find(self, command: str, name: str) -> int | None:
        """Return such a number; None where it is not told."""
        try:
            return self.number_of(command, name)
        except DeviceError:
            return None

    def change(self, command: str, **values: int) -> None:
        """Have this GPU set, and wait until it is.

        Raises:
            DeviceError: It is refused.
        """
        query = urlencode({"gpu_ids": self.number, **values, "block": "true"})
        status, told = self.client.ask("POST", f"/gpu/{command}?{query}")
        if status != http.client.OK:
            raise self.client.refused(command, status, told)


def gpus_of(content: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
    """Return the GPUs that `/discover` describes, by their numbers."""
    described: Sequence[Any] = content.get("gpus") or ()
    return {gpu["id"]: gpu for gpu in described if isinstance(gpu, dict) and isinstance(gpu.get("id"), int)}
