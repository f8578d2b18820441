"""Where the head of a cluster is, as it is typed."""

from __future__ import annotations

__all__ = ["head_address"]


def head_address(text: str) -> tuple[str, int]:
    """Return the host and the port of `HOST:PORT`.

    Raises:
        ValueError: It is no such address.
    """
    host, _, port = text.rpartition(":")
    fits = host and not set(host) & set("/ \t") and port.isascii() and port.isdecimal()
    if not fits or not 0 < int(port) < 2**16:
        raise ValueError(
            f"{text!r} is no address of a cluster: give HOST:PORT of its head, such as 10.0.0.1:6379"
        )
    return host, int(port)
