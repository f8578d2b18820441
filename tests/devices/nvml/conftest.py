from __future__ import annotations

import shutil
import sys

import pytest
from tests.devices.nvml.emulated import LIBRARY, EmulatedDriver, compile_emulated


@pytest.fixture(scope="session")
def compiler():
    found = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if found is None or sys.platform != "linux":
        pytest.skip("the emulated NVIDIA driver needs Linux and a C compiler (cc, gcc or clang)")
    return found


@pytest.fixture(scope="session")
def emulated_library(compiler, tmp_path_factory):
    return compile_emulated(compiler, tmp_path_factory.mktemp("emulated") / LIBRARY)


@pytest.fixture(scope="session")
def old_emulated_library(compiler, tmp_path_factory):
    return compile_emulated(compiler, tmp_path_factory.mktemp("emulated-old") / LIBRARY, "-DOLD")


@pytest.fixture
def emulated(emulated_library, tmp_path, monkeypatch):
    """Give the real binding an emulated driver; what it has loaded before comes back afterwards."""
    pynvml = pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
    monkeypatch.setenv("NVML_EMULATED_STATE", str(tmp_path / "emulated-gpus"))
    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    # A library that is loaded already is taken for every other of its SONAME (dlopen(3)).
    driver = EmulatedDriver(emulated_library, tmp_path)
    pynvml.nvmlInit()
    if not pynvml.nvmlSystemGetDriverVersion().startswith("emulated"):
        pytest.skip("this process has loaded a real NVIDIA driver library before")
    return driver
