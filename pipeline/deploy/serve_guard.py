"""What stands before the page of `stark serve`: it refuses requests of other sites, and those that are too long.

A web page that somebody visits can send requests to servers of the visitor's own machine, and a name of its own can
resolve to that machine (DNS rebinding). Such requests are recognised by their headers and refused before their body is
read, so that nothing of them is kept.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

from stark.errors import StarkError

__all__ = ["Guard", "is_loopback"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

_API = "/gradio_api"
# What the page and its API need. Everything else of Gradio is closed, such as uploads and calls that pass the queue by.
_POSTS = {f"{_API}/{name}" for name in ("call/classify", "queue/join", "cancel", "reset")}
_GETS = tuple(
    f"{_API}/{name}"
    for name in ("app_id", "call/classify/", "heartbeat/", "info", "openapi.json", "queue/data", "theme.css")
)
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::[0-9]+)?")
_SECONDS_FOR_BODY = 30.0


class Guard:
    """An ASGI application that passes on what is allowed to another one."""

    def __init__(self, app: App, *, max_bytes: int, token: str | None = None) -> None:
        """Stand before an application.

        Args:
            app: The application.
            max_bytes: The longest body of a request.
            token: What every request has to bring, in the address once, as a cookie, or as
                ``Authorization: Bearer TOKEN``. Without one, the page is for this machine alone, under its own names.
        """
        self._app = app
        self._max_bytes = max_bytes
        self._token = token

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on.

        Args:
            scope: The request.
            receive: Gives its body.
            send: Takes the response.
        """
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] != "http":
            raise StarkError(f"a request of type {scope['type']} came, the server was to take only HTTP")
        elif (status := self._foreign(scope)) is not None:
            await _respond(send, status)
        elif self._token is not None and not self._brings(scope, self._token):
            await self._let_in(scope, send, self._token)
        elif (status := _unwanted(scope)) is not None:
            await _respond(send, status)
        elif scope["method"] != "POST":
            await self._app(scope, receive, send)
        elif isinstance(body := await self._body(scope, receive), int):
            await _respond(send, body)
        else:
            await self._app(scope, _replay(body, receive), send)

    def _foreign(self, scope: Message) -> int | None:
        """The status for a request that a page of another site caused, or that came under a foreign name."""
        hosts = [value.lower() for value in _values(scope, b"host")]
        if len(hosts) != 1 or (host := _HOST.fullmatch(hosts[0])) is None:
            return 400
        if self._token is None and not is_loopback(host[1] or host[2]):
            return 403
        own = (f"http://{hosts[0]}", f"https://{hosts[0]}")
        if any(origin.lower() not in own for origin in _values(scope, b"origin")):
            return 403
        # A link on another site may be followed; other requests that another site causes are not answered.
        follows_link = scope["method"] == "GET" and _values(scope, b"sec-fetch-mode") == ["navigate"]
        sites = set(_values(scope, b"sec-fetch-site"))
        return 403 if sites & {"cross-site", "same-site"} and not follows_link else None

    def _brings(self, scope: Message, token: str) -> bool:
        cookies: SimpleCookie = SimpleCookie()
        for header in _values(scope, b"cookie"):
            try:
                cookies.load(header)
            except CookieError:
                return False
        brought = [value.removeprefix("Bearer ") for value in _values(scope, b"authorization")]
        if (cookie := cookies.get(_cookie_name(scope))) is not None:
            brought.append(cookie.value)
        return any(_same(value, token) for value in brought)

    async def _let_in(self, scope: Message, send: Send, token: str) -> None:
        """Give the cookie to those who come with the token in their address, and take it out of the address."""
        brought = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
        if scope["method"] != "GET" or not any(_same(value, token) for value in brought):
            await _respond(send, 401)
            return
        cookie = f"{_cookie_name(scope)}={token}; HttpOnly; SameSite=Lax; Path=/"
        await _respond(send, 303, {"location": "/", "set-cookie": cookie})

    async def _body(self, scope: Message, receive: Receive) -> bytes | int:
        """A request's body; a status if it is too long or does not come."""
        if any(not length.isdecimal() or int(length) > self._max_bytes for length in _values(scope, b"content-length")):
            return 413
        body = bytearray()
        try:
            async with asyncio.timeout(_SECONDS_FOR_BODY):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return 400
                    body += message.get("body", b"")
                    if len(body) > self._max_bytes:
                        return 413
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            return 408


def is_loopback(host: str) -> bool:
    """Whether a host is this machine as only itself can reach it.

    Args:
        host: A name or an address, without brackets.

    Examples:
        >>> is_loopback("localhost"), is_loopback("127.0.0.1"), is_loopback("::1")
        (True, True, True)
        >>> is_loopback("0.0.0.0"), is_loopback("localhost.example.com")
        (False, False)
    """
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _unwanted(scope: Message) -> int | None:
    """The status for what the page and its API do not need."""
    path, method = scope["path"], scope["method"]
    if method == "POST":
        if path.rstrip("/") not in _POSTS:
            return 404
        kinds = _values(scope, b"content-type")
        # Forms and plain text are what other sites can send without asking first.
        return None if len(kinds) == 1 and kinds[0].split(";")[0].strip().lower() == "application/json" else 415
    if method not in ("GET", "HEAD"):
        return 405
    return 404 if path.startswith(_API) and not path.startswith(_GETS) else None


def _replay(body: bytes, receive: Receive) -> Receive:
    """A body that was read already, then what follows it."""
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def replayed() -> Message:
        return next(messages, None) or await receive()

    return replayed


_REASONS = {
    303: "",
    400: "the request is incomplete",
    401: "open the address that stark serve printed, with its ?token=, or send Authorization: Bearer TOKEN",
    403: "this page answers neither other sites nor other names: open the address that stark serve printed",
    404: "there is no such thing here",
    405: "only GET and POST are taken",
    408: "the request came too slowly",
    413: "the request is too long",
    415: "only application/json is taken",
}


async def _respond(send: Send, status: int, headers: MutableMapping[str, str] | None = None) -> None:
    content = f"{_REASONS[status]}\n".encode()
    fields = {"content-type": "text/plain; charset=utf-8", "content-length": str(len(content)), **(headers or {})}
    encoded = [(name.encode(), value.encode()) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": content})


def _values(scope: Message, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _cookie_name(scope: Message) -> str:
    """With the port: browsers give the cookies of one port to all servers of a machine."""
    return f"stark-token-{scope['server'][1]}"


def _same(brought: str, token: str) -> bool:
    return secrets.compare_digest(brought.encode(), token.encode())
