"""An answer is bounded after decoding, whatever it takes on the wire."""

from __future__ import annotations

import json
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from and_nnsight.explain.roles import Failure

from and_nnsight_openai import OpenAIChat

from .asking import OPTIONS, asked
from .faulty_server import Handler, Server, completion, serving

_MEGABYTE = 2**20


def packed(wbits: int, megabytes: int) -> bytes:
    """A completion with megabytes of spaces within, packed."""
    packer = zlib.compressobj(9, zlib.DEFLATED, wbits)
    parts = [packer.compress(b'{"id": "')]
    parts += [packer.compress(b" " * _MEGABYTE) for _ in range(megabytes)]
    rest = json.dumps(completion("a whole answer")).removeprefix('{"id": "')
    return b"".join([*parts, packer.compress(rest.encode()), packer.flush()])


def sending(content: bytes, encoding: str | None) -> Callable[[Server, Handler, dict[str, Any]], bool]:
    def answer(server: Server, handler: Handler, body: dict[str, Any]) -> bool:
        handler.send_response(200)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(len(content)))
        if encoding is not None:
            handler.send_header("content-encoding", encoding)
        handler.end_headers()
        handler.wfile.write(content)
        return True

    return answer


def the_answer(at: Callable[..., OpenAIChat], content: bytes, encoding: str | None) -> tuple[str | Failure, int]:
    """The one answer, and how often it was asked for."""
    with serving(sending(content, encoding)) as server:
        answers = list(at(server).chat(asked("a"), OPTIONS))
        assert server.headers[0]["accept-encoding"] == "gzip, deflate"
        return answers[0], server.number


@pytest.mark.parametrize(("encoding", "wbits"), [("gzip", 31), ("deflate", 15), ("x-gzip", 31)])
def test_what_is_packed_within_the_bound_is_read(at: Callable[..., OpenAIChat], encoding: str, wbits: int) -> None:
    assert the_answer(at, packed(wbits, 1), encoding) == ("a whole answer", 1)


@pytest.mark.parametrize(("encoding", "wbits"), [("gzip", 31), ("deflate", 15)])
def test_a_bomb_is_one_failure_and_no_memory(at: Callable[..., OpenAIChat], encoding: str, wbits: int) -> None:
    bomb = packed(wbits, 300)
    tracemalloc.start()
    answer, asked_for = the_answer(at, bomb, encoding)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert answer == Failure("the server's answer cannot be taken: its answer is larger than 16 MB")
    assert asked_for == 1
    assert peak < 150 * _MEGABYTE


def test_an_answer_that_is_not_packed_is_bounded_too(at: Callable[..., OpenAIChat]) -> None:
    answer, _ = the_answer(at, b" " * 20 * _MEGABYTE, None)
    assert isinstance(answer, Failure)
    assert "larger than 16 MB" in answer.reason


def test_a_packing_that_was_not_asked_for_is_said(at: Callable[..., OpenAIChat]) -> None:
    answer, _ = the_answer(at, b"anything", "br")
    assert answer == Failure(
        "the server's answer cannot be taken: its answer is packed as 'br', which was not asked for"
    )


def test_damaged_packing_is_tried_again(at: Callable[..., OpenAIChat]) -> None:
    answer, asked_for = the_answer(at, b"\x1f\x8b no gzip at all", "gzip")
    assert isinstance(answer, Failure)
    assert asked_for == 8
