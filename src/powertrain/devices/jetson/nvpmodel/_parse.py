"""Reading the text of an nvpmodel conf.

The form, from the confs in the public LineageOS/android_device_nvidia_concord, _galen and _quill
(`nvpmodel/*.conf`) and from NVIDIA/skills:skills/jetson-customize-nvpmodel/SKILL.md: sections that
begin with `< PARAM TYPE=... NAME=... >`, `< POWER_MODEL ID=... NAME=... >`, `< PM_CONFIG DEFAULT=... >` and
`< FAN_CONFIG DEFAULT=... >`, one assignment a line, comments from `#` on. Of a clock -1 means no cap.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import final

from powertrain.devices.jetson.nvpmodel._records import NvpConf, NvpMode, NvpParam, NvpSetting
from powertrain.errors import DeviceError

__all__ = ["parse_conf"]

_ATTRIBUTE = re.compile(r"(\w+)=(\S+)", re.ASCII)


def parse_conf(text: str, *, path: str = "nvpmodel.conf") -> NvpConf:
    """Read the text of a conf.

    Blanks inside the brackets of a header may be missing: nvpmodel's own confs lack some. Sections of a kind
    that is not known are passed over. A mode whose name an earlier one has gets its id behind it.

    Raises:
        DeviceError: The text breaks the form; the message names the line.
    """
    reader = _Reader(path)
    # A line ends where editors end it, and not at what Python takes for an end besides.
    for number, raw in enumerate(re.split(r"\r\n|\r|\n", text.removeprefix("\ufeff")), start=1):
        line = raw.partition("#")[0].strip()
        if line:
            reader.take(line, number)
    return reader.conf(text)


@final
class _Reader:
    """Takes a conf line by line."""

    def __init__(self, path: str = "nvpmodel.conf") -> None:
        self._path, self._line = path, 0
        self._section = ""
        self._params: dict[str, NvpParam] = {}
        self._args: dict[str, str] = {}
        self._modes: dict[int, NvpMode] = {}
        self._names = set[str]()
        self._settings: list[NvpSetting] = []
        self._defaults: list[tuple[int, int]] = []
        self._head: tuple[int, str] = (0, "")
        self._fan = ""

    def take(self, line: str, number: int) -> None:
        """Take a line that is neither empty nor a comment."""
        if line.startswith("<"):
            self._close()
            self._line = number
            self._open(line)
            return
        self._line = number
        if self._section == "PARAM":
            self._take_arg(line)
        elif self._section == "POWER_MODEL":
            self._take_setting(line)
        elif not self._section:
            raise self._wrong(f"{_short(line)} stands before the first section")

    def conf(self, text: str) -> NvpConf:
        """Return what was read."""
        self._close()
        if not self._modes:
            raise DeviceError(f"{self._path} has no POWER_MODEL section: is it a conf of nvpmodel?")
        if len(self._defaults) != 1:
            raise DeviceError(
                f"{self._path} has {len(self._defaults)} PM_CONFIG sections: nvpmodel needs exactly one"
            )
        default, self._line = self._defaults[0]
        if default not in self._modes:
            raise self._wrong(f"the default mode {default} is none of {', '.join(map(str, self._modes))}")
        return NvpConf(
            path=self._path,
            params=tuple(self._params.values()),
            modes=tuple(self._modes.values()),
            default=default,
            fan=self._fan,
            text=text,
        )

    def _open(self, line: str) -> None:
        words = line[1:-1].split() if line.endswith(">") else []
        if not words or not words[0].isidentifier():
            raise self._wrong(f"{_short(line)} opens no section: it should be < KIND NAME=VALUE ... >")
        self._section, given = words[0], dict(_ATTRIBUTE.findall(" ".join(words[1:])))
        if self._section == "PARAM":
            self._args = {}
            kind, name = self._need(given, "TYPE"), self._need(given, "NAME")
            if name in self._params:
                raise self._wrong(f"PARAM {_short(name)} is there twice")
            self._params[name] = NvpParam(name=name, kind=kind, args=self._args)
        elif self._section == "POWER_MODEL":
            self._settings = []
            self._head = self._whole(self._need(given, "ID"), "ID"), self._need(given, "NAME")
            if self._head[0] in self._modes:
                raise self._wrong(f"there are two modes with the ID {self._head[0]}")
        elif self._section == "PM_CONFIG":
            self._defaults.append((self._whole(self._need(given, "DEFAULT"), "DEFAULT"), self._line))
        elif self._section == "FAN_CONFIG":
            self._fan = given.get("DEFAULT", "")

    def _close(self) -> None:
        if self._section == "POWER_MODEL":
            number, name = self._head
            settings = tuple(self._settings)
            online = _online(self._params.values(), settings)
            # Of two modes with one name each can be asked for.
            name = f"{name}_ID{number}" if name in self._names else name
            self._names.add(name)
            self._modes[number] = NvpMode(id=number, name=name, settings=settings, online=online)
        self._section = ""

    def _take_arg(self, line: str) -> None:
        arg, *value = line.split(maxsplit=1)
        if not value or not value[0].startswith("/"):
            raise self._wrong(f"{_short(line)} is not an argument and its path")
        self._args[arg] = value[0]

    def _take_setting(self, line: str) -> None:
        parts = line.split()
        if len(parts) != 3:
            raise self._wrong(f"{_short(line)} is not a PARAM, an argument and a value")
        name, arg, value = parts
        param = self._params.get(name)
        if param is None:
            raise self._wrong(f"there is no PARAM {_short(name)} above")
        if arg not in param.args and f"{arg}_KNEXT" not in param.args:
            raise self._wrong(f"PARAM {_short(name)} has no argument {_short(arg)}")
        if param.kind == "CLOCK":
            self._whole(value, arg)
        self._settings.append(NvpSetting(param=param, arg=arg, value=value))

    def _need(self, given: Mapping[str, str], key: str) -> str:
        if key not in given:
            raise self._wrong(f"{self._section} lacks {key}=")
        return given[key]

    def _whole(self, text: str, what: str) -> int:
        if not re.fullmatch(r"-?\d{1,19}", text, re.ASCII):
            raise self._wrong(f"{_short(what)} is {_short(text)}, which is not a whole number")
        return int(text)

    def _wrong(self, what: str) -> DeviceError:
        return DeviceError(f"{self._path}, line {self._line}: {what}")


def _online(params: Iterable[NvpParam], settings: Sequence[NvpSetting]) -> tuple[int, ...]:
    """Return the processors that a mode leaves on: those that it does not switch off, of those declared."""
    cpus = {cpu for param in params for cpu in param.cpus.values()} or {0}
    off = {setting.param.cpus.get(setting.arg) for setting in settings if setting.value == "0"}
    # cpu0 cannot be switched off (NVIDIA/skills, jetson-customize-nvpmodel); TX2's conf does not mention it.
    return tuple(sorted({0} | (cpus - off)))


def _short(text: str) -> str:
    """Quote a piece of the file in a message of one line."""
    return ascii(text if len(text) <= 60 else f"{text[:57]}...")
