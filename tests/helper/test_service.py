"""What a helper answers, whoever asks and whenever; the board is simulated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helper.serving import ALICE, BOB, FakeTime, ask, board, service_of

from powertrain.errors import DeviceError
from powertrain.helper._audit import Audit
from powertrain.helper._service import DEFAULT_LEASE_S, Service
from powertrain.records import PowerMode
from powertrain.virtual import SimulatedBoard


def one(device: SimulatedBoard, place: int = 7) -> dict[str, float]:
    """Return a mode of a board as a request has it."""
    return dict(device.space[place])


def test_a_mode_is_in_force_from_hold_to_release():
    device = board()
    before, service = device.state(), service_of(device)
    assert ask(service, ALICE, "hold", mode=one(device)) == {"ok": True}
    assert dict(device.mode) == one(device)
    assert ask(service, ALICE, "check") == {"ok": True, "lost": ""}
    assert ask(service, ALICE, "release") == {"ok": True}
    assert device.state() == before


def test_a_holder_that_goes_leaves_the_device_as_it_was():
    device = board()
    before, service = device.state(), service_of(device)
    ask(service, ALICE, "hold", mode=one(device))
    service.lose(BOB, "he never held")
    assert dict(device.mode) == one(device)
    service.lose(ALICE, "her process ended")
    assert device.state() == before


def test_a_holder_that_shows_no_sign_of_life_loses_the_device_and_is_told_why():
    device, time = board(), FakeTime()
    before, service = device.state(), service_of(device, now_s=time)
    ask(service, ALICE, "hold", mode=one(device))
    for _ in range(5):
        time.pass_s(DEFAULT_LEASE_S - 1)
        assert ask(service, ALICE, "beat")["ok"]
        service.tend()
    assert service.due_s() == DEFAULT_LEASE_S
    time.pass_s(DEFAULT_LEASE_S)
    service.tend()
    assert device.state() == before
    assert "no sign of life for 30 s" in ask(service, ALICE, "release")["message"]


def test_while_one_holds_another_is_told_who():
    device = board()
    service = service_of(device)
    ask(service, ALICE, "hold", mode=one(device))
    for do, more in (("hold", {"mode": one(device, 8)}), ("reserve", {})):
        answer = ask(service, BOB, do, **more)
        assert answer["error"] == "DeviceBusyError"
        assert "process 1000 of user 1001" in answer["message"]
    for do in ("release", "free", "check", "beat"):
        assert "you hold nothing" in ask(service, BOB, do)["message"]
    assert dict(device.mode) == one(device)
    assert ask(service, BOB, "status") | {"since_s": 0} == {
        "ok": True,
        "held": True,
        "yours": False,
        "pid": 1000,
        "uid": 1001,
        "since_s": 0,
        "mode": one(device),
    }
    assert ask(service, ALICE, "release")["ok"]


def test_who_has_it_reserved_keeps_it_between_modes():
    device = board()
    before, service = device.state(), service_of(device)
    assert ask(service, ALICE, "reserve")["ok"]
    ask(service, ALICE, "hold", mode=one(device))
    ask(service, ALICE, "release")
    assert device.state() == before
    assert ask(service, BOB, "hold", mode=one(device))["error"] == "DeviceBusyError"
    assert ask(service, ALICE, "free")["ok"]
    assert ask(service, BOB, "hold", mode=one(device))["ok"]
    assert ask(service, BOB, "release")["ok"]


def test_freeing_gives_back_as_well():
    device = board()
    before, service = device.state(), service_of(device)
    ask(service, ALICE, "reserve")
    ask(service, ALICE, "hold", mode=one(device))
    ask(service, ALICE, "free")
    assert device.state() == before
    assert service.idle


def test_a_second_mode_is_not_held_over_the_first():
    device = board()
    service = service_of(device)
    ask(service, ALICE, "hold", mode=one(device))
    assert "release it first" in ask(service, ALICE, "hold", mode=one(device, 8))["message"]
    assert dict(device.mode) == one(device)
    assert ask(service, ALICE, "release")["ok"]


def nearly(mode: Mapping[str, float]) -> list[tuple[dict[str, float], str]]:
    knob = next(iter(mode))
    return [
        ({k: v for k, v in mode.items() if k != knob}, f"lacks {knob}"),
        ({**mode, "fan_pwm": 255.0}, "has 'fan_pwm'"),
        ({**mode, knob: mode[knob] + 1e-9}, "has no value"),
        ({**mode, knob: -mode[knob]}, "has no value"),
        ({**mode, knob: 1e300}, "has no value"),
    ]


@pytest.mark.parametrize("which", range(5))
def test_only_modes_of_the_devices_own_tables_are_taken(which: int):
    device = board()
    before, service = device.state(), service_of(device)
    mode, said = nearly(one(device))[which]
    answer = ask(service, ALICE, "hold", mode=mode)
    assert not answer["ok"]
    assert said in answer["message"]
    assert device.state() == before
    assert service.idle


words = st.sampled_from(
    ["describe", "status", "read", "check", "beat", "reserve", "hold", "release", "free", "go", "wait"]
)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from([ALICE, BOB]), words), max_size=30))
def test_whatever_clients_ask_the_device_is_held_for_one_or_as_it_was(asked: list[tuple[Any, str]]):
    device, time = board(), FakeTime()
    before, service = device.state(), service_of(device, now_s=time)
    for peer, word in asked:
        if word == "go":
            service.lose(peer, "it went")
        elif word == "wait":
            time.pass_s(DEFAULT_LEASE_S / 2)
            service.tend()
        else:
            ask(service, peer, word, **({"mode": one(device)} if word == "hold" else {}))
        status = ask(service, BOB, "status")
        held = status["held"] and status["mode"] is not None
        assert (dict(device.mode) == one(device)) is held
        assert service.has(ALICE) + service.has(BOB) == status["held"]
    assert service.close("the end")
    assert device.state() == before


def test_what_cannot_be_given_back_is_tried_again_until_it_can(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    device, time = board(tmp_path), FakeTime()
    with device.hold(device.space[0]):
        pass
    before, service = device.state(), service_of(device, now_s=time)
    ask(service, ALICE, "hold", mode=one(device))

    def fail(saved: object) -> None:
        raise DeviceError("the kernel refuses")

    with monkeypatch.context() as patched:
        patched.setattr(device._holder.settings, "put_back", fail)
        answer = ask(service, ALICE, "release")
        assert "could not be restored; the helper keeps trying" in answer["message"]
        due_s = service.due_s()
        assert due_s is not None
        time.pass_s(due_s)
        service.tend()
        assert device.state() != before
    due_s = service.due_s()
    assert due_s is not None
    time.pass_s(due_s)
    service.tend()
    assert device.state() == before
    assert service.due_s() is None


def test_a_fault_of_the_device_is_an_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    device = board()
    service = service_of(device)

    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(device, "read_power", fail)
    answer = ask(service, ALICE, "read")
    assert answer == {
        "ok": False,
        "error": "DeviceError",
        "message": "the helper failed (ZeroDivisionError): see its log",
    }
    assert "ZeroDivisionError" in caplog.text


def test_it_reads_the_sensors_for_those_who_may_not():
    device = board()
    answer = ask(service_of(device), BOB, "read")
    assert set(answer["rails_w"]) == set(device.read_power().rails_w)
    assert answer["throttle_count"] == device.throttle_count()


def test_it_tells_what_can_be_held():
    device = board()
    answer = ask(service_of(device), BOB, "describe")
    assert answer["device"] == device.name
    assert answer["simulated"] is True
    assert answer["knobs"] == {knob.name: list(knob.values) for knob in device.space.knobs}
    assert {name: PowerMode(mode) for name, mode in answer["stock"].items()} == device.stock_modes()


class TestTheLog:
    def lines(self, path: Path) -> list[dict[str, Any]]:
        return [json.loads(line) for line in path.read_text().splitlines()]

    def test_it_tells_who_held_what_before_and_after(self, tmp_path: Path):
        device, path = board(), tmp_path / "log/helper.jsonl"
        service = service_of(device, audit=Audit(path))
        ask(service, ALICE, "hold", mode=one(device))
        ask(service, ALICE, "hold", mode={"warp": 9})
        service.lose(ALICE, "her process ended")
        asked, held, released = self.lines(path)
        assert (asked["what"], asked["outcome"], asked["uid"], asked["pid"]) == ("hold", "asked", 1001, 1000)
        assert (held["mode"], held["outcome"]) == (one(device), "held")
        assert (released["why"], released["outcome"]) == ("her process ended", "given back")
        assert path.stat().st_mode & 0o777 == 0o640

    def test_without_it_nothing_is_changed(self, tmp_path: Path):
        device, path = board(), tmp_path / "folder"
        path.mkdir()
        before, service = device.state(), service_of(device, audit=Audit(path))
        assert "cannot write its log" in ask(service, ALICE, "hold", mode=one(device))["message"]
        assert device.state() == before
        assert service.idle

    def test_a_link_in_its_place_is_not_followed(self, tmp_path: Path):
        target, path = tmp_path / "precious", tmp_path / "helper.jsonl"
        target.write_text("precious")
        path.symlink_to(target)
        with pytest.raises(OSError, match="symbolic"):
            Audit(path).write("hold")
        assert target.read_text() == "precious"

    def test_it_is_put_aside_when_it_is_large(self, tmp_path: Path):
        path = tmp_path / "helper.jsonl"
        audit = Audit(path, largest_bytes=2000)
        for number in range(200):
            audit.write("hold", number=number)
        assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 5000
        assert [file.name for file in sorted(tmp_path.iterdir())] in (
            ["helper.jsonl", "helper.jsonl.1"],
            ["helper.jsonl.1"],
        )


def test_a_device_with_holes_in_its_space_takes_only_its_modes(tmp_path: Path):
    # A replay lacks most of the modes that its knobs' values make together.
    from powertrain.virtual import ReplayDevice

    source = board()
    modes = source.modes().take([0, 5, 9000])
    table = source.measure("resnet18", modes)
    device = ReplayDevice([table], spec="replay:three.csv")
    service: Service = service_of(device)
    assert ask(service, ALICE, "hold", mode=dict(modes[1]))["ok"]
    ask(service, ALICE, "release")
    names = modes.knobs
    mixed = {**modes[0], names[0]: modes[2][names[0]]}
    assert mixed not in [dict(mode) for mode in modes]
    assert "but not together" in ask(service, ALICE, "hold", mode=mixed)["message"]
