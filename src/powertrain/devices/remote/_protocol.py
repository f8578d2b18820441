"""The words of the helper: requests and replies, each a line of JSON, and their bounds.

A request is `{"v": 1, "do": WORD}`, for `hold` with `"mode": {KNOB: NUMBER}`, and nothing else ever. A reply
has `"ok": true` and what was asked for, or `"ok": false` with the kind of the error and its message, and with
`"again": true` where asking again in a moment may help. Requests
have neither paths nor lists, so nothing that a client sends can name anything but a knob and a number.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, final

from powertrain.errors import (
    DeviceBusyError,
    DeviceError,
    DevicePermissionError,
    MissingKnobError,
    PowerTrainError,
    UnknownModeError,
    UnknownNameError,
    UnreachableModeError,
)
from powertrain.records import PowerMode

__all__ = [
    "CHANGES",
    "CLAIMS",
    "DEFAULT_GROUP",
    "DEFAULT_SOCKET",
    "LARGEST_REPLY",
    "LARGEST_REQUEST",
    "SOCKET_VARIABLE",
    "VERSION",
    "WORDS",
    "Request",
    "encode_request",
    "error_reply",
    "ok_reply",
    "parse_reply",
    "parse_request",
    "refused_for_now",
    "word_of",
]

VERSION = 1
DEFAULT_SOCKET = Path("/run/powertrain/helper.sock")
SOCKET_VARIABLE = "POWERTRAIN_HELPER_SOCKET"
"""Tells a client of a helper that listens elsewhere; the helper itself does not look at it."""
DEFAULT_GROUP = "powertrain"
LARGEST_REQUEST = 64 * 1024
"""Bytes of a request, its newline included."""
LARGEST_REPLY = 1024 * 1024
MOST_KNOBS = 32
LONGEST_NAME = 64
LONGEST_NUMBER = 32
"""Characters of a number; what `repr` writes of a float has 24 at most."""
LONGEST_MESSAGE = 1000

WORDS = ("describe", "status", "read", "check", "beat", "reserve", "hold", "release", "free")
CLAIMS = frozenset({"reserve", "hold"})
"""By which a client gets the device."""
CHANGES = frozenset({"hold", "release", "free"})
"""By which the device may change, which takes time."""

ERRORS: dict[str, type[PowerTrainError]] = {
    kind.__name__: kind
    for kind in (
        UnreachableModeError,
        DevicePermissionError,
        DeviceBusyError,
        UnknownModeError,
        DeviceError,
        UnknownNameError,
        MissingKnobError,
    )
}
"""The kinds of error that cross the socket; each other one crosses as its nearest ancestor here."""


@final
@dataclass(frozen=True, kw_only=True)
class Request:
    """A request that is whole and within bounds; whether its mode exists is not known yet."""

    do: str
    mode: PowerMode | None = None


def encode_request(request: Request) -> bytes:
    """Return the line of a request."""
    content: dict[str, Any] = {"v": VERSION, "do": request.do}
    if request.mode is not None:
        content["mode"] = dict(request.mode)
    return json.dumps(content, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"


def parse_request(line: bytes) -> Request:
    """Read the line of a request.

    Raises:
        DeviceError: It is none.
        UnknownNameError: It asks for something that the helper does not do.
        MissingKnobError: It asks for a mode and names none.
    """
    # Each known field is taken out, so that whatever is left is one that nobody knows.
    content = _object_of(line)
    version, do = content.pop("v", None), content.pop("do", None)
    if not isinstance(version, float) or version != float(VERSION):
        raise DeviceError(
            f"the helper speaks version {VERSION} of its protocol: install one release for both"
        )
    if not isinstance(do, str) or len(do) > LONGEST_NAME:
        raise DeviceError('not a request: "do" must be a word')
    if do not in WORDS:
        raise UnknownNameError.of("request", do, WORDS)
    mode = content.pop("mode", None) if do == "hold" else None
    if content:
        raise DeviceError(f"not a request: {do} does not go with {_shown(next(iter(content)))}")
    return Request(do=do, mode=_mode_of(mode) if do == "hold" else None)


def word_of(line: bytes) -> str:
    """Return what a request asks for, empty if it is none."""
    try:
        return parse_request(line).do
    except PowerTrainError:
        return ""


def ok_reply(**content: Any) -> bytes:
    """Return the line that answers a request; NaN becomes null."""
    return _line({"ok": True, **{name: _plain(value) for name, value in content.items()}})


def error_reply(error: BaseException, *, again: bool = False) -> bytes:
    """Return the line that refuses a request; `again`: the same may be granted in a moment."""
    # Only kinds that the client has as well can cross: an unknown one becomes its nearest ancestor.
    kind = next((c.__name__ for c in type(error).__mro__ if c.__name__ in ERRORS), DeviceError.__name__)
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    message = " ".join(text.split())[:LONGEST_MESSAGE] or type(error).__name__
    return _line({"ok": False, "error": kind, "message": message, **({"again": True} if again else {})})


def refused_for_now(line: bytes) -> bool:
    """Tell whether an answer is a refusal that may not be one in a moment."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("ok") is False and content.get("again") is True  # pyright: ignore[reportUnknownMemberType]


def parse_reply(line: bytes) -> Mapping[str, Any]:
    """Return what the helper answered.

    Raises:
        PowerTrainError: It refused; the error is the one that the device raised there.
        DeviceError: It is not an answer.
    """
    try:
        content = json.loads(line.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise DeviceError(f"the helper answered {line[:40]!r}, which is not an answer") from error
    if not isinstance(content, dict) or not isinstance(content.get("ok"), bool):  # pyright: ignore[reportUnknownMemberType]
        raise DeviceError(f"the helper answered {line[:40]!r}, which is not an answer")
    answer = cast("dict[str, Any]", content)
    if not answer.pop("ok"):
        raise ERRORS.get(str(answer.get("error")), DeviceError)(str(answer.get("message")))
    return answer


def _object_of(line: bytes) -> dict[str, Any]:
    if len(line) > LARGEST_REQUEST:
        raise DeviceError(f"not a request: longer than {LARGEST_REQUEST} bytes")
    # No request nests deeper than its mode: counting is cheaper than letting a parser climb down.
    if line.count(b"{") > 2 or b"[" in line:
        raise DeviceError("not a request: nested too deeply")
    try:
        content = json.loads(
            line.decode("utf-8"),
            parse_int=_number,
            parse_float=_number,
            parse_constant=_number,
            object_pairs_hook=_distinct,
        )
    except (ValueError, RecursionError) as error:
        raise DeviceError(f"not a request: {error}") from None
    if not isinstance(content, dict):
        raise DeviceError("not a request: not an object")
    return content  # pyright: ignore[reportUnknownVariableType]


def _number(text: str) -> float:
    # Numbers of thousands of digits would take long to read, so their length comes first.
    number = float(text) if len(text) <= LONGEST_NUMBER else math.inf
    if not math.isfinite(number):
        raise ValueError(f"{text[:LONGEST_NUMBER]} is not a number of any device")
    return number


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a name is given twice")
    return dict(pairs)


def _mode_of(content: Any) -> PowerMode:
    if not isinstance(content, dict) or not content:
        raise MissingKnobError("hold names no mode: give every knob of the device a number")
    knobs = cast("dict[str, Any]", content)
    if len(knobs) > MOST_KNOBS or any(len(name) > LONGEST_NAME for name in knobs):
        raise MissingKnobError(f"no device has {len(knobs)} knobs with such names")
    for name, value in knobs.items():
        if not isinstance(value, float):
            raise DeviceError(f"not a request: knob {_shown(name)} is given no number")
    return PowerMode(knobs)


def _shown(name: str) -> str:
    return ascii(name[:LONGEST_NAME])


def _plain(value: Any) -> Any:
    """Return the value as JSON can say it."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return value


def _line(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"
