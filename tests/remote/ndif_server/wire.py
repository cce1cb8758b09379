"""Bytes that go each way are counted; connections are cut, and requests turned away, when told to."""

from __future__ import annotations

import json

from fastapi import FastAPI, Response
from faults import RECONNECTING
from state import State


class Wire:
    """Counts the bytes of every body and frame, and cuts connections when told to."""

    def __init__(self, app: FastAPI, state: State) -> None:
        self.app, self.state = app, state

    async def __call__(self, scope: dict, receive, send) -> None:
        if scope["type"] not in ("http", "websocket") or scope["path"].startswith("/_"):
            await self.app(scope, receive, send)
            return
        settings, path = self.state.settings, scope["path"]
        transport = receive.__self__.transport  # uvicorn's own; ASGI knows no way to cut a connection
        route = f"{scope.get('method', 'WEBSOCKET')} /{path.split('/')[1]}"
        self.state.count(route, requests=1)
        scope["bytes_in"] = 0
        chosen = path.startswith(settings.on)
        if chosen and settings.take("drop"):
            transport.abort()
            return
        silent = chosen and settings.take("drop_answers")
        scope["cut"] = transport.abort

        async def counting_receive() -> dict:
            message = await receive()
            size = len(message.get("body") or b"") + len(message.get("bytes") or b"") + len(message.get("text") or "")
            scope["bytes_in"] += size
            self.state.count(route, bytes_in=size)
            return message

        async def counting_send(message: dict) -> None:
            if silent:
                transport.abort()
                return
            text = (message.get("text") or "").encode()
            size = len(message.get("body") or b"") + len(message.get("bytes") or b"") + len(text)
            self.state.count(route, bytes_out=size)
            await send(message)

        if scope["type"] == "http":
            refused = None
            too_large = settings.max_request is not None and path == "/request"
            if too_large and int(dict(scope["headers"]).get(b"content-length", b"0")) > settings.max_request:
                refused = 413, "Request Entity Too Large"
            elif chosen and settings.take("unavailable"):
                refused = 503, RECONNECTING
            if refused:
                # Read to the end first: a client that is still sending would see a broken pipe, not the answer.
                while (await counting_receive()).get("more_body"):
                    pass
                answer = Response(json.dumps({"detail": refused[1]}), refused[0], media_type="application/json")
                await answer(scope, counting_receive, counting_send)
                return
        await self.app(scope, counting_receive, counting_send)
