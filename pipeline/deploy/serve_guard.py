"""Guards the page of `stark serve`: refuses requests that other sites cause, and requests that are too long.

A web page can send requests to servers on its visitor's machine, and the page's host name can be made to resolve to
that machine (DNS rebinding). Such requests are recognised by their headers and refused before their body is read, so
that nothing of them is stored.
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
# Paths that the page and its API need. Gradio's other paths are closed, such as uploads and calls that skip the queue.
_POSTS = {f"{_API}/{name}" for name in ("call/classify", "queue/join", "cancel", "reset")}
_GETS = tuple(
    f"{_API}/{name}"
    for name in ("app_id", "call/classify/", "heartbeat/", "info", "openapi.json", "queue/data", "theme.css")
)
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::[0-9]+)?")
_SECONDS_FOR_BODY = 30.0


class Guard:
    """An ASGI application that passes allowed requests on to another one and refuses all others."""

    def __init__(self, app: App, *, max_bytes: int, token: str | None = None) -> None:
        """Guard an application.

        Args:
            app: The application.
            max_bytes: Largest size of a request's body in bytes.
            token: Token that every request must contain, as a cookie or as ``Authorization: Bearer TOKEN``. A visit to
                an address with ``?token=`` sets the cookie. None for a page that only this machine may use, under its
                loopback names and addresses.
        """
        self._app = app
        self._max_bytes = max_bytes
        self._token = token

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on.

        Args:
            scope: The request.
            receive: Function that receives the request's body.
            send: Function that sends the response.
        """
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] != "http":
            raise StarkError(f"a request of type {scope['type']} arrived, but the server accepts only HTTP")
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
        """The status for refusing a request that another site caused or that has a foreign host name, or None."""
        hosts = [value.lower() for value in _values(scope, b"host")]
        if len(hosts) != 1 or (host := _HOST.fullmatch(hosts[0])) is None:
            return 400
        if self._token is None and not is_loopback(host[1] or host[2]):
            return 403
        own = (f"http://{hosts[0]}", f"https://{hosts[0]}")
        if any(origin.lower() not in own for origin in _values(scope, b"origin")):
            return 403
        # Following a link on another site is allowed; any other request that another site causes is refused.
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
        """If the address contains the token, set the cookie and redirect to the address without the token."""
        brought = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
        if scope["method"] != "GET" or not any(_same(value, token) for value in brought):
            await _respond(send, 401)
            return
        cookie = f"{_cookie_name(scope)}={token}; HttpOnly; SameSite=Lax; Path=/"
        await _respond(send, 303, {"location": "/", "set-cookie": cookie})

    async def _body(self, scope: Message, receive: Receive) -> bytes | int:
        """Read a request's body; returns a status if the body is too long or does not arrive."""
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
    """Whether a host is a loopback name or address, which only this machine itself can reach.

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
    """The status for refusing a request that the page and its API do not need, or None."""
    path, method = scope["path"], scope["method"]
    if method == "POST":
        if path.rstrip("/") not in _POSTS:
            return 404
        kinds = _values(scope, b"content-type")
        # Browsers let other sites send forms and plain text without a preflight request, so only JSON is accepted.
        return None if len(kinds) == 1 and kinds[0].split(";")[0].strip().lower() == "application/json" else 415
    if method not in ("GET", "HEAD"):
        return 405
    return 404 if path.startswith(_API) and not path.startswith(_GETS) else None


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a function that receives a body that was already read, and then what follows it."""
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def replayed() -> Message:
        return next(messages, None) or await receive()

    return replayed


_REASONS = {
    303: "",
    400: "the request is incomplete",
    401: "open the address that stark serve printed, with its ?token=, or send Authorization: Bearer TOKEN",
    403: "requests of other sites or with another host name are refused: open the address that stark serve printed",
    404: "the page has no such path",
    405: "only GET and POST are accepted",
    408: "the request arrived too slowly",
    413: "the request is too long",
    415: "only application/json is accepted",
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
    """The cookie's name; contains the port, because browsers send a cookie to the servers on all ports of a host."""
    return f"stark-token-{scope['server'][1]}"


def _same(brought: str, token: str) -> bool:
    return secrets.compare_digest(brought.encode(), token.encode())
