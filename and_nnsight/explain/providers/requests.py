"""Chat requests that are sent once: every conversation, its options and its answer are on record in the folder.

`cached_chat` wraps any chat model in another one that looks into the table `requests` first. What is asked again, by
another unit or another run, is answered from there. Answers are written as they come, so a crash loses only those in
flight. Failures are written too, and asked again by the next run.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from ...dissection.dissection import Dissection
from ..records.description_rows import RequestRow
from ..records.tables import Table
from ..roles import ChatModel, ChatOptions, Conversation, Failure, Request
from .answers import match_answers
from .reasoning import without_thinking

LONGEST_CONVERSATION = 100_000
_LONGEST_REASON = 1_000
# Terminals obey them, and no text needs them: escape sequences, and all controls but the tabulator and line ends.
_CONTROLS = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
)


@contextmanager
def cached_chat(
    dissection: Dissection, chat: ChatModel, *, longest: int = LONGEST_CONVERSATION
) -> Iterator[CachedChat]:
    """A chat model that asks `chat` only what a dissection's folder has no answer to yet.

    One at a time: leave it before another step opens it over the same folder.

    dissection  the table is its `explanations/requests.parquet`
    chat        any chat model. If it has a method `chat_unordered(conversations, options)` that yields pairs of a
                conversation's index and its answer, in any order, that is used: nothing then waits for a slow one
    longest     characters that a conversation may have in all. A longer one is not sent and is a Failure
    """
    with Table(dissection, RequestRow, {}) as table:
        yield CachedChat(chat, table, longest)


class CachedChat:
    """A chat model before which a record stands. Made by `cached_chat`."""

    def __init__(self, chat: ChatModel, table: Table[RequestRow], longest: int) -> None:
        self.name = str(getattr(chat, "name", None) or type(chat).__qualname__)
        self._chat, self._table, self._longest = chat, table, longest
        self._failed_now: set[str] = set()

    def request_id(self, conversation: Conversation, options: ChatOptions) -> str:
        """The key under which the request is in the table."""
        return Request(self.name, conversation, options).id

    def chat(self, conversations: Sequence[Conversation], options: ChatOptions) -> Iterator[str | Failure]:
        """One answer a conversation, in order, from the record or from the model.

        Answers that are missing, empty, not text, or too many, and whatever the model raises, are Failures of the
        conversations concerned. PluginError (a wrong key, a model that does not exist) is raised: it concerns all.
        """
        requests = [Request(self.name, tuple(conversation), options) for conversation in conversations]
        ids = [request.id for request in requests]
        due = {key: request for key, request in zip(ids, requests, strict=True) if not self._settled(key)}
        to_send = [request for request in due.values() if self._is_short(request)]
        coming, since = self._ask(to_send, options), time.monotonic()
        for key in ids:
            while not self._settled(key):
                place, answer = next(coming)
                self._write(to_send[place], _text(answer), time.monotonic() - since)
                since = time.monotonic()
            yield _answer(self._table[(key,)])
            since = time.monotonic()

    def _is_short(self, request: Request) -> bool:
        """Whether a request may be sent; one that is too long is recorded as a failure."""
        length = _length(request)
        if length > self._longest:
            self._write(request, Failure(f"not sent: {length:,} characters, more than {self._longest:,}"), 0.0)
        return length <= self._longest

    def _settled(self, key: str) -> bool:
        """Whether there is an answer, or there was none in this run already."""
        row = self._table.get((key,))
        return row is not None and (row.failure is None or key in self._failed_now)

    def _write(self, request: Request, answer: str | Failure, seconds: float) -> None:
        failure = answer.reason[:_LONGEST_REASON] if isinstance(answer, Failure) else None
        if failure is not None:
            self._failed_now.add(request.id)
        flood = _length(request) > self._longest  # the text of what was never sent need not be kept
        row = RequestRow(
            id=request.id,
            model=request.model,
            prompt_hash=request.prompt_hash,
            messages=None if flood else json.dumps([turn._asdict() for turn in request.conversation]),
            options=json.dumps(asdict(request.options)),
            seed=request.options.seed,
            answer=None if isinstance(answer, Failure) else answer,
            failure=failure,
            seconds=round(seconds, 3),
        )
        self._table.add([row])

    def _ask(self, requests: Sequence[Request], options: ChatOptions) -> Iterator[tuple[int, Any]]:
        """The places of the requests with their answers, as they come."""
        conversations = [request.conversation for request in requests]
        unordered = getattr(self._chat, "chat_unordered", None)
        ask = self._chat.chat if unordered is None else unordered
        return match_answers(lambda some: ask(some, options), conversations, paired=unordered is not None)


def _answer(row: RequestRow) -> str | Failure:
    return without_thinking(row.answer or "") if row.failure is None else Failure(row.failure)


def _text(answer: Any) -> str | Failure:
    if isinstance(answer, Failure):
        return answer
    if not isinstance(answer, str):
        return Failure(f"the answer is a {type(answer).__name__}, not text")
    words = _CONTROLS.sub("", answer)
    if not words.strip():
        return Failure("the answer is empty")
    return words.encode("utf-8", "replace").decode("utf-8")


def _length(request: Request) -> int:
    return sum(len(turn.content) for turn in request.conversation)
