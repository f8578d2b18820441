"""What is installed and removed, on a folder that stands for a machine; test_systemd.py has a real one."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from powertrain.devices import Journal
from powertrain.errors import DeviceError, DevicePermissionError, UnknownNameError
from powertrain.helper import HelperMachine, set_up_helper

COMPATIBLE = "nvidia,p3737-0000+p3701-0005\0nvidia,tegra234\0"


class Machine:
    """A machine as a folder; commands are noted, and change who is in which group."""

    def __init__(self, root: Path, *, user: str | None = "alice") -> None:
        self.root, self.user, self.uid = root, user, 0
        self.commands: list[str] = []
        self.groups: dict[str, set[str]] = {}
        self.failing = ""
        self.answer: Exception | None = None
        self.code: tuple[Path, ...] = ()
        (root / "run/systemd/system").mkdir(parents=True)
        (root / "proc/device-tree").mkdir(parents=True)
        (root / "proc/device-tree/compatible").write_text(COMPATIBLE)

    def run(self, command: Sequence[str]) -> None:
        self.commands.append(" ".join(command))
        if self.failing and self.failing in self.commands[-1]:
            raise DeviceError(f"{self.commands[-1]} failed")
        match command:
            case ["groupadd", "--system", group]:
                self.groups[group] = set()
            case ["usermod", "-aG", group, user]:
                self.groups[group].add(user)
            case ["gpasswd", "-d", user, group]:
                self.groups[group].discard(user)
            case ["groupdel", group]:
                del self.groups[group]
            case _:
                assert command[0] == "systemctl"

    def ask(self) -> None:
        if self.answer is not None:
            raise self.answer

    @property
    def now(self) -> HelperMachine:
        return HelperMachine(
            root=self.root,
            run=self.run,
            uid=self.uid,
            user=self.user,
            code=self.code,
            group_exists=self.groups.__contains__,
            members=lambda group: frozenset(self.groups.get(group, ())),
            ask=self.ask,
        )

    def files(self) -> dict[str, str]:
        return {
            str(path.relative_to(self.root)): path.read_text()
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and "device-tree" not in path.parts
        }


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


SERVICE = "etc/systemd/system/powertrain-helper.service"
SOCKET = "etc/systemd/system/powertrain-helper.socket"


def test_it_installs_units_and_lets_who_called_sudo_in(machine: Machine):
    assert set_up_helper(machine.now)[1] == []
    assert machine.groups == {"powertrain": {"alice"}}
    units = machine.files()
    assert "SocketGroup=powertrain\n" in units[SOCKET]
    assert "--device jetson --group powertrain\n" in units[SERVICE]
    assert "{" not in units[SERVICE] + units[SOCKET]
    assert machine.commands[-1] == "systemctl restart powertrain-helper.socket"


def test_what_was_installed_is_removed_and_nothing_else(machine: Machine):
    machine.groups["video"] = {"alice"}
    set_up_helper(machine.now)
    set_up_helper(machine.now)  # a second time changes nothing about that
    assert set_up_helper(machine.now, uninstall=True)[1] == []
    assert machine.files() == {}
    assert machine.groups == {"video": {"alice"}}
    assert set_up_helper(machine.now, uninstall=True) == ([], [])


def test_a_group_that_was_there_stays_without_who_was_added(machine: Machine):
    machine.groups["lab"] = {"carol"}
    set_up_helper(machine.now, group="lab")
    assert machine.groups["lab"] == {"alice", "carol"}
    set_up_helper(machine.now, uninstall=True)
    assert machine.groups["lab"] == {"carol"}


def test_who_was_in_the_group_before_stays_in_it(machine: Machine):
    machine.groups["lab"] = {"alice"}
    set_up_helper(machine.now, group="lab")
    set_up_helper(machine.now, uninstall=True)
    assert machine.groups["lab"] == {"alice"}


def test_another_group_takes_the_place_of_the_one_before(machine: Machine):
    set_up_helper(machine.now, group="lab")
    set_up_helper(machine.now)
    assert machine.groups == {"powertrain": {"alice"}}
    set_up_helper(machine.now, uninstall=True)
    assert machine.groups == {}


def test_what_cannot_be_undone_is_told(machine: Machine):
    set_up_helper(machine.now)
    note = machine.root / "var/lib/powertrain/setup-helper.note"
    note.write_text("x")
    (problem,) = set_up_helper(machine.now, uninstall=True)[1]
    assert "the group and its members stay" in problem
    assert machine.files() == {}


def test_its_note_is_no_journal(machine: Machine):
    set_up_helper(machine.now)
    assert Journal(machine.root / "var/lib/powertrain").devices() == []


def test_a_dry_run_only_tells(machine: Machine):
    machine.uid = 1000
    steps, _ = set_up_helper(machine.now, dry_run=True)
    assert [step.what for step in steps][:2] == ["make the group powertrain", "note what was made"]
    assert machine.commands == []
    assert machine.files() == {}


def test_only_root_sets_it_up(machine: Machine):
    machine.uid = 1000
    for uninstall in (False, True):
        with pytest.raises(DevicePermissionError, match="run sudo powertrain setup-helper"):
            set_up_helper(machine.now, uninstall=uninstall)
    assert machine.files() == {}


def test_without_systemd_it_says_what_to_do(machine: Machine):
    (machine.root / "run/systemd/system").rmdir()
    with pytest.raises(DeviceError, match="powertrain-helper --foreground"):
        set_up_helper(machine.now)


def test_a_machine_that_is_no_jetson_is_left_alone(machine: Machine):
    (machine.root / "proc/device-tree/compatible").unlink()
    with pytest.raises(DeviceError, match="this is not a Jetson"):
        set_up_helper(machine.now)
    for device, said in (
        ("cpu", "the kernel offers no cpufreq"),
        ("sim:orin-agx", "sim:orin-agx is not held through a helper"),
        ("emulated:/nowhere", "/nowhere holds no emulated board"),
        ("emulated:orin-agx@jp6", "ends with the process that opens it"),
    ):
        with pytest.raises(DeviceError, match=said):
            set_up_helper(machine.now, device=device)
    with pytest.raises(UnknownNameError, match="did you mean 'cpu'"):
        set_up_helper(machine.now, device="cpus")
    assert machine.commands == []


def test_a_helper_of_the_processor_may_write_its_files_alone(machine: Machine):
    policy = machine.root / "sys/devices/system/cpu/cpufreq/policy0"
    policy.mkdir(parents=True)
    for end, khz in (("min", 1200000), ("max", 2400000)):
        for name in (f"scaling_{end}_freq", f"cpuinfo_{end}_freq"):
            (policy / name).write_text(f"{khz}\n")
    set_up_helper(machine.now, device="cpu")
    unit = machine.files()[SERVICE]
    assert "--device cpu --group powertrain\n" in unit
    assert "ReadWritePaths=/sys/devices/system/cpu\n" in unit
    assert "CapabilityBoundingSet=\n" in unit
    assert "PrivateDevices=yes\nDevicePolicy=closed\nDeviceAllow=\n" in unit


def test_a_helper_of_a_gpu_gets_the_capability_and_the_nodes_that_its_driver_needs(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("powertrain.devices.nvml._kind.gpu_count", lambda: 1)
    set_up_helper(machine.now, device="nvml:0")
    unit = machine.files()[SERVICE]
    assert "CapabilityBoundingSet=CAP_SYS_ADMIN\n" in unit
    assert "PrivateDevices=no\nDevicePolicy=closed\nDeviceAllow=char-nvidia* rw\n" in unit
    assert "ReadWritePaths=\n" in unit
    with pytest.raises(DeviceError, match="nvml:1: there is no such GPU"):
        set_up_helper(machine.now, device="nvml:1")


def test_a_dry_run_for_a_device_that_is_not_here_tells_so_and_shows_the_steps(machine: Machine):
    steps, problems = set_up_helper(machine.now, device="cpu", dry_run=True)
    assert "the kernel offers no cpufreq" in problems[0]
    assert steps


def test_a_helper_that_does_not_work_is_told(machine: Machine):
    machine.answer = DeviceError("the helper does not answer")
    (problem,) = set_up_helper(machine.now)[1]
    assert "does not answer" in problem
    assert "journalctl -u powertrain-helper" in problem


def test_a_step_that_fails_is_told_and_can_be_done_again(machine: Machine):
    machine.failing = "enable"
    with pytest.raises(DeviceError, match=r"enable powertrain-helper\.socket failed"):
        set_up_helper(machine.now)
    machine.failing = ""
    set_up_helper(machine.now)
    set_up_helper(machine.now, uninstall=True)
    assert machine.files() == {}
    assert machine.groups == {}


@pytest.mark.parametrize("group", ["", "Power Train", "-x", "a;b", "x" * 40, "é"])
def test_a_group_without_a_proper_name_is_refused(machine: Machine, group: str):
    with pytest.raises(ValueError, match="not a valid group name"):
        set_up_helper(machine.now, group=group)
    assert machine.commands == []


class TestCodeThatOthersCouldChange:
    @pytest.fixture
    def code(self, machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Path:
        if os.geteuid() != 0:
            pytest.skip("only root owns files as root does")
        folder = tmp_path_factory.mktemp("code")
        (folder / "lib").mkdir()
        (folder / "lib/module.py").write_text("")
        machine.code = (folder / "lib",)
        return folder

    def test_is_run_if_it_is_root_s(self, machine: Machine, code: Path):
        assert set_up_helper(machine.now)[1] == []

    @pytest.mark.parametrize("place", ["lib/module.py", "lib", "."])
    def test_is_not_run_if_they_may_write_it_or_a_folder_on_the_way(
        self, machine: Machine, code: Path, place: str
    ):
        (code / place).chmod(0o777)
        with pytest.raises(DevicePermissionError, match="install PowerTrain for root"):
            set_up_helper(machine.now)
        assert machine.files() == {}

    @pytest.mark.parametrize(
        ("spoil", "why"),
        [
            ("chown 1234 lib/module.py", "lib/module.py belongs to 1234"),
            ("chmod 1777 lib", "root imports from {}/lib, and any user may write {}/lib"),
            ("mkdir lib/part && chmod 1777 lib/part", "any user may write {}/lib/part"),
            ("chgrp 1234 lib/module.py && chmod 664 lib/module.py", "the group 1234 may write"),
            ("mv lib away/lib && ln -s away/lib lib", "{}/away belongs to 1234"),
            ("mv lib/module.py away && ln -s ../away/module.py lib/module.py", "{}/away belongs to 1234"),
            ("ln -s ../away/later.py lib/later.py", "{}/away belongs to 1234"),
            (
                "ln -s module.py lib/link.py && chown -h 1234 lib/link.py",
                "link {}/lib/link.py belongs to 1234",
            ),
            ("mv lib shared && ln -s shared/lib lib && chmod 777 shared", "any user may write {}/shared"),
            ("rm -r lib && chmod 1777 .", "{}/lib is not there, and any user may write {}"),
        ],
    )
    def test_is_not_run_and_what_others_can_do_to_it_is_told(
        self, machine: Machine, code: Path, spoil: str, why: str
    ):
        spoilt = f"mkdir away shared && chown 1234 away && {spoil}"
        subprocess.run(["sh", "-c", spoilt], cwd=code, check=True)
        with pytest.raises(DevicePermissionError, match=re.escape(why.replace("{}", str(code)))):
            set_up_helper(machine.now)

    @pytest.mark.parametrize(
        "harmless",
        [
            "chmod 1777 .",
            "mkdir shared && chmod 1777 shared && mv lib shared && ln -s shared/lib lib",
            "ln -s . lib/again && ln -s loop lib/loop",
            "chmod 664 lib/module.py",
        ],
    )
    def test_is_run_where_others_can_change_nothing_of_it(self, machine: Machine, code: Path, harmless: str):
        subprocess.run(["sh", "-c", harmless], cwd=code, check=True)
        assert set_up_helper(machine.now)[1] == []

    def test_is_told_of_by_a_dry_run(self, machine: Machine, code: Path):
        (code / "lib").chmod(0o777)
        (problem,) = set_up_helper(machine.now, dry_run=True)[1]
        assert f"others can change (any user may write {code}/lib)" in problem


def test_a_path_with_blanks_and_percents_stays_one_word_of_the_unit(tmp_path: Path):
    machine = Machine(tmp_path)
    python = Path("/opt/my %p/bin/python")
    set_up_helper(HelperMachine(**{**machine.now.__dict__, "python": python}))
    assert 'ExecStart="/opt/my %%p/bin/python" -I -m' in machine.files()[SERVICE]


@pytest.mark.parametrize(
    ("place", "home", "tmp"),
    [("/opt/powertrain", "yes", "yes"), ("/root/x", "read-only", "yes"), ("/tmp/x", "yes", "no")],
)
def test_the_unit_hides_what_the_code_does_not_live_in(machine: Machine, place: str, home: str, tmp: str):
    steps, _ = set_up_helper(HelperMachine(**{**machine.now.__dict__, "code": (Path(place),)}), dry_run=True)
    (unit,) = [step.text for step in steps if step.file == machine.root / SERVICE]
    assert f"ProtectHome={home}\n" in str(unit)
    assert f"PrivateTmp={tmp}\n" in str(unit)
