"""A stand-in for the API server of a cluster with one node: GET, WATCH and PATCH, on loopback."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.waiting import PATIENCE_S, until

DOMAIN = "powertrain.dev"
ROOT = "/api/v1/nodes"


class Cluster:
    """One node, and what goes wrong with its server."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._version, self._oldest = 10, 0
        self._node: dict[str, Any] = {"labels": {"kubernetes.io/os": "linux"}, "annotations": {}}
        self._cut = 0
        self.url = ""
        self.refusals: list[int] = []
        """Statuses of the answers to come; None is left out of the list."""
        self.requests: list[str] = []
        self.is_away = self.ended = False
        self.conflicts = 0

    # What a person does

    def annotate(self, name: str, value: str | None) -> None:
        self._merge({"annotations": {f"{DOMAIN}/{name}": value}})

    def label(self, name: str, value: str | None) -> None:
        self._merge({"labels": {f"{DOMAIN}/{name}": value}})

    def annotation(self, name: str) -> str | None:
        return self._node["annotations"].get(f"{DOMAIN}/{name}")

    def labels(self) -> dict[str, str]:
        kept = self._node["labels"].items()
        return {key.removeprefix(f"{DOMAIN}/"): value for key, value in kept if key.startswith(DOMAIN)}

    def status_is(self, begins: str) -> None:
        until(lambda: (self.annotation("status") or "").startswith(begins))

    # What goes wrong

    def forget_history(self) -> None:
        """Make every version so far too old to watch from, as etcd's compaction does."""
        with self._changed:
            self._version += 1
            self._oldest = self._version

    def cut_watches(self) -> None:
        """Break every connection that watches, in the middle of a line."""
        with self._changed:
            self._cut += 1
            self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self.ended = True
            self._changed.notify_all()

    # The protocol

    def shown(self) -> dict[str, Any]:
        about = {"name": "node-7", "resourceVersion": str(self._version), **self._node}
        return {"kind": "Node", "apiVersion": "v1", "metadata": about}

    def patch(self, metadata: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        wanted = metadata.pop("resourceVersion", None)
        if self.conflicts and wanted is not None:
            self.conflicts -= 1
            self.annotate("somebody", str(self.conflicts))
        if wanted is not None and wanted != str(self._version):
            return 409, status(409, "the object has been modified")
        self._merge(metadata)
        return 200, self.shown()

    def _merge(self, metadata: dict[str, Any]) -> None:
        with self._changed:
            before = json.dumps(self._node)
            for part, values in metadata.items():
                for key, value in values.items():
                    if value is None:
                        self._node[part].pop(key, None)
                    else:
                        assert isinstance(value, str), (key, value)  # as the API server checks
                        self._node[part][key] = value
            if json.dumps(self._node) != before:
                self._version += 1
            self._changed.notify_all()

    def watch(self, since: int, last_s: float) -> Generator[dict[str, Any] | None]:
        """Yield events, and None where the connection breaks."""
        if since < self._oldest:
            yield {"type": "ERROR", "object": status(410, "too old resource version")}
            return
        with self._changed:
            cut = self._cut
            while True:
                new = self._changed.wait_for(
                    lambda seen=since: self._version > seen or self._cut > cut or self.ended,
                    min(last_s, PATIENCE_S),
                )
                if self._cut > cut:
                    yield None
                    return
                if not new or self.ended:
                    return
                since = self._version
                yield {"type": "MODIFIED", "object": self.shown()}
                yield {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(since)}}}


def status(code: int, message: str) -> dict[str, Any]:
    return {"kind": "Status", "status": "Failure", "code": code, "message": message}


def handler_of(cluster: Cluster) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            if self._is_refused("WATCH" if query else "GET"):
                return
            if parts.path == f"{ROOT}/node-7":
                self._answer(200, cluster.shown())
            elif parts.path == ROOT and query["fieldSelector"] == "metadata.name=node-7":
                self._watch(int(query["resourceVersion"]), float(query["timeoutSeconds"]))
            else:
                self._answer(404, status(404, f"nodes {parts.path.rpartition('/')[2]} not found"))

        def do_PATCH(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self._is_refused("PATCH"):
                return
            assert self.headers["Content-Type"] == "application/merge-patch+json"
            self._answer(*cluster.patch(body["metadata"]))

        def _is_refused(self, what: str) -> bool:
            cluster.requests.append(what)
            if cluster.is_away:
                self.close_connection = True
                return True
            if cluster.refusals:
                code = cluster.refusals.pop(0)
                self._answer(code, status(code, 'nodes "node-7" is forbidden'))
                return True
            return False

        def _watch(self, since: int, last_s: float) -> None:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            try:
                for event in cluster.watch(since, last_s):
                    text = b'{"type":"MOD' if event is None else json.dumps(event).encode() + b"\n"
                    self.wfile.write(f"{len(text):x}\r\n".encode() + text + b"\r\n")
                    self.wfile.flush()
                    if event is None:
                        self.close_connection = True
                        return
                self.wfile.write(b"0\r\n\r\n")
            except OSError:
                self.close_connection = True  # the client has left

        def _answer(self, code: int, content: dict[str, Any]) -> None:
            text = json.dumps(content).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def api_server() -> Generator[Cluster]:
    """Serve a cluster on a free port of loopback while the context lasts."""
    cluster = Cluster()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler_of(cluster)) as server:
        cluster.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield cluster
        finally:
            cluster.end()
            server.shutdown()
            thread.join()
