"""A client of the Zeus daemon (`zeusd`), which sets GPUs for users who may not: HTTP on a Unix socket."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

from powertrain.errors import DeviceError, DevicePermissionError

__all__ = ["SOCKETS", "Refusal", "ZeusdClient", "pci_address", "without_socket", "zeusd_socket"]

SOCKETS = (Path("/run/zeusd/zeusd.sock"), Path("/var/run/zeusd.sock"))
"""Where it listens: as its systemd unit starts it, and by default."""
TIMEOUT_S, DISCOVERY_S = 10.0, 2.0
"""How long an answer may take. Nobody who lists devices waits long for a zeusd that hangs."""
LARGEST_BYTES = 1 << 20
"""Of an answer, which takes a few hundred."""


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
class Refusal(Exception):  # noqa: N818  it is the cause of an error, and raised by nobody alone
    """An answer that is no success."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status} {text}")
        self.status, self.text = status, text


@final
class ZeusdClient:
    """Asks a zeusd, each time on a connection of its own: one that was restarted meanwhile answers again."""

    def __init__(self, path: Path, *, device: str, token: str | None = None) -> None:
        """Take where it listens; nothing is asked yet.

        Args:
            path: Its socket.
            device: The spec of the device that it sets, for messages.
            token: What it is shown where it asks for one; `ZEUSD_TOKEN` by default.
        """
        self.path, self._device = path, device
        self._token = os.environ.get("ZEUSD_TOKEN", "") if token is None else token

    def discover(self) -> Mapping[str, Any] | None:
        """Return what it has and serves; None where it is too old to tell.

        Raises:
            DevicePermissionError: This user may not use it to set a GPU.
            DeviceError: It does not answer, or not as documented.
        """
        status, told = self.ask("GET", "/discover", timeout_s=DISCOVERY_S)
        if status == http.client.NOT_FOUND:
            return None
        if status != http.client.OK:
            raise self.refused("GET /discover", status, told)
        try:
            content: dict[str, Any] = json.loads(told)
            may_set = "gpu-control" in content["enabled_api_groups"]
        except (ValueError, KeyError, TypeError) as error:
            raise self.odd("/discover") from error
        if not may_set:
            raise DevicePermissionError(
                f"zeusd at {self.path} does not serve gpu-control: start it with --enable gpu-control"
            )
        if content.get("auth_required") and not self._token:
            raise DevicePermissionError(
                f"zeusd at {self.path} asks for a token: have its administrator issue one for gpu-control "
                "(zeusd token issue) and put it into ZEUSD_TOKEN"
            )
        return content

    def ask(
        self, method: str, target: str, body: Mapping[str, Any] | None = None, *, timeout_s: float = TIMEOUT_S
    ) -> tuple[int, str]:
        """Return the status and the text of an answer.

        Raises:
            DevicePermissionError: This user may not connect.
            DeviceError: It does not answer.
        """
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
                connection.settimeout(timeout_s)
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
                f"{self._device}: zeusd at {self.path} does not answer ({reason}): start it again (systemctl "
                "restart zeusd); what it was to restore is then restored by powertrain restore"
            ) from error

    def refused(self, command: str, status: int, told: str) -> DeviceError:
        """Return the error for an answer that is no success; a `Refusal` is its cause."""
        text = _one_line(told)
        where = f"{self._device}: zeusd at {self.path} refuses {command}"
        cause = Refusal(status, text)
        if status == http.client.UNAUTHORIZED:
            error: DeviceError = DevicePermissionError(
                f"{where}: put a valid token into ZEUSD_TOKEN ({text})"
            )
        elif status in (http.client.FORBIDDEN, http.client.NOT_FOUND):
            error = DevicePermissionError(
                f"{where} ({text}): it needs root and, with tokens, the scope gpu-control"
            )
        else:
            error = DeviceError(f"{where} (status {status}: {text})")
        error.__cause__ = cause
        return error

    def odd(self, target: str) -> DeviceError:
        """Return the error for an answer of another form than documented."""
        return DeviceError(f"zeusd at {self.path} answers {target} with what is no such answer")


def _one_line(told: str) -> str:
    """Return what an answer says, of the list of errors that the newer protocol has and of a plain text."""
    try:
        errors = json.loads(told)["errors"]
        told = "; ".join(str(text) for text in errors.values())
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    printable = "".join(c if c.isprintable() else " " for c in told)
    return " ".join(printable.split())[:200] or "no reason is told"


def pci_address(text: str) -> str:
    """Return a PCI address as `lspci -D` has it; empty where the text is none."""
    found = re.fullmatch(r"([0-9a-fA-F]{1,8}):([0-9a-fA-F]{2}):([0-9a-fA-F]{2})(?:\.([0-7]))?", text.strip())
    if found is None:
        return ""
    return f"{int(found[1], 16):04x}:{found[2]}:{found[3]}.{found[4] or 0}".lower()
