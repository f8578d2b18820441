"""Setting a GPU through zeusd, the Zeus daemon, where this process may not.

Two generations of its protocol are in use, and both are spoken here (github.com/ml-energy/zeus, `zeusd/`):

- `GPU in the query`: `POST /gpu/set_power_limit?gpu_ids=0&power_limit_mw=200000&block=true`. `GET /discover`
  tells which GPUs there are.
- `GPU in the path` (up to 0.1): `POST /gpu/0/set_power_limit` with a JSON body. There is no `/discover`.

Only settings go through it. What is read is read with NVML, which lets every user read.
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final
from urllib.parse import urlencode

from powertrain.devices.nvml._driver import INVALID_ARGUMENT, NO_PERMISSION, NOT_SUPPORTED, UNKNOWN, NvmlGpu
from powertrain.devices.zeusd import ZeusdClient, pci_address
from powertrain.errors import DeviceError

__all__ = ["ZeusdSetter"]

COMMANDS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "nvmlDeviceSetPowerManagementLimit": ("set_power_limit", ("power_limit_mw",)),
    "nvmlDeviceSetGpuLockedClocks": ("set_gpu_locked_clocks", ("min_clock_mhz", "max_clock_mhz")),
    "nvmlDeviceResetGpuLockedClocks": ("reset_gpu_locked_clocks", ()),
    "nvmlDeviceSetMemoryLockedClocks": ("set_mem_locked_clocks", ("min_clock_mhz", "max_clock_mhz")),
    "nvmlDeviceResetMemoryLockedClocks": ("reset_mem_locked_clocks", ()),
}
"""What each function of NVML is called in its protocol, with the names of the arguments."""
NO_SUCH_GPU = "does not exist"
"""In what it answers for a GPU that it does not have."""


@final
class ZeusdSetter:
    """Sets one GPU through a zeusd."""

    def __init__(self, path: Path, gpu: NvmlGpu) -> None:
        """Ask which GPUs it has, and find the same one; nothing is changed.

        Args:
            path: Its socket.
            gpu: The GPU to set.

        Raises:
            DevicePermissionError: This user may not use it.
            DeviceError: It does not answer, or does not have this GPU.
        """
        self.path, self._client = path, ZeusdClient(path, device=gpu.spec)
        found = self._client.discover()
        self._in_path = found is None
        self._gpu_id = gpu.index
        if found is None:
            self._check_count(gpu)
        else:
            self._gpu_id = self._found(gpu, found)

    def change(self, function: str, *arguments: int) -> None:
        """Have it call a function of NVML that changes the GPU, and wait until it has.

        Raises:
            DevicePermissionError: It may not, or this user may not have it do so.
            DeviceError: It was refused, or zeusd does not answer.
        """
        command, names = COMMANDS[function]
        values: dict[str, Any] = dict(zip(names, arguments, strict=True))
        if self._in_path:
            status, told = self._client.ask(
                "POST", f"/gpu/{self._gpu_id}/{command}", {**values, "block": True}
            )
        else:
            query = urlencode({"gpu_ids": self._gpu_id, **values, "block": "true"})
            status, told = self._client.ask("POST", f"/gpu/{command}?{query}")
        if status != http.client.OK:
            error = self._client.refused(command, status, told)
            error.__cause__ = _NvmlCode(status, str(error.__cause__))
            raise error

    def _found(self, gpu: NvmlGpu, content: Mapping[str, Any]) -> int:
        """Return its number of the GPU: by the PCI address, since a container counts from 0 what it has."""
        try:
            described: Sequence[Mapping[str, Any]] = content.get("gpus", ())
            by_address = {pci_address(one["pci_address"]): int(one["id"]) for one in described}
            ids = list(by_address.values()) if described else [int(i) for i in content.get("gpu_ids", ())]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._client.odd("/discover") from error
        address = gpu.pci_address()
        if described and address:
            if address not in by_address:
                raise DeviceError(f"zeusd at {self.path} does not have the GPU at {address}")
            return by_address[address]
        self._check_numbers(gpu, len(ids))
        return gpu.index

    def _check_numbers(self, gpu: NvmlGpu, count: int) -> None:
        """Refuse where the two may number the GPUs differently: another one would be set."""
        shown = gpu.system_number("nvmlDeviceGetCount")
        if shown is not None and shown != count:
            raise DeviceError(
                f"zeusd at {self.path} has {count} GPUs and {shown} are shown here, so {gpu.spec} may be "
                "another one there: run where all GPUs are shown, or update zeusd, which then tells addresses"
            )

    def _check_count(self, gpu: NvmlGpu) -> None:
        """Do that where it tells no list: a limit of 0 W for the GPU after the last is never set."""
        count = gpu.system_number("nvmlDeviceGetCount")
        if count is None:
            return
        body = {"power_limit_mw": 0, "block": True}
        status, told = self._client.ask("POST", f"/gpu/{count}/set_power_limit", body)
        if status != http.client.BAD_REQUEST or NO_SUCH_GPU not in told:
            self._check_numbers(gpu, count + 1)


@final
class _NvmlCode(Exception):  # noqa: N818  it stands for one of NVML's errors, which have such numbers
    """An answer of zeusd, with the number that NVML has for it."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        if status in (http.client.UNAUTHORIZED, http.client.FORBIDDEN, http.client.NOT_FOUND):
            self.value = NO_PERMISSION
        elif re.search(r"(isn't|is not|not) supported", text):
            self.value = NOT_SUPPORTED
        else:
            self.value = INVALID_ARGUMENT if status == http.client.BAD_REQUEST else UNKNOWN
