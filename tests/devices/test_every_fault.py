"""Every read, write and call of every back-end fails in turn; `benchmarks/faults.py` tries them all."""

from __future__ import annotations

import random

import pytest
from tests.devices.jetson.boards import SOME_BOARDS, board_of, device_on

from powertrain.devices import Journal, VirtualClock
from powertrain.devices.cpu import CpuDevice
from powertrain.devices.nvml import NvmlDevice
from powertrain.records import PowerMode
from powertrain.testing import (
    Fault,
    FaultyLibrary,
    FaultySysfs,
    MadeUpNvml,
    MadeUpProcessor,
    faults_of_files,
    faults_of_library,
    try_fault,
)

SAMPLE = 60
"""Of the faults of each back-end that are tried here; of each board a few."""


class Processor:
    def __init__(self, folder, fault=None) -> None:
        self.clock = VirtualClock(1.0)
        self.below = MadeUpProcessor(self.clock.now_s)
        self.between = FaultySysfs(self.below, fault)
        self.journal = Journal(folder)

    def open(self):
        return CpuDevice("cpu_cores=1", sysfs=self.between, clock=self.clock, journal=self.journal)

    def start(self) -> None:
        self.clock.sleep_s(0.5)
        self.between.on = self.between.fault is not None


class Gpu:
    def __init__(self, folder, fault=None) -> None:
        self.clock = VirtualClock(1.0)
        self.below = MadeUpNvml(self.clock.now_s)
        self.between = FaultyLibrary(self.below, fault)
        self.files, self.journal = MadeUpProcessor(self.clock.now_s), Journal(folder)

    def open(self):
        return NvmlDevice(
            0,
            "cpu_cores=1",
            nvml=self.between,
            sysfs=self.files,
            euid=lambda: 0,
            clock=self.clock,
            journal=self.journal,
        )

    def start(self) -> None:
        self.clock.sleep_s(0.5)
        self.between.on = self.between.fault is not None


class Board:
    def __init__(self, folder, fault=None, *, name: str) -> None:
        self.below, self.folder = board_of(name), folder
        self.between = FaultySysfs(self.below, fault)

    def open(self):
        return device_on(self.below, self.folder, sysfs=self.between)

    def start(self) -> None:
        self.between.on = self.between.fault is not None


def tried(make, folder, *, sample: int, seed: str):
    """Try some of the faults; yield each with the stand-in and what became of the device."""
    whole = make(folder / "whole")
    outcome = try_fault(whole.open, whole.start)
    assert outcome.opened
    assert not outcome.refused
    assert not outcome.outside
    files = isinstance(whole.between, FaultySysfs)
    faults = list(faults_of_files(whole.between) if files else faults_of_library(whole.between))
    for number, fault in enumerate(random.Random(seed).sample(faults, min(sample, len(faults)))):
        stand_in = make(folder / str(number), fault)
        yield fault, stand_in, try_fault(stand_in.open, stand_in.start)


@pytest.mark.parametrize("make", [Processor, Gpu])
def test_no_fault_gets_outside_the_tree_of_errors(make, tmp_path):
    for fault, _, outcome in tried(make, tmp_path, sample=SAMPLE, seed="faults"):
        assert not outcome.outside, fault
        # A driver's library tells of some refusals only when it is asked to set something.
        assert make is Gpu or fault.late or not outcome.refused, fault


@pytest.mark.parametrize("how", ["EIO", "EINVAL", "EBUSY", "hang"])
def test_a_clock_that_refuses_every_value_is_not_offered_and_says_why(how, tmp_path):
    path = "/sys/devices/system/cpu/cpufreq/policy2/scaling_max_freq"
    stand_in = Processor(tmp_path, Fault(where=path, how=how, writing=True))
    before = stand_in.below.state()
    device = stand_in.open()
    assert device.space.names == ("cpu_cores",)
    assert any(path in note and "read and not set" in note for note in device.notes())
    assert stand_in.below.state() == before
    with device.hold(PowerMode(cpu_cores=1)):
        pass


def test_the_clocks_are_tried_once_after_a_boot(tmp_path):
    first, second = Processor(tmp_path), Processor(tmp_path)
    first.open()
    second.open()
    assert first.between.writes
    assert not second.between.writes


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", SOME_BOARDS)
def test_no_fault_of_a_board_gets_outside_the_tree_and_no_knob_is_offered_that_cannot_be_held(name, tmp_path):
    def make(folder, fault=None):
        return Board(folder, fault, name=name)

    for fault, _, outcome in tried(make, tmp_path, sample=6, seed=name):
        assert not outcome.outside, fault
        assert fault.late or not outcome.refused, fault
        assert outcome.opened or "compatible" in fault.where, (fault, outcome.told)


@pytest.mark.parametrize("how", ["EIO", "EACCES", "empty", "garbage", "hang"])
def test_a_processor_whose_every_counter_fails_opens_with_its_clocks(how, tmp_path):
    whole = Processor(tmp_path / "whole")
    whole.open()
    counters = [path for path in whole.between.reads if path.endswith("energy_uj")]
    assert counters
    for number, path in enumerate(counters):
        fault = next(f for f in faults_of_files(whole.between) if f.where == path and f.how == how)
        device = Processor(tmp_path / str(number), fault).open()
        assert "cpu_mhz" in device.space.names
        assert device.rails == ()
        assert any(path in note for note in device.notes())
