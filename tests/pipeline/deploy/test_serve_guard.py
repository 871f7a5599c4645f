"""Requests to a guarded application that records the requests that reach it."""

import asyncio

import pytest

from pipeline.deploy import serve_guard
from pipeline.deploy.serve_guard import Guard, is_loopback

POST = {"content-type": "application/json", "content-length": "2"}
CALL = "/gradio_api/call/classify"


class Remembering:
    def __init__(self):
        self.bodies = []

    async def __call__(self, scope, receive, send):
        body = (await receive()).get("body", b"") if scope["method"] == "POST" else b""
        self.bodies.append(body)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"reached"})


def asked(method="GET", path="/", headers=None, *, token=None, query="", chunks=(b"{}",)):
    """Status and headers of the response, and the bodies that reached the application."""
    app, sent, pieces = Remembering(), [], list(chunks)

    async def receive():
        if not pieces:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces) or chunks[-1:] == (b"",)}

    async def send(message):
        sent.append(message)

    fields = {"host": "127.0.0.1:7860", **(headers or {})}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in fields.items() if value is not None],
        "server": ("127.0.0.1", 7860),
    }
    asyncio.run(Guard(app, max_bytes=100, token=token)(scope, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"]), app.bodies


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:7860", "LOCALHOST:8000", "[::1]:7860", "localhost"])
def test_the_page_itself_is_answered(host):
    own = {"host": host, "origin": f"http://{host.lower()}", "sec-fetch-site": "same-origin"}
    assert asked("POST", CALL, {**POST, **own})[::2] == (200, [b"{}"])
    assert asked("POST", CALL, {**POST, "host": host})[::2] == (200, [b"{}"])  # a program, not a browser
    assert asked(headers={"host": host})[0] == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:8000"}, 403),  # another server of the same machine
        ({"origin": "http://127.0.0.1.evil.example:7860"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"host": "evil.example:7860", "origin": "http://evil.example:7860"}, 403),  # its name now resolves to us
        ({"host": "evil.example"}, 403),
        ({"host": "x@127.0.0.1"}, 400),
        ({"host": "127.0.0.1, evil.example"}, 400),
        ({"host": None}, 400),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "multipart/form-data; boundary=x"}, 415),
        ({"content-type": None}, 415),
    ],
)
def test_posts_of_other_sites_reach_nothing(headers, status):
    assert asked("POST", CALL, {**POST, **headers})[::2] == (status, [])


def test_a_link_may_be_followed_and_nothing_else():
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert asked(headers=link)[0] == 200
    assert asked(headers={**link, "sec-fetch-mode": "no-cors"})[0] == 403
    assert asked(headers={"host": "evil.example"})[0] == 403
    assert asked("POST", CALL, {**POST, **link})[0] == 403


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/gradio_api/upload", 404),
        ("POST", "/gradio_api/run/classify", 404),  # would bypass the queue
        ("POST", "/gradio_api/component_server", 404),
        ("POST", "/login", 404),
        ("GET", "/gradio_api/file=/etc/passwd", 404),
        ("GET", "/gradio_api/proxy=http://evil.example", 404),
        ("GET", "/gradio_api/deep_link", 404),
        ("PUT", CALL, 405),
        ("OPTIONS", CALL, 405),
        ("GET", f"{CALL}/0123", 200),
        ("GET", "/gradio_api/queue/data", 200),
        ("HEAD", "/", 200),
        ("POST", "/gradio_api/queue/join", 200),
    ],
)
def test_only_what_the_page_needs_is_open(method, path, status):
    found, _, bodies = asked(method, path, POST if method == "POST" else None)
    assert (found, len(bodies)) == (status, int(status == 200))


def test_long_and_slow_bodies_are_not_read_to_their_end(monkeypatch):
    assert asked("POST", CALL, {**POST, "content-length": "101"}, chunks=())[::2] == (413, [])
    assert asked("POST", CALL, {**POST, "content-length": "-1"}, chunks=())[::2] == (413, [])
    chunked = {**POST, "content-length": None}
    assert asked("POST", CALL, chunked, chunks=(b"a" * 60, b"a" * 41, b"never"))[::2] == (413, [])
    assert asked("POST", CALL, chunked, chunks=(b"a" * 60, b"a" * 40))[::2] == (200, [b"a" * 100])
    monkeypatch.setattr(serve_guard, "_SECONDS_FOR_BODY", 0.01)
    assert asked("POST", CALL, chunked, chunks=(b"a", b""))[::2] == (408, [])


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/config"), ("POST", CALL), ("GET", f"{CALL}/0123")]
)
def test_with_a_token_everything_needs_it(method, path):
    host = {"host": "models.example:7860", **(POST if method == "POST" else {})}
    for wrong in (
        {},
        {"authorization": "Bearer secre"},
        {"authorization": "Bearer \xe9"},
        {"cookie": "stark-token-7860="},
    ):
        assert asked(method, path, {**host, **wrong}, token="secret")[::2] == (401, [])
    for right in ({"authorization": "Bearer secret"}, {"cookie": "a=b; stark-token-7860=secret"}):
        assert asked(method, path, {**host, **right}, token="secret")[0] == 200
    foreign = {**host, "cookie": "stark-token-7860=secret", "origin": "http://evil.example"}
    assert asked(method, path, foreign, token="secret")[::2] == (403, [])


def test_the_token_leaves_the_address_for_a_cookie():
    status, headers, bodies = asked("GET", "//evil.example/", token="secret", query="token=secret")
    assert (status, bodies) == (303, [])
    assert headers[b"location"] == b"/"
    assert headers[b"set-cookie"] == b"stark-token-7860=secret; HttpOnly; SameSite=Lax; Path=/"
    assert asked("GET", "/", token="secret", query="token=secre")[0] == 401
    assert asked("POST", CALL, POST, token="secret", query="token=secret")[0] == 401


def test_loopback():
    assert is_loopback("127.0.0.2")
    assert not is_loopback("192.168.0.1")
    assert not is_loopback("")
