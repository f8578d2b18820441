"""The server's part of a Flower round: clients get modes and minibatches, and what they report is learned."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from powertrain.fleet import ClientMemory, Front, MeasuredRound, RoundPlan, clients_of, corrected, plan_round
from powertrain.integrations._extras import needed
from powertrain.integrations._flower_wire import RECORD, Order, Report, front_from
from powertrain.records import ModeTable, check_risk
from powertrain.units import s_from_ms
from powertrain.wording import counted, visible

__all__ = ["PowerTrainStrategy", "RoundRecord"]

_app = needed("flwr.app", package="Flower", extra="flower")
_strategies = needed("flwr.serverapp.strategy", package="Flower", extra="flower")

logger = logging.getLogger("flwr")
"""Flower's own, whose lines the people who run a server read."""
MOST_NAMED = 5
"""Clients that a line names."""


@final
@dataclass(frozen=True, kw_only=True)
class RoundRecord:
    """What became of a round; NaN: not known."""

    server_round: int
    asked: int
    """Clients that were sent a message."""
    answered: int
    """Clients that trained and replied."""
    left_out: tuple[int, ...]
    """Nodes that could not have trained in time."""
    fewer: Mapping[int, tuple[int, int]]
    """Nodes that trained fewer minibatches than a full round has: how many, and of how many."""
    unmeasured: int
    """Clients that replied without a report: they train as they like."""
    planned_s: float
    """By when the clients that the server planned for were to have finished."""
    planned_j: float
    """Energy of these clients, as predicted."""
    round_s: float
    """The longest that a client took, as the clients measured it."""
    energy_j: float
    """Of all boards while they trained, as far as they can measure it."""
    in_time: bool | None
    """Whether all measured clients met the deadline; None: there is none, or nothing was measured."""
    reports: Mapping[int, Report]
    """What each client measured, by node."""


@final
class PowerTrainStrategy(_strategies.Strategy):
    """Wraps a strategy of Flower, and picks each client's mode and minibatches so that rounds end in time.

    ```py
    strategy = PowerTrainStrategy(FedAvg(fraction_train=0.5), deadline_s=60)
    result = strategy.start(grid, initial_arrays=arrays, num_rounds=20)
    ```

    The wrapped strategy samples the clients and aggregates, as without. A client without `PowerTrainMod`
    trains as it likes. One whose front is not known yet chooses for itself, with what it predicts. From then
    on the server chooses, and corrects the prediction by what each round has measured. A client that cannot
    finish in time trains fewer minibatches or is left out, and a line of the log tells which.

    Weights are left alone: a client counts as its `num-examples` says. In a trial it made little difference
    whether that told all examples of the client or those that it trained on. Raising the weight of clients
    with fewer minibatches made learning slower (`benchmarks/fleet_flower.py`).
    """

    def __init__(
        self,
        strategy: Any,
        *,
        deadline_s: float = math.inf,
        max_energy_j: float = math.inf,
        risk: float = 0.01,
        least_minibatches: int = 1,
    ) -> None:
        """Take the strategy to wrap and what a round has to keep.

        Args:
            strategy: A strategy of `flwr.serverapp.strategy`, such as `FedAvg()`.
            deadline_s: Time of a round, from a client's message to its reply on the client's clock [s]. The
                time for sending them is not part of it.
            max_energy_j: Energy of a round, all clients together [J].
            risk: Accepted probability that a round misses its deadline.
            least_minibatches: Fewest that are worth a client's round; one that cannot train these in time is
                left out.

        Raises:
            ValueError: A number is not above 0, or the risk not between 0 and 1.
        """
        if not (deadline_s > 0 and max_energy_j > 0 and least_minibatches >= 1):
            raise ValueError(
                f"deadline_s={deadline_s:g}, max_energy_j={max_energy_j:g}, "
                f"least_minibatches={least_minibatches}: give numbers above 0"
            )
        check_risk(risk)
        self.strategy = strategy
        """The one that is wrapped."""
        self.rounds: list[RoundRecord] = []
        """What became of the rounds so far."""
        self._deadline_s, self._max_energy_j, self._risk = deadline_s, max_energy_j, risk
        self._least = least_minibatches
        self._known: dict[int, ClientMemory] = {}
        self._asked: set[int] = set()
        self._problems: set[tuple[int, str]] = set()
        self._left_out: list[int] = []
        self._planned_s = self._planned_j = math.nan

    def summary(self) -> None:
        """Log what a round has to keep, and the settings of the wrapped strategy."""
        limits = {"deadline_s": self._deadline_s, "max_energy_j": self._max_energy_j}
        told = ", ".join(f"{name} {value:g}" for name, value in limits.items() if math.isfinite(value))
        logger.info("\t├──> PowerTrain: %s, risk %g", told or "no limit", self._risk)
        self.strategy.summary()

    def configure_train(self, server_round: int, arrays: Any, config: Any, grid: Any) -> Iterable[Any]:
        """Have the wrapped strategy sample clients, and tell each its mode and minibatches."""
        messages = list(self.strategy.configure_train(server_round, arrays, config, grid))
        orders = self._orders([message.metadata.dst_node_id for message in messages], server_round)
        sent: list[Any] = []
        for message in messages:
            order = orders.get(message.metadata.dst_node_id)
            if order is not None:
                record = _app.ConfigRecord(order.values())
                # Messages of a round share their content, so each gets a content of its own.
                message.content = _app.RecordDict({**message.content, RECORD: record})
                sent.append(message)
        self._asked = {message.metadata.dst_node_id for message in sent}
        return sent

    def aggregate_train(self, server_round: int, replies: Iterable[Any]) -> tuple[Any, Any]:
        """Learn from the reports, and have the wrapped strategy aggregate the replies without them."""
        kept: list[Any] = []
        reports: dict[int, Report] = {}
        left_out, unmeasured = list(self._left_out), 0
        for reply in replies:
            node, report = reply.metadata.src_node_id, None
            if reply.has_content() and RECORD in reply.content.config_records:
                values = dict(reply.content.config_records[RECORD])
                del reply.content[RECORD]
                report = Report.of(values)
                self._learn(node, report, front_from(values))
                if not reply.content.array_records and not report.minibatches:
                    left_out.append(node)
                    continue
                reports[node] = report
            unmeasured += report is None and reply.has_content()
            kept.append(reply)
        if left_out and not kept and not self._left_out:  # the clients themselves have found that
            memories = [self._known[node] for node in left_out if node in self._known]
            if memories:
                self._tell_nobody(f"PowerTrain: round {server_round} within {self._limits}", memories)
        self.rounds.append(self._record(server_round, reports, left_out, unmeasured))
        arrays, metrics = self.strategy.aggregate_train(server_round, kept)
        return arrays, self._with_own(metrics)

    def configure_evaluate(self, server_round: int, arrays: Any, config: Any, grid: Any) -> Iterable[Any]:
        """Leave the evaluation to the wrapped strategy."""
        return self.strategy.configure_evaluate(server_round, arrays, config, grid)

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Any]) -> Any:
        """Leave the evaluation to the wrapped strategy."""
        return self.strategy.aggregate_evaluate(server_round, replies)

    def _orders(self, nodes: Sequence[int], server_round: int) -> dict[int, Order]:
        """Return what each client is to do; a client that is left out has no order."""
        limited = math.isfinite(self._deadline_s) or math.isfinite(self._max_energy_j)
        known = [node for node in nodes if node in self._known] if limited else []
        asks = Order(
            deadline_s=self._deadline_s,
            max_energy_j=self._max_energy_j / max(len(nodes), 1),
            risk=self._risk / max(len(nodes), 1),
            least_minibatches=self._least,
        )
        orders = {node: asks for node in nodes if node not in known}
        self._left_out, self._planned_s, self._planned_j = [], math.nan, math.nan
        if not known:
            return orders
        memories = [self._known[node] for node in known]
        share = len(known) / len(nodes)  # each client's part of the risk and of the budget is the same
        plan = plan_round(
            corrected(memories),
            clients_of(memories),
            deadline_s=self._deadline_s,
            max_energy_j=self._max_energy_j * share,
            risk=self._risk * share,
            least_minibatches=self._least,
        )
        for place, (node, memory) in enumerate(zip(known, memories, strict=True)):
            if plan.left_out[place]:
                self._left_out.append(node)
                continue
            front = memory.front
            orders[node] = Order(
                deadline_s=self._deadline_s,
                decided=True,
                mode=str(front.modes[int(plan.mode[place])]) if front.modes.knobs else "",
                minibatches=int(plan.minibatches[place]),
                wants_front=False,
            )
        self._planned_s, self._planned_j = plan.round_s, plan.total_j
        self._tell(server_round, known, memories, plan)
        return orders

    def _tell(
        self, server_round: int, nodes: Sequence[int], memories: Sequence[ClientMemory], plan: RoundPlan
    ) -> None:
        """Log, in one line, which clients train fewer minibatches and which are left out."""
        few = [
            f"node {nodes[i]}: {plan.minibatches[i]} of {memories[i].minibatches}"
            for i in np.flatnonzero(plan.fewer).tolist()
        ]
        out = [f"node {node}" for node in self._left_out]
        begun = f"PowerTrain: round {server_round} within {self._limits}"
        if out and len(out) == len(nodes):
            self._tell_nobody(begun, memories)
        elif few or out:
            parts = [
                f"{text} {counted(len(names), 'client')} ({_named(names)})"
                for text, names in (("fewer minibatches for", few), ("left out", out))
                if names
            ]
            logger.info("%s: %s", begun, "; ".join(parts))

    @property
    def _limits(self) -> str:
        limits = ((self._deadline_s, "s"), (self._max_energy_j, "J"))
        return " and ".join(f"{value:g} {unit}" for value, unit in limits if math.isfinite(value))

    def _tell_nobody(self, begun: str, memories: Sequence[ClientMemory]) -> None:
        """Warn that nobody can train within the limits, and tell what one client needs at least."""
        needs = f"the fastest needs about {_fastest_s(memories, self._least):.3g} s"
        if math.isfinite(self._max_energy_j):
            needs += f", the thriftiest about {_thriftiest_j(memories, self._least):.3g} J"
        least = counted(self._least, "minibatch")
        logger.warning("%s: no client can train %s (%s): raise the limit", begun, least, needs)

    def _learn(self, node: int, report: Report, front: Front | None) -> None:
        """Take in what a client tells of a round and of its board."""
        memory = self._known.get(node)
        full = report.full or (memory.minibatches if memory else 0)
        as_found = _front_as_found(report)
        if report.problem and as_found is not None and not (memory and not memory.front.modes.knobs):
            memory, front = None, as_found  # its board does not take modes
        if report.problem and (node, report.problem) not in self._problems:
            self._problems.add((node, report.problem))
            logger.info("PowerTrain: node %d: %s", node, visible(report.problem)[:500])
        if memory is None or front is not None:
            front = front or as_found
            if front is None or not full:
                return
            memory = self._known[node] = ClientMemory(front, minibatches=full)
        memory.minibatches = full
        row = memory.row_of(report.mode)
        if not report.minibatches:
            return
        memory.learn(
            MeasuredRound(
                row=row,
                minibatches=report.minibatches,
                time_ms=report.time_ms,
                energy_j=report.energy_j,
                overhead_s=report.overhead_s,
                warm_up_minibatches=report.warm_up_minibatches,
            )
        )

    def _record(
        self, server_round: int, reports: Mapping[int, Report], left_out: Sequence[int], unmeasured: int
    ) -> RoundRecord:
        times_s = [report.train_s for report in reports.values() if math.isfinite(report.train_s)]
        joules = [report.total_j for report in reports.values() if math.isfinite(report.total_j)]
        round_s = max(times_s, default=math.nan)
        fulls = {node: self._known[node].minibatches for node in reports if node in self._known}
        return RoundRecord(
            server_round=server_round,
            asked=len(self._asked),
            answered=len(reports) + unmeasured,
            left_out=tuple(left_out),
            fewer={
                node: (reports[node].minibatches, full)
                for node, full in fulls.items()
                if reports[node].minibatches < full
            },
            unmeasured=unmeasured,
            planned_s=self._planned_s,
            planned_j=self._planned_j,
            round_s=round_s,
            energy_j=sum(joules) if joules else math.nan,
            reports=dict(reports),
            in_time=round_s <= self._deadline_s if times_s and math.isfinite(self._deadline_s) else None,
        )

    def _with_own(self, metrics: Any) -> Any:
        """Add the time and the energy of the round to the metrics that the wrapped strategy returned."""
        last = self.rounds[-1]
        own = {
            "powertrain-round-s": last.round_s,
            "powertrain-energy-j": last.energy_j,
            "powertrain-left-out": len(last.left_out),
            "powertrain-fewer": len(last.fewer),
        }
        known = {name: value for name, value in own.items() if math.isfinite(value)}
        return metrics if metrics is None else _app.MetricRecord({**metrics, **known})


def _front_as_found(report: Report) -> Front | None:
    """Return a front of the only mode that is known: that which a client without a predictor trained in."""
    if report.mode or not 0 < report.time_ms < math.inf:
        return None
    return Front(
        modes=ModeTable(knobs=(), values=np.zeros((1, 0))),
        time_ms=np.array([report.time_ms]),
        energy_j=np.array([report.energy_j]),
        time_rel_sd=np.zeros(1),
        energy_rel_sd=np.zeros(1),
    )


def _fastest_s(memories: Sequence[ClientMemory], minibatches: int) -> float:
    """Return how long the fastest client takes for so many minibatches."""
    clients = clients_of(memories)
    each_s = np.array([s_from_ms(float(memory.front.time_ms.min())) for memory in memories])
    return float((clients.overhead_s + (minibatches + clients.warm_up_minibatches) * each_s).min())


def _thriftiest_j(memories: Sequence[ClientMemory], minibatches: int) -> float:
    """Return the least energy that a client takes for so many minibatches; NaN where none is known."""
    clients = clients_of(memories)
    each_j = [np.nanmin(memory.front.energy_j, initial=math.inf) for memory in memories]
    least_j = float(((minibatches + clients.warm_up_minibatches) * np.array(each_j)).min())
    return least_j if math.isfinite(least_j) else math.nan


def _named(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
