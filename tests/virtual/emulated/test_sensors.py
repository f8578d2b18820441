"""Power, heat and counters of emulated boards, and how far they follow the simulated ones."""

from __future__ import annotations

import errno

import numpy as np
import pytest
from tests.virtual.emulated.kernels import CPU, every_board, gpu_folder
from tests.virtual.emulated.test_memory import EMC

from powertrain.devices import VirtualClock
from powertrain.records import ModeTable, PowerMode
from powertrain.virtual import BOARDS, Disturbances, SimulatedBoard
from powertrain.virtual.emulated import EMULATED, EmulatedSysfs, Faults

QUIET = Disturbances.none()


def rails_w(board: EmulatedSysfs) -> dict[str, float]:
    """Read all rails, whatever the driver."""
    found: dict[str, float] = {}
    for chip in board.glob("/sys/bus/i2c/drivers/ina3221/*/hwmon/hwmon*"):
        for n in (1, 2, 3):
            milliwatts = (
                int(board.read(f"{chip}/in{n}_input")) * int(board.read(f"{chip}/curr{n}_input")) / 1e3
            )
            found[board.read(f"{chip}/in{n}_label")] = milliwatts / 1e3
    for chip in board.glob("/sys/bus/i2c/drivers/ina3221x/*/iio:device*"):
        for k in (0, 1, 2):
            found[board.read(f"{chip}/rail_name_{k}")] = int(board.read(f"{chip}/in_power{k}_input")) / 1e3
    for chip in board.glob("/sys/bus/i2c/drivers/ina238/*/hwmon/hwmon*"):
        found["VIN"] = int(board.read(f"{chip}/power1_input")) / 1e6
    return found


def total_w(board: EmulatedSysfs) -> float:
    """Return the power of the whole board, by its rule."""
    rails = rails_w(board)
    for total in ("VDD_IN", "POM_5V_IN", "VIN"):
        if total in rails:
            return rails[total]
    return sum(watts for label, watts in rails.items() if label not in ("NC", "VDDQ_VDD2_1V8AO"))


def put_into(board: EmulatedSysfs, mode: PowerMode) -> None:
    """Write a mode, all CPUs being on line."""
    khz, gpu_hz, mem_hz = (
        round(mode["cpu_mhz"] * 1e3),
        *(round(mode[k] * 1e6) for k in ("gpu_mhz", "mem_mhz")),
    )
    for policy in board.glob(f"{CPU}/cpufreq/policy*"):
        for end, value in (("min", board.board.cpu_khz[0]), ("max", khz), ("min", khz)):
            board.write(f"{policy}/scaling_{end}_freq", str(value))
    for end, value in (("min", board.board.gpu_hz[0]), ("max", gpu_hz), ("min", gpu_hz)):
        board.write(f"{gpu_folder(board)}/{end}_freq", str(value))
    board.write(f"{EMC}/mrq_rate_locked", "1")
    board.write(f"{EMC}/rate", str(mem_hz))
    for cpu in range(int(mode["cpu_cores"]), len(board.board.cpus)):
        board.write(f"{CPU}/cpu{cpu}/online", "0")


@every_board
def test_every_board_has_the_rails_that_tools_know(name: str):
    labels = set(rails_w(EmulatedSysfs(name)))
    if name.startswith("orin-agx"):
        assert labels == {"VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO", "NC"}
    elif name.startswith(("orin", "xavier-nx")):
        assert labels == {"VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"}
    elif name.startswith("xavier"):
        assert labels == {"GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"}
    else:
        assert len(labels) in (3, 4, 6)


@every_board
def test_training_draws_more_than_rest_and_warms_the_board(name: str):
    board = EmulatedSysfs(name, disturbances=QUIET)
    before_w, before = total_w(board), board.read("/sys/class/thermal/thermal_zone0/temp")
    readings: list[float] = []
    with board.clock.every(0.02, lambda: readings.append(total_w(board))), board.job("resnet18") as job:
        for _ in range(3):
            job.step()
    assert min(readings) > before_w > 0
    assert int(board.read("/sys/class/thermal/thermal_zone0/temp")) >= int(before)


@pytest.mark.parametrize(
    ("name", "model", "sister"),
    [
        ("orin-agx@jp5", "MAXN", "sim:orin-agx"),
        ("orin-agx@jp6", "MAXN", "sim:orin-agx-r36"),
        ("xavier-agx@jp5", "MAXN", "sim:xavier-agx"),
        ("orin-nano@jp6", "15W", "sim:orin-nano"),
        ("orin-nano-super@jp6", "MAXN_SUPER", "sim:orin-nano-super"),
    ],
)
def test_a_mode_that_is_written_draws_and_lasts_as_on_the_simulated_sister(
    name: str, model: str, sister: str
):
    simulated = SimulatedBoard(BOARDS[sister])
    for row in np.linspace(0, len(simulated.space) - 1, 4).astype(int):
        mode = simulated.space[row]
        truth = simulated.truth("mobilenet_v3", ModeTable.of([mode]))
        board = EmulatedSysfs(name, power_model=model, disturbances=QUIET)
        put_into(board, mode)
        assert board.mode == pytest.approx(dict(mode))
        readings: list[float] = []
        with board.job("mobilenet_v3") as job:
            job.step()
            started_s = board.clock.now_s()
            with board.clock.every(0.05, lambda board=board, to=readings: to.append(total_w(board))):
                for _ in range(3):
                    job.step()
        assert (board.clock.now_s() - started_s) / 3 == pytest.approx(truth.time_ms[0] / 1e3, rel=1e-6)
        steps_w = len(board.board.channels) * 0.2
        assert np.mean(readings) == pytest.approx(truth.power_w[0], abs=steps_w)


def test_a_cluster_that_was_forgotten_shows_in_the_speed():
    board = EmulatedSysfs("orin-agx@jp6", power_model="MAXN", disturbances=QUIET)
    fast_s = board.step_s("mobilenet_v3")
    board.write(f"{CPU}/cpufreq/policy0/scaling_max_freq", "729600")
    one_s = board.step_s("mobilenet_v3")
    for policy in (4, 8):
        board.write(f"{CPU}/cpufreq/policy{policy}/scaling_max_freq", "729600")
    assert fast_s < one_s < board.step_s("mobilenet_v3")


def test_currents_come_in_the_steps_of_the_shunt():
    for name, step_ma in (("orin-agx@jp6", 20), ("orin-nano@jp6", 8)):
        board = EmulatedSysfs(name)
        chip = board.glob("/sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon*")[0]
        currents = {int(board.read(f"{chip}/curr{n}_input")) for n in (1, 2, 3) for _ in range(9)}
        assert all(current % step_ma == 0 for current in currents)
        assert len(currents) > 2
        assert int(board.read(f"{chip}/samples")) == 512
        assert 300 < int(board.read(f"{chip}/update_interval")) < 600


def test_what_is_read_lags_behind():
    board = EmulatedSysfs("orin-agx@jp6", disturbances=Disturbances().without(["noise", "drift", "throttle"]))
    rest_w = total_w(board)
    soon: list[float] = []
    with board.clock.every(0.05, lambda: soon.append(total_w(board))), board.job("resnet18") as job:
        for _ in range(10):
            job.step()
    assert rest_w <= soon[0] < soon[5] < max(soon)


def test_a_rail_can_fail_for_a_while_or_for_good():
    once = Faults(sensor_errors={"VDD_IN": errno.EAGAIN}, sensor_errors_last=2)
    board = EmulatedSysfs("orin-nano@jp6", faults=once)
    chip = board.glob("/sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon*")[0]
    for _ in range(2):
        with pytest.raises(BlockingIOError):
            board.read(f"{chip}/curr1_input")
    assert int(board.read(f"{chip}/curr1_input")) > 0
    broken = EmulatedSysfs("orin-nano@jp6", faults=Faults(sensor_errors={"VDD_IN": errno.EIO}))
    for _ in range(5):
        with pytest.raises(OSError, match="error"):
            broken.read(f"{chip}/curr1_input")
    assert int(broken.read(f"{chip}/curr2_input")) > 0


def test_zones_without_power_have_no_temperature():
    for name, zone in (("orin-agx@jp6", "cv0-thermal"), ("orin-agx@jp5", "CV0-therm")):
        board = EmulatedSysfs(name)
        zones = board.glob("/sys/class/thermal/thermal_zone*")
        path = next(path for path in zones if board.read(f"{path}/type") == zone)
        if name.endswith("jp5"):
            assert board.read(f"{path}/temp") == "-256000"
        else:
            with pytest.raises(BlockingIOError):
                board.read(f"{path}/temp")


def test_overcurrent_events_are_counted():
    clock = VirtualClock()
    board = EmulatedSysfs("orin-agx@jp6", clock=clock, faults=Faults(overcurrent_at_s=(1.0, 2.0)))
    counter = next(
        f"{chip}/oc3_event_cnt"
        for chip in board.glob("/sys/class/hwmon/hwmon*")
        if board.read(f"{chip}/name") == "soctherm_oc"
    )
    counts = [board.read(counter)]
    for _ in range(2):
        clock.sleep_s(1)
        counts.append(board.read(counter))
    board.overcurrent(3)
    assert [*counts, board.read(counter)] == ["0", "1", "2", "5"]


def test_the_fan_is_where_each_generation_has_it():
    assert EmulatedSysfs("tx2@jp4").exists("/sys/devices/pwm-fan/target_pwm")
    for name in EMULATED:
        board = EmulatedSysfs(name)
        fans = [
            chip for chip in board.glob("/sys/class/hwmon/hwmon*") if board.read(f"{chip}/name") == "pwmfan"
        ]
        assert len(fans) == (EMULATED[name].release.jetpack >= 5)
        for fan in fans:
            board.write(f"{fan}/pwm1", "255")
            assert board.read(f"{fan}/pwm1") == "255"


@every_board
def test_numbers_of_hwmon_are_distinct(name: str):
    board = EmulatedSysfs(name)
    chips = board.listdir("/sys/class/hwmon")
    assert len({board.resolve(f"/sys/class/hwmon/{chip}") for chip in chips}) == len(chips)
