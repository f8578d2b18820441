"""Serving one page for all boards of a database: what they do now, and what each job can save.

```py
from powertrain.integrations.serve import serve

with serve("profiles.db") as url:
    print(url)
    time.sleep(3600)
```
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar, final

from powertrain.errors import UnknownNameError
from powertrain.fleet import Answer, FleetWatch, JobView, fleet_json, saving
from powertrain.integrations._extras import needed
from powertrain.integrations._guard import Guard, error_answer, serving_text
from powertrain.integrations._monitoring import is_loopback
from powertrain.integrations._patient import PATIENCE_S, listening, running
from powertrain.report import front_json, page_asset

__all__ = ["DEFAULT_PORT", "LEAST_TOKEN", "LOOPBACK", "application", "serve"]

_applications = needed("starlette.applications", package="Starlette", extra="serve")
_exceptions = needed("starlette.exceptions", package="Starlette", extra="serve")
_responses = needed("starlette.responses", package="Starlette", extra="serve")
_routing = needed("starlette.routing", package="Starlette", extra="serve")

T = TypeVar("T")
logger = logging.getLogger(__name__)

DEFAULT_PORT, LOOPBACK = 10800, "127.0.0.1"
LEAST_TOKEN = 16
"""Characters that a token has at least, so that nobody guesses it."""
READING_S = 0.5
"""For a newer reading of the store, before the last one is shown."""
FIRST_FIT_S = 1.5
"""For the first front of a job, before the page is told to ask again."""
ASSETS = {
    "front.js": ("text/javascript", page_asset),
    "front.css": ("text/css", page_asset),
    "page.css": ("text/css", page_asset),
    "fleet.js": ("text/javascript", serving_text),
    "fleet.css": ("text/css", serving_text),
}
_RECHECKED = {"cache-control": "private, no-cache"}
"""A browser asks whether its copy still holds, and gets it again only if not."""


@final
class _Api:
    """Answers requests from what a watch knows. Nothing slow is done on the event loop."""

    def __init__(self, watch: FleetWatch) -> None:
        self._watch = watch
        self._fronts: weakref.WeakKeyDictionary[JobView, bytes] = weakref.WeakKeyDictionary()
        self._last: tuple[Any, bytes] = (None, b"")

    async def fleet(self, request: Any) -> Any:
        """Say what is known of all boards."""
        known = await _soon(self._watch.reading, READING_S)
        # What is said hangs on the time only by runs that end.
        key = (known.value, str(known.problem), int(self._watch.now().timestamp()))
        if self._last[0] != key:
            self._last = key, _bytes(fleet_json(self._watch, known))
        return _tagged(request, self._last[1], "application/json")

    async def front(self, request: Any) -> Any:
        """Say what is known of one job: its front, and the modes to compare with."""
        found, answer = await self._job(request)
        if found is None or found.value is None:
            return answer
        view = found.value
        body = self._fronts.get(view)
        if body is None:
            body = self._fronts[view] = _job_bytes(view)
        return _tagged(request, body, "application/json")

    async def choice(self, request: Any) -> Any:
        """Say which mode of a job is chosen under a power limit, and what it saves."""
        try:
            limit_w = float(request.query_params.get("max_power_w", ""))
        except ValueError:
            limit_w = float("nan")
        if not 0 < limit_w < float("inf"):
            return error_answer(HTTPStatus.BAD_REQUEST, "give a power limit: max_power_w=30")
        found, answer = await self._job(request)
        if found is None or found.value is None:
            return answer
        view = found.value
        chosen = view.chosen(limit_w)
        if chosen is None:
            least = view.front.steps.limits_w
            keeps = (
                f"the least limit that one keeps is {least[0]:.3g} W" if len(least) else "none has a power"
            )
            return error_answer(HTTPStatus.NOT_FOUND, f"no mode keeps {limit_w:g} W: {keeps}")
        values = {name: value for name, value in asdict(chosen).items() if name != "name"}
        saves = [
            {
                "against": one.name,
                **{k: v for k, v in asdict(saving(chosen, one)).items() if k != "so_far_s"},
            }
            for one in view.baselines
        ]
        about = {"device": view.device, "workload": view.workload, "basis": view.basis}
        said = {**about, "max_power_w": limit_w, **values, "saves": saves}
        return _tagged(request, _bytes(said), "application/json")

    async def _job(self, request: Any) -> tuple[Answer[JobView] | None, Any]:
        """Return what is known of the job that was asked for, and what to answer if that is nothing."""
        device, workload = (request.query_params.get(name, "") for name in ("device", "workload"))
        if not device or not workload:
            return None, error_answer(HTTPStatus.BAD_REQUEST, "give a job: device=NAME&workload=NAME")
        reading = self._watch.reading().value
        assert reading is not None
        try:
            known = await _soon(lambda: self._watch.job(reading, device, workload), FIRST_FIT_S)
        except UnknownNameError as error:
            return None, error_answer(HTTPStatus.NOT_FOUND, str(error))
        if known.value is None and known.pending is not None:
            answer = {"state": "working it out"}
            return known, _responses.JSONResponse(answer, HTTPStatus.ACCEPTED, headers={"retry-after": "1"})
        return known, error_answer(HTTPStatus.UNPROCESSABLE_ENTITY, str(known.problem))


async def _soon(ask: Callable[[], Answer[T]], patience_s: float) -> Answer[T]:
    """Return what is known, of something unknown after a while in which it may become known."""
    known = ask()
    if known.pending is None or known.waited_s > patience_s:
        return known
    await asyncio.wait([asyncio.wrap_future(known.pending)], timeout=patience_s)
    return ask()


def _job_bytes(view: JobView) -> bytes:
    about = {
        "device": view.device,
        "workload": view.workload,
        "profiles": view.profiles,
        "flagged": view.flagged,
        "basis": view.basis,
        "remarks": view.remarks,
        "baselines": [asdict(one) for one in view.baselines],
        "front": 0,
    }
    # It is JSON already, of half a megabyte.
    return _bytes(about).replace(b'"front":0', b'"front":' + front_json(view.front).encode())


def _bytes(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def _tagged(request: Any, body: bytes, kind: str) -> Any:
    """Return an answer with a tag, and without its body to who has it already."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {**_RECHECKED, "etag": tag}
    known = request.headers.get("if-none-match", "")
    if tag in (one.strip().removeprefix("W/") for one in known.split(",")):
        return _responses.Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return _responses.Response(body, media_type=kind, headers=headers)


def _asset(name: str) -> Callable[[Any], Any]:
    kind, text = ASSETS[name]

    async def asset(request: Any) -> Any:
        return _tagged(request, text(name).encode(), kind)

    return asset


async def _page(request: Any) -> Any:
    return _tagged(request, serving_text("fleet.html").encode(), "text/html")


async def _refused(request: Any, error: Any) -> Any:
    del request
    status = HTTPStatus(error.status_code)
    answer = error_answer(status, f"{status.phrase.lower()}: there is / and /api/fleet")
    answer.headers.update(error.headers or {})
    return answer


async def _failed(request: Any, error: Exception) -> Any:
    logger.error("%s could not be answered: %s: %s", request.url.path, type(error).__name__, error)
    return error_answer(HTTPStatus.INTERNAL_SERVER_ERROR, "this could not be answered")


def application(watch: FleetWatch, *, token: str | None = None, host: str = LOOPBACK) -> Any:
    """Return the ASGI application. It has no way to change anything.

    Args:
        watch: What knows the fleet.
        token: A secret without which nothing is served; None for everybody who can connect.
        host: The address that is listened at. On loopback and without a token, requests have to name this
            machine, so that no page of the internet can read what is served here.
    """
    api = _Api(watch)
    routes = [
        _routing.Route("/", _page),
        *(_routing.Route(f"/assets/{name}", _asset(name)) for name in ASSETS),
        _routing.Route("/api/fleet", api.fleet),
        _routing.Route("/api/front", api.front),
        _routing.Route("/api/choice", api.choice),
    ]
    handlers = {_exceptions.HTTPException: _refused, Exception: _failed}
    app = _applications.Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False
    own = {"localhost", "127.0.0.1", "[::1]", f"[{host}]" if ":" in host else host}
    return Guard(app, token=token, hosts=own if token is None and is_loopback(host) else None)


@contextmanager
def serve(
    location: Path | str,
    *,
    host: str = LOOPBACK,
    port: int = DEFAULT_PORT,
    token: str | None = None,
    patience_s: float = PATIENCE_S,
) -> Generator[str]:
    """Serve the page of a store while the context lasts.

    Args:
        location: What `open_store` takes: a file, or the URL of a database on a server.
        host: The address to listen at; by default only this machine can connect.
        port: The port; 0 takes a free one.
        token: A secret of at least `LEAST_TOKEN` characters, without which nothing is served.
        patience_s: For a client to send a whole request and take the answer, before it is cut off.

    Yields:
        The URL of the page.

    Raises:
        ValueError: Other machines could connect, and there is no token; or it is too short.
        StoreError: The store cannot be opened.
        PowerTrainError: The port is taken, or the address is none of this machine's.
    """
    if token is None and not is_loopback(host):
        raise ValueError(
            f"other machines can connect to {host}: give a token, with --token-file, or leave the host out"
        )
    if token is not None and len(token) < LEAST_TOKEN:
        raise ValueError(f"the token has {len(token)} characters: give at least {LEAST_TOKEN}")
    with listening(host, port, what="the page") as listener:
        watch = FleetWatch(location)
        try:
            with running(application(watch, token=token, host=host), listener, patience_s=patience_s):
                shown = f"[{host}]" if ":" in host else host
                yield f"http://{shown}:{listener.getsockname()[1]}/"
        finally:
            watch.close()
