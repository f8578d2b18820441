"""One GPU behind NVIDIA's management library (NVML), through the binding `nvidia-ml-py`.

Names of functions and errors are those of the NVML API reference (docs.nvidia.com/deploy/nvml-api).
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Callable
from typing import Any, final

from powertrain.devices._reasons import Reason, Why
from powertrain.devices._sysfs import Sysfs
from powertrain.errors import DeviceError, DevicePermissionError, MissingExtraError

__all__ = [
    "FATAL",
    "FUNCTION_NOT_FOUND",
    "INVALID_ARGUMENT",
    "NOT_SUPPORTED",
    "NO_PERMISSION",
    "UNKNOWN",
    "UNSUPPORTED",
    "WITHOUT_EFFECT",
    "Call",
    "NvmlGpu",
    "code_of",
    "gpu_count",
    "why_forbidden",
]

Call = tuple[Any, ...]
"""The name of an NVML function, and what it takes besides the GPU."""

UNSUPPORTED = "this GPU or its driver does not support it"
"""What is found where a function answers that it is not supported."""

# nvmlReturn_t: the numbers are part of the library's binary interface.
UNINITIALIZED, INVALID_ARGUMENT, NOT_SUPPORTED, NO_PERMISSION, UNKNOWN = 1, 2, 3, 4, 999
DRIVER_NOT_LOADED, LIBRARY_NOT_FOUND, FUNCTION_NOT_FOUND = 9, 12, 13
GPU_IS_LOST, RESET_REQUIRED, VERSION_MISMATCH = 15, 16, 18

# What to do, by the code of the error: the library's own texts name the error and no way out.
EXPLAINED = {
    LIBRARY_NOT_FOUND: "there is no NVIDIA driver library (libnvidia-ml.so.1): install the NVIDIA driver, or "
    "give the GPU to the container (docker run --gpus all)",
    DRIVER_NOT_LOADED: "the NVIDIA driver is not loaded: load it (modprobe nvidia), or reboot",
    VERSION_MISMATCH: "the NVIDIA driver in the kernel is of another version than its library: reboot",
    NO_PERMISSION: "that needs root: run with sudo, or start the container with --cap-add=SYS_ADMIN",
    NOT_SUPPORTED: UNSUPPORTED,
    FUNCTION_NOT_FOUND: "that is not known to this driver: install a newer NVIDIA driver",
    GPU_IS_LOST: "the GPU is lost, it does not answer any more: look for Xid in dmesg, then reboot",
    RESET_REQUIRED: "the GPU has to be reset: nvidia-smi --gpu-reset, or reboot",
}
FATAL = (UNINITIALIZED, DRIVER_NOT_LOADED, GPU_IS_LOST, RESET_REQUIRED)
"""After these no other question has an answer either."""
SYS_ADMIN = 21
"""Bit of CAP_SYS_ADMIN in the capabilities of a process (linux/capability.h)."""
WITHOUT_EFFECT = (NOT_SUPPORTED, NO_PERMISSION, FUNCTION_NOT_FOUND)
"""Refusals after which the GPU is as it was before."""


@final
class NvmlGpu:
    """One GPU; whatever the library refuses is an error of PowerTrain's tree, in one line."""

    def __init__(self, index: int, nvml: Any = None) -> None:
        """Find the GPU.

        NVML stays initialised as long as the process lives: without persistence mode the driver is unloaded
        with its last user, and the power limit and locked clocks with it (nvmlDeviceSetPowerManagementLimit).

        Args:
            index: NVML's, counted from 0 in the order of the PCI bus.
            nvml: The binding; `pynvml` if None.

        Raises:
            MissingExtraError: The binding is not installed.
            DeviceError: There is no driver, or no such GPU.
        """
        self.spec, self.index = f"nvml:{index}", index
        self.setter: Callable[..., None] | None = None
        """Calls the functions that change this GPU, for a process that may not; None: called here."""
        self._nvml = _binding(self.spec) if nvml is None else nvml
        # Counted by the library: whoever else in this process has initialised it is not disturbed.
        self._call("nvmlInit")
        count = self.system_number("nvmlDeviceGetCount")
        # Where that is not told the GPU itself answers, or does not.
        if count is not None and not 0 <= index < count:
            found = ", ".join(f"nvml:{i}" for i in range(count))
            raise DeviceError(
                f"{self.spec}: there is no such GPU; the NVIDIA driver shows {found or 'none'}"
                + (": take one of these" if count else ": see what nvidia-smi says")
            )
        self._handle = self._call("nvmlDeviceGetHandleByIndex", index)
        self.uuid = _printable(self.ask("nvmlDeviceGetUUID")) or self.spec
        # A name that cannot be read, or is no text, keeps nobody from the GPU.
        self.name = self.text("nvmlDeviceGetName") or f"NVIDIA GPU ({self.uuid})"

    def ask(self, function: str, *arguments: Any) -> Any:
        """Call a function of this GPU.

        Raises:
            DevicePermissionError: It needs root.
            DeviceError: It failed for another reason.
        """
        return self._call(function, self._handle, *arguments)

    def change(self, function: str, *arguments: int) -> None:
        """Call a function that changes this GPU, here or through the setter.

        Raises:
            DevicePermissionError: It needs root, or the setter is not for this user.
            DeviceError: It failed for another reason.
        """
        if self.setter is None:
            self.ask(function, *arguments)
        else:
            self.setter(function, *arguments)

    def knows(self, function: str) -> bool:
        """Tell whether the binding has a function, without calling it; a setter is taken to have all."""
        return self.setter is not None or getattr(self._nvml, function, None) is not None

    def pci_address(self) -> str:
        """Return where it sits, as in `0000:01:00.0` of `lspci -D`; empty where the driver does not tell."""
        told: Any = self.look("nvmlDeviceGetPciInfo", default=None)
        domain, bus, device = (_whole(getattr(told, name, None)) for name in ("domain", "bus", "device"))
        if domain is None or bus is None or device is None:
            return ""
        return f"{domain:04x}:{bus:02x}:{device:02x}.0"

    def version(self, function: str) -> str:
        """Return a text that a function of the driver as a whole tells; empty where it tells none."""
        return _printable(self._system(function))

    def system_number(self, function: str) -> int | None:
        """Return a number that a function of the driver as a whole tells; None where it tells none."""
        return _whole(self._system(function))

    def _system(self, function: str) -> Any:
        try:
            return self._call(function)
        except DeviceError:
            return None

    def look(self, function: str, *arguments: Any, default: Any) -> Any:
        """Call a function of this GPU; return `default` where it has no answer."""
        try:
            return self.ask(function, *arguments)
        except DeviceError as error:
            if code_of(error) in FATAL:
                raise
            return default

    def text(self, function: str) -> str:
        """Return a text that the GPU tells, without what is no text; empty where it tells none."""
        return _printable(self.look(function, default=""))

    def number(self, function: str, *arguments: Any) -> int:
        """Call a function of this GPU that tells a number that is not negative.

        Raises:
            DeviceError: It failed, or told something else.
        """
        told = self.ask(function, *arguments)
        number = _whole(told)
        if number is None:
            raise DeviceError(f"{self.spec}: {function} says {str(told)[:40]!r}, which is no number")
        return number

    def is_busy(self) -> bool:
        """Tell whether the GPU worked in the last second (nvmlDeviceGetUtilizationRates).

        Raises:
            DeviceError: It does not tell.
        """
        percent = _whole(getattr(self.ask("nvmlDeviceGetUtilizationRates"), "gpu", None))
        if percent is None:
            raise DeviceError(f"{self.spec}: nvmlDeviceGetUtilizationRates does not tell how busy the GPU is")
        return percent > 0

    def find(self, function: str, *arguments: Any) -> int | None:
        """Return such a number; None where there is none."""
        return _whole(self.look(function, *arguments, default=None))

    def find_all(self, function: str, *arguments: Any) -> tuple[int, ...]:
        """Return the numbers of a list that a function tells; none where it tells no list."""
        told: Any = self.look(function, *arguments, default=())
        if not isinstance(told, (list, tuple)):
            return ()
        found = map(_whole, told)  # pyright: ignore[reportUnknownArgumentType]
        return tuple(number for number in found if number is not None)

    def working(self, *calls: Call) -> Call | None:
        """Return the first of some calls that is answered here, None if none is.

        All that is to be read later is tried once in this way. The binding looks a function up under a lock
        when it is first called; a signal's handler that gives the GPU back must never meet that lock taken.
        """
        return next((call for call in calls if self.find(*call) is not None), None)

    def _call(self, function: str, *arguments: Any) -> Any:
        # Old bindings lack the functions of new drivers, and old drivers those of new bindings.
        found = getattr(self._nvml, function, None)
        if found is None:
            raise DeviceError(
                f"{self.spec}: the installed nvidia-ml-py has no {function}: install a newer one"
            )
        try:
            return found(*arguments)
        except self._nvml.NVMLError as error:
            raise self._explained(error, function) from error
        except Exception as error:  # the boundary of the binding, which decodes texts and loads a library
            told = " ".join(str(error).split())
            raise DeviceError(
                f"{self.spec}: {function} failed in the binding nvidia-ml-py ({type(error).__name__}: {told})"
            ) from error

    def _explained(self, error: Any, function: str) -> DeviceError:
        """Return the error of the tree for one of NVML's: the only place where they are translated."""
        code, text = int(getattr(error, "value", -1)), " ".join(str(error).split())
        reason = EXPLAINED.get(code, "the NVIDIA driver refused; see what nvidia-smi says")
        kind = DevicePermissionError if code == NO_PERMISSION else DeviceError
        return kind(f"{self.spec}: {reason} ({function}: {text})")


def why_forbidden(spec: str, euid: Callable[[], int], *, sysfs: Sysfs) -> Reason | None:
    """Return what this process lacks to change a GPU; None if nothing, as far as can be told unchanged.

    Root in a container usually lacks the capability that the driver asks for.

    Args:
        spec: The GPU's.
        euid: Tells the effective user.
        sysfs: The kernel's files, with those of this process.
    """
    if euid() != 0:
        mend = (
            f"run sudo powertrain setup-helper --device {spec}, start zeusd, run with sudo, or run as root "
            "in a container that has --cap-add=SYS_ADMIN"
        )
        return _forbidden("changing it needs root", mend)
    status = sysfs.read_or("/proc/self/status")
    found = re.search(r"^CapEff:\s*([0-9a-f]{1,16})$", status, re.MULTILINE | re.ASCII)
    if found is None or int(found[1], 16) >> SYS_ADMIN & 1:
        return None  # where the kernel does not tell, the driver itself will refuse
    return _forbidden(
        "changing it needs the capability SYS_ADMIN, which root lacks here",
        "start the container with --cap-add=SYS_ADMIN",
    )


def _forbidden(sentence: str, mend: str) -> Reason:
    return Reason(what="knob of the GPU", why=Why.FORBIDDEN, sentence=sentence, mend=mend)


def gpu_count() -> int:
    """Return how many GPUs the driver shows; 0 where there is no driver, or nothing to ask it with."""
    if importlib.util.find_spec("pynvml") is None:
        return 0
    try:
        nvml = importlib.import_module("pynvml")
        nvml.nvmlInit()
        return _whole(nvml.nvmlDeviceGetCount()) or 0
    except Exception:  # the boundary of the binding: whatever is wrong with it, no GPU can be used
        return 0


def code_of(error: DeviceError) -> int | None:
    """Return NVML's number of the error that this one was translated from, None if there is none."""
    return getattr(error.__cause__, "value", None)


def _printable(value: Any) -> str:
    # Old bindings give the library's bytes, whose encoding nobody promises.
    text = value.decode("utf-8", errors="ignore") if isinstance(value, bytes) else value
    if not isinstance(text, str):
        return ""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _whole(value: Any) -> int | None:
    """Return a whole number that is not negative; None for anything else that a library may tell."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _binding(spec: str) -> Any:
    try:
        return importlib.import_module("pynvml")
    except ImportError as error:
        raise MissingExtraError.of("nvidia-ml-py", extra="nvml", purpose=f"the device {spec}") from error
