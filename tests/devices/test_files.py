"""Settings that are files of the kernel: errors that say what to do, and every step of restoring taken."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.devices.files import MemorySysfs
from typing_extensions import override

from powertrain.devices import Why
from powertrain.devices._files import FilePart, Files, do_all, not_writable, whole_number
from powertrain.errors import DeviceError, DevicePermissionError
from powertrain.records import PowerMode

PATH = "/sys/devices/clock"


@pytest.fixture
def sysfs() -> MemorySysfs:
    made = MemorySysfs()
    made.put(PATH, 1200)
    return made


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_what_this_user_may_not_write_is_a_matter_of_permission_with_what_to_do(sysfs, number):
    sysfs.unwritable[PATH] = number
    with pytest.raises(DevicePermissionError, match=f"may not write {PATH}: run sudo powertrain"):
        Files(sysfs).put(PATH, "900")
    assert not_writable("cpu_mhz", PATH).why is Why.FORBIDDEN


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EINVAL, errno.EIO])
def test_what_the_kernel_does_not_take_is_told_with_its_reason(sysfs, number):
    sysfs.unwritable[PATH] = number
    with pytest.raises(DeviceError, match=f"{PATH} does not take 900 ") as refused:
        Files(sysfs).put(PATH, "900")
    assert not isinstance(refused.value, DevicePermissionError)


def test_a_file_that_says_it_already_is_not_written(sysfs):
    files = Files(sysfs)
    files.change(PATH, "1200")
    assert sysfs.writes == []
    files.change(PATH, "900")
    assert sysfs.writes == [(PATH, "900")]


def test_a_file_that_cannot_be_read_says_nothing_and_why(sysfs):
    sysfs.unreadable[PATH] = errno.EAGAIN
    files = Files(sysfs)
    assert (files.text(PATH), files.number(PATH), files.numbers(PATH)) == ("", None, ())
    assert files.silence(PATH) == "Resource temporarily unavailable"
    sysfs.unreadable.clear()
    assert files.silence(PATH) == ""


def test_numbers_are_sorted_and_distinct_and_words_between_them_are_left_out(sysfs):
    sysfs.put(PATH, "665600 204000 (kHz) 204000 -5 1e9")
    assert Files(sysfs).numbers(PATH) == (204000, 665600)


@given(st.text(max_size=20))
def test_a_number_is_digits_and_nothing_else(text):
    number = whole_number(text)
    assert (number is None) == (not (text.isascii() and text.isdigit() and len(text) <= 15))
    assert number is None or number == int(text)


@pytest.mark.parametrize(
    ("text", "saved"), [("1200", True), ("schedutil", True), ("", False), ("a b", False), ("../x", False)]
)
def test_only_numbers_and_words_are_saved_since_nothing_else_is_ever_written(sysfs, text, saved):
    sysfs.put(PATH, text)
    assert Files(sysfs).saved([PATH, "/sys/none"]) == ({PATH: text} if saved else {})


class Steps:
    """Steps that fail so many times before they work."""

    def __init__(self, failures: list[int]) -> None:
        self.left, self.taken = list(failures), [0] * len(failures)

    def step(self, number: int) -> None:
        self.taken[number] += 1
        if self.left[number]:
            self.left[number] -= 1
            raise DeviceError(f"step {number} is refused")


@given(st.lists(st.integers(0, 3), max_size=6))
def test_every_step_is_taken_and_all_are_taken_once_more_if_one_failed(failures):
    steps = Steps(failures)
    tasks = [lambda number=number: steps.step(number) for number in range(len(failures))]
    stuck = [number for number, count in enumerate(failures) if count > 1]
    if stuck:
        with pytest.raises(DeviceError, match=f"step {stuck[0]} is refused"):
            do_all(tasks)
    else:
        do_all(tasks)
    assert steps.taken == [2 if any(failures) else 1] * len(failures)


class Clock(FilePart):
    """A part that is one file."""

    name, knobs = "clock", {"cpu_mhz": (900.0, 1200.0)}

    def __init__(self, files: Files) -> None:
        self._files = files

    @override
    def save(self) -> dict[str, str]:
        return self._files.saved([PATH])

    @override
    def write(self, mode: PowerMode) -> None:
        self._files.put(PATH, f"{mode['cpu_mhz']:g}")

    @override
    def lost(self, mode: PowerMode) -> str:
        return ""

    @override
    def put_back(self, saved: Mapping[str, Any]) -> None:
        self._files.change(PATH, saved[PATH])

    @override
    def notes(self) -> tuple[str, ...]:
        return ()


def test_what_shows_another_text_than_was_restored_is_told_by_its_path(sysfs):
    part = Clock(Files(sysfs))
    saved = part.save()
    assert part.differences(saved) == ()
    sysfs.greatest[PATH] = 1000
    part.write(PowerMode(cpu_mhz=900))
    part.put_back(saved)
    assert part.differences(saved) == (f"{PATH} was restored as 1200 and shows 1000",)
    sysfs.unreadable[PATH] = errno.EAGAIN
    assert part.differences(saved) == ()  # what does not answer shows nothing
