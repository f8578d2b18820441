"""What the driver refuses is an error of the tree, in one line."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest
from tests.devices.nvml.emulated import AT_REST, UNKNOWN

from powertrain.devices.nvml import NvmlDevice
from powertrain.errors import DeviceError, DevicePermissionError, MissingExtraError

pynvml = pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")

ERRORS = sorted(pynvml.NVMLError._valClassMapping.items())


class Refusing:
    """A binding whose every call ends in one error."""

    NVMLError = pynvml.NVMLError

    def __init__(self, error: Exception) -> None:
        self._error = error

    def nvmlInit(self) -> None:  # noqa: N802
        raise self._error


@pytest.mark.parametrize(("code", "kind"), ERRORS, ids=[kind.__name__ for _, kind in ERRORS])
def test_every_error_of_the_binding_is_one_line_of_the_tree(code, kind):
    original = kind()
    with pytest.raises(DeviceError) as refused:
        NvmlDevice(0, nvml=Refusing(original))
    text = str(refused.value)
    assert refused.value.__cause__ is original
    assert isinstance(refused.value, DevicePermissionError) == (code == pynvml.NVML_ERROR_NO_PERMISSION)
    assert text.startswith("nvml:0: ")
    assert "nvmlInit" in text
    assert "\n" not in text


def test_an_error_that_the_binding_does_not_know_is_one_line_as_well():
    with pytest.raises(DeviceError, match="the NVIDIA driver refused"):
        NvmlDevice(0, nvml=Refusing(pynvml.NVMLError(4711)))


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("LIBRARY_NOT_FOUND", r"no NVIDIA driver library \(libnvidia-ml.so.1\): install the NVIDIA driver"),
        ("DRIVER_NOT_LOADED", "not loaded: load it"),
        ("LIB_RM_VERSION_MISMATCH", "reboot"),
        ("NO_PERMISSION", "run with sudo"),
        ("GPU_IS_LOST", "dmesg"),
    ],
)
def test_the_usual_troubles_say_what_to_do(name, advice):
    error = pynvml.NVMLError(getattr(pynvml, f"NVML_ERROR_{name}"))
    with pytest.raises(DeviceError, match=advice):
        NvmlDevice(0, nvml=Refusing(error))


def test_without_the_binding_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(
        MissingExtraError, match=r"nvml:0 needs nvidia-ml-py.*pip install 'powertrain\[nvml\]'"
    ):
        NvmlDevice(0)


def test_on_a_machine_without_a_driver_the_real_binding_says_so_in_one_line():
    code = """
import ctypes
try:
    ctypes.CDLL("libnvidia-ml.so.1")
except OSError:
    from powertrain.devices.nvml import NvmlDevice
    try:
        NvmlDevice(0)
    except Exception as error:
        print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    if not done.stdout:
        pytest.skip("this machine has an NVIDIA driver")
    assert done.stdout.startswith("DeviceError nvml:0: there is no NVIDIA driver library")
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize("index", [2, 7, -1])
def test_a_gpu_that_is_not_there_is_refused_with_those_that_are(emulated, index):
    with pytest.raises(
        DeviceError, match=rf"nvml:{index}: there is no such GPU; .* shows nvml:0, nvml:1: take one of these"
    ):
        emulated.open(index=index)


def test_a_driver_without_gpus_says_so(emulated):
    emulated.set(gpus=0)
    with pytest.raises(DeviceError, match="the NVIDIA driver shows none: see what nvidia-smi says"):
        emulated.open()


def test_a_driver_that_is_not_loaded_says_so(emulated):
    emulated.set(loaded=0)
    with pytest.raises(DeviceError, match="the NVIDIA driver is not loaded"):
        emulated.open()


def test_a_lost_gpu_cannot_be_opened(emulated):
    emulated.set(lost=1)
    with pytest.raises(DeviceError, match="the GPU is lost"):
        emulated.open()
    assert emulated.open(index=1).name == "NVIDIA Emulated GPU"


def test_a_gpu_that_is_lost_while_it_is_looked_at_is_no_gpu_without_features(emulated):
    emulated.fail("nvmlDeviceGetPowerUsage", pynvml.NVML_ERROR_GPU_IS_LOST)
    with pytest.raises(DeviceError, match="the GPU is lost"):
        emulated.open()


def test_a_question_that_fails_when_it_is_opened_is_taken_for_a_lack(emulated):
    emulated.fail("nvmlDeviceGetPowerUsage", UNKNOWN)
    assert emulated.open().rails == ("NVML energy counter",)


def test_an_old_driver_is_asked_by_its_old_names_and_what_it_lacks_is_put_back(
    emulated, old_emulated_library, monkeypatch
):
    monkeypatch.setattr(pynvml, "nvmlLib", ctypes.CDLL(str(old_emulated_library)))
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    device = emulated.open()
    emulated.set(reasons=0x40)
    assert device.throttle_count() == 1
    assert device.temperature_c() == 41
    assert any(reason.what == "energy counter" for reason in device.missing)
    assert "mem_mhz" not in device.space.names  # what can never be held is not offered
    with pytest.raises(DeviceError, match=r"no mem_mhz: .*install a newer NVIDIA driver"):
        emulated.open("mem_mhz=1600")
    with device.hold(device.modes()[0]):
        assert emulated.settings() != AT_REST
    assert emulated.settings() == AT_REST
    assert emulated.kept() == []


def test_a_binding_without_some_function_is_to_be_replaced_by_a_newer_one(emulated, monkeypatch):
    monkeypatch.delattr(pynvml, "nvmlDeviceGetTemperatureV", raising=False)
    monkeypatch.delattr(pynvml, "nvmlDeviceGetCurrentClocksEventReasons", raising=False)
    device = emulated.open()
    assert device.temperature_c() == 41
    assert device.throttle_count() == 0
    monkeypatch.delattr(pynvml, "nvmlDeviceGetUUID")
    with pytest.raises(DeviceError, match="nvidia-ml-py has no nvmlDeviceGetUUID: install a newer one"):
        emulated.open()
