"""A client whose answers are bounded after decoding: a few kilobytes of gzip may hold gigabytes."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from openai import DefaultAsyncHttpxClient

http: Any = import_module(
    next(
        kind.__module__.partition(".")[0] for kind in DefaultAsyncHttpxClient.__mro__ if kind.__name__ == "AsyncClient"
    )
)
"""The library that the installed `openai` makes its requests with: httpx, or since version 3 httpx2."""
LARGEST_ANSWER = 16 * 2**20  # bytes: a million tokens are a quarter of that
_ENCODINGS = "gzip, deflate"  # what zlib undoes piece by piece; it is asked for nothing else
_OF_THE_WIRE = ("content-encoding", "content-length", "transfer-encoding")  # headers that are not true of what is given


class AnswerTooLarge(http.RequestError):
    """An answer that is larger than any that is wanted, or packed so that nobody can tell before unpacking it."""


class BoundedClient(DefaultAsyncHttpxClient):
    """The `openai` package's own HTTP client, which never holds more of an answer than LARGEST_ANSWER bytes."""

    async def send(self, request: Any, *, stream: bool = False, **options: Any) -> Any:
        """The response, read whole. Raises AnswerTooLarge, having read no more than the bound."""
        del stream
        request.headers["accept-encoding"] = _ENCODINGS
        response = await super().send(request, stream=True, **options)
        try:
            content = await _content(response)
        finally:
            await response.aclose()
        headers = [(name, value) for name, value in response.headers.multi_items() if name not in _OF_THE_WIRE]
        return http.Response(
            response.status_code, headers=headers, content=content, request=request, extensions=response.extensions
        )


async def _content(response: Any) -> bytes:
    decoder = _decoder(response.headers.get("content-encoding", ""))
    content = bytearray()
    try:
        async for raw in response.aiter_raw():
            for piece in _pieces(decoder, raw):
                content += piece
                if len(content) > LARGEST_ANSWER:
                    raise AnswerTooLarge(f"its answer is larger than {LARGEST_ANSWER // 2**20} MB")
    except zlib.error as error:
        raise http.DecodingError(str(error)) from error
    return bytes(content)


def _decoder(encoding: str) -> Any:
    """What undoes an encoding; None where there is none."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return None
    if name in ("gzip", "x-gzip", "deflate"):
        return zlib.decompressobj(zlib.MAX_WBITS | 32)  # either header
    raise AnswerTooLarge(f"its answer is packed as {name[:40]!r}, which was not asked for")


def _pieces(decoder: Any, raw: bytes) -> Iterator[bytes]:
    """What some bytes of the wire hold, in pieces of no more than the bound."""
    if decoder is None:
        yield raw
        return
    while raw:
        yield decoder.decompress(raw, LARGEST_ANSWER)
        raw = decoder.unconsumed_tail
