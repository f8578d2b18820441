"""What the helper does: answers requests, and restores the device when its holder is no longer there.

No sockets here: a request is a line, a client is a `Peer`, and time is an argument.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timezone
from typing import Any, final

from powertrain.devices._base import AbstractLiveDevice
from powertrain.devices.remote._peers import Peer
from powertrain.devices.remote._protocol import VERSION, Request, error_reply, ok_reply, parse_request
from powertrain.errors import (
    DeviceBusyError,
    DeviceError,
    MissingKnobError,
    PowerTrainError,
    UnknownModeError,
)
from powertrain.helper._audit import Audit
from powertrain.records import PowerMode

__all__ = ["DEFAULT_LEASE_S", "Service"]

RESTORED, NOT_RESTORED = "given back", "not given back"
"""Outcomes in the log. Its files outlive an upgrade, so their words stay those of version 0.3."""

logger = logging.getLogger(__name__)

DEFAULT_LEASE_S = 30.0
"""Without a sign of life for so long a client loses the device; training may keep Python busy for a while."""
RETRY_S, LONGEST_RETRY_S = 5.0, 320.0
"""After it could not be restored; doubled each time."""


@final
class _Claim:
    """What a client has of the device: a mode, or the promise that nobody else gets in between modes."""

    def __init__(self, peer: Peer, *, now_s: float, since_s: float) -> None:
        self.peer, self.heard_s, self.since_s = peer, now_s, since_s
        self.mode: PowerMode | None = None
        self.held: AbstractContextManager[None] | None = None
        self.reserved: AbstractContextManager[None] | None = None

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.since_s, timezone.utc).strftime("%H:%M:%S UTC")
        return f"{self.peer} since {since}"


@final
class Service:
    """Holds a device for one client at a time."""

    def __init__(
        self,
        device: AbstractLiveDevice,
        *,
        audit: Audit,
        lease_s: float = DEFAULT_LEASE_S,
        now_s: Callable[[], float] = time.monotonic,
        time_s: Callable[[], float] = time.time,
    ) -> None:
        """Serve a device.

        Args:
            device: Held through its own `hold`, with its own journal and its own checks.
            audit: Where every change is noted.
            lease_s: How long a client keeps the device without a sign of life.
            now_s: The clock of the lease.
            time_s: The time of day.
        """
        self._device, self._audit, self._lease_s = device, audit, lease_s
        self._now_s, self._time_s = now_s, time_s
        self._claim: _Claim | None = None
        self._ended: tuple[Peer, str] | None = None
        self._retry_s: float | None = None
        self._retry_wait_s = RETRY_S
        self._values = {knob.name: frozenset(knob.values) for knob in device.space.knobs}
        self._modes = _modes_of(device)
        self._answers: dict[str, Callable[[Peer, Request], bytes]] = {
            "describe": self._describe,
            "status": self._status,
            "read": self._read,
            "check": self._check,
            "beat": self._beat,
            "reserve": self._reserve,
            "hold": self._hold,
            "release": self._release,
            "free": self._free,
        }

    @property
    def idle(self) -> bool:
        """Whether nothing is held and nothing is left to be restored."""
        return self._claim is None and self._retry_s is None

    def has(self, peer: Peer) -> bool:
        """Tell whether a client holds the device or has it reserved."""
        return self._claim is not None and self._claim.peer == peer

    def handle(self, peer: Peer, line: bytes) -> bytes:
        """Answer a request; whatever it is, the answer is a line and nothing is raised."""
        try:
            request = parse_request(line)
            answer = self._answers[request.do](peer, request)
        except (PowerTrainError, OSError) as error:
            answer = error_reply(error)
        except Exception as error:  # the boundary: a fault in a device must not end what restores it
            logger.exception("a request of %s failed", peer)
            answer = error_reply(DeviceError(f"the helper failed ({type(error).__name__}): see its log"))
        self.hear(peer)
        return answer

    def hear(self, peer: Peer) -> None:
        """Note a sign of life of a client."""
        if self._claim is not None and self._claim.peer == peer:
            self._claim.heard_s = self._now_s()

    def lose(self, peer: Peer, why: str) -> None:
        """Note that a client has gone; what it held is restored."""
        if self._claim is not None and self._claim.peer == peer:
            self._end(why)
        if self._ended is not None and self._ended[0] == peer:
            self._ended = None

    def tend(self) -> None:
        """Do what the time has come for: end a hold without signs of life, try again to restore."""
        now_s, claim = self._now_s(), self._claim
        if claim is not None and now_s >= claim.heard_s + self._lease_s:
            self._end(f"no sign of life for {self._lease_s:g} s")
        if self._retry_s is not None and now_s >= self._retry_s:
            self.restore()

    def due_s(self) -> float | None:
        """Return in how many seconds `tend` has something to do, None if it has not."""
        times_s = [self._retry_s, None if self._claim is None else self._claim.heard_s + self._lease_s]
        known_s = [time_s for time_s in times_s if time_s is not None]
        return max(0.0, min(known_s) - self._now_s()) if known_s else None

    def restore(self, *, by_opening: bool = False) -> bool:
        """Restore what a dead helper, or this one before, could not; return whether all is well now.

        Opening the device may have done so already, which is noted as well.
        """
        self._retry_s = None
        if self._claim is not None:  # its next hold restores first, and its end comes here again
            self._retry_s = self._now_s() + RETRY_S
            return False
        try:
            if self._device.restore() or by_opening:
                self._audit.try_to_write("restore", outcome=RESTORED)
        except DeviceBusyError as error:  # somebody else holds it, who restores it
            logger.warning("nothing restored: %s", error)
        except Exception as error:  # a boundary, as in handle
            self._not_restored("restore", error)
        return self._retry_s is None

    def close(self, why: str) -> bool:
        """End whatever is held; return whether the device is as it was before."""
        if self._claim is not None:
            self._end(why)
        return self._retry_s is None or self.restore()

    def _describe(self, peer: Peer, request: Request) -> bytes:
        del peer, request
        device = self._device
        return ok_reply(
            version=VERSION,
            device=device.name,
            spec=device.spec,
            key=device.key,
            simulated=device.simulated,
            knobs={knob.name: list(knob.values) for knob in device.space.knobs},
            stock={name: dict(mode) for name, mode in device.stock_modes().items()},
            rails=list(device.rails),
            lease_s=self._lease_s,
        )

    def _status(self, peer: Peer, request: Request) -> bytes:
        del request
        claim = self._claim
        if claim is None:
            return ok_reply(held=False)
        return ok_reply(
            held=True,
            yours=claim.peer == peer,
            pid=claim.peer.pid,
            uid=claim.peer.uid,
            since_s=claim.since_s,
            mode=None if claim.mode is None else dict(claim.mode),
        )

    def _read(self, peer: Peer, request: Request) -> bytes:
        del peer, request
        device = self._device
        rails_w = dict(device.read_power().rails_w) if device.rails else {}
        return ok_reply(rails_w=rails_w, throttle_count=device.throttle_count())

    def _check(self, peer: Peer, request: Request) -> bytes:
        del request
        claim = self._own(peer)
        return ok_reply(lost="nothing is held" if claim.held is None else self._device.still_holds())

    def _beat(self, peer: Peer, request: Request) -> bytes:
        del request
        self._own(peer)
        return ok_reply()

    def _reserve(self, peer: Peer, request: Request) -> bytes:
        del request
        claim = self._claim_for(peer)
        if claim.reserved is None:
            reserved = self._device.reserved()
            reserved.__enter__()
            claim.reserved, self._claim = reserved, claim
        return ok_reply()

    def _hold(self, peer: Peer, request: Request) -> bytes:
        # Checked, claimed, logged, and only then written: whatever refuses, nothing has been changed.
        mode = self._known(request.mode)
        claim = self._claim_for(peer)
        if claim.held is not None:
            raise DeviceError(f"you hold {claim.mode} already: release it first")
        noted = {"pid": peer.pid, "uid": peer.uid, "mode": dict(mode)}
        try:
            self._audit.write("hold", **noted, outcome="asked")
        except OSError as error:
            raise DeviceError(
                f"the helper cannot write its log ({error.strerror}), and changes nothing without: tell root"
            ) from error
        held = self._device.hold(mode)
        try:
            held.__enter__()
        except BaseException as error:
            self._audit.try_to_write("hold", **noted, outcome=f"refused: {error}")
            self._retry_s = self._now_s()  # in case the state before could not be brought back either
            raise
        claim.held, claim.mode, self._claim = held, mode, claim
        self._retry_s, self._retry_wait_s = None, RETRY_S  # what was left behind was restored first
        self._audit.try_to_write("hold", **noted, outcome="held")
        return ok_reply()

    def _release(self, peer: Peer, request: Request) -> bytes:
        del request
        claim = self._own(peer)
        if claim.reserved is None:
            self._end("released")
        else:
            self._end_mode(claim, "released")
        return self._restored()

    def _free(self, peer: Peer, request: Request) -> bytes:
        del request
        self._own(peer)
        self._end("freed")
        return self._restored()

    def _restored(self) -> bytes:
        if self._retry_s is not None:
            raise DeviceError(f"{self._device.name} could not be restored; the helper keeps trying")
        return ok_reply()

    def _own(self, peer: Peer) -> _Claim:
        """Return what a client has; that it has nothing, and why, is told."""
        if self._claim is not None and self._claim.peer == peer:
            return self._claim
        if self._ended is not None and self._ended[0] == peer:
            why = self._ended[1]
            raise DeviceError(f"you hold nothing any more: {why}, so {self._device.name} was restored")
        raise DeviceError("you hold nothing")

    def _claim_for(self, peer: Peer) -> _Claim:
        """Return what a client has, or what it may have."""
        claim = self._claim
        if claim is None:
            self._ended = None if self._ended and self._ended[0] == peer else self._ended
            return _Claim(peer, now_s=self._now_s(), since_s=self._time_s())
        if claim.peer != peer:
            raise DeviceBusyError(f"{self._device.name} is held by {claim}: wait for it or stop it")
        return claim

    def _known(self, mode: PowerMode | None) -> PowerMode:
        """Refuse a mode that is not, to the last bit, one that the device lists."""
        if mode is None or set(mode) != set(self._values):
            missing = sorted(set(self._values) - set(mode or ()))
            unknown = sorted(set(mode or ()) - set(self._values))
            wrong = f"lacks {', '.join(missing)}" if missing else f"has {', '.join(map(ascii, unknown))}"
            raise MissingKnobError(
                f"the mode {wrong}: {self._device.name} has the knobs {', '.join(self._values)}"
            )
        for name, value in mode.items():
            if value not in self._values[name]:
                near = min(self._values[name], key=lambda listed: abs(listed - value))
                raise UnknownModeError(
                    f"{self._device.name}: {name} has no value {value!r}: the nearest is {near!r}"
                )
        if self._modes is not None and tuple(mode[name] for name in self._values) not in self._modes:
            raise UnknownModeError(f"{self._device.name} has each value of {mode}, but not together")
        return PowerMode({name: mode[name] for name in self._values})

    def _end(self, why: str) -> None:
        """End what the present client has."""
        claim = self._claim
        if claim is None:
            return
        self._end_mode(claim, why)
        self._claim = None
        self._ended = claim.peer, why
        if claim.reserved is not None:
            claim.reserved.__exit__(None, None, None)

    def _end_mode(self, claim: _Claim, why: str) -> None:
        held, mode = claim.held, claim.mode
        if held is None or mode is None:
            return
        # Given up before it is tried: if restoring fails, `tend` tries again, not the next request.
        claim.held = claim.mode = None
        noted = {"pid": claim.peer.pid, "uid": claim.peer.uid, "mode": dict(mode), "why": why}
        try:
            held.__exit__(None, None, None)
        except Exception as error:  # a boundary, as in handle
            self._not_restored("release", error, **noted)
        else:
            self._audit.try_to_write("release", **noted, outcome=RESTORED)

    def _not_restored(self, what: str, error: BaseException, **noted: Any) -> None:
        self._audit.try_to_write(what, **noted, outcome=f"{NOT_RESTORED}: {error}")
        logger.error("%s is not restored: %s", self._device.name, error)
        self._retry_s = self._now_s() + self._retry_wait_s
        self._retry_wait_s = min(2 * self._retry_wait_s, LONGEST_RETRY_S)


def _modes_of(device: AbstractLiveDevice) -> frozenset[tuple[float, ...]] | None:
    """Return the modes of a device that lacks some of its space's, None where it has all."""
    # Boards have all modes of their grid, tens of thousands; only a device with holes is listed in full.
    modes = device.modes()
    if len(modes) == len(device.space):
        return None
    return frozenset(tuple(row) for row in modes.values.tolist())
