"""Which boards are emulated, and what their files say of them."""

from __future__ import annotations

import pytest
from tests.virtual.emulated.kernels import CPU, every_board, gpu_folder

from powertrain.errors import UnknownNameError
from powertrain.units import mhz_from_hz, mhz_from_khz
from powertrain.virtual import BOARDS
from powertrain.virtual.emulated import EMULATED, EmulatedSysfs, find_board


def test_every_board_runs_under_every_jetpack_that_it_has_a_kernel_for():
    combinations: dict[str, set[str]] = {}
    for name in EMULATED:
        board, _, jetpack = name.partition("@")
        combinations.setdefault(board, set()).add(jetpack)
    orin, xavier = {"jp5", "jp6", "jp7"}, {"jp4", "jp5"}
    assert combinations == {
        "orin-agx": orin,
        "orin-agx-32gb": orin,
        "orin-nx-16gb": orin,
        "orin-nx-8gb": orin,
        "orin-nano": {"jp5", "jp6"},
        "orin-nano-super": {"jp6", "jp7"},
        "xavier-agx": xavier,
        "xavier-nx": xavier,
        "tx2": {"jp4"},
        "nano": {"jp4"},
        "thor": {"jp7"},
    }


@pytest.mark.parametrize(
    ("name", "modes"),
    [
        ("orin-agx@jp5", 18_096),
        ("orin-agx@jp6", 15_312),
        ("orin-agx@jp7", 15_312),
        ("xavier-agx@jp4", 29_232),
        ("orin-nano@jp6", 1_800),
        ("orin-nano-super@jp6", 4_224),
        ("tx2@jp4", 10_296),
        ("orin-nx-16gb@jp6", 5_824),
    ],
)
def test_the_tables_multiply_to_the_published_numbers_of_modes(name: str, modes: int):
    board = EmulatedSysfs(name, power_model=0)
    cpus = len(board.glob(f"{CPU}/cpu*/online"))
    cpu_clocks = board.read(f"{CPU}/cpufreq/policy0/scaling_available_frequencies").split()
    gpu_clocks = board.read(f"{gpu_folder(board)}/available_frequencies").split()
    assert cpus * len(cpu_clocks) * len(gpu_clocks) * len(EMULATED[name].emc_hz) == modes


@every_board
def test_a_board_boots_in_the_default_mode_of_its_conf(name: str):
    board = EmulatedSysfs(name)
    conf = board.read("/etc/nvpmodel.conf")
    default = EMULATED[name].default_model
    assert f"< PM_CONFIG DEFAULT={default} >" in conf
    assert board.read("/var/lib/nvpmodel/status").startswith(f"pmode:{default:04d}")
    model = EMULATED[name].power_model(default)
    online = {cpu for cpu in EMULATED[name].cpus if board.read(f"{CPU}/cpu{cpu}/online") == "1"}
    assert online == set(model.online)


@every_board
def test_every_file_that_the_conf_names_is_there(name: str):
    board = EmulatedSysfs(name)
    paths = [word for word in board.read("/etc/nvpmodel.conf").split() if word.startswith("/")]
    assert paths
    assert [path for path in paths if not board.exists(path)] == []


@every_board
def test_a_board_says_which_it_is(name: str):
    board = EmulatedSysfs(name)
    compatible = board.read("/proc/device-tree/compatible").split("\0")
    assert board.read("/proc/device-tree/model").endswith("\0")
    assert EMULATED[name].soc in compatible[-2]
    major = {4: "R32", 5: "R35", 6: "R36", 7: "R38" if name.startswith("thor") else "R39"}
    assert board.read("/etc/nv_tegra_release").startswith(
        f"# {major[EMULATED[name].release.jetpack]} (release)"
    )
    assert board.title.endswith(" (simulated)")


@every_board
def test_policies_hold_every_cpu_once(name: str):
    board = EmulatedSysfs(name, power_model=0)
    policies = board.glob(f"{CPU}/cpufreq/policy*")
    cpus = [int(cpu) for policy in policies for cpu in board.read(f"{policy}/related_cpus").split()]
    assert sorted(cpus) == list(EMULATED[name].cpus)
    for policy in policies:
        for cpu in board.read(f"{policy}/related_cpus").split():
            assert board.resolve(f"{CPU}/cpu{cpu}/cpufreq") == policy


@pytest.mark.parametrize(
    ("name", "sister"),
    [("orin-agx@jp5", "sim:orin-agx"), ("orin-agx@jp6", "sim:orin-agx-r36"), ("tx2@jp4", None)],
)
def test_formulas_and_files_have_the_same_clocks(name: str, sister: str | None):
    board = EMULATED[name]
    space = board.physics.space
    assert sister is None or board.physics is BOARDS[sister]
    assert space.knob("cpu_mhz").values == pytest.approx([mhz_from_khz(float(k)) for k in board.cpu_khz])
    assert space.knob("gpu_mhz").values == pytest.approx([mhz_from_hz(float(h)) for h in board.gpu_hz])
    assert space.knob("mem_mhz").values == pytest.approx([mhz_from_hz(float(h)) for h in board.emc_hz])


def test_the_newest_jetpack_is_taken_where_none_is_named():
    assert find_board("orin-agx").name == "orin-agx@jp7"
    assert find_board("xavier-agx", 4).name == "xavier-agx@jp4"


def test_an_unknown_board_is_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'orin-agx@jp6'"):
        EmulatedSysfs("orin-agxx@jp6")


def test_a_reboot_gives_another_boot_id_and_the_state_of_the_stock_mode():
    board = EmulatedSysfs()
    before, boot = board.state(), board.read("/proc/sys/kernel/random/boot_id")
    board.write(f"{CPU}/cpu1/online", "0")
    board.reboot()
    assert board.state() == before
    assert board.read("/proc/sys/kernel/random/boot_id") != boot
