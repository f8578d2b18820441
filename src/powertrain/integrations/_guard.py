"""Who may see a page that is served: checks in front of the application, and headers behind it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from functools import cache
from http import HTTPStatus
from importlib import resources
from typing import Any, final
from urllib.parse import parse_qs

from powertrain.integrations._extras import needed

__all__ = ["Guard", "error_answer", "serving_text"]

_responses = needed("starlette.responses", package="Starlette", extra="serve")
_requests = needed("starlette.requests", package="Starlette", extra="serve")

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

MOST_TARGET_BYTES = 1 << 13
MOST_HEAD_BYTES = 1 << 14
EACH_HEAD_BYTES = 32
"""What a header costs besides its text."""
MOST_FORM_BYTES = 1 << 12
LOGIN = "/login"
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::\d{1,5})?", re.IGNORECASE)
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src {style}; connect-src 'self'; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


@cache
def serving_text(name: str) -> str:
    """Return a file of the page."""
    return (resources.files("powertrain.integrations") / "serving" / name).read_text(encoding="utf-8")


def error_answer(status: int, text: str, **headers: str) -> Any:
    """Return an answer that says in one line what is wrong."""
    own = {name.replace("_", "-"): value for name, value in headers.items()}
    return _responses.JSONResponse({"error": text}, status_code=status, headers=own)


@final
class Guard:
    """An ASGI application in front of another one.

    It refuses requests that are too large, that name another host than this one, and, where there is a token,
    those without it. A browser shows the token once, in a form, and then a cookie that is made from it.
    """

    def __init__(self, app: Any, *, token: str | None = None, hosts: Collection[str] | None = None) -> None:
        """Stand in front of an application.

        Args:
            app: What answers the requests that pass.
            token: The secret that a request has to have; None lets everybody in who can connect.
            hosts: Names by which this server may be addressed; None allows all. A page of the internet whose
                name is made to lead here has another one.
        """
        self._app, self._hosts = app, None if hosts is None else {host.lower() for host in hosts}
        self._token = None if token is None else _digest(token)
        # Not the token: who sees the cookie cannot use it anywhere else.
        self._pass = "" if token is None else hmac.new(token.encode(), b"powertrain", "sha256").hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        sending = _with_headers(send)
        answer = self._refusal(scope)
        if answer is None and self._token is not None and scope["path"] == LOGIN:
            answer = await self._login(scope, receive)
        elif answer is None and self._token is not None and not self._is_known(scope):
            answer = (
                _login_page()
                if _wants_page(scope)
                else error_answer(
                    HTTPStatus.UNAUTHORIZED,
                    "give the token in a header Authorization: Bearer TOKEN",
                    www_authenticate="Bearer",
                )
            )
        await (self._app if answer is None else answer)(scope, receive, sending)

    def _refusal(self, scope: Scope) -> Any:
        """Return the answer to a request that is wrong in itself, None for others."""
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        names = [name for name, _ in headers]
        hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
        host = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if len(scope["path"].encode()) + len(scope["query_string"]) > MOST_TARGET_BYTES:
            status, why = HTTPStatus.REQUEST_URI_TOO_LONG, "the address is too long"
        elif sum(len(name) + len(value) + EACH_HEAD_BYTES for name, value in headers) > MOST_HEAD_BYTES:
            status, why = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the headers are too large"
        elif b"content-length" in names and b"transfer-encoding" in names:
            # A proxy may take another end for the true one than this server.
            status, why = HTTPStatus.BAD_REQUEST, "the request has two lengths"
        elif host is None:
            status, why = HTTPStatus.BAD_REQUEST, "the request names no host"
        elif self._hosts is not None and host[1].lower() not in self._hosts:
            own = ", ".join(sorted(self._hosts))
            status, why = (
                HTTPStatus.MISDIRECTED_REQUEST,
                f"this page answers to {own} only: for another name, set a token",
            )
        else:
            return None
        return error_answer(status, why, connection="close")

    def _is_known(self, scope: Scope) -> bool:
        request = _requests.Request(scope)
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._is_token(given.strip()):
            return True
        return hmac.compare_digest(request.cookies.get(_cookie(scope), "").encode(), self._pass.encode())

    def _is_token(self, given: str) -> bool:
        assert self._token is not None
        return hmac.compare_digest(_digest(given), self._token)

    async def _login(self, scope: Scope, receive: Receive) -> Any:
        """Take the form, and let the browser in that has sent the token."""
        if scope["method"] != "POST":
            return _login_page(HTTPStatus.OK)
        form = await _body(receive)
        if form is None:
            return error_answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the form is too large")
        fields = parse_qs(form.decode("utf-8", "replace"), max_num_fields=8) if form.count(b"&") < 8 else {}
        given = fields.get("token", [""])[0]
        if not self._is_token(given.strip()):
            return _login_page(remark="That is not the token.")
        answer = _responses.RedirectResponse("/", status_code=HTTPStatus.SEE_OTHER)
        answer.set_cookie(_cookie(scope), self._pass, httponly=True, samesite="strict")
        return answer


def _digest(text: str) -> bytes:
    # Of equal length, whatever was given.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _cookie(scope: Scope) -> str:
    """Return the name of the cookie: browsers tell servers on other ports of a host apart by nothing else."""
    server = scope.get("server") or ("", 0)
    return f"powertrain-{server[1]}"


def _wants_page(scope: Scope) -> bool:
    return scope["method"] in ("GET", "HEAD") and scope["path"] == "/"


def _login_page(status: int = HTTPStatus.UNAUTHORIZED, *, remark: str = "") -> Any:
    style = serving_text("login.css")
    said = f'<p class="bad" role="alert">{remark}</p>\n' if remark else ""
    page = serving_text("login.html").replace("{style}", style).replace("{remark}", said)
    return _responses.HTMLResponse(page, status_code=status, headers={"www-authenticate": "Bearer"})


@cache
def _policy() -> bytes:
    """Return what the pages may do: their own scripts and styles, and no others."""
    digest = base64.b64encode(hashlib.sha256(serving_text("login.css").encode()).digest()).decode()
    return _POLICY.format(style=f"'self' 'sha256-{digest}'").encode()


async def _body(receive: Receive) -> bytes | None:
    """Return the body of a request; None if it is too large."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MOST_FORM_BYTES:
            return None
        if not message.get("more_body", False):
            return body


def _with_headers(send: Send) -> Send:
    """Return what sends answers with the headers that all have."""
    own = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]

    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = [*message.get("headers", []), *own, (b"content-security-policy", _policy())]
            if not any(name.lower() == b"cache-control" for name, _ in headers):
                headers.append((b"cache-control", b"no-store"))
            message = {**message, "headers": headers}
        await send(message)

    return sending
