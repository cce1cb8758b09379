"""One request: sent, tried again while that may help, and its answer read."""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from and_nnsight.explain.roles import ChatOptions, Conversation, Failure
from and_nnsight.plugins import PluginError

_FIRST_DELAY, _LONGEST_DELAY = 0.5, 30.0  # seconds between tries, doubling
_LONGEST_WAIT = 600.0  # seconds that a server may ask us to wait
_NO_SERVER_ATTEMPTS = 3
_FAILED_IN_A_ROW = 40  # requests given up, none answered between: the server is gone
_RETRIED = frozenset({408, 409, 425, 429})
_FATAL = frozenset({401, 402, 403, 404, 405})
_HELP = {401: "check OPENAI_API_KEY", 403: "check OPENAI_API_KEY", 404: "check OPENAI_BASE_URL and the model's name"}
_NOT_TAKEN = re.compile(r"unsupported|not supported|unrecogni[sz]ed|unknown|unexpected|not permitted|not allowed|extra")
_RENAMED = {"max_tokens": "max_completion_tokens"}
_REASON = 300
# The client's time-outs are those of each read, and it closes what it opened; ours ends answers that only trickle in.
_TRICKLE = 1.5


class Requesting:
    """Sends requests for a model. Remembers which options its server does not take, and when it asked us to wait."""

    def __init__(self, model: str, *, timeout: float, attempts: int) -> None:
        self._model, self._timeout, self._attempts = model, timeout, attempts
        self._dropped: set[str] = set()
        self._names: dict[str, str] = {}
        self._not_before = 0.0
        self._answered, self._failed_in_a_row = False, 0

    async def answer(
        self, client: Any, conversation: Conversation, options: ChatOptions, warn: Callable[[str], None]
    ) -> str | Failure:
        """The answer to a conversation. Raises PluginError for what would meet every conversation alike."""
        reason, attempt = "", 0
        while attempt < self._attempts:
            await self._pause(attempt)
            sent = self._parameters(options)
            tried = await self._try(client, conversation, sent)
            if isinstance(tried, str | Failure):
                self._answered, self._failed_in_a_row = True, 0
                return tried
            if isinstance(tried, _NotTaken):  # the same try again, in a form that the server takes
                self._give_up_option(tried.parameter, sent, warn)
                continue
            reason, attempt = tried.reason, attempt + 1
            if tried.wait is not None:
                self._not_before = max(self._not_before, time.monotonic() + tried.wait)
            if tried.no_server and not self._answered and attempt >= _NO_SERVER_ATTEMPTS:
                raise PluginError(f"no server answers at {client.base_url}: {reason}")
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= _FAILED_IN_A_ROW:
            raise PluginError(
                f"the server at {client.base_url} has not answered {self._failed_in_a_row} requests in a row, "
                f"the last: {reason}; what was answered is kept, run again to go on"
            )
        return Failure(f"given up after {attempt} tries: {reason}")

    async def _pause(self, attempt: int) -> None:
        delay = min(_LONGEST_DELAY, _FIRST_DELAY * 2 ** (attempt - 1)) * random.uniform(0.75, 1.25) if attempt else 0.0
        await asyncio.sleep(max(delay, self._not_before - time.monotonic()))

    def _parameters(self, options: ChatOptions) -> dict[str, Any]:
        ours = {
            "max_tokens": options.max_tokens,
            "temperature": options.temperature,
            "top_p": options.top_p,
            "seed": options.seed,
        }
        return {self._names.get(name, name): value for name, value in ours.items() if name not in self._dropped}

    def _give_up_option(self, name: str, sent: Mapping[str, Any], warn: Callable[[str], None]) -> None:
        if name in _RENAMED:
            self._names[name] = _RENAMED[name]
            return
        ours = next((old for old, new in _RENAMED.items() if new == name), name)
        if ours not in self._dropped:
            self._dropped.add(ours)
            warn(f"the server does not take {name!r} ({sent[name]}) for {self._model}: its own default is used")

    async def _try(
        self, client: Any, conversation: Conversation, parameters: Mapping[str, Any]
    ) -> str | Failure | _NotTaken | _Again:
        from openai import APIConnectionError, APIStatusError, APITimeoutError

        messages = [turn._asdict() for turn in conversation]
        try:
            async with asyncio.timeout(_TRICKLE * self._timeout):
                raw = await client.chat.completions.with_raw_response.create(
                    model=self._model, messages=messages, timeout=self._timeout, **parameters
                )
            return _read(raw.text)
        except (TimeoutError, APITimeoutError):
            return _Again(f"no answer within {self._timeout:g} s")
        except APIStatusError as error:
            return self._refused(error, parameters)
        except APIConnectionError as error:
            cause = error.__cause__ or error
            return _Again(f"{type(cause).__name__}: {cause}", no_server=type(cause).__name__ == "ConnectError")

    def _refused(self, error: Any, parameters: Mapping[str, Any]) -> Failure | _NotTaken | _Again:
        status, said = int(error.status_code), _message(error)
        if status in _FATAL or "insufficient_quota" in said:
            help_ = _HELP.get(status)
            raise PluginError(f"the server answered {status}: {said}" + (f" ({help_})" if help_ else ""))
        if status in _RETRIED or status >= 500:
            wait = _retry_after(error.response.headers)
            if wait is not None and wait > _LONGEST_WAIT:
                raise PluginError(f"the server asks to wait {wait:.0f} s ({said}): run again then to go on")
            return _Again(f"{status}: {said}", wait=wait)
        named = [name for name in parameters if re.search(rf"\b{name}\b", said)]
        if status in (400, 422) and named and _NOT_TAKEN.search(said.lower()):
            return _NotTaken(named[0])
        return Failure(f"the server answered {status}: {said}")


class _NotTaken:
    """A parameter that the server does not know."""

    def __init__(self, parameter: str) -> None:
        self.parameter = parameter


class _Again:
    """What may go better next time, and how many seconds the server asks us to wait."""

    def __init__(self, reason: str, *, wait: float | None = None, no_server: bool = False) -> None:
        self.reason, self.wait, self.no_server = reason, wait, no_server


def _read(text: str) -> str | Failure | _Again:
    """The answer in a response's body. Junk is worth another try; a refusal or an empty answer is the model's word."""
    try:
        choice = json.loads(text)["choices"][0]
        message, reason = choice["message"], choice.get("finish_reason")
        content = message.get("content")
    except (ValueError, LookupError, TypeError, AttributeError):
        return _Again(f"the response is no chat completion: {text[:_REASON]!r}")
    if refusal := message.get("refusal"):
        return Failure(f"the model refused: {refusal}")
    if reason == "content_filter":
        return Failure("the server's content filter stopped the answer")
    if isinstance(content, str) and content.strip():
        return content
    if reason == "length":
        return Failure("the answer is empty: max_tokens were used up before it began (by reasoning?)")
    return Failure("the answer is empty" if content is None or isinstance(content, str) else "the answer is no text")


def _message(error: Any) -> str:
    body = error.body if isinstance(error.body, Mapping) else {}
    parts = [str(body[name]) for name in ("message", "param", "code", "type", "detail") if body.get(name)]
    return (" · ".join(parts) or str(error))[:_REASON]


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a Retry-After header asks us to wait: a number, or a date."""
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return None
