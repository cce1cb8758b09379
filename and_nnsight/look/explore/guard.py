"""Who may talk to the page's server: one browser on this machine that was given the token, and nothing it did not ask.

A page on the web can make a browser send requests to 127.0.0.1, or give its own name this address (DNS rebinding). So
every request must name this host, come from this page where it says where it comes from, and carry the token, which the
first address has in its query and a cookie that other sites cannot use from then on.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 32 * 2**20  # of a request: a dropped sound
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' data: blob:; connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Guard:
    """ASGI middleware that lets through only requests of the page's own browser.

    token  what the first address carries
    port   of this server
    """

    app: ASGIApp
    token: str
    port: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self.app(scope, _bounded(receive), _with_headers(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await refusal(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope) -> Response | None:
        """What is answered instead; None if the request may pass."""
        headers = Headers(scope=scope)
        hosts = {f"127.0.0.1:{self.port}", f"localhost:{self.port}"}
        if headers.get("host") not in hosts:
            return PlainTextResponse("this server answers to 127.0.0.1 only", 421)
        if not _is_of_page(scope, headers.get("origin"), hosts):
            return PlainTextResponse("requests come from the page itself only", 403)
        if int(headers.get("content-length") or 0) > MOST_BYTES:
            return PlainTextResponse(f"too large: at most {MOST_BYTES // 2**20} MiB", 413)
        if _same(_cookie(headers, cookie_name(self.port)), self.token):
            return None
        if scope["type"] == "http" and _same(_query_token(scope), self.token):
            return self._with_cookie()
        return PlainTextResponse("open the address that `and-nnsight explore` printed: it carries the token", 403)

    def _with_cookie(self) -> Response:
        response = RedirectResponse("/", 303)  # never to a path that was asked for: `//elsewhere` is another host
        response.set_cookie(cookie_name(self.port), self.token, httponly=True, samesite="strict", path="/")
        return response


def _is_of_page(scope: Scope, origin: str | None, hosts: Collection[str]) -> bool:
    """Whether a request comes from the page itself; one that changes nothing need not say where it comes from."""
    if origin is not None:
        return origin in {f"http://{host}" for host in hosts}
    return scope["type"] != "websocket" and scope["method"] in ("GET", "HEAD")


def cookie_name(port: int) -> str:
    """The cookie of the server on a port: a host has its cookies for all ports, and a second server would take ours."""
    return f"and-nnsight-explore-{port}"


def _same(given: str | None, token: str) -> bool:
    return given is not None and secrets.compare_digest(given.encode(), token.encode())


def _cookie(headers: Headers, name: str) -> str | None:
    """A cookie's value, whatever stands beside it: other servers on this machine set theirs, and these come along."""
    return cookie_parser(headers.get("cookie", "")).get(name)


def _query_token(scope: Scope) -> str | None:
    query = parse_qs(scope["query_string"].decode("latin-1"))
    return query.get("token", [None])[0]


def _bounded(receive: Receive) -> Receive:
    """No more of a request than `MOST_BYTES`, whatever its header says; the rest of it is a disconnection."""
    taken = 0

    async def bounded() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body") or b"") if message["type"] == "http.request" else 0
        return message if taken <= MOST_BYTES else {"type": "http.disconnect"}

    return bounded


def _with_headers(send: Send) -> Send:
    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(_HEADERS)
        await send(message)

    return sender
