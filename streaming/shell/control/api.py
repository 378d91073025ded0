"""The control API: one loopback port for reading, and for the few verbs that change something.

Rule 1: `Host` must be ours (421) and `Origin`, where a browser sends one, must be ours too (403): a page of another
site can neither read nor change anything here (F-105).
Rule 2: every verb that changes something needs the bearer token of a 0600 file (401 without, 403 with another). The
platform's own token reaches `rotation`, `phase` and `stop` only, and the engine takes no promotion from it.
Rule 3: a body is read whole, within a time and a size, before anything is done with it (F-90); what is accepted or
refused was journaled by the engine before it is answered.
Rule 4: the routes are the closed set below; answers are JSON of `contracts.control`.
"""

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec
from aiohttp import web

from streaming.contracts.control import API_PREFIX, Answer, RotationAnswer, StatusView
from streaming.contracts.rotation import decode_rotation, rotation_sha256
from streaming.core.effects import CommandAnswered
from streaming.core.errors import RateLimited
from streaming.shell.control.broadcast import Broadcast, Queue
from streaming.shell.control.page import page_response
from streaming.shell.control.verb import PLATFORM_VERBS, VERBS, MakeEvent, Verb, rotation_event, verb_event
from streaming.shell.process.sockets import LOOPBACK
from streaming.shell.telemetry.metrics import Metrics

BODY_BYTES_MAX = 1_048_576
READ_TIMEOUT_S = 5.0
HEARTBEAT_S = 15.0
PLATFORM_PATHS = frozenset({f"{API_PREFIX}/rotation", *(f"{API_PREFIX}/{name}" for name in PLATFORM_VERBS)})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Sidecar(Protocol):
    """What the API needs of the running process."""

    def status(self) -> StatusView:
        """Return the status now."""

    def rotation(self) -> RotationAnswer:
        """Return the rotation in force."""

    def unready_reasons(self) -> tuple[str, ...]:
        """Return why the process is not ready, nothing if it is."""

    async def command(self, make: MakeEvent) -> CommandAnswered:
        """Put a command through the engine."""

    async def reload(self) -> Answer:
        """Read the configuration again and tighten the limits."""


def json_response(body: msgspec.Struct, status: int = 200) -> web.Response:
    """Return a contract message as JSON."""
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")


def refusal(status: int, *reasons: str) -> web.Response:
    """Return an `Answer` that says why not."""
    response = json_response(Answer(is_accepted=False, reasons=reasons), status)
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


class ControlApi:
    """Handlers of the control port."""

    def __init__(
        self,
        *,
        sidecar: Sidecar,
        metrics: Metrics,
        broadcast: Broadcast,
        token: str,
        port: int,
        platform_token: str | None = None,
    ) -> None:
        """Serve `sidecar` on loopback `port`; without a platform token only the operator's is taken."""
        self._sidecar = sidecar
        self._metrics = metrics
        self._broadcast = broadcast
        self._token = token.encode()
        self._platform_token = None if platform_token is None else platform_token.encode()
        self._hosts = frozenset({f"{LOOPBACK}:{port}", f"localhost:{port}"})
        self._origins = frozenset(f"http://{host}" for host in self._hosts)

    def app(self) -> web.Application:
        """Return the application with its routes."""
        app = web.Application(middlewares=[self._counted, self._guarded], client_max_size=BODY_BYTES_MAX)
        app.add_routes(
            [
                web.get("/livez", self._livez),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._render_metrics),
                web.get(f"{API_PREFIX}/status", self._status),
                web.get(f"{API_PREFIX}/events", self._events),
                web.get(f"{API_PREFIX}/rotation", self._rotation),
                web.put(f"{API_PREFIX}/rotation", self._put_rotation),
                *(web.post(f"{API_PREFIX}/{name}", self._verb(verb)) for name, verb in VERBS.items()),
                web.post(f"{API_PREFIX}/reload", self._reload),
                web.get("/", page_response),
                web.get("/{name:page\\.(?:js|css)}", page_response),
            ]
        )
        return app

    @web.middleware
    async def _counted(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        route = "unknown" if resource is None else resource.canonical
        try:
            response = await handler(request)
        except TimeoutError:
            self._metrics.control_requests.labels(route, "503").inc()
            return refusal(503, "expected an answer of the engine in time, found none; ask /v1/status what happened")
        except web.HTTPException as error:
            self._metrics.control_requests.labels(route, str(error.status)).inc()
            return refusal(error.status, f"{error.reason}: expected one of the documented routes and methods")
        self._metrics.control_requests.labels(route, str(response.status)).inc()
        return response

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.headers.get("Host", "").lower() not in self._hosts:
            return refusal(421, "Host: expected this sidecar's loopback address, found another; use its control URL")
        origin = request.headers.get("Origin")
        if origin is not None and origin.lower() not in self._origins:
            return refusal(403, "Origin: expected this sidecar's own page, found another site")
        if request.method not in {"GET", "HEAD"}:
            given = _bearer(request)
            if not given:
                return refusal(401, "Authorization: expected `Bearer` and the token of <warehouse>/control/token")
            if not hmac.compare_digest(given, self._token) and not self._is_platform(request):
                return refusal(403, "Authorization: expected the token of <warehouse>/control/token, found another")
        return await handler(request)

    def _is_platform(self, request: web.Request) -> bool:
        """Say whether the platform's token was given, on a route that takes it."""
        token = self._platform_token
        return token is not None and request.path in PLATFORM_PATHS and hmac.compare_digest(_bearer(request), token)

    # --- reading

    async def _livez(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        reasons = self._sidecar.unready_reasons()
        return web.Response(text="\n".join(reasons or ("ok",)) + "\n", status=503 if reasons else 200)

    async def _render_metrics(self, _request: web.Request) -> web.Response:
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=self._metrics.render(), headers=headers)

    async def _status(self, _request: web.Request) -> web.Response:
        return json_response(self._sidecar.status())

    async def _rotation(self, _request: web.Request) -> web.Response:
        return json_response(self._sidecar.rotation())

    async def _events(self, request: web.Request) -> web.StreamResponse:
        try:
            queue = self._broadcast.join()
        except RateLimited as error:
            return refusal(503, str(error))
        headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        response = web.StreamResponse(headers=headers)
        try:
            await response.prepare(request)
            await response.write(b": hip3\n\n")
            await _relay(queue, response)
        except ConnectionResetError:
            pass  # the reader has gone
        finally:
            self._broadcast.leave(queue)
        return response

    # --- changing

    async def _put_rotation(self, request: web.Request) -> web.Response:
        in_force = self._sidecar.rotation()
        named = request.headers.get("If-Match", "").strip().removeprefix("W/").strip('"')
        if not named and (in_force.sha256 and request.headers.get("If-None-Match") is None):
            return refusal(
                428, f"If-Match: expected the sha256 of the rotation to replace ({in_force.sha256}), found none"
            )
        raw = await _body(request)
        if isinstance(raw, web.Response):
            return raw
        try:
            doc = decode_rotation(raw)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            reason = f"document: expected a rotation document, found {str(error)[:200]}"
            return json_response(RotationAnswer(is_accepted=False, version=0, sha256="", reasons=(reason,)), 422)
        sha256 = rotation_sha256(raw)
        answer = await self._sidecar.command(lambda *stamps: rotation_event(doc, sha256, named, *stamps))
        view = RotationAnswer(
            is_accepted=answer.is_accepted, version=doc.version, sha256=sha256, reasons=answer.reasons
        )
        return json_response(view, 200 if answer.is_accepted else 422)

    def _verb(self, verb: Verb) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            raw = await _body(request)
            if isinstance(raw, web.Response):
                return raw
            make = verb_event(verb, raw, is_platform=self._is_platform(request))
            if isinstance(make, tuple):
                return refusal(422, *make)
            answer = await self._sidecar.command(make)
            body = Answer(is_accepted=answer.is_accepted, reasons=answer.reasons)
            return json_response(body, 200 if answer.is_accepted else 422)

        return handle

    async def _reload(self, _request: web.Request) -> web.Response:
        answer = await self._sidecar.reload()
        return json_response(answer, 200 if answer.is_accepted else 422)


def _bearer(request: web.Request) -> bytes:
    """Return the bearer token that was given, empty if none was."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    return given.strip().encode(errors="surrogateescape") if scheme.lower() == "bearer" else b""


async def _relay(queue: Queue, response: web.StreamResponse) -> None:
    """Write a reader's queue until it ends; a comment keeps a quiet stream open."""
    while True:
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                message = await queue.get()
        except TimeoutError:
            message = b": still here\n\n"
        if message is None:
            return
        await response.write(message)


async def _body(request: web.Request) -> bytes | web.Response:
    """Return the whole body, or the refusal of one that is too large, too slow or cut."""
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            return await request.read()
    except web.HTTPRequestEntityTooLarge:
        return refusal(413, f"body: expected at most {BODY_BYTES_MAX} bytes, found more")
    except TimeoutError:
        return refusal(408, f"body: expected all of it within {READ_TIMEOUT_S:g} s; nothing was applied")
