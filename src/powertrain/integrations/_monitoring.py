"""The files that go with the metrics: a unit of systemd that serves them, and a dashboard that shows them."""

from __future__ import annotations

import ipaddress
import re
import sys
from importlib import resources
from pathlib import Path

__all__ = ["dashboard", "is_loopback", "service_unit"]

HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
"""What ProtectHome= of systemd.exec(5) hides."""


def dashboard() -> str:
    """Return a dashboard for the metrics, as JSON that Grafana imports."""
    return _text("grafana-dashboard.json")


def service_unit(
    device: str, *, host: str, port: int, user: str | None = None, python: Path | None = None
) -> str:
    """Return a unit of systemd that serves the metrics of a device as a user without any rights.

    Args:
        device: The spec of the device.
        host: The address to listen at.
        port: The port to listen on.
        user: Who serves, such as a member of the group of powertrain-helper, which lets its members read
            sensors and hold modes; if None, a user that exists only meanwhile.
        python: What runs it; the interpreter of this process if None.

    Raises:
        ValueError: The user or the host is no such name, or the spec of the device takes several lines.
    """
    if user is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?|\d{1,10}", user):
        raise ValueError(f"{user!r} is no name of a user: give letters, digits, hyphens and underscores")
    if not re.fullmatch(r"[A-Za-z0-9_.:%-]+", host):
        raise ValueError(f"{host!r} is no address: give one such as 127.0.0.1, or a name")
    if not device.isprintable():
        raise ValueError(f"{device!r} is no spec of a device: leave out line breaks and the like")
    run_by = Path(sys.executable) if python is None else python
    code = (run_by, run_by.resolve(), Path(__file__))
    values = {
        "python": _word(str(run_by)),
        "device": _word(device),
        "host": _word(host),
        "port": str(port),
        # The helper asks the system's database who is a member, which does not know a dynamic user.
        "user": f"User={_word(user)}\nRemoveIPC=yes" if user else "DynamicUser=yes",
        # The code itself must be seen, wherever it is.
        "home": "read-only" if any(p.is_relative_to(home) for p in code for home in HOMES) else "yes",
        "addresses": "IPAddressAllow=localhost\nIPAddressDeny=any" if is_loopback(host) else "",
    }
    text = _text("powertrain-metrics.service")
    for key, value in values.items():
        text = text.replace(f"{{{key}}}", value)
    return text


def _text(name: str) -> str:
    file = resources.files("powertrain.integrations") / "monitoring" / name
    return file.read_text(encoding="utf-8")


def _word(text: str) -> str:
    """Return something as one word of a unit, in which % begins a specifier and blanks end a word."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if " " in escaped else escaped


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can connect to an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
