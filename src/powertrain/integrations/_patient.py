"""uvicorn on a thread of its own, with an end to its patience for slow clients.

uvicorn itself waits for the rest of a request as long as a client sends a byte now and then. So a few hundred
such clients would keep everybody else out.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections.abc import Generator
from typing import Any, final

from powertrain.errors import PowerTrainError
from powertrain.integrations._extras import needed

__all__ = ["PATIENCE_S", "listening", "running"]

_config = needed("uvicorn.config", package="uvicorn", extra="serve")
_server = needed("uvicorn.server", package="uvicorn", extra="serve")
_h11_impl = needed("uvicorn.protocols.http.h11_impl", package="uvicorn", extra="serve")

PATIENCE_S = 15.0
KEEP_ALIVE_S = 10.0
"""Between two requests of a client; a page asks every three seconds."""
MOST_CLIENTS = 300
"""Connections at once; a system allows 1,024 files by default."""
MOST_HEAD_BYTES = 1 << 14
BACKLOG = 1024
POLL_S = 0.005
END_S = 5.0


@final
class _Patient(_h11_impl.H11Protocol):
    """A connection that is cut where no answer was taken for a while."""

    _deadline: asyncio.TimerHandle | None = None
    _has_asked = False
    _began_s = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Take a connection in; where there are too many, one that never sent a whole request makes room."""
        if len(self.connections) >= MOST_CLIENTS:
            silent = [one for one in self.connections if not one._has_asked]
            if not silent:
                transport.abort()
            else:
                oldest = min(silent, key=lambda one: one._began_s)
                oldest._has_asked = True  # it is chosen once: it takes a moment to be gone
                oldest.transport.abort()
        self._began_s = time.monotonic()
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Begin to wait anew."""
        self._has_asked = True
        super().on_response_complete()
        self._wait()

    def _wait(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        # Not close(), which would wait for the client to take the rest.
        self._deadline = self.loop.call_later(self.config.patience_s, self.transport.abort)


def listening(host: str, port: int, *, what: str) -> socket.socket:
    """Return a socket that listens.

    Args:
        host: The address.
        port: The port; 0 takes a free one.
        what: What is served, to begin the message with.

    Raises:
        PowerTrainError: The port is taken, or the address is none of this machine's.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        # What `create_server` says names the address once more; for an unknown name, the words are its own.
        number = error.errno or 0
        reason = os.strerror(number) if number > 0 else error.strerror or str(error)
        raise PowerTrainError(
            f"{what} cannot be served on port {port} of {host} ({reason}): give another port"
        ) from error


@contextlib.contextmanager
def running(app: Any, listener: socket.socket, *, patience_s: float = PATIENCE_S) -> Generator[None]:
    """Serve while the context lasts; its end cuts what is still open.

    Args:
        app: An ASGI application.
        listener: A socket that listens.
        patience_s: For a client to send a whole request and take the answer.
    """
    config = _config.Config(
        app,
        http=_Patient,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",  # it would write of every bad request
        access_log=False,  # nor is a word of a request written
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        h11_max_incomplete_event_size=MOST_HEAD_BYTES,
    )
    config.patience_s = patience_s
    server = _server.Server(config)
    failed: list[BaseException] = []

    async def serving() -> None:
        # What a client breaks off in the middle of is nobody's concern.
        asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
        await server.serve(sockets=[listener])
        # Else whoever waits for an answer would be told that it failed.
        for connection in list(server.server_state.connections):
            connection.transport.abort()

    def run() -> None:
        try:
            asyncio.run(serving())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="powertrain-serve", daemon=True)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(POLL_S)
        if failed:
            raise PowerTrainError(f"the server did not start: {failed[0]}") from failed[0]
        yield
    finally:
        server.should_exit = server.force_exit = True
        thread.join(END_S)
