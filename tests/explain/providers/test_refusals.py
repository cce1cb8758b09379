"""A server's error is read for what it means, whatever its status and the shape of its body."""

from __future__ import annotations

import json
from typing import Any

import pytest

from and_nnsight.explain.providers.refusals import LONGEST, NOTHING_SAID, Kind, message, refusal

SENT = ("max_tokens", "temperature", "top_p", "seed")


def read(status: int, body: Any, sent: tuple[str, ...] = SENT, system: bool = True) -> tuple[Kind, str | None]:
    told = refusal(status, body if isinstance(body, str) else json.dumps(body), options=sent, system=system)
    return told.kind, told.option


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"error": {"message": "no", "param": "seed", "code": 3}}', "no · seed · 3"),
        ('{"error": "no"}', "no"),
        ('{"detail": [{"loc": ["body", "seed"], "msg": "no", "input": "a conversation"}]}', "no · body.seed"),
        ('[{"error": {"message": "no"}}]', "no"),
        ('{"errors": ["no", "and no"]}', "no.and no"),
        ('{"message": "{\\"error\\": {\\"message\\": \\"no\\"}}"}', "no"),
        ('"no"', "no"),
        ("no\nmore", "no more"),
        ("<html><style>a {}</style><h1>502 Bad&nbsp;Gateway</h1></html>", "502 Bad Gateway"),
        ("", NOTHING_SAID),
        ("null", NOTHING_SAID),
        ("{}", NOTHING_SAID),
        ("[]", NOTHING_SAID),
        pytest.param("<" * 10**6, "<" * (LONGEST - 1) + "…", id="a tag in a tag, and so on"),
        pytest.param("[" * 100_000, "[" * (LONGEST - 1) + "…", id="a list in a list, and so on"),
        ('{"unknown": "no"}', "no"),
        ("see http://me:secret@host/", "see http://…@host/"),
    ],
)
def test_every_shape_of_body_is_read(body: str, said: str) -> None:
    assert message(body) == said


@pytest.mark.parametrize(
    ("status", "body", "meant"),
    [
        (400, "temperature and top_p cannot both be specified", (Kind.OPTION, "top_p")),
        (422, "`temperature` must be strictly positive", (Kind.OPTION, "temperature")),
        (400, "max_tokens is not supported, use max_completion_tokens instead", (Kind.OPTION, "max_tokens")),
        (500, "Jinja Exception: System role not supported", (Kind.SYSTEM, None)),
        (400, "your prompt on temperature must be flagged", (Kind.CONVERSATION, None)),
        (400, "max_tokens is invalid: maximum context length is 10", (Kind.CONVERSATION, None)),
        (400, "it rained", (Kind.CONVERSATION, None)),
        (403, "no", (Kind.CONVERSATION, None)),
        (403, "API key expired", (Kind.FATAL, None)),
        (400, "API key not valid", (Kind.FATAL, None)),
        (404, "", (Kind.FATAL, None)),
        (401, "", (Kind.FATAL, None)),
        (429, "slow down", (Kind.AGAIN, None)),
        (429, "insufficient_quota", (Kind.FATAL, None)),
        (529, "overloaded", (Kind.AGAIN, None)),
        (500, "the system is overloaded", (Kind.AGAIN, None)),
    ],
)
def test_what_a_refusal_means(status: int, body: str, meant: tuple[Kind, str | None]) -> None:
    assert read(status, body) == meant


def test_what_was_not_sent_is_not_refused() -> None:
    assert read(400, "seed is not supported", sent=("temperature",)) == (Kind.CONVERSATION, None)
    assert read(400, "system role not supported", system=False) == (Kind.CONVERSATION, None)
