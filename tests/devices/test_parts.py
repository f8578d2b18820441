"""Settings made of parts: the order in which they are written, read back and restored."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from powertrain.devices import Holder, Journal, Reason, VirtualClock, Why
from powertrain.devices._parts import SETTLE_S, Part, PartedSettings, lasting_parts
from powertrain.errors import DeviceError, DevicePermissionError, MissingKnobError, UnreachableModeError
from powertrain.records import PowerMode
from powertrain.space import ModeSpace

AT_REST, ASKED = 700.0, 300.0


class Toy(Part):
    """A part with one knob, which notes what is done to it; what goes wrong can be set."""

    def __init__(self, name: str, log: list[str], *, lasting: bool = True, first: bool = False) -> None:
        self.name, self.log = name, log
        self.outlives_process, self.comes_first = lasting, first
        self.knobs: Mapping[str, tuple[float, ...]] = {f"{name}_mhz": (ASKED, AT_REST)}
        self.value = AT_REST
        self.hidden = False
        """Whether its state does not show before it is prepared."""
        self.silent = False
        """Whether its state never shows."""
        self.failure: Exception | None = None
        """What `put_back` raises."""

    @override
    def save(self) -> Mapping[str, Any]:
        return {} if self.hidden or self.silent else {self.name: self.value}

    @override
    def prepare(self) -> None:
        self.log.append(f"prepare {self.name}")
        self.hidden = False

    @override
    def changes(self, mode: PowerMode) -> Iterable[str]:
        return (self.name,)

    @override
    def write(self, mode: PowerMode) -> None:
        self.log.append(f"write {self.name}")
        self.value = mode[f"{self.name}_mhz"]

    @override
    def lost(self, mode: PowerMode) -> str:
        self.log.append(f"read {self.name}")
        return "" if self.value == mode[f"{self.name}_mhz"] else f"{self.name} shows {self.value:g}"

    @override
    def put_back(self, saved: Any) -> None:
        self.log.append(f"restore {self.name}")
        if self.failure is not None:
            raise self.failure
        if self.name in saved:
            self.value = saved[self.name]

    @override
    def differences(self, saved: Mapping[str, Any]) -> tuple[str, ...]:
        return () if self.save() == saved else (f"{self.name} shows another value",)

    @override
    @contextmanager
    def reserved(self) -> Generator[None]:
        self.log.append(f"reserve {self.name}")
        yield
        self.log.append(f"free {self.name}")

    @override
    def notes(self) -> tuple[str, ...]:
        return ()


def space_of(parts: Iterable[Part]) -> ModeSpace:
    return ModeSpace.of({name: values for part in parts for name, values in part.knobs.items()})


class Machine:
    """Three parts, the second of which has to come first, and what holds them."""

    def __init__(self, folder) -> None:
        self.log: list[str] = []
        self.a, self.b, self.c = (Toy(name, self.log, first=name == "b") for name in "abc")
        self.parts = [self.a, self.b, self.c]
        self.clock, self.journal = VirtualClock(), Journal(folder)
        self.mode = PowerMode({f"{part.name}_mhz": ASKED for part in self.parts})
        self.open()

    def open(self, **more: Any) -> None:
        space = space_of(self.parts)
        settings = PartedSettings(self.parts, space=space, device="a toy", clock=self.clock, **more)
        self.holder = Holder(settings, name="a toy", spec="toy", journal=self.journal)

    @property
    def values(self) -> list[float]:
        return [part.value for part in self.parts]


@pytest.fixture
def machine(tmp_path) -> Machine:
    return Machine(tmp_path / "journal")


def done(machine: Machine, what: str) -> list[str]:
    return [line.removeprefix(f"{what} ") for line in machine.log if line.startswith(what)]


def test_what_comes_first_is_written_before_the_others_are_prepared_and_all_are_read_back_twice(machine):
    with machine.holder.hold(machine.mode):
        assert machine.values == [ASKED] * 3
    reads = ["read a", "read b", "read c"]
    written = [
        "reserve a",
        "reserve b",
        "reserve c",
        "write b",
        "prepare a",
        "prepare c",
        "write a",
        "write c",
    ]
    assert machine.log[: len(written) + 6] == [*written, *reads, *reads]
    assert machine.clock.now_s() == pytest.approx(SETTLE_S)
    assert done(machine, "restore") == ["c", "b", "a"]
    assert machine.values == [AT_REST] * 3


def test_what_undoes_a_setting_at_once_is_noticed_at_the_second_look(machine):
    sleep_s = machine.clock.sleep_s

    def undo(duration_s: float) -> None:
        sleep_s(duration_s)
        machine.a.value = AT_REST

    object.__setattr__(machine.clock, "sleep_s", undo)
    with (
        pytest.raises(UnreachableModeError, match="a shows 700: something else sets it"),
        machine.holder.hold(machine.mode),
    ):
        pytest.fail("the block must not run")
    assert machine.values == [AT_REST] * 3


def test_state_that_comes_into_view_late_is_in_the_journal_before_it_is_changed(machine):
    machine.c.hidden = True
    with machine.holder.hold(machine.mode):
        kept = machine.journal.left_behind("toy")
        assert kept is not None
        assert kept.saved["c"] == {"c": AT_REST}
    assert machine.values == [AT_REST] * 3


def test_what_does_not_tell_its_state_is_not_changed_and_the_others_are_restored(machine):
    machine.c.silent = True
    with (
        pytest.raises(UnreachableModeError, match="c does not tell what it is set to"),
        machine.holder.hold(machine.mode),
    ):
        pass
    assert "c" not in done(machine, "write")
    assert machine.values == [AT_REST] * 3


@given(st.sets(st.sampled_from("abc")), st.sampled_from([DeviceError("busy"), OSError(5, "I/O error")]))
def test_every_part_is_restored_whichever_others_refuse(tmp_path_factory, refusing, failure):
    machine = Machine(tmp_path_factory.mktemp("journal"))
    held = machine.holder.hold(machine.mode)
    held.__enter__()
    for part in machine.parts:
        part.failure = failure if part.name in refusing else None
    if refusing:
        with pytest.raises(type(failure)):
            held.__exit__(None, None, None)
    else:
        held.__exit__(None, None, None)
    assert done(machine, "restore") == ["c", "b", "a"]
    assert machine.values == [ASKED if part.name in refusing else AT_REST for part in machine.parts]
    # What refused is in the journal, and the next process restores it once that is possible.
    assert bool(machine.journal.devices()) == bool(refusing)
    for part in machine.parts:
        part.failure = None
    assert machine.holder.restore() == bool(refusing)
    assert machine.values == [AT_REST] * 3


def test_each_part_that_could_not_be_restored_is_told(machine, caplog):
    held = machine.holder.hold(machine.mode)
    held.__enter__()
    machine.a.failure, machine.c.failure = DeviceError("a is stuck"), DeviceError("c is stuck")
    with pytest.raises(DeviceError, match="c is stuck"):
        held.__exit__(None, None, None)
    assert "this was not restored either: a is stuck" in caplog.text


def test_what_shows_another_value_than_was_restored_is_told_and_is_no_failure(machine, caplog):
    caplog.set_level("INFO")
    with machine.holder.hold(machine.mode):
        object.__setattr__(machine.a, "put_back", lambda saved: None)
    assert "a shows another value" in caplog.text
    assert machine.journal.devices() == []


def test_a_part_without_knobs_is_never_set_and_restored_from_the_journal_of_a_process_that_had_them(machine):
    machine.journal.folder.mkdir()
    saved = {part.name: dict(part.save()) for part in machine.parts}
    machine.journal.keep("toy", spec="toy", device="a toy", saved=saved)
    machine.a.value, machine.a.knobs = ASKED, {}
    machine.open()
    assert "a_mhz" not in space_of(machine.parts).names
    assert machine.holder.restore()
    assert machine.a.value == AT_REST
    with machine.holder.hold(PowerMode(b_mhz=ASKED, c_mhz=ASKED)):
        assert machine.values == [AT_REST, ASKED, ASKED]
    assert "a" not in done(machine, "write")


def test_a_part_that_the_journal_does_not_know_is_left_alone(machine):
    machine.journal.folder.mkdir()
    machine.journal.keep("toy", spec="toy", device="a toy", saved={"b": {"b": 123.0}})
    assert machine.holder.restore()
    assert machine.values == [AT_REST, 123.0, AT_REST]
    assert done(machine, "restore") == ["b"]


def test_a_knob_that_is_missing_is_refused_with_its_reason_and_one_of_nobody_by_its_name(machine):
    reason = Reason(what="d_mhz", why=Why.FORBIDDEN, sentence="it is root's")
    machine.open(missing=(reason,))
    with (
        pytest.raises(DevicePermissionError, match="a toy has no d_mhz: it is root's"),
        machine.holder.hold(PowerMode({**machine.mode, "d_mhz": 1.0})),
    ):
        pass
    with pytest.raises(MissingKnobError), machine.holder.hold(PowerMode({**machine.mode, "e_mhz": 1.0})):
        pass
    assert machine.log == []


def test_a_mode_that_a_part_refuses_touches_nothing(machine):
    def refuse(mode: PowerMode) -> None:
        raise DeviceError("not together")

    object.__setattr__(machine.c, "check", refuse)
    with pytest.raises(DeviceError, match="not together"), machine.holder.hold(machine.mode):
        pass
    assert machine.log == []
    assert not machine.journal.folder.exists()


def test_what_ends_with_the_process_needs_neither_journal_nor_a_second_look(tmp_path):
    machine = Machine(tmp_path / "journal")
    for part in machine.parts:
        part.outlives_process = False
    machine.open()
    with machine.holder.hold(machine.mode):
        assert machine.values == [ASKED] * 3
    assert machine.clock.now_s() == 0
    assert not list(machine.journal.folder.glob("*.json"))
    assert machine.values == [AT_REST] * 3


def test_reserving_reserves_every_part_and_frees_it(machine):
    with machine.holder.reserve():
        assert done(machine, "reserve") == ["a", "b", "c"]
        with machine.holder.hold(machine.mode):
            pass
        assert done(machine, "free") == []
    assert done(machine, "reserve") == ["a", "b", "c"]
    assert done(machine, "free") == ["c", "b", "a"]


def test_only_what_outlives_a_process_can_be_held_for_another(machine):
    machine.a.outlives_process = False
    assert lasting_parts(machine.parts, device="a toy") == (machine.b, machine.c)
    machine.b.knobs = machine.c.knobs = {}
    with pytest.raises(DeviceError, match="no knob that one process could hold for another"):
        lasting_parts(machine.parts, device="a toy")
    machine.c.missing = (Reason(what="c_mhz", why=Why.ABSENT, sentence="there is none"),)
    with pytest.raises(DeviceError, match="a toy has no c_mhz: there is none"):
        lasting_parts(machine.parts, device="a toy")
