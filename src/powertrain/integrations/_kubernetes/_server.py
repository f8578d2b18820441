"""One node of a cluster, through the API server: read, watched and patched, with Python's own HTTP client.

The official package `kubernetes` brings thousands of models and ten packages. Three requests do not need it.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final
from urllib.parse import quote, urlencode, urlsplit

from powertrain.errors import PowerTrainError

__all__ = ["ApiServer", "ConflictError", "ForbiddenError", "GoneError", "Node", "ServerError"]

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds the token and the certificates of its service account."""
TIMEOUT_S = 10.0
LARGEST_BYTES = 16 << 20
"""Of a node or of a line of a watch; a node with all its images and conditions takes tens of kilobytes."""
RIGHTS = "the cluster role needs get, list, watch and patch of nodes (powertrain kubernetes --manifest)"


class ServerError(PowerTrainError):
    """The API server does not answer, or refuses."""


@final
class ForbiddenError(ServerError):
    """It refuses for good, until somebody changes something there: no such node, no such right, no token."""


@final
class GoneError(ServerError):
    """The version from which to watch is too old: the node has to be read anew (410)."""


@final
class ConflictError(ServerError):
    """Somebody changed the node meanwhile (409)."""


@final
@dataclass(frozen=True, kw_only=True)
class Node:
    """What of a node counts here."""

    version: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]

    @classmethod
    def of(cls, content: Any) -> Node:
        """Read what the server sent.

        Raises:
            ServerError: It is no node.
        """
        try:
            about = content["metadata"]
            return cls(
                version=str(about["resourceVersion"]),
                labels=dict(about.get("labels") or {}),
                annotations=dict(about.get("annotations") or {}),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ServerError("the API server sent what is no node") from error


@final
class ApiServer:
    """The API server of a cluster, for one node."""

    def __init__(self, url: str, node: str, *, token: Path | None = None, ca: Path | None = None) -> None:
        """Take where it is; nothing is asked yet.

        Args:
            url: Such as `https://10.96.0.1:443`.
            node: The name of the node.
            token: The file of a token, read anew for each request since the kubelet renews it.
            ca: The file of the certificates that the server's must be signed by; the system's if None.

        Raises:
            ValueError: The URL is none, or the token would cross a network unencrypted.
            ForbiddenError: The certificates cannot be read.
        """
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        host = parts.hostname
        if parts.scheme not in ("http", "https") or host is None or port == -1:
            raise ValueError(f"{url!r} is no address of an API server: give one as in https://10.0.0.1:6443")
        if parts.scheme == "http" and token is not None and host not in ("127.0.0.1", "::1", "localhost"):
            raise ValueError(f"the token would go unencrypted to {host}: give an https address")
        self.node, self._token = node, token
        self._host, self._port = host, port or (443 if parts.scheme == "https" else 80)
        self._base = parts.path.rstrip("/")
        self._tls = _tls(ca) if parts.scheme == "https" else None

    @classmethod
    def of_pod(cls, node: str) -> ApiServer:
        """Return the server of the cluster in which this process is a pod.

        Raises:
            ForbiddenError: It is none.
        """
        host, port = (os.environ.get(f"KUBERNETES_SERVICE_{name}") for name in ("HOST", "PORT"))
        if not host or not port:
            raise ForbiddenError(
                "this is no pod of a Kubernetes cluster: give --server, such as that of kubectl proxy"
            )
        where = f"[{host}]" if ":" in host else host
        return cls(f"https://{where}:{port}", node, token=ACCOUNT / "token", ca=ACCOUNT / "ca.crt")

    def read(self) -> Node:
        """Read the node.

        Raises:
            ServerError: The server does not answer, or refuses.
        """
        return Node.of(self._ask("GET", self._path))

    def patch(self, metadata: Mapping[str, Any]) -> Node:
        """Change labels and annotations, where None removes one; with `resourceVersion` only if it is that.

        Raises:
            ConflictError: It is another version.
            ServerError: The server does not answer, or refuses.
        """
        return Node.of(self._ask("PATCH", self._path, {"metadata": metadata}))

    def watch(self, version: str, *, last_s: int) -> Generator[Node | None]:
        """Yield the node whenever it changed since a version, and None for a sign of life, for `last_s`.

        Raises:
            GoneError: The version is too old.
            ServerError: The server does not answer, or refuses; or the node was deleted.
        """
        query = {
            "watch": "1",
            "fieldSelector": f"metadata.name={self.node}",
            "resourceVersion": version,
            "timeoutSeconds": str(last_s),
            "allowWatchBookmarks": "true",
        }
        target = f"/api/v1/nodes?{urlencode(query)}"
        with closing(self._connection(last_s + TIMEOUT_S)) as connection:
            answer = self._answer(connection, "GET", target)
            yield None
            while line := self._line(answer):
                yield _event(line, self.node)

    @property
    def _path(self) -> str:
        return f"/api/v1/nodes/{quote(self.node, safe='')}"

    def _connection(self, timeout_s: float) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)
        return http.client.HTTPSConnection(self._host, self._port, timeout=timeout_s, context=self._tls)

    def _ask(self, method: str, target: str, body: Any = None) -> Any:
        with closing(self._connection(TIMEOUT_S)) as connection:
            answer = self._answer(connection, method, target, body)
            try:
                return json.loads(answer.read(LARGEST_BYTES))
            except (OSError, ValueError, http.client.HTTPException) as error:
                raise ServerError(f"the API server sent half an answer ({_reason(error)})") from error

    def _answer(
        self, connection: http.client.HTTPConnection, method: str, target: str, body: Any = None
    ) -> http.client.HTTPResponse:
        """Send a request; return the answer to read from, if it is a success."""
        headers = {"Accept": "application/json", "User-Agent": "powertrain"}
        if body is not None:
            headers["Content-Type"] = "application/merge-patch+json"
        if self._token is not None:
            headers["Authorization"] = f"Bearer {_secret(self._token)}"
        content = None if body is None else json.dumps(body)
        try:
            connection.request(method, self._base + target, body=content, headers=headers)
            answer = connection.getresponse()
            if answer.status == http.client.OK:
                return answer
            told = answer.read(LARGEST_BYTES).decode("utf-8", errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise ServerError(
                f"the API server at {self._host}:{self._port} does not answer ({_reason(error)})"
            ) from error
        raise _refusal(answer.status, _message(told), self.node)

    def _line(self, answer: http.client.HTTPResponse) -> bytes:
        try:
            line = answer.readline(LARGEST_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise ServerError(f"the watch broke off ({_reason(error)})") from error
        if line and not line.endswith(b"\n"):
            raise ServerError("the watch broke off in the middle of a line")
        return line


def _event(line: bytes, node: str) -> Node | None:
    try:
        content = json.loads(line)
        kind, shown = content["type"], content["object"]
        code = shown.get("code") if kind == "ERROR" else None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ServerError("the watch sent what is no event") from error
    if kind == "ERROR":
        raise _refusal(code if isinstance(code, int) else 500, str(shown.get("message", "")), node)
    if kind == "DELETED":
        raise _refusal(http.client.NOT_FOUND, "it was deleted", node)
    return Node.of(shown) if kind in ("ADDED", "MODIFIED") else None


def _refusal(status: int, message: str, node: str) -> ServerError:
    text = " ".join("".join(c if c.isprintable() else " " for c in message).split())[:300]
    if status == http.client.GONE:
        return GoneError(f"the version to watch from is gone ({text})")
    if status == http.client.CONFLICT:
        return ConflictError(f"somebody changed node {node} meanwhile ({text})")
    if status == http.client.NOT_FOUND:
        return ForbiddenError(f"there is no node {node}: see kubectl get nodes ({text})")
    if status == http.client.UNAUTHORIZED:
        return ForbiddenError(f"the API server does not accept the token ({text})")
    if status == http.client.FORBIDDEN:
        return ForbiddenError(f"the API server refuses: {RIGHTS} ({text})")
    return ServerError(f"the API server answers {status} ({text})")


def _message(told: str) -> str:
    """Return the message of an object `Status`, or the text itself."""
    try:
        return str(json.loads(told)["message"])
    except (ValueError, KeyError, TypeError):
        return told


def _secret(path: Path) -> str:
    try:
        text = path.read_text(encoding="ascii").strip()
    except UnicodeError:
        raise ForbiddenError(f"{path} is no token: it holds more than letters and digits") from None
    except OSError as error:
        raise ForbiddenError(f"the token {path} cannot be read ({_reason(error)})") from error
    if not text.isprintable():
        raise ForbiddenError(f"the token {path} is no token: it has several lines")
    return text


def _tls(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if ca is None else str(ca))
    except ssl.SSLError:
        raise ForbiddenError(f"{ca} holds no certificates: give a file in the form PEM") from None
    except (OSError, ValueError) as error:
        raise ForbiddenError(f"the certificates {ca} cannot be read ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    if isinstance(error, (TimeoutError, socket.timeout)):
        return "timed out"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
