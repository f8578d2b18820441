"""A stand-in for zeusd: its documented routes on a Unix socket, in front of the emulated driver.

Both protocols are here, as `zeusd/src/routes/gpu.rs` and the HTTP reference of github.com/ml-energy/zeus have
them. It is root towards the driver, which its clients are not.
"""

from __future__ import annotations

import http.server
import json
import socketserver
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pynvml

CALLS = {
    "set_power_limit": (("power_limit_mw",), pynvml.nvmlDeviceSetPowerManagementLimit),
    "set_gpu_locked_clocks": (("min_clock_mhz", "max_clock_mhz"), pynvml.nvmlDeviceSetGpuLockedClocks),
    "reset_gpu_locked_clocks": ((), pynvml.nvmlDeviceResetGpuLockedClocks),
    "set_mem_locked_clocks": (("min_clock_mhz", "max_clock_mhz"), pynvml.nvmlDeviceSetMemoryLockedClocks),
    "reset_mem_locked_clocks": ((), pynvml.nvmlDeviceResetMemoryLockedClocks),
}
READS = {
    "get_power_limit": {"power_limit_mw": pynvml.nvmlDeviceGetPowerManagementLimit},
    "get_power_limit_constraints": {
        "min_power_limit_mw": lambda gpu: pynvml.nvmlDeviceGetPowerManagementLimitConstraints(gpu)[0],
        "max_power_limit_mw": lambda gpu: pynvml.nvmlDeviceGetPowerManagementLimitConstraints(gpu)[1],
    },
    "get_cumulative_energy": {"energy_mj": pynvml.nvmlDeviceGetTotalEnergyConsumption},
}
STATUS = {2: 400, 4: 403}  # as its error.rs maps InvalidArg and NoPermission


class StandIn:
    """What it does, and what it was asked."""

    def __init__(self, emulated: Any, path: Path) -> None:
        self.emulated, self.path = emulated, path
        self.old, self.token, self.addresses = False, "", ("0000:01:00.0", "0000:02:00.0")
        self.groups, self.vendor, self.counts_energy = ["gpu-control", "gpu-read"], "NVIDIA", True
        self.asked: list[str] = []
        self._one = threading.Lock()

    def discover(self) -> dict[str, Any]:
        gpus = [
            {
                "id": i,
                "name": f"{self.vendor} Emulated GPU",
                "pci_address": address,
                "cumulative_energy_available": self.counts_energy,
            }
            for i, address in enumerate(self.addresses)
        ]
        return {"gpus": gpus, "enabled_api_groups": self.groups, "auth_required": bool(self.token)}

    def discover_text(self) -> str:
        return json.dumps(self.discover())

    def get(self, target: str) -> tuple[int, str]:
        """Return the status and the text of an answer of `gpu-read`."""
        parts = urlsplit(target)
        command = parts.path.rpartition("/")[2]
        gpu = parse_qs(parts.query)["gpu_ids"][0]
        if "gpu-read" not in self.groups:
            return 404, ""
        handle = pynvml.nvmlDeviceGetHandleByIndex(self._here(int(gpu)))
        if command == "get_power":
            power_mw = pynvml.nvmlDeviceGetPowerUsage(handle)
            return 200, json.dumps({"timestamp_ms": 1762000000000, "power_mw": {gpu: power_mw}})
        if command == "get_cumulative_energy" and not self.counts_energy:
            return 400, "no trustworthy counter"
        return 200, json.dumps({gpu: {name: read(handle) for name, read in READS[command].items()}})

    def _here(self, gpu: int) -> int:
        """Return the emulated GPU that it numbers so; the emulated ones sit on the buses 1 and 2."""
        return int(self.addresses[gpu].split(":")[1], 16) - 1

    def post(self, target: str, body: bytes, authorization: str | None) -> tuple[int, str]:
        """Return the status and the text of its answer."""
        parts = urlsplit(target)
        steps = parts.path.strip("/").split("/")
        if self.token and authorization != f"Bearer {self.token}":
            return 401, "missing or invalid token"
        if self.old:
            if len(steps) != 3:
                return 404, ""
            gpu, command, given = int(steps[1]), steps[2], json.loads(body)
        else:
            if len(steps) != 2:
                return 404, ""
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            command, gpu, given = steps[1], int(query.pop("gpu_ids")), query
        if not isinstance(given.pop("block"), bool if self.old else str):
            return 400, "invalid type"
        if gpu >= len(self.addresses):
            return 400, f"GPU index {gpu} does not exist."
        if command == "reset_locked_clocks":
            for each in ("reset_gpu_locked_clocks", "reset_mem_locked_clocks"):
                self._call(CALLS[each][1], gpu, [])
            return 200, ""
        if self.vendor == "AMD" and command.startswith("reset_"):
            return 400, json.dumps({"errors": {str(gpu): "no per-domain reset exists"}})
        names, call = CALLS[command]
        status, text = self._call(call, gpu, [int(given[name]) for name in names])
        return status, text if self.old or status == 200 else json.dumps({"errors": {str(gpu): text}})

    def _call(self, call: Any, gpu: int, values: list[int]) -> tuple[int, str]:
        self.asked.append(f"{call.__name__}({gpu}, {values})")
        with self._one:
            self.emulated.set(root=1)
            try:
                call(pynvml.nvmlDeviceGetHandleByIndex(self._here(gpu)), *values)
            except pynvml.NVMLError as error:
                return STATUS.get(error.value, 500), f"NVML error: {error}"
            finally:
                self.emulated.set(root=0)
        return 200, ""


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Ends when its last connection has."""


@contextmanager
def zeusd(emulated: Any, path: Path) -> Generator[StandIn]:
    """Serve the stand-in at a socket while the context lasts."""
    stand_in = StandIn(emulated, path)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if stand_in.old:
                self._answer(404, "")
            elif self.path == "/discover":
                self._answer(200, stand_in.discover_text())
            else:
                self._answer(*stand_in.get(self.path))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(*stand_in.post(self.path, body, self.headers["Authorization"]))

        def _answer(self, status: int, text: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

        def address_string(self) -> str:
            return "a client"

    with Server(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield stand_in
        finally:
            server.shutdown()
            thread.join()
            path.unlink(missing_ok=True)
