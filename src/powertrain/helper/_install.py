"""Installing the helper as a service of systemd, and removing what was installed."""

from __future__ import annotations

import grp
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, final

from powertrain.devices import DeviceSpec, ServiceNeeds
from powertrain.devices.remote._client import HelperClient
from powertrain.devices.remote._protocol import DEFAULT_GROUP, DEFAULT_SOCKET
from powertrain.errors import DeviceError, DevicePermissionError, PowerTrainError
from powertrain.files import read_file, write_file
from powertrain.helper._trust import changeable, code_of
from powertrain.opening import kind_of

__all__ = ["HelperMachine", "HelperStep", "set_up_helper"]

SERVICE, SOCKET = "powertrain-helper.service", "powertrain-helper.socket"
UNITS = Path("etc/systemd/system")
SETUP_NOTE = Path("var/lib/powertrain/setup-helper.note")
"""What was made that may have been there before: the group, and who was added to it, as JSON.

Journals in the same folder end with .json, and this is none.
"""

LARGEST_RECORD_BYTES = 1 << 16

HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
"""What ProtectHome= of systemd.exec(5) hides."""
TEMPORARY = (Path("/tmp"), Path("/var/tmp"))
"""What PrivateTmp= hides."""
ANSWER_S = 30.0
"""For a helper that was just set up to look at its device."""

Run = Callable[[Sequence[str]], None]


def run_command(command: Sequence[str]) -> None:
    """Run a command of the system.

    Raises:
        DeviceError: It failed.
    """
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except FileNotFoundError as error:
        raise DeviceError(f"{command[0]} is not installed: it is needed to set the helper up") from error
    except subprocess.CalledProcessError as error:
        raise DeviceError(f"{' '.join(command)} failed: {error.stderr.strip()}") from error


def ask_helper() -> None:
    """Ask the helper what it holds.

    Raises:
        PowerTrainError: It does not work.
    """
    client = HelperClient(DEFAULT_SOCKET, timeout_s=ANSWER_S)
    try:
        client.describe()
    finally:
        client.close()


@final
@dataclass(frozen=True, kw_only=True)
class HelperMachine:
    """The machine to install the helper on, and how."""

    root: Path = Path("/")
    run: Run = run_command
    uid: int = -1
    """Of this process; -1: ask the kernel."""
    user: str | None = None
    """Who called sudo; he is to be in the group."""
    python: Path = Path(sys.executable)
    code: tuple[Path, ...] | None = None
    """What root would run; all of Python's path if None."""
    group_exists: Callable[[str], bool] | None = None
    members: Callable[[str], frozenset[str]] | None = None
    ask: Callable[[], object] = ask_helper
    """Asks the helper something, once it was set up."""

    @classmethod
    def here(cls, environment: Mapping[str, str]) -> HelperMachine:
        """Return this machine; sudo says in SUDO_USER who called it."""
        user = environment.get("SUDO_USER")
        return cls(user=None if user in (None, "", "root") else user)


@final
@dataclass(frozen=True, kw_only=True)
class HelperStep:
    """One change of the machine: a command, or a file to write (`text`) or to remove (no `text`)."""

    what: str
    command: tuple[str, ...] = ()
    file: Path | None = None
    text: str | None = None
    needed: bool = True
    """Whether what follows is pointless if it fails."""


def set_up_helper(
    machine: HelperMachine,
    *,
    device: str = "jetson",
    group: str = DEFAULT_GROUP,
    uninstall: bool = False,
    dry_run: bool = False,
) -> tuple[list[HelperStep], list[str]]:
    """Install or remove the helper. Return the steps, and problems that did no harm.

    Args:
        machine: Where.
        device: The spec of what it is to hold, such as `jetson`, `cpu` or `nvml:0`.
        group: Whose members may use it.
        uninstall: Whether to remove it.
        dry_run: Whether to return the steps without doing them; also somebody who is not root may.

    Raises:
        ValueError: The group has no such name.
        DevicePermissionError: This process is not root's, or others could change what root would run; nothing
            was done.
        UnknownNameError: There is no such kind of device.
        DeviceError: systemd does not run here, the machine has no such device, or a step failed.
    """
    if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,30}", group):
        raise ValueError(f"{group!r} is not a valid group name: use lower-case letters, digits, - and _")
    if not dry_run:
        _refuse_elsewhere(machine)
    if uninstall:
        steps, problems = _uninstall_steps(machine), _damaged_note(machine)
        return steps, problems if dry_run else [*problems, *_carry_out(machine, steps)]
    weak = _weak_code(machine)
    problems = [weak] if weak else list[str]()
    try:
        needs = _needs(machine, device)
    except DeviceError as error:
        if not dry_run:
            raise
        needs, problems = ServiceNeeds(), [str(error), *problems]
    steps = _install_steps(machine, device, needs, group)
    if dry_run:
        return steps, problems
    if weak:
        raise DevicePermissionError(weak)
    problems = _carry_out(machine, steps)
    try:
        machine.ask()
    except PowerTrainError as error:
        problems.append(f"it does not work ({error}): journalctl -u powertrain-helper tells why")
    return steps, problems


def _install_steps(machine: HelperMachine, device: str, needs: ServiceNeeds, group: str) -> list[HelperStep]:
    # What is there already is not ours to remove later: only what this makes is noted, also over two runs.
    made = not _group_exists(machine, group)
    user = machine.user
    added = user if user is not None and (made or user not in _members(machine, group)) else None
    before = _record(machine)
    record = {
        "group": group,
        "made_group": made or (before.get("group") == group and bool(before.get("made_group"))),
        "added_user": added or (before.get("added_user") if before.get("group") == group else None),
    }
    steps = _leave_group_steps(before) if before.get("group") not in (None, group) else []
    if made:
        steps.append(HelperStep(what=f"make the group {group}", command=("groupadd", "--system", group)))
    steps.append(_file(machine, SETUP_NOTE, f"{json.dumps(record)}\n", "note what was made"))
    if added is not None:
        steps.append(HelperStep(what=f"let {added} use the helper", command=("usermod", "-aG", group, added)))
    values = {
        "python": _word(machine.python),
        "group": group,
        "device": _word(device),
        "socket": str(DEFAULT_SOCKET),
        "writable": " ".join(map(_word, needs.writable)),
        "capabilities": " ".join(needs.capabilities),
        "devices": needs.devices,
        "hidden_devices": "no" if needs.devices else "yes",
        # The code itself must be seen, wherever it is.
        "home": "read-only" if _is_below(HOMES, _code(machine)) else "yes",
        "tmp": "no" if _is_below(TEMPORARY, _code(machine)) else "yes",
    }
    steps += [_file(machine, UNITS / name, _unit(name, values), "tell systemd") for name in (SOCKET, SERVICE)]
    return [
        *steps,
        HelperStep(what="reload systemd", command=("systemctl", "daemon-reload")),
        HelperStep(what="stop an older helper", command=("systemctl", "stop", SERVICE)),
        HelperStep(what="listen, now and after boot", command=("systemctl", "enable", SOCKET)),
        HelperStep(what="listen with the new settings", command=("systemctl", "restart", SOCKET)),
    ]


def _uninstall_steps(machine: HelperMachine) -> list[HelperStep]:
    """Return what it takes to remove what was installed, and nothing else; the log stays."""
    record = _record(machine)
    units = [machine.root / UNITS / name for name in (SOCKET, SERVICE)]
    steps: list[HelperStep] = []
    if any(unit.exists() for unit in units):
        steps += [
            HelperStep(
                what="listen no more", command=("systemctl", "disable", "--now", SOCKET), needed=False
            ),
            HelperStep(what="end the helper", command=("systemctl", "stop", SERVICE), needed=False),
            *(HelperStep(what="forget the unit", file=unit) for unit in units if unit.exists()),
            HelperStep(what="reload systemd", command=("systemctl", "daemon-reload")),
        ]
    steps += _leave_group_steps(record)
    if (machine.root / SETUP_NOTE).exists():
        steps.append(HelperStep(what="forget what was made", file=machine.root / SETUP_NOTE))
    return steps


def _leave_group_steps(record: Mapping[str, Any]) -> list[HelperStep]:
    """Return what undoes what was made of a group."""
    group, added = record.get("group"), record.get("added_user")
    if group and record.get("made_group"):
        what, command = f"remove the group {group}", ("groupdel", str(group))
    elif group and added:
        what, command = f"take {added} out of {group}", ("gpasswd", "-d", str(added), str(group))
    else:
        return []
    return [HelperStep(what=what, command=command, needed=False)]


def _damaged_note(machine: HelperMachine) -> list[str]:
    """Return what cannot be undone, since nobody knows any more what was made."""
    path = machine.root / SETUP_NOTE
    if not path.exists() or _record(machine):
        return []
    return [f"{path} cannot be read, so the group and its members stay: see getent group and groupdel"]


def _refuse_elsewhere(machine: HelperMachine) -> None:
    if (os.geteuid() if machine.uid < 0 else machine.uid) != 0:
        raise DevicePermissionError("the helper is set up by root: run sudo powertrain setup-helper")
    # sd_booted(3): this folder is there where systemd is the init system.
    if not (machine.root / "run/systemd/system").is_dir():
        raise DeviceError(
            "systemd does not run here: start powertrain-helper --foreground as root by other means"
        )


def _carry_out(machine: HelperMachine, steps: Sequence[HelperStep]) -> list[str]:
    """Do the steps; return what went wrong with those that are not needed."""
    problems: list[str] = []
    # Installing stops at a failure; removing goes on, since half of it would be worse.
    for step in steps:
        try:
            _do(machine, step)
        except DeviceError as error:
            if step.needed:
                raise
            problems.append(str(error))
    return problems


def _do(machine: HelperMachine, step: HelperStep) -> None:
    if step.command:
        machine.run(step.command)
    if step.file is None:
        return
    try:
        if step.text is None:
            step.file.unlink(missing_ok=True)
            return
        step.file.parent.mkdir(parents=True, exist_ok=True)
        # A link here may lead anywhere (that of a masked unit to /dev/null): it is replaced, not followed.
        write_file(step.file, step.text, permissions=0o644, follow_links=False)
    except OSError as error:
        raise DeviceError(f"{step.what}: {step.file}: {error.strerror}") from error


def _file(machine: HelperMachine, path: Path, text: str, what: str) -> HelperStep:
    return HelperStep(what=what, file=machine.root / path, text=text)


def _unit(name: str, values: Mapping[str, str]) -> str:
    text = (resources.files(__package__ or "") / "units" / name).read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace(f"{{{key}}}", value)
    return text


def _word(value: object) -> str:
    """Return something as one word of a unit, in which % begins a specifier and blanks end a word."""
    escaped = str(value).replace("%", "%%")
    return f'"{escaped}"' if " " in escaped else escaped


def _record(machine: HelperMachine) -> dict[str, Any]:
    try:
        return dict(json.loads(read_file(machine.root / SETUP_NOTE, most_bytes=LARGEST_RECORD_BYTES)))
    except (OSError, ValueError, TypeError):
        return {}


def _group_exists(machine: HelperMachine, group: str) -> bool:
    if machine.group_exists is not None:
        return machine.group_exists(group)
    try:
        grp.getgrnam(group)
    except KeyError:
        return False
    return True


def _members(machine: HelperMachine, group: str) -> frozenset[str]:
    if machine.members is not None:
        return machine.members(group)
    try:
        found = grp.getgrnam(group)
    except KeyError:
        return frozenset()
    return frozenset(
        (*found.gr_mem, *(user.pw_name for user in pwd.getpwall() if user.pw_gid == found.gr_gid))
    )


def _code(machine: HelperMachine) -> tuple[Path, ...]:
    return code_of(machine.python) if machine.code is None else machine.code


def _is_below(folders: Sequence[Path], paths: Sequence[Path]) -> bool:
    return any(path.is_relative_to(folder) for path in paths for folder in folders)


def _needs(machine: HelperMachine, device: str) -> ServiceNeeds:
    """Return what a helper must be let do to hold a device.

    Raises:
        UnknownNameError: There is no such kind of device.
        DeviceError: The machine has no such device, or nobody needs a helper for it.
    """
    spec = DeviceSpec(device)
    kind = kind_of(spec)
    if kind.service is None:
        raise DeviceError(
            f"{spec.name} is not held through a helper, as no device of the kind {kind.name!r} is: "
            "powertrain devices lists what is here"
        )
    return kind.service(spec, machine.root)


def _weak_code(machine: HelperMachine) -> str:
    """Return why root must not run this code: somebody else could change it, and so would be root.

    A virtual environment in somebody's home is of that kind.
    """
    weak = next(changeable(_code(machine)), None)
    if weak is None:
        return ""
    python = shutil.which("python3", path="/usr/bin:/bin") or "python3"
    return (
        f"root would run code that others can change ({weak}): install PowerTrain for root, "
        f"as in sudo {python} -m venv /opt/powertrain && sudo /opt/powertrain/bin/pip install CHECKOUT, "
        "then sudo /opt/powertrain/bin/powertrain setup-helper"
    )
