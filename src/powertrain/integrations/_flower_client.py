"""A client's part of a Flower round: it holds the mode, counts and times minibatches, and reads the power."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, final

from typing_extensions import override

from powertrain.devices import AbstractDevice, AbstractLiveDevice, live
from powertrain.errors import PowerTrainError
from powertrain.fleet import ClientMemory, Clients, Front, clients_of, corrected, plan_round
from powertrain.integrations._extras import needed
from powertrain.integrations._flower_wire import RECORD, Order, Report, front_from, values_of_front
from powertrain.models import AbstractPredictor, load_predictor
from powertrain.profiling import Sampler, Session, active_session, measured, stand_in
from powertrain.records import PowerMode
from powertrain.units import energy_j, ms_from_s, s_from_ms
from powertrain.workflow import modes_of_device, open_device
from powertrain.workloads import evaluates, synchronise

__all__ = ["FRONT_STATE", "ClientRound", "PowerTrainMod", "minibatches", "this_round"]

Batch = TypeVar("Batch")
logger = logging.getLogger(__name__)
_app = needed("flwr.app", package="Flower", extra="flower")

FRONT_STATE = "powertrain-front"
"""Name of the record in a client's own state that keeps its front from round to round."""
PERIOD_S = 0.5
"""Of the power readings."""
TRAIN = "train"


class _LeftOut(BaseException):
    """Ends a training that has not begun: this client cannot train a minibatch in time."""


@final
class ClientRound(Session):
    """One round of one client, to which its training loop reports."""

    def __init__(self, order: Order, device: AbstractLiveDevice | None, front: Front | None) -> None:
        """Begin a round.

        Args:
            order: What the server asks.
            device: The board; None: only the time is measured.
            front: Of the board, to choose a mode from where the server has not; None: it is not known.
        """
        super().__init__(evaluates)
        self.device = device
        """The board that trains."""
        self.deadline_s = order.deadline_s
        """When the round has to end, after its beginning [s]."""
        self.minibatches = order.minibatches if order.decided else None
        """How many minibatches to train at most; None: all of them."""
        self.mode = ""
        """The mode that is held; empty: none."""
        self.problem = ""
        """Why the mode is not held; empty where it is, or none was asked."""
        self.trained = 0
        """Minibatches so far."""
        self.full = 0
        """Minibatches of a full round, as far as `minibatches` could tell."""
        self._order, self._front = order, front
        self._now: Callable[[], float] = time.monotonic if device is None else device.clock.now_s
        self._began_s, self._mark_s, self._parts = self._now(), math.nan, 0
        self._first_s = self._others_s = 0.0
        self._spans: list[tuple[float, float]] = []
        self._stack = ExitStack()
        self._sampler = None if device is None else Sampler(device, PERIOD_S)

    @contextmanager
    def running(self) -> Generator[None]:
        """Measure while the context lasts, in the mode that the server has chosen, then restore the board."""
        with self._stack:
            if self._sampler is not None:
                self._stack.enter_context(self._sampler.running())
            if self._order.decided:
                self._hold(self._order.mode)
            with self.active():
                yield
                synchronise()
                if self._sampler is not None:
                    self._sampler.read()
        self._end_s = self._now()

    def begin(self, full: int | None) -> None:
        """Tell how many minibatches a full round has; choose a mode if that is left to the client.

        Raises:
            _LeftOut: It cannot train enough of them in time.
        """
        self.full += full or 0
        if self._order.decided or self.minibatches is not None or not full or self._front is None:
            return
        order = self._order
        if not (math.isfinite(order.deadline_s) or math.isfinite(order.max_energy_j)):
            return
        own = [ClientMemory(self._front, minibatches=full)]
        # The overhead is a guess. A client that it alone would leave out trains the least, and so finds out.
        for clients in (clients_of(own), Clients.of(0, min(full, order.least_minibatches))):
            plan = plan_round(
                corrected(own),
                clients,
                deadline_s=order.deadline_s,
                max_energy_j=order.max_energy_j,
                risk=order.risk,
                least_minibatches=order.least_minibatches,
            )
            if not plan.left_out[0]:
                self.minibatches = int(plan.minibatches[0])
                self._hold(str(self._front.modes[int(plan.mode[0])]))
                return
        raise _LeftOut

    def _hold(self, mode: str) -> None:
        """Hold a mode. If the board does not take it, the training goes on as the board is."""
        if not mode or self.device is None:
            return
        try:
            self._stack.enter_context(self.device.hold(PowerMode.parse(mode)))
        except (PowerTrainError, ValueError, OSError) as error:
            self.problem = str(error)
            logger.warning("the mode %s is not held: %s", mode, error)
        else:
            self.mode = mode

    @override
    def pause(self) -> None:
        self._mark_s = math.nan

    @override
    def close(self) -> None:
        self._mark_s = math.nan

    @override
    def _start(self) -> None:
        self._mark_s, self._parts = self._now(), 0

    @override
    def _step(self, every: int) -> None:
        if math.isnan(self._mark_s):
            self._start()
            return
        self._parts += 1
        if self._parts < every:
            return
        self._parts = 0
        if not self.trained:
            synchronise()  # the first is told from the others
        now_s = self._now()
        if not self.trained:
            self._first_s = now_s - self._mark_s
        else:
            self._others_s += now_s - self._mark_s
            if self._spans and self._spans[-1][1] == self._mark_s:
                self._spans[-1] = self._spans[-1][0], now_s
            else:
                self._spans.append((self._mark_s, now_s))
        self.trained, self._mark_s = self.trained + 1, now_s

    def report(self) -> Report:
        """Return what was measured."""
        train_s = self._end_s - self._began_s
        time_ms = ms_from_s(self._others_s / (self.trained - 1)) if self.trained > 1 else math.nan
        mean_w = self._mean_w(self._spans)
        problem = self.problem
        if self._sampler is not None and self._sampler.reads_power and math.isnan(mean_w):
            problem = problem or f"the power was not read: {self._sampler.error or 'too few minibatches'}"
        return Report(
            minibatches=self.trained,
            full=self.full or (0 if self.minibatches is not None else self.trained),
            time_ms=time_ms,
            energy_j=energy_j(power_w=mean_w, time_ms=time_ms),
            power_w=mean_w,
            train_s=train_s,
            total_j=self._mean_w([(self._began_s, self._end_s)]) * train_s,
            overhead_s=max(train_s - self._first_s - self._others_s, 0.0),
            warm_up_minibatches=max(self._first_s / s_from_ms(time_ms) - 1, 0.0) if time_ms > 0 else math.nan,
            mode=self.mode,
            problem=problem,
        )

    def _mean_w(self, spans: list[tuple[float, float]]) -> float:
        if self._sampler is None or not self._sampler.reads_power or not spans:
            return math.nan
        return self._sampler.mean_power_w(spans)


def this_round() -> ClientRound | None:
    """Return the round that this client trains in now, None outside of one.

    Its `minibatches` tell how many to train at most, for a trainer that takes such a number, and `device` is
    the board.
    """
    session = active_session()
    return session if isinstance(session, ClientRound) else None


def minibatches(batches: Iterable[Batch], *, epochs: int = 1) -> Iterator[Batch]:
    """Yield the minibatches of some epochs, up to as many as this client is to train in this round.

    It goes around the loader where a client trains, once in each round. Outside of a round that PowerTrain
    plans, it yields all minibatches. A loader that shuffles lets each minibatch have its turn where there is
    time for only some of them.

    Args:
        batches: A loader, or any other iterable that can be gone through several times.
        epochs: How often.

    Raises:
        ValueError: `epochs` is less than 1.
    """
    if epochs < 1:
        raise ValueError(f"epochs={epochs}: train for at least one")
    own = this_round()
    if own is None:
        loader = measured(batches)
        for _ in range(epochs):
            yield from loader
        return
    length = getattr(batches, "__len__", None)
    own.begin(None if length is None else epochs * length())
    loader = stand_in(batches, session=lambda: None)  # reports that come from within count here alone
    for _ in range(epochs):
        own.start()
        for batch in loader:
            yield batch
            own.step()
            if own.minibatches is not None and own.trained >= own.minibatches:
                own.pause()
                return
        own.pause()


Opening = str | AbstractLiveDevice | Callable[[Any], "AbstractDevice | str | None"] | None
Loading = str | Path | AbstractPredictor | Callable[[Any], "AbstractPredictor | None"] | None


@final
class PowerTrainMod:
    """A Flower mod that holds the mode of a round, measures the round, and reports both.

    ```py
    app = ClientApp(mods=[PowerTrainMod("jetson", "resnet18.ptm")])
    ```

    It acts on messages of a server with a `PowerTrainStrategy` that ask for training, and leaves all others
    alone. The board is restored before the reply is sent, whatever ended the training. If the board does not
    take a mode, the client trains as the board is, and the reply says why.

    The reply tells a few numbers: the front as predicted (once), and time, power and energy as measured. They
    say nothing of the data.
    """

    def __init__(
        self,
        device: Opening = None,
        predictor: Loading = None,
        *,
        idle_power_w: float = 0.0,
    ) -> None:
        """Take what trains.

        Args:
            device: The board's spec, such as `"jetson"`; or a function that returns a device or a spec for
                Flower's `Context`. None: only the time is measured.
            predictor: The file of a predictor of this workload on this board (`.ptm`), or a function that
                returns a predictor for the context. Without one, the mode stays as it is, and the server can
                only choose the number of minibatches.
            idle_power_w: Power that the board draws anyway while it waits for the other clients [W]. Only
                what is above it counts when modes are compared for a deadline.
        """
        self._device, self._predictor, self._idle_power_w = device, predictor, idle_power_w

    def __call__(self, message: Any, context: Any, call_next: Callable[[Any, Any], Any]) -> Any:
        """Train in this round's mode, and add the report to the reply."""
        if message.metadata.message_type.partition(".")[0] != TRAIN or not message.has_content():
            return call_next(message, context)
        if RECORD not in message.content.config_records:
            return call_next(message, context)
        order = Order.of(message.content.config_records[RECORD])
        del message.content[RECORD]
        device, problem = self._opened(context)
        front = None
        if device is not None:
            front, problem = self._front(context, device)
        own = ClientRound(order, device, front)
        own.problem = problem
        try:
            with own.running():
                reply = call_next(message, context)
        except _LeftOut:
            reply = _app.Message(_app.RecordDict(), reply_to=message)
            values: dict[str, Any] = {"minibatches": 0, "full-minibatches": own.full}
        else:
            values = own.report().values()
        if reply.has_content():
            if front is not None and order.wants_front:
                values |= values_of_front(front)
            reply.content[RECORD] = _app.ConfigRecord(values)
        return reply

    def _opened(self, context: Any) -> tuple[AbstractLiveDevice | None, str]:
        """Return the board, and why there is none. A training does not fail for want of a board."""
        wanted = self._device(context) if callable(self._device) else self._device
        if wanted is None:
            return None, ""
        try:
            return live(_device_of(wanted) if isinstance(wanted, str) else wanted), ""
        except (PowerTrainError, OSError) as error:
            logger.warning("the board cannot be used, so only the time is measured: %s", error)
            return None, str(error)

    def _front(self, context: Any, device: AbstractLiveDevice) -> tuple[Front | None, str]:
        """Return the predicted front, which the state keeps from the first round on, and what is wrong."""
        if FRONT_STATE in context.state.config_records:
            return front_from(context.state.config_records[FRONT_STATE]), ""
        wanted = self._predictor
        if wanted is None:
            return None, ""
        try:
            if callable(wanted):
                predictor = wanted(context)
            else:
                predictor = wanted if isinstance(wanted, AbstractPredictor) else load_predictor(Path(wanted))
            if predictor is None:
                return None, ""
            modes = modes_of_device(device, predictor)
            front = Front.of(predictor.glance(modes), modes, idle_power_w=self._idle_power_w)
        except (PowerTrainError, OSError) as error:
            logger.warning("the modes of this board cannot be predicted, so none is chosen: %s", error)
            return None, f"its modes cannot be predicted, so none is chosen: {error}"
        context.state[FRONT_STATE] = _app.ConfigRecord(values_of_front(front))
        if predictor.device == device.name:
            return front, ""
        return front, f"its predictor is of {predictor.device}, and the board is {device.name}"


@lru_cache(maxsize=16)
def _device_of(spec: str) -> AbstractDevice:
    """Open a device once in a process: what is learned on opening holds for all rounds."""
    return open_device(spec)
