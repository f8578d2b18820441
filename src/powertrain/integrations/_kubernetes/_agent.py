"""The agent on a node: labels it, and holds its board in the mode that keeps the annotated budget."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import final

from powertrain.devices import AbstractLiveDevice
from powertrain.errors import DeviceBusyError, MissingKnobError, PowerTrainError
from powertrain.fleet import NodeChoice, NodeModes, node_decision
from powertrain.integrations._kubernetes._server import (
    ApiServer,
    ConflictError,
    GoneError,
    Node,
    ServerError,
)
from powertrain.records import PowerMode

__all__ = ["DOMAIN", "Agent", "Pace"]

logger = logging.getLogger(__name__)

DOMAIN = "powertrain.dev"
"""Prefix of labels and annotations: Kubernetes wants a DNS name, so that two projects never share a key."""
BUDGET = f"{DOMAIN}/power-budget-w"
BOARD = f"{DOMAIN}/board"
STATUS, MODE, POWER, DETAILS, AGENT = (
    f"{DOMAIN}/{name}" for name in ("status", "mode", "power-w", "range", "agent")
)
OWN = (STATUS, MODE, POWER, AGENT)
"""Annotations that end with the agent."""
AGAIN = "; trying again"
"""Ends what is said as long as the server does not answer."""
TRIES = 5
"""At a patch that meets other people's changes."""


@final
@dataclass(frozen=True, kw_only=True)
class Pace:
    """How often the agent asks, and how long it waits."""

    watch_s: int = 60
    """Of one watch. After each, the node and the board are looked at again."""
    least_wait_s: float = 1.0
    most_wait_s: float = 30.0
    """Between tries while the server does not answer; doubled from the least to the most."""
    away_s: float = 600.0
    """How long without the server until the board is restored."""


@final
class Agent:
    """Labels a node of a cluster, and holds its board within the annotated watt budget."""

    def __init__(
        self,
        server: ApiServer,
        device: AbstractLiveDevice,
        known: NodeModes,
        *,
        name: str,
        pace: Pace | None = None,
        tell: Callable[[str], None] = logger.info,
    ) -> None:
        """Take the parts; nothing is changed yet.

        Args:
            server: Of the node.
            device: The board to hold.
            known: Its modes.
            name: What tells this agent from any other, such as the name of its pod.
            pace: How often to ask.
            tell: Takes a line whenever something changes.
        """
        self._server, self._device, self._known, self._name = server, device, known, name
        self._pace, self._tell = pace or Pace(), tell
        self._hold: AbstractContextManager[None] | None = None
        self._held: PowerMode | None = None
        self._status = ""
        self._heard_s = time.monotonic()

    def run(self, stop: threading.Event) -> None:
        """Serve the node until told to stop; the board is restored on every way out.

        Raises:
            DeviceBusyError: Another agent, or another run, has the board or the node.
            ServerError: The server refuses at the start, such as for want of a right.
        """
        with self._device.reserved():
            try:
                version = self._claim().version
                while not stop.is_set():
                    version = self._follow(version, stop)
            finally:
                self._end()

    def _follow(self, version: str, stop: threading.Event) -> str:
        """Watch the node once; return the version to go on from."""
        began_s = time.monotonic()
        try:
            for node in self._server.watch(version, last_s=self._pace.watch_s):
                self._heard_s = time.monotonic()
                if node is not None:
                    version = self._reconcile(node).version
                if stop.is_set():
                    return version
        except GoneError as error:
            logger.info("%s: the node is read again", error)
        except ServerError as error:
            self._say(f"{error}{AGAIN}")
        # A server that ends every watch at once is not asked more often for it.
        lasted_s = time.monotonic() - began_s
        return self._when_back(stop, version, wait_s=max(0.0, self._pace.least_wait_s - lasted_s))

    def _when_back(self, stop: threading.Event, version: str, *, wait_s: float) -> str:
        """Read the node again, as soon as the server answers; return its version.

        The board is restored when that takes too long.
        """
        while not stop.wait(wait_s):
            try:
                return self._look_again().version
            except ServerError as error:
                # One line is enough: what it answers may change from try to try.
                if not self._status.endswith(AGAIN):
                    self._say(f"{error}{AGAIN}")
            away_s = time.monotonic() - self._heard_s
            if self._hold is not None and away_s > self._pace.away_s:
                self._release()
                self._say(f"no API server for {away_s:.0f} s: the board is restored{AGAIN}")
            wait_s = min(max(2 * wait_s, self._pace.least_wait_s), self._pace.most_wait_s)
        return version

    def _look_again(self) -> Node:
        """Read the node, see whether the mode is still in force, and do what is asked for."""
        node = self._server.read()
        self._heard_s = time.monotonic()
        if self._hold is not None and (why := self._device.still_holds()):
            self._say(f"the mode was lost: {why}; it is set again")
            self._release()
        return self._reconcile(node)

    def _reconcile(self, node: Node) -> Node:
        """Do what a node asks for, and tell it; return the node as it is then."""
        other = node.annotations.get(AGENT, self._name)
        if other != self._name:
            raise DeviceBusyError(
                f"agent {other} has taken node {self._server.node}: this one ends; one DaemonSet is enough"
            )
        told = self._applied(node)
        changes = {key: value for key, value in told.items() if node.annotations.get(key) != value}
        labels = self._labels(node)
        if not changes and not labels:
            return node
        # Only its own keys: whoever changed another one meanwhile is not disturbed.
        return self._server.patch({"annotations": changes, "labels": labels})

    def _applied(self, node: Node) -> dict[str, str | None]:
        """Apply the budget to the board; return the annotations that tell of it."""
        found = node_decision(
            self._known,
            budget=node.annotations.get(BUDGET),
            board_label=node.labels.get(BOARD),
            held=self._held,
        )
        status, power = found.status, node.annotations.get(POWER) if self._held else None
        if not found.leave:
            try:
                self._take(found.choice)
            except PowerTrainError as error:
                status = f"the board cannot be set: {error}"
            power = f"{found.choice.power_w:.1f}" if found.choice is not None and self._held else None
        self._say(status)
        mode = None if self._held is None else str(self._held)
        details = json.dumps(self._known.described(), sort_keys=True)
        return {AGENT: self._name, STATUS: status, MODE: mode, POWER: power, DETAILS: details}

    def _labels(self, node: Node) -> dict[str, str]:
        """Return the labels to set: none where the node is labelled with another board."""
        wanted = {f"{DOMAIN}/{name}": value for name, value in self._known.labels().items()}
        if node.labels.get(BOARD, wanted[BOARD]) != wanted[BOARD]:
            return {}
        return {key: value for key, value in wanted.items() if node.labels.get(key) != value}

    def _take(self, choice: NodeChoice | None) -> None:
        """Hold a mode, or none; what was held before is restored first."""
        wanted = None if choice is None else choice.mode
        if wanted == self._held:
            return
        self._release()
        if wanted is None:
            return
        try:
            self._hold = self._entered(wanted)
        except MissingKnobError:
            # The helper sets the knobs of a device together. A power limit cuts even the highest clocks.
            highest = {knob.name: knob.values[-1] for knob in self._device.space.knobs}
            self._hold = self._entered(PowerMode({**highest, **wanted}))
        self._held = wanted

    def _entered(self, mode: PowerMode) -> AbstractContextManager[None]:
        """Put the board into a mode, which may lack knobs; return what restores it."""
        whole = all(knob.name in mode for knob in self._device.space.knobs)
        hold = self._device.hold(mode) if whole else self._device.hold_some(mode)
        hold.__enter__()
        return hold

    def _release(self) -> None:
        hold, self._hold, self._held = self._hold, None, None
        if hold is not None:
            hold.__exit__(None, None, None)

    def _claim(self) -> Node:
        """Claim the node, as often as somebody else changes it meanwhile, and do what it asks for.

        The claim of an agent that was killed stays on the node, so a claim of another is taken over. If that
        one is alive, it sees this and ends.
        """
        for _ in range(TRIES):
            node = self._server.read()
            try:
                claimed = self._server.patch(
                    {"resourceVersion": node.version, "annotations": {AGENT: self._name}}
                )
            except ConflictError:
                continue
            return self._reconcile(claimed)
        raise ServerError(f"node {self._server.node} changes all the time: its agent cannot claim it")

    def _say(self, status: str) -> None:
        if status != self._status:
            self._status = status
            self._tell(status)

    def _end(self) -> None:
        """Restore the board, then tell the node, if that can be done at once."""
        self._release()
        try:
            if self._server.read().annotations.get(AGENT) == self._name:
                self._server.patch({"annotations": dict.fromkeys(OWN)})
        except ServerError as error:
            logger.info("the node is not told that its agent has ended: %s", error)
