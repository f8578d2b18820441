"""Kinds of devices: those that come with PowerTrain, and those that another package brings."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from powertrain.devices import DeviceSpec
from powertrain.errors import DeviceError, UnknownNameError
from powertrain.opening import BUILT_IN, device_forms, found_here, kind_of, open_device
from powertrain.virtual import BOARDS

PLUGIN = """
from dataclasses import replace
from powertrain.devices import DeviceKind, DeviceSpec
from powertrain.opening import kind_of

def open_board(spec, how):
    return kind_of(DeviceSpec("sim")).open(DeviceSpec("sim:orin-nano"), how)

KIND = DeviceKind(name="acme", forms=("acme:0",), open=open_board, find=lambda: ("acme:0",))
CPU = replace(KIND, name="cpu")
NOTHING = 42
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path, monkeypatch) -> Install:
    """Return what installs a package with entry points, as pip would leave it on Python's path."""

    def install(module: str, code: str, **entries: str) -> None:
        (tmp_path / f"{module}.py").write_text(code)
        lines = "".join(f"{name} = {value}\n" for name, value in entries.items())
        folder = tmp_path / f"{module}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[powertrain.devices]\n{lines}")

    monkeypatch.syspath_prepend(tmp_path)
    yield install
    for name in ("powertrain_acme", "broken"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_kind_that_comes_with_powertrain_can_be_imported_under_its_name(name):
    kind = kind_of(DeviceSpec(name))
    assert kind.name == name
    assert all(DeviceSpec(form).kind == name for form in kind.forms)


def test_opening_imports_a_kind_only_when_it_is_asked_for():
    code = """
import sys
import powertrain.opening as opening
devices = [f"powertrain.devices.{name}" for name in ("cpu", "nvml", "jetson")]
kinds = [*devices, "powertrain.virtual"]
before = [name for name in kinds if name in sys.modules]
opening.open_device("cpu")
print(before, [name for name in kinds if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] ['powertrain.devices.cpu']"


def test_the_forms_are_those_of_every_kind(install):
    assert device_forms()[0] == "auto"
    assert {"cpu", "nvml:0", "jetson", "replay:FILE.csv", *BOARDS} <= set(device_forms())
    install("powertrain_acme", PLUGIN, acme="powertrain_acme:KIND")
    assert "acme:0" in device_forms()


def test_a_device_of_another_package_is_opened_and_found_before_the_processor(install):
    install("powertrain_acme", PLUGIN, acme="powertrain_acme:KIND")
    assert open_device("acme:0").name == open_device("sim:orin-nano").name
    found = found_here()
    assert (found[-2:], found[-1]) == (("acme:0", "cpu"), "cpu")
    if len(found) == 2:  # this machine has neither a Jetson nor a GPU, so auto is the other package's
        assert open_device("auto").name == open_device("acme:0").name


def test_a_package_that_cannot_be_imported_is_one_line_and_takes_nothing_else_with_it(install, caplog):
    install("broken", "raise RuntimeError('no driver\\nfor this')", broken="broken:KIND")
    install("powertrain_acme", PLUGIN, acme="powertrain_acme:KIND")
    assert {"acme:0", "cpu"} <= set(device_forms())
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == (
        "the device 'broken' of the package broken (broken:KIND) cannot be imported "
        "(RuntimeError: no driver for this): reinstall or remove it"
    )
    with pytest.raises(DeviceError, match=r"'broken' of the package broken .* cannot be imported"):
        open_device("broken:0")
    caplog.clear()
    assert open_device("acme:0").simulated
    assert not caplog.records  # who asks for another kind is not told


@pytest.mark.parametrize("value", ["powertrain_acme:NOTHING", "powertrain_acme:CPU"])
def test_an_entry_point_that_is_no_kind_of_its_name_is_refused(install, value):
    install("powertrain_acme", PLUGIN, acme=value)
    with pytest.raises(DeviceError, match="not a DeviceKind named 'acme'"):
        open_device("acme:0")


def test_a_package_cannot_take_the_place_of_a_built_in_kind(install):
    install("powertrain_acme", PLUGIN, cpu="powertrain_acme:CPU")
    assert open_device("cpu").spec == "cpu"


def test_a_kind_of_which_there_is_one_takes_no_number():
    with pytest.raises(UnknownNameError, match="did you mean 'cpu'"):
        open_device("cpu:1")


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("cpu", ("cpu", "cpu", "", "")),
        ("cpu?batch_size=8", ("cpu", "cpu", "", "batch_size=8")),
        ("nvml:1?gpu_mhz=990", ("nvml", "nvml:1", "1", "gpu_mhz=990")),
        ("emulated:/a:b?x=1", ("emulated", "emulated:/a:b", "/a:b", "x=1")),
    ],
)
def test_a_spec_comes_apart_at_its_first_colon_and_its_first_question_mark(text, pieces):
    spec = DeviceSpec(text)
    assert (spec.kind, spec.name, spec.which, spec.options) == pieces
