"""The terminal program in a browser: textual-serve behind a one-time token, on this machine unless told otherwise.

Whoever holds a link can do all that the program can. Each link opens one browser, once; then it is worth nothing, and the
next one is printed. The page asks nothing of any other host.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import secrets
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import click
from aiohttp import web
from textual_serve.app_service import AppService
from textual_serve.server import Server

from checks.errors import TargetError, UsageError

COOKIE = "pgsurveyor"
LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
MOST_VISITORS = 50
PATIENCE_S = 5.0
PAGE = Path(__file__).with_name("page")
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; font-src 'self' data:; "
        "img-src 'self' data:; connect-src 'self' ws: wss:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Gate:
    """Who may come in. A link's token lets one browser in and is replaced; the browser is known by a cookie from then on."""

    def __init__(self, announce: Callable[[str], None]) -> None:
        self._announce = announce
        self._visitors: list[str] = []
        self.token = ""
        self.renew()

    def renew(self) -> None:
        self.token = secrets.token_urlsafe(24)
        self._announce(self.token)

    def admit(self, token: str) -> str | None:
        """The cookie for a browser that shows the token; None if it is not the one."""
        if not hmac.compare_digest(token.encode(), self.token.encode()):
            return None
        visitor = secrets.token_urlsafe(24)
        self._visitors = [*self._visitors, visitor][-MOST_VISITORS:]
        self.renew()
        return visitor

    def knows(self, cookie: str) -> bool:
        return any(hmac.compare_digest(cookie.encode(), visitor.encode()) for visitor in self._visitors)


class Served(Server):
    """textual-serve with a gate before every route. `gate` is None where everybody may come in."""

    def __init__(self, command: str, host: str, port: int, public_url: str | None, gate: Gate | None) -> None:
        super().__init__(command, host, port, title="pgsurveyor", public_url=public_url, templates_path=PAGE)
        self._gate = gate
        self._open: dict[web.WebSocketResponse, AppService] = {}

    def initialize_logging(self) -> None:
        """Nothing is logged: a request has the token in it."""

    async def on_startup(self, app: web.Application) -> None:
        """The link has been told already."""
        del app

    async def on_shutdown(self, app: web.Application) -> None:
        """Every program that is open in a browser ends before this one does."""
        del app
        for websocket, program in list(self._open.items()):
            await websocket.close()
            if program._process is not None:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(program._process.wait(), PATIENCE_S)

    async def _process_messages(self, websocket: web.WebSocketResponse, app_service: AppService) -> None:
        self._open[websocket] = app_service
        try:
            await super()._process_messages(websocket, app_service)
        finally:
            del self._open[websocket]

    async def _make_app(self) -> web.Application:
        app: web.Application = await super()._make_app()

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._check_host(request)
            if self._gate is not None and not self._gate.knows(request.cookies.get(COOKIE, "")):
                return self._enter(request, self._gate)
            return await handler(request)

        async def harden(request: web.Request, response: web.StreamResponse) -> None:
            del request
            for name, value in HEADERS.items():
                response.headers[name] = value

        app.middlewares.append(guard)
        app.on_response_prepare.append(harden)
        return app

    def _enter(self, request: web.Request, gate: Gate) -> web.StreamResponse:
        visitor = gate.admit(request.query.get("token", "")) if request.path == "/" else None
        if visitor is None:
            raise web.HTTPForbidden(
                text="This link was used already, or is not one of this program's. Its terminal shows the next."
            )
        response = web.Response(status=303, headers={"Location": "/"})
        secure = self.public_url.startswith("https")
        response.set_cookie(COOKIE, visitor, httponly=True, samesite="Strict", secure=secure)
        return response

    def _check_host(self, request: web.Request) -> None:
        """A page of another site must not reach in through the reader's browser, by its own origin or by a name that it points
        here."""
        own = urlsplit(self.public_url)
        allowed = {own.netloc}
        if self.host in LOCAL:
            allowed |= {f"{name}:{self.port}" for name in ("localhost", "127.0.0.1", "[::1]")}
        origin = request.headers.get("Origin")
        if request.host not in allowed or (origin is not None and urlsplit(origin).netloc not in allowed):
            raise web.HTTPForbidden(text="This program is served under another address.")


def serve(command: str, host: str, port: int, public_url: str | None, *, with_token: bool) -> None:
    """Serves `command` until ctrl+c. Raises UsageError, and TargetError where the port is taken."""
    if not with_token and host not in LOCAL:
        raise UsageError("without a token only this machine may be served", f"leave out --no-token, or --host {host}")
    port = _free_port(host, port)
    url = public_url or f"http://{host}:{port}"

    def announce(token: str) -> None:
        click.echo(f"  {url}/?token={token}")

    click.echo("Open this link in a browser; each link works once, and the next one stands below it. ctrl+c ends it."
               if with_token else f"Open {url} in a browser on this machine. ctrl+c ends it.")  # fmt: skip
    Served(command, host, port, url, Gate(announce) if with_token else None).serve()


def _free_port(host: str, port: int) -> int:
    """`port`, or any free one for 0."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            return int(probe.getsockname()[1])
    except OSError as error:
        raise TargetError(
            f"cannot listen on {host}:{port}: {error.strerror or error}", "choose another --port"
        ) from error
