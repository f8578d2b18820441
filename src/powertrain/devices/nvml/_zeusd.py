"""The Zeus daemon (`zeusd`): it sets GPUs for users who may not, over HTTP on a Unix socket.

Two generations of its protocol are in use, and both are spoken here (github.com/ml-energy/zeus, `zeusd/`):

- `GPU in the query`: `POST /gpu/set_power_limit?gpu_ids=0&power_limit_mw=200000&block=true`. `GET /discover`
  tells which GPUs there are.
- `GPU in the path` (up to 0.1): `POST /gpu/0/set_power_limit` with a JSON body. There is no `/discover`.

Only settings go through it. What is read is read with NVML, which lets every user read.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final
from urllib.parse import urlencode

from powertrain.devices.nvml._driver import INVALID_ARGUMENT, NO_PERMISSION, NOT_SUPPORTED, UNKNOWN, NvmlGpu
from powertrain.errors import DeviceError, DevicePermissionError

__all__ = ["Zeusd", "without_socket", "zeusd_socket"]

SOCKETS = (Path("/run/zeusd/zeusd.sock"), Path("/var/run/zeusd.sock"))
"""Where it listens: as its systemd unit starts it, and by default."""
TIMEOUT_S = 10.0
LARGEST_BYTES = 1 << 20
"""Of an answer, which takes a few hundred."""
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


def zeusd_socket(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return where a zeusd listens on this machine; None if none does.

    The variable `ZEUSD_SOCK_PATH` names the socket, as for the Zeus library.
    """
    named = environ.get("ZEUSD_SOCK_PATH")
    places = (Path(named),) if named else SOCKETS
    return next((path for path in places if path.is_socket()), None)


def without_socket(options: str) -> tuple[str, Path | None]:
    """Return the options of a spec without `zeusd=PATH`, and that path; None if it is not there."""
    parts = options.split("&") if options else []
    named = [part.partition("=")[2] for part in parts if part.startswith("zeusd=")]
    rest = "&".join(part for part in parts if not part.startswith("zeusd="))
    return rest, Path(named[-1]) if named else None


@final
class Zeusd:
    """Sets one GPU through a zeusd."""

    def __init__(self, path: Path, gpu: NvmlGpu, *, token: str | None = None) -> None:
        """Ask which GPUs it has, and find the same one; nothing is changed.

        Args:
            path: Its socket.
            gpu: The GPU to set.
            token: What it is shown where it asks for one; `ZEUSD_TOKEN` by default.

        Raises:
            DevicePermissionError: This user may not use it.
            DeviceError: It does not answer, or does not have this GPU.
        """
        self.path, self._spec = path, gpu.spec
        self._token = os.environ.get("ZEUSD_TOKEN", "") if token is None else token
        status, told = self._request("GET", "/discover")
        self._in_path = status == http.client.NOT_FOUND
        if self._in_path:
            self._gpu_id = gpu.index
            self._check_count(gpu)
        elif status == http.client.OK:
            self._gpu_id = self._found(gpu, told)
        else:
            raise self._refused("GET /discover", status, told)

    def change(self, function: str, *arguments: int) -> None:
        """Have it call a function of NVML that changes the GPU, and wait until it has.

        Raises:
            DevicePermissionError: It may not, or this user may not have it do so.
            DeviceError: It was refused, or zeusd does not answer.
        """
        command, names = COMMANDS[function]
        values: dict[str, Any] = dict(zip(names, arguments, strict=True))
        if self._in_path:
            status, told = self._request("POST", f"/gpu/{self._gpu_id}/{command}", {**values, "block": True})
        else:
            query = urlencode({"gpu_ids": self._gpu_id, **values, "block": "true"})
            status, told = self._request("POST", f"/gpu/{command}?{query}")
        if status != http.client.OK:
            raise self._refused(command, status, told)

    def _found(self, gpu: NvmlGpu, told: str) -> int:
        """Return its number of the GPU: by the PCI address, since a container counts from 0 what it has."""
        try:
            content: dict[str, Any] = json.loads(told)
            groups: Sequence[str] = content["enabled_api_groups"]
            described: Sequence[Mapping[str, Any]] = content.get("gpus", ())
            by_address = {_address(gpu["pci_address"]): int(gpu["id"]) for gpu in described}
            ids = list(by_address.values()) if described else [int(i) for i in content.get("gpu_ids", ())]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DeviceError(
                f"zeusd at {self.path} answers /discover with what is no such answer"
            ) from error
        if "gpu-control" not in groups:
            raise DevicePermissionError(
                f"zeusd at {self.path} does not serve gpu-control: start it with --enable gpu-control"
            )
        if content.get("auth_required") and not self._token:
            raise DevicePermissionError(
                f"zeusd at {self.path} asks for a token: have its administrator issue one for gpu-control "
                "(zeusd token issue) and put it into ZEUSD_TOKEN"
            )
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
        status, told = self._request("POST", f"/gpu/{count}/set_power_limit", body)
        if status != http.client.BAD_REQUEST or NO_SUCH_GPU not in told:
            self._check_numbers(gpu, count + 1)

    def _request(self, method: str, target: str, body: Mapping[str, Any] | None = None) -> tuple[int, str]:
        """Return the status and the text of an answer."""
        content = b"" if body is None else json.dumps(body).encode()
        head = [f"{method} {target} HTTP/1.1", "Host: zeusd", "Connection: close"]
        if body is not None:
            head.append("Content-Type: application/json")
        if method == "POST":
            head.append(f"Content-Length: {len(content)}")
        if self._token.isascii() and self._token.isprintable() and self._token:
            head.append(f"Authorization: Bearer {self._token}")
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(TIMEOUT_S)
                connection.connect(str(self.path))
                connection.sendall("\r\n".join([*head, "", ""]).encode() + content)
                answer = http.client.HTTPResponse(connection, method=method)
                answer.begin()
                told = answer.read(LARGEST_BYTES).decode("utf-8", errors="replace")
                return answer.status, told
        except PermissionError as error:
            raise DevicePermissionError(
                f"zeusd at {self.path} is not for this user: have its administrator admit the user "
                "(--socket-permissions, --socket-gid)"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise DeviceError(
                f"{self._spec}: zeusd at {self.path} does not answer ({reason}): start it again (systemctl "
                "restart zeusd); what it was to restore is then restored by powertrain restore"
            ) from error

    def _refused(self, command: str, status: int, told: str) -> DeviceError:
        """Return the error for a refusal, with NVML's number of the reason as its cause."""
        text = _one_line(told)
        where = f"{self._spec}: zeusd at {self.path} refuses {command}"
        cause = _Refusal(status, text)
        if status == http.client.UNAUTHORIZED:
            error: DeviceError = DevicePermissionError(
                f"{where}: put a valid token into ZEUSD_TOKEN ({text})"
            )
        elif cause.value == NO_PERMISSION:
            error = DevicePermissionError(
                f"{where} ({text}): it needs root and, with tokens, the scope gpu-control"
            )
        else:
            error = DeviceError(f"{where} (status {status}: {text})")
        error.__cause__ = cause
        return error


@final
class _Refusal(Exception):  # noqa: N818  it stands for one of NVML's errors, which have such numbers
    """An answer of zeusd, with the number that NVML has for it."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status} {text}")
        if status in (http.client.UNAUTHORIZED, http.client.FORBIDDEN, http.client.NOT_FOUND):
            self.value = NO_PERMISSION
        elif re.search(r"(isn't|is not|not) supported", text):
            self.value = NOT_SUPPORTED
        else:
            self.value = INVALID_ARGUMENT if status == http.client.BAD_REQUEST else UNKNOWN


def _one_line(told: str) -> str:
    """Return what an answer says, of the list of errors that the newer protocol has and of a plain text."""
    try:
        errors = json.loads(told)["errors"]
        told = "; ".join(str(text) for text in errors.values())
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    printable = "".join(c if c.isprintable() else " " for c in told)
    return " ".join(printable.split())[:200] or "no reason is told"


def _address(text: str) -> str:
    """Return a PCI address as `lspci -D` has it; empty where the text is none."""
    found = re.fullmatch(r"([0-9a-fA-F]{1,8}):([0-9a-fA-F]{2}):([0-9a-fA-F]{2})(?:\.([0-7]))?", text.strip())
    if found is None:
        return ""
    return f"{int(found[1], 16):04x}:{found[2]}:{found[3]}.{found[4] or 0}".lower()
