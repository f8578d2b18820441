"""What a training loop calls: a stand-in for its loader, and a report of a minibatch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar, cast, final

from typing_extensions import override

from powertrain.profiling._reports import Session, active_session
from powertrain.profiling._turns import Drawing

__all__ = ["measured", "pause", "stand_in", "step"]

Batches = TypeVar("Batches", bound=Iterable[Any])

PASSED_ON = (
    *("__len__", "__length_hint__", "__bool__", "__contains__", "__reversed__"),
    *("__getitem__", "__setitem__", "__delitem__", "__call__", "__enter__", "__exit__"),
)
"""Special methods that a stand-in has if what it stands for has them; Python looks for them on the class."""


def measured(batches: Batches, *, every: int = 1) -> Batches:
    """Stand in for a loader, and let PowerTrain measure what a training loop does with its minibatches.

    ```python
    loader = pt.measured(loader)
    for epoch in range(epochs):
        for batch in loader:
            train(batch)
    ```

    The stand-in passes for the loader: its length, its attributes (also when they are set), its type for
    `isinstance`, and a fresh epoch with each loop. Without anything that measures (`powertrain profile
    train.py`, or `powertrain.measuring`) a loop over it is the loop over the loader itself, so the line can
    stay. While measuring, the mode of the device changes from time to time between two minibatches; what is
    learnt does not.

    Time between two loops does not count, nor does a loop with gradients switched off: an evaluation. Of
    nested loops the inner one is measured; of loaders that advance in step, as in `zip`, the first.

    Args:
        batches: A loader, or any other iterable. A generator stays one that can be gone through once.
        every: How many minibatches make a step of the optimiser, where gradients are accumulated. Times and
            energies are then those of a step.

    Raises:
        TypeError: It cannot be iterated over.
        ValueError: `every` is less than 1.
    """
    return stand_in(batches, every=every)


def stand_in(
    batches: Batches, *, every: int = 1, session: Callable[[], Session | None] | None = None
) -> Batches:
    """Stand in for a loader as `measured` does, and report to whatever session a function returns.

    Args:
        batches: A loader, or any other iterable.
        every: How many minibatches make a step of the optimiser.
        session: Asked with each loop, and by a generator with each minibatch; if None, the session is the
            active one. A stand-in that is wrapped again keeps its own.

    Raises:
        TypeError: It cannot be iterated over.
        ValueError: `every` is less than 1.
    """
    _check_every(every)
    kind: type[Any] = type(batches)
    if issubclass(kind, _StandIn):  # two stand-ins would report each minibatch twice
        own = _how_of(batches).session
        return stand_in(_behind(batches), every=every, session=session or own)
    if not hasattr(kind, "__iter__") and not hasattr(kind, "__getitem__"):
        raise TypeError(f"measured takes an iterable of minibatches, and was given {kind.__name__}")
    made = object.__new__(_class_for(kind, _How(every=every, session=session)))
    object.__setattr__(made, "_powertrain_batches", batches)
    object.__setattr__(made, "_powertrain_draws", None)
    return cast("Batches", made)


def step(*, every: int = 1) -> None:
    """Report that a minibatch has been trained, in a loop that has no loader to wrap in `measured`.

    ```python
    while training:
        loss = train()
        pt.step()
    ```

    Without anything that measures this does nothing. The first call only starts the measuring.

    Args:
        every: How many calls make a step of the optimiser, where gradients are accumulated. Times and
            energies are then those of a step.

    Raises:
        ValueError: `every` is less than 1.
    """
    _check_every(every)
    session = active_session()
    if session is not None:
        session.drawn(session.calls, every=every)


def pause() -> None:
    """Report that something else than training was done since the last minibatch, so that it does not count.

    To be called after an evaluation or a checkpoint within a loop over `measured`, or between two calls of
    `step`. Without anything that measures this does nothing.
    """
    session = active_session()
    if session is not None:
        session.pause()


def _check_every(every: int) -> None:
    if every < 1:
        raise ValueError(f"every={every}: a step takes one minibatch or more")


def _behind(stand_in: Any) -> Any:
    """Return what a stand-in stands for."""
    return object.__getattribute__(stand_in, "_powertrain_batches")


@final
@dataclass(frozen=True, kw_only=True)
class _How:
    """How a stand-in reports."""

    every: int
    session: Callable[[], Session | None] | None

    def session_now(self) -> Session | None:
        """Return what it reports to."""
        return active_session() if self.session is None else self.session()


def _how_of(stand_in: Any) -> _How:
    return object.__getattribute__(stand_in, "_powertrain_how")


def _anew(batches: Any, how: _How) -> Any:
    return stand_in(batches, every=how.every, session=how.session)


class _Kind(type):
    """The class of classes of stand-ins: who builds a loader anew by its class gets a stand-in again.

    Lightning does, to give a loader another sampler.
    """

    _powertrain_kind: type[Any]
    _powertrain_how: _How

    @override
    def __call__(cls, *args: Any, **keywords: Any) -> Any:
        return _anew(cls._powertrain_kind(*args, **keywords), cls._powertrain_how)


class _StandIn(metaclass=_Kind):
    """Passes for what it stands for; its subclasses have the special methods that a kind of loader has.

    Its own attributes have names that no loader has, since they would hide the loader's.
    """

    __slots__ = ("__weakref__", "_powertrain_batches", "_powertrain_draws")
    _powertrain_batches: Any
    _powertrain_draws: _Draws | None
    # Read by who builds a loader anew; never called, since `_Kind` makes stand-ins.
    __init__ = property(lambda self: _behind(self).__init__)  # pyright: ignore[reportAssignmentType]

    @property
    @override
    def __class__(self) -> type[Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _behind(self).__class__

    def __iter__(self) -> Iterator[Any]:
        how = _how_of(self)
        session = how.session_now()
        if session is None:
            return iter(_behind(self))
        return _Draws(session, iter(_behind(self)), how.every)

    def __getattr__(self, name: str) -> Any:
        return getattr(_behind(self), name)

    @override
    def __setattr__(self, name: str, value: object) -> None:
        setattr(_behind(self), name, value)

    @override
    def __delattr__(self, name: str) -> None:
        delattr(_behind(self), name)

    @override
    def __dir__(self) -> list[str]:
        return dir(_behind(self))

    @override
    def __repr__(self) -> str:
        return f"measured({_behind(self)!r})"

    @override
    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # In another process it reports to whatever is active there.
        return _restored, (_behind(self), _how_of(self).every)

    def __copy__(self) -> Any:
        return _anew(copy.copy(_behind(self)), _how_of(self))

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return _anew(copy.deepcopy(_behind(self), memo), _how_of(self))


class _OneShot(_StandIn):
    """Passes for an iterator: it goes on where it was, in whatever loop."""

    __slots__ = ()

    @override
    def __iter__(self) -> Iterator[Any]:
        return _behind(self) if _how_of(self).session_now() is None else self

    def __next__(self) -> Any:
        how = _how_of(self)
        session = how.session_now()
        if session is None:
            return next(_behind(self))
        draws = self._powertrain_draws
        if draws is None or draws.session is not session:
            draws = _Draws(session, _behind(self), how.every)
            object.__setattr__(self, "_powertrain_draws", draws)
        return next(draws)


@final
class _Draws(Iterator[Any]):
    """One pass of a loop. Each draw reports that the minibatch before it has been trained."""

    def __init__(self, session: Session, batches: Iterator[Any], every: int) -> None:
        self.session = session
        self._batches, self._every, self._loop = batches, every, Drawing()

    @override
    def __next__(self) -> Any:
        self.session.drawn(self._loop, every=self._every)
        try:
            return next(self._batches)
        except BaseException:
            self.session.ended(self._loop)
            raise


@lru_cache(maxsize=256)
def _class_for(kind: type[Any], how: _How) -> type[_StandIn]:
    """Return the class of stand-ins for a kind of loader: with the special methods that it has, and no more.

    A method too many would be found by who asks whether there is a length.
    """
    base = _OneShot if hasattr(kind, "__next__") else _StandIn
    methods = {name: _passed_on(name) for name in PASSED_ON if hasattr(kind, name)}
    own = {"__slots__": (), "__module__": __name__, "_powertrain_kind": kind, "_powertrain_how": how}
    return cast("type[_StandIn]", _Kind(f"Measured{kind.__name__}", (base,), {**own, **methods}))


def _passed_on(name: str) -> Any:
    def method(self: Any, *args: Any) -> Any:
        return getattr(_behind(self), name)(*args)

    method.__name__ = name
    return method


def _restored(batches: Any, every: int) -> Any:
    """Return a stand-in that was pickled."""
    return measured(batches, every=every)
