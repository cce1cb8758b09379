"""The plugin: conversations in, answers out, many requests in flight in a thread of their own."""

from __future__ import annotations

import asyncio
import os
import re
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, ClassVar

from and_nnsight.explain.conversations import in_order
from and_nnsight.explain.roles import ChatOptions, Conversation, Failure
from and_nnsight.plugins import PluginError
from and_nnsight.redaction import without_credentials

from .requesting import Requesting

_CONCURRENCY = "AND_NNSIGHT_OPENAI_CONCURRENCY"
_TIMEOUT = "AND_NNSIGHT_OPENAI_TIMEOUT"
_WAITING = 4  # answers that may wait to be fetched, for each request in flight

_Event = tuple[int, str | Failure] | BaseException | str | None


class OpenAIChat:
    """A model behind an OpenAI-compatible server (vLLM, llama.cpp, Ollama, hosted): OPENAI_BASE_URL, OPENAI_API_KEY."""

    requires: ClassVar[Mapping[str, str]] = {"openai": "and-nnsight-openai"}

    def __init__(
        self, model: str, *, concurrency: int | None = None, timeout: float | None = None, attempts: int = 8
    ) -> None:
        """Nothing is sent yet.

        model        the model's name at the server
        concurrency  requests in flight at a time; None: AND_NNSIGHT_OPENAI_CONCURRENCY, or 8
        timeout      seconds that one try of a request may take; None: AND_NNSIGHT_OPENAI_TIMEOUT, or 120
        attempts     how often a request is tried before its conversation is a Failure

        Raises PluginError if neither a key nor a server of one's own is given, or a number makes no sense.
        """
        self.name = f"openai:{model}"
        self._base_url = (os.environ.get("OPENAI_BASE_URL") or "").strip() or None
        self._key = (os.environ.get("OPENAI_API_KEY") or "").strip() or None
        _check_access(self._key, self._base_url)
        self.concurrency = int(_positive("concurrency", concurrency, _CONCURRENCY, 8))
        self.requesting = Requesting(
            model, timeout=_positive("timeout", timeout, _TIMEOUT, 120.0), attempts=max(1, attempts)
        )

    def chat(self, conversations: Sequence[Conversation], options: ChatOptions) -> Iterator[str | Failure]:
        """One answer a conversation, in order.

        An answer that the server cut at `max_tokens` is given as it is. Refusals, empty answers, and requests that no
        try got through are Failures. Errors that would meet every request (a wrong key, an unknown model, no server)
        raise PluginError at once.
        """
        return in_order(self.chat_unordered(conversations, options), len(conversations))

    def chat_unordered(
        self, conversations: Sequence[Conversation], options: ChatOptions
    ) -> Iterator[tuple[int, str | Failure]]:
        """The same, each answer with the index of its conversation, as soon as it is there.

        The requests run in a thread with an event loop of its own, so this works inside a running loop (Jupyter) too.
        They are stopped when the iterator is closed or interrupted.
        """
        events: SimpleQueue[_Event] = SimpleQueue()
        running = _Running(self, conversations, options, events)
        thread = threading.Thread(target=running.run, name=self.name, daemon=True)
        thread.start()
        try:
            while (event := events.get()) is not None:
                if isinstance(event, BaseException):
                    raise event
                if isinstance(event, str):
                    warnings.warn(event, RuntimeWarning, stacklevel=2)
                    continue
                running.make_room()
                yield event
        finally:
            running.stop()
            thread.join(timeout=5)

    def client(self) -> Any:
        """A client of the `openai` package; it does not retry, we do."""
        from openai import AsyncOpenAI

        from .bounded_client import BoundedClient

        return AsyncOpenAI(
            api_key=self._key or "none", base_url=self._base_url, max_retries=0, http_client=BoundedClient()
        )


class _Running:
    """The requests of one call, in an event loop of their own."""

    def __init__(
        self,
        chat: OpenAIChat,
        conversations: Sequence[Conversation],
        options: ChatOptions,
        events: SimpleQueue[_Event],
    ) -> None:
        self._chat, self._options, self._events = chat, options, events
        self._waiting = iter(enumerate(conversations))
        self._workers = min(chat.concurrency, len(conversations))
        self._loop = asyncio.new_event_loop()
        self._room = asyncio.Semaphore(self._workers * _WAITING)
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    def run(self) -> None:
        """Answer everything, then say so with None; or hand over what went wrong."""
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._all())
        except BaseException as error:
            self._events.put(error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error)
        finally:
            self._events.put(None)

    def make_room(self) -> None:
        """One answer less waits to be fetched."""
        self._call(self._room.release)

    def stop(self) -> None:
        """Let go of whatever is in flight."""
        self._call(self._cancel)

    def _cancel(self) -> None:
        self._stopped = True
        if self._task is not None:
            self._task.cancel()

    def _call(self, what: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(what)
        except RuntimeError:  # the loop is closed: everything has been answered
            return

    async def _all(self) -> None:
        async with self._chat.client() as client:
            if not self._stopped:
                self._task = asyncio.create_task(self._ask(client))  # what is cancelled; the client closes in peace
                with suppress(asyncio.CancelledError):
                    await self._task
        await asyncio.sleep(0)  # closed connections are let go of in the next round of the loop

    async def _ask(self, client: Any) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self._workers):
                group.create_task(self._work(client))

    async def _work(self, client: Any) -> None:
        for index, conversation in self._waiting:
            await self._room.acquire()
            answer = await self._chat.requesting.answer(client, conversation, self._options, self._events.put)
            self._events.put((index, answer))


def _check_access(key: str | None, base_url: str | None) -> None:
    """Raise PluginError for a key or an address that is lacking or can be none."""
    if key is None and base_url is None:
        raise PluginError(
            "set OPENAI_API_KEY, or OPENAI_BASE_URL to a server of your own such as http://localhost:8000/v1"
        )
    if base_url is not None and not re.match(r"https?://[^/]", base_url, re.IGNORECASE):
        url = without_credentials(base_url)
        raise PluginError(f"OPENAI_BASE_URL is to begin with http:// or https://, which {url!r} does not")
    if key is not None and not (key.isascii() and key.isprintable()):
        raise PluginError("OPENAI_API_KEY has letters that no key has: copy it again")


def _positive(what: str, value: float | None, variable: str, default: float) -> float:
    """A number above 0: the value, or that of the variable, or the default."""
    number = _from_environment(variable, default) if value is None else float(value)
    if not number > 0:
        raise PluginError(f"{what} is to be above 0, not {number:g}")
    return number


def _from_environment(variable: str, default: float) -> float:
    text = os.environ.get(variable)
    try:
        return float(text) if text else default
    except ValueError as error:
        raise PluginError(f"{variable} is to be a number, not {text!r}") from error
