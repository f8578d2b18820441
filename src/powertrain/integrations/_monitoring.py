"""The files that go with the metrics: a unit of systemd that serves them, and a dashboard that shows them."""

from __future__ import annotations

import grp
import ipaddress
import sys
from importlib import resources
from pathlib import Path

from powertrain.devices.remote import DEFAULT_GROUP

__all__ = ["dashboard", "service_unit"]

HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
"""What ProtectHome= of systemd.exec(5) hides."""


def dashboard() -> str:
    """Return a dashboard for the metrics, as JSON that Grafana imports."""
    return _text("grafana-dashboard.json")


def service_unit(device: str, *, host: str, port: int, python: Path | None = None) -> str:
    """Return a unit of systemd that serves the metrics of a device as a user without any rights.

    Where this machine has the group of powertrain-helper, the service is in it, and reads what the helper
    lets its members read.

    Args:
        device: The spec of the device.
        host: The address to listen at.
        port: The port to listen on.
        python: What runs it; the interpreter of this process if None.
    """
    run_by = Path(sys.executable) if python is None else python
    code = (run_by, run_by.resolve(), Path(__file__))
    values = {
        "python": _word(str(run_by)),
        "device": _word(device),
        "host": _word(host),
        "port": str(port),
        "groups": f"SupplementaryGroups={DEFAULT_GROUP}\n" if _is_group(DEFAULT_GROUP) else "",
        # The code itself must be seen, wherever it is.
        "home": "read-only" if any(p.is_relative_to(home) for p in code for home in HOMES) else "yes",
        "addresses": "IPAddressAllow=localhost\nIPAddressDeny=any" if _is_loopback(host) else "",
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


def _is_group(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
