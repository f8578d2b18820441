"""What every source of modes does."""

# The names of the tests are their documentation.

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np

from powertrain.planning import ModeSource
from powertrain.records import ModeTable, PowerMode, Profile
from powertrain.space import ModeSpace

__all__ = ["ModeSourceSuite"]

MOST_ASKED = 200
"""Far more than any source needs for the modes of the example."""


class ModeSourceSuite(ABC):
    """What every source of modes does; subclass it as `TestX` and implement `open_source`."""

    @abstractmethod
    def open_source(self, modes: ModeTable) -> ModeSource:
        """Return the source under test, for these modes; equal calls return equal sources."""

    def modes(self) -> ModeTable:
        """Return the modes that it is given: a grid of two clocks, whose time and power are made up."""
        return ModeSpace.of({"cpu_mhz": [500, 1000, 1500], "gpu_mhz": [300, 600, 900, 1200]}).table()

    def measured(self, mode: PowerMode) -> Profile:
        """Return what comes of a mode of `modes`."""
        gpu_mhz, cpu_mhz = mode["gpu_mhz"], mode["cpu_mhz"]
        return Profile(
            device="board",
            workload="net",
            mode=mode,
            time_ms=2e4 / gpu_mhz + 1e4 / cpu_mhz,
            power_w=5 + (gpu_mhz / 300) ** 1.5 + cpu_mhz / 500,
            time_rel_se=0.002,
            power_rel_se=0.002,
            duration_s=30.0,
        )

    def flagged(self, mode: PowerMode) -> Profile:
        """Return what comes of a mode that could not be measured."""
        return Profile(device="board", workload="net", mode=mode, flags=("unreachable",))

    def run(self, source: ModeSource, came_of: Callable[[PowerMode], Profile]) -> list[PowerMode]:
        """Ask and tell until the source has enough; return the modes that it asked for."""
        asked: list[PowerMode] = []
        while (mode := source.ask()) is not None:
            asked.append(mode)
            assert len(asked) <= MOST_ASKED, "it asks without end"
            source.tell(came_of(mode))
        return asked

    def test_it_asks_for_modes_that_it_was_given(self) -> None:
        modes = self.modes()
        source, known = self.open_source(modes), set(modes)
        assert set(source.knobs) == set(modes.knobs)
        asked = self.run(source, self.measured)
        assert asked
        assert set(asked) <= known

    def test_it_never_asks_for_more_modes_than_it_said_were_left(self) -> None:
        source = self.open_source(self.modes())
        most = source.left
        assert 0 < len(self.run(source, self.measured)) <= most

    def test_nothing_is_left_once_it_has_enough(self) -> None:
        source = self.open_source(self.modes())
        self.run(source, self.measured)
        assert source.left == 0
        assert source.ask() is None

    def test_modes_that_could_not_be_measured_are_no_reason_to_ask_for_ever(self) -> None:
        source = self.open_source(self.modes())
        asked = self.run(source, self.flagged)
        assert asked
        assert source.ask() is None

    def test_several_boards_may_ask_before_the_first_tells(self) -> None:
        source = self.open_source(self.modes())
        asked = [mode for _ in range(3) if (mode := source.ask()) is not None]
        assert asked
        for mode in asked:
            source.tell(self.measured(mode))
        self.run(source, self.measured)
        assert source.ask() is None

    def test_what_was_measured_before_is_counted_and_shortens_the_run(self) -> None:
        fresh = self.run(self.open_source(self.modes()), self.measured)
        source = self.open_source(self.modes())
        before = [self.measured(mode) for mode in fresh[: len(fresh) // 2 + 1]]
        assert source.recall(before) == len(before)
        assert len(self.run(source, self.measured)) < len(fresh)

    def test_with_nothing_to_recall_it_asks_as_if_nobody_had_called(self) -> None:
        source = self.open_source(self.modes())
        assert source.recall([]) == 0
        assert self.run(source, self.measured) == self.run(self.open_source(self.modes()), self.measured)

    def test_the_order_in_which_modes_are_listed_does_not_change_which_exist(self) -> None:
        modes = self.modes()
        turned = modes.take(np.arange(len(modes))[::-1])
        assert set(self.run(self.open_source(turned), self.measured)) <= set(modes)
