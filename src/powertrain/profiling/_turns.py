"""Whose draws are minibatches, where several loops draw from `measured` at once."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from enum import Enum
from typing import final

__all__ = ["Drawing", "Move", "Turns"]

DRAWS_TO_TAKE_OVER = 3
"""Draws in a row, without one of the loop that is measured, after which another loop is the one."""
SINGLES_TO_COUNT = 3
"""Loops in a row that were left after one draw, after which each further one is a minibatch."""


class Move(Enum):
    """What a draw means to what measures."""

    START = "a minibatch begins; the time before does not count"
    STEP = "a minibatch has been trained, and the next begins"
    PAUSE = "something else than training goes on"
    PASS = "nothing: the draw is part of another loop's minibatch"


@final
class Drawing:
    """One pass of a loop over its minibatches."""

    __slots__ = ("__weakref__",)


@final
class Turns:
    """Tells which of several loops is the training.

    Of nested loops the inner one is: it draws several times for one draw of the outer. Of loaders that
    advance in step (`zip`) the first is. A loop with gradients switched off is an evaluation, once one with
    gradients was seen; where all are without, one of them is what is to be measured. A loop that was left
    (`break`, an exception) is forgotten, and one that is kept and not drawn from is overtaken. Where every
    minibatch is the first of a loop of its own, `next(iter(loader))`, these loops are one.
    """

    def __init__(self, evaluates: Callable[[], bool]) -> None:
        """Take what tells whether gradients are switched off now."""
        self._evaluates = evaluates
        self._trains = False
        self._owner: weakref.ref[Drawing] | None = None
        self._rival: weakref.ref[Drawing] | None = None
        self._rival_draws = 0
        self._draws = self._singles = 0

    def draw(self, loop: Drawing) -> Move:
        """Tell what it means that a loop draws a minibatch: it is done with the one before."""
        evaluates = self._evaluates()
        if evaluates and self._trains:
            return Move.PAUSE
        self._trains = self._trains or not evaluates
        owner = None if self._owner is None else self._owner()
        if owner is loop:
            self._rival = None
            self._draws, self._singles = self._draws + 1, 0
            return Move.STEP
        if owner is None or self._overtakes(loop):
            was_single = owner is None and self._draws == 1
            self._owner, self._rival = weakref.ref(loop), None
            self._draws, self._singles = 1, self._singles + 1 if was_single else 0
            return Move.STEP if self._singles >= SINGLES_TO_COUNT else Move.START
        return Move.PASS

    def end(self, loop: Drawing) -> bool:
        """Note that a loop has come to its end; tell whether it was the training."""
        was = self._owner is not None and self._owner() is loop
        if was:
            self._owner, self._draws = None, 0
        return was

    def _overtakes(self, loop: Drawing) -> bool:
        same = self._rival is not None and self._rival() is loop
        self._rival, self._rival_draws = weakref.ref(loop), self._rival_draws + 1 if same else 1
        return self._rival_draws >= DRAWS_TO_TAKE_OVER
