"""CPUs that go on and off line, and their cpufreq policies."""

from __future__ import annotations

import errno
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import final

from powertrain.virtual.emulated._limits import Limits, nearest
from powertrain.virtual.emulated._nodes import Node, flag_of, number_of, refuse
from powertrain.virtual.emulated._records import EmulatedBoard, PowerModel

__all__ = ["Processors"]

CPU = "/sys/devices/system/cpu"
TRANSITION_NS = 300_000  # Jetson Linux 5.10 drivers/cpufreq/tegra194-cpufreq.c
GOVERNORS = ("conservative", "ondemand", "userspace", "powersave", "performance", "schedutil")
DEFAULT_GOVERNOR = "schedutil"  # every public jetson_clocks --show


@final
class Policy:
    """CPUs that share a clock."""

    def __init__(self, cpus: tuple[int, ...], limits: Limits) -> None:
        self.cpus, self.limits = cpus, limits
        self.number = cpus[0]
        self.governor = DEFAULT_GOVERNOR
        self.speed_khz: int | None = None

    def khz(self, table: Sequence[int], *, busy: bool) -> int:
        """Return the clock that its governor asks for."""
        least, greatest = self.limits.effective()
        asked = {
            "performance": greatest,
            "powersave": least,
            "userspace": min(max(self.speed_khz or least, least), greatest),
        }.get(self.governor, greatest if busy else least)
        inside = table[bisect_left(table, least) : bisect_right(table, greatest)]
        return nearest(inside or table, asked)


@final
class Processors:
    """All CPUs of a board."""

    def __init__(
        self,
        board: EmulatedBoard,
        *,
        busy: Callable[[], bool],
        ceiling_khz: Callable[[], int | None],
        limits_forgotten: bool,
    ) -> None:
        self._board, self._busy, self._limits_forgotten = board, busy, limits_forgotten
        self.online = dict.fromkeys(board.cpus, True)
        strict = board.release.refuses_crossed_limits
        self.policies = [
            Policy(cpus, Limits(board.cpu_khz, strict=strict, ceiling=ceiling_khz, name=f"policy{cpus[0]}"))
            for cpus in board.policies
        ]

    def apply(self, model: PowerModel) -> None:
        """Take CPUs and limits of a stock mode, as nvpmodel does."""
        table, floor = self._board.cpu_khz, self._board.cpu_floor_khz
        greatest = table[-1] if model.cpu_khz is None else nearest(table, model.cpu_khz)
        for cpu in self._board.cpus:
            self.online[cpu] = cpu in model.online
        for policy in self.policies:
            policy.limits.ask(min(floor, greatest), greatest)

    def cores(self) -> int:
        """Return how many are on line."""
        return sum(self.online.values())

    def mean_khz(self, *, busy: bool) -> float:
        """Return the mean clock [kHz] of the CPUs on line."""
        total = 0
        for policy in self.policies:
            if on := sum(self.online[cpu] for cpu in policy.cpus):
                total += on * policy.khz(self._board.cpu_khz, busy=busy)
        return total / self.cores()

    def state(self) -> dict[str, str]:
        """Return what a run may change."""
        found = {f"{CPU}/cpu{cpu}/online": str(int(on)) for cpu, on in self.online.items()}
        for policy in self.policies:
            base = f"{CPU}/cpufreq/policy{policy.number}"
            found[f"{base}/scaling_governor"] = policy.governor
            found[f"{base}/scaling_min_freq"] = str(policy.limits.least)
            found[f"{base}/scaling_max_freq"] = str(policy.limits.greatest)
            if policy.governor == "userspace":
                found[f"{base}/scaling_setspeed"] = str(policy.speed_khz)
        return found

    def nodes(self) -> Mapping[str, Node]:
        """Return the files."""
        top = f"0-{self._board.cpus[-1]}"
        nodes = {
            f"{CPU}/possible": Node.text(top),
            f"{CPU}/present": Node.text(top),
            f"{CPU}/online": Node(read=lambda: _ranges(c for c, on in self.online.items() if on)),
            f"{CPU}/offline": Node(read=lambda: _ranges(c for c, on in self.online.items() if not on)),
        }
        for cpu in self._board.cpus:
            nodes[f"{CPU}/cpu{cpu}/online"] = self._online_node(cpu)
        for policy in self.policies:
            nodes.update(self._policy_nodes(policy))
        return nodes

    def links(self) -> Mapping[str, str]:
        """Return the folder of the policy in that of each of its CPUs."""
        return {
            f"{CPU}/cpu{cpu}/cpufreq": f"{CPU}/cpufreq/policy{policy.number}"
            for policy in self.policies
            for cpu in policy.cpus
        }

    def _online_node(self, cpu: int) -> Node:
        def write(text: str) -> None:
            on = bool(flag_of(text))
            if cpu == 0 and not on:
                # NVIDIA/skills:skills/jetson-customize-nvpmodel/SKILL.md: core 0 cannot be taken off line;
                # the errno is that of Linux drivers/firmware/psci for a CPU that must stay.
                raise refuse(errno.EPERM)
            policy = next(policy for policy in self.policies if cpu in policy.cpus)
            was_inactive = not self._active(policy)
            self.online[cpu] = on
            if on and was_inactive and self._limits_forgotten:
                policy.limits.ask(self._board.cpu_khz[0], self._board.cpu_khz[-1])

        return Node.writable(lambda: str(int(self.online[cpu])), write)

    def _active(self, policy: Policy) -> bool:
        return any(self.online[cpu] for cpu in policy.cpus)

    def _policy_nodes(self, policy: Policy) -> Mapping[str, Node]:
        table, limits = self._board.cpu_khz, policy.limits

        def clock() -> str:
            return str(policy.khz(table, busy=self._busy()))

        def measured() -> str:
            # Measured from counters, so a little off: Jetson Linux tegra194-cpufreq.c.
            return str(policy.khz(table, busy=self._busy()) - 37)

        reads: dict[str, Callable[[], str]] = {
            "affected_cpus": lambda: _listed(c for c in policy.cpus if self.online[c]),
            "related_cpus": lambda: _listed(policy.cpus),
            "cpuinfo_min_freq": lambda: str(table[0]),
            "cpuinfo_max_freq": lambda: str(table[-1]),
            "cpuinfo_transition_latency": lambda: str(TRANSITION_NS),
            "scaling_available_frequencies": lambda: _listed(table),
            "scaling_available_governors": lambda: " ".join(GOVERNORS),
            "scaling_driver": lambda: "tegra_cpufreq" if self._board.release.jetpack == 4 else "tegra194",
            "scaling_cur_freq": clock,
        }
        nodes = {name: Node(read=self._guarded(policy, read), stale=read) for name, read in reads.items()}
        nodes["cpuinfo_cur_freq"] = Node(read=self._guarded(policy, measured), mode=0o400, stale=measured)
        for name, read, write in (
            ("scaling_min_freq", lambda: str(limits.effective()[0]), limits.write_least),
            ("scaling_max_freq", lambda: str(limits.effective()[1]), limits.write_greatest),
            ("scaling_governor", lambda: policy.governor, _governor_writer(policy)),
            ("scaling_setspeed", lambda: _speed(policy), _speed_writer(policy)),
        ):
            nodes[name] = Node(
                read=self._guarded(policy, read),
                write=self._guarded_write(policy, write),
                mode=0o644,
                stale=read,
            )
        return {f"{CPU}/cpufreq/policy{policy.number}/{name}": node for name, node in nodes.items()}

    def _guarded(self, policy: Policy, read: Callable[[], str]) -> Callable[[], str]:
        def guarded() -> str:
            if self._board.release.inactive_policy_is_busy and not self._active(policy):
                raise refuse(errno.EBUSY)
            return read()

        return guarded

    def _guarded_write(self, policy: Policy, write: Callable[[str], None]) -> Callable[[str], None]:
        def guarded(text: str) -> None:
            if not self._active(policy):
                raise refuse(errno.EBUSY if self._board.release.inactive_policy_is_busy else errno.EINVAL)
            write(text)

        return guarded


def _governor_writer(policy: Policy) -> Callable[[str], None]:
    def write(text: str) -> None:
        if text.strip() not in GOVERNORS:
            raise refuse(errno.EINVAL)
        policy.governor = text.strip()
        policy.speed_khz = None

    return write


def _speed(policy: Policy) -> str:
    if policy.governor != "userspace":
        return "<unsupported>"
    return str(policy.speed_khz or policy.limits.effective()[0])


def _speed_writer(policy: Policy) -> Callable[[str], None]:
    def write(text: str) -> None:
        if policy.governor != "userspace":
            raise refuse(errno.EINVAL)
        policy.speed_khz = number_of(text)

    return write


def _listed(numbers: Iterable[int]) -> str:
    return " ".join(map(str, numbers))


def _ranges(cpus: Iterable[int]) -> str:
    """Format as the kernel does: `0-3,6`."""
    runs: list[list[int]] = []
    for cpu in sorted(cpus):
        if runs and runs[-1][-1] == cpu - 1:
            runs[-1].append(cpu)
        else:
            runs.append([cpu])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
