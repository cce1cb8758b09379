"""One request: sent, tried again while that may help, and its answer read."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any

from and_nnsight.explain.conversations import without_system
from and_nnsight.explain.providers.refusals import NOTHING_SAID, Kind, Refusal, refusal
from and_nnsight.explain.roles import ChatOptions, Conversation, Failure
from and_nnsight.plugins import PluginError
from and_nnsight.redaction import without_credentials
from and_nnsight.wording import first_line

from .reading import ErrorInAnswer, Junk, read_answer

_FIRST_DELAY, _LONGEST_DELAY = 0.5, 30.0  # seconds between tries, doubling
_LONGEST_WAIT = 600.0  # seconds that a server may ask us to wait
_NO_SERVER_ATTEMPTS = 3
_FAILED_IN_A_ROW = 40  # requests given up, none answered between: the server is gone
_REFUSED_FROM_THE_START = 8  # conversations refused with 403, none answered before: it is not the conversations
_HELP = {  # in our own terms
    "check the key": "check OPENAI_API_KEY",
    "check the server's address and the model's name": "check OPENAI_BASE_URL and the model's name",
}
_BARE = ("temperature", "top_p", "seed")
# The client's time-outs are those of each read, and it closes what it opened; ours ends answers that only trickle in.
_TRICKLE = 1.5


class Requesting:
    """Sends requests for a model. Remembers what its server does not take, and when it asked us to wait."""

    def __init__(self, model: str, *, timeout: float, attempts: int) -> None:
        self._model, self._timeout, self._attempts = model, timeout, attempts
        self._dropped: set[str] = set()
        self._renamed = False  # max_tokens, which newer models know as max_completion_tokens
        self._merged = False  # system turns, into the first of the user's
        self._not_before = 0.0
        self._answered, self._failed_in_a_row, self._forbidden = False, 0, 0

    async def answer(
        self, client: Any, conversation: Conversation, options: ChatOptions, warn: Callable[[str], None]
    ) -> str | Failure:
        """The answer to a conversation. Raises PluginError for what would meet every conversation alike."""
        reason, attempt = "", 0
        while attempt < self._attempts:
            await self._pause(attempt)
            result = await self._settle(client, conversation, options, warn)
            if result is None:
                continue
            if isinstance(result, str | Failure):
                self._failed_in_a_row = 0
                return result
            reason, attempt = result.reason, attempt + 1
            self._not_before = max(self._not_before, time.monotonic() + result.wait)
            if result.no_server and not self._answered and attempt >= _NO_SERVER_ATTEMPTS:
                raise PluginError(f"no server answers at {_where(client)}: {reason}")
        return self._give_up(client, attempt, reason)

    async def _settle(
        self, client: Any, conversation: Conversation, options: ChatOptions, warn: Callable[[str], None]
    ) -> str | Failure | _Again | None:
        """What one try comes to; None: the same again, in another form, which the server may take."""
        form = _Form(self._parameters(options), self._merged)
        result = await self._try(client, conversation, form)
        if not isinstance(result, Refusal):
            return result
        if self._learn(result, form, warn):
            return None
        if self._may_be_of_the_form(result):
            answer = await self._bare_answer(client, conversation, options, warn)
            if answer is not None:
                return answer
        return self._failure(result)

    def _may_be_of_the_form(self, refused: Refusal) -> bool:
        """Whether it may be the form of what we send: nothing was answered before, and it says no word of why."""
        return not self._answered and refused.status in (400, 422) and refused.text == NOTHING_SAID

    def _give_up(self, client: Any, attempts: int, reason: str) -> Failure:
        """A conversation's failure. Raises PluginError where too many have failed in a row."""
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= _FAILED_IN_A_ROW:
            raise PluginError(
                f"the server at {_where(client)} has not answered {self._failed_in_a_row} requests in a row, "
                f"the last: {reason}; what was answered is kept, run again to go on"
            )
        return Failure(f"given up after {attempts} {'try' if attempts == 1 else 'tries'}: {reason}")

    async def _pause(self, attempt: int) -> None:
        delay = min(_LONGEST_DELAY, _FIRST_DELAY * 2 ** (attempt - 1)) * random.uniform(0.75, 1.25) if attempt else 0.0
        await asyncio.sleep(max(delay, self._not_before - time.monotonic()))

    def _parameters(self, options: ChatOptions) -> dict[str, Any]:
        ours = {
            "max_completion_tokens" if self._renamed else "max_tokens": options.max_tokens,
            "temperature": options.temperature,
            "top_p": options.top_p,
            "seed": options.seed,
        }
        return {name: value for name, value in ours.items() if name not in self._dropped}

    def _learn(self, refused: Refusal, form: _Form, warn: Callable[[str], None]) -> bool:
        """Whether a refusal tells in which other form the server takes requests; from now on they have that form."""
        if refused.kind is Kind.SYSTEM:
            self._merged = True
            return True
        name = refused.option
        if refused.kind is not Kind.OPTION or name is None:
            return False
        if name == "max_tokens":
            self._renamed = True
        elif name not in self._dropped:
            self._dropped.add(name)
            value = form.options[name]
            if name != "top_p" or value != 1:
                warn(self._its_own_default(name, value))
        return True

    async def _bare_answer(
        self, client: Any, conversation: Conversation, options: ChatOptions, warn: Callable[[str], None]
    ) -> str | Failure | None:
        """The answer without options and system turn; if there is one, all requests have that form from now on."""
        parameters = {name: value for name, value in self._parameters(options).items() if name not in _BARE}
        answer = await self._try(client, conversation, _Form(parameters, merged=True))
        if not isinstance(answer, str | Failure):
            return None
        self._dropped.update(_BARE)
        self._merged = True
        warn(self._its_own_default(", ".join(_BARE), "any"))
        return answer

    def _its_own_default(self, name: str, value: Any) -> str:
        return f"the server does not take {name!r} ({value}) for {self._model}: its own default is used"

    async def _try(self, client: Any, conversation: Conversation, form: _Form) -> str | Failure | Refusal | _Again:
        turns = without_system(conversation) if form.merged else conversation
        messages = [{"role": turn.role, "content": _encodable(turn.content)} for turn in turns]
        response = await self._send(client, messages, form)
        if not isinstance(response, _Response):
            return response
        if response.status < 400:
            most = form.options.get("max_tokens") or form.options.get("max_completion_tokens")
            answer = read_answer(response.body, most)
            if isinstance(answer, Junk):
                return _Again(answer.reason)
            if not isinstance(answer, ErrorInAnswer):
                self._answered |= isinstance(answer, str)
                return answer
            response = replace(response, status=answer.status)
        return _refusal(response, form, system=any(turn.role == "system" for turn in turns))

    async def _send(
        self, client: Any, messages: Sequence[Mapping[str, str]], form: _Form
    ) -> _Response | Failure | _Again:
        """The response, whatever its status, or why there is none."""
        from openai import APIConnectionError, APIStatusError, APITimeoutError

        from .bounded_client import AnswerTooLarge

        try:
            async with asyncio.timeout(_TRICKLE * self._timeout):
                raw = await client.chat.completions.with_raw_response.create(
                    model=self._model, messages=messages, timeout=self._timeout, **form.options
                )
                return _Response(raw.status_code, raw.text, raw.headers)
        except (TimeoutError, APITimeoutError):
            return _Again(f"no answer within {self._timeout:g} s")
        except APIStatusError as error:
            return _Response(int(error.status_code), error.response.text, error.response.headers)
        except APIConnectionError as error:
            cause = error.__cause__ or error
            if isinstance(cause, AnswerTooLarge):  # it would be as large again
                return Failure(f"the server's answer cannot be taken: {cause}")
            reason = without_credentials(f"{type(cause).__name__}: {cause}")
            return _Again(reason, no_server=type(cause).__name__ == "ConnectError")
        except Exception as error:  # of the client, about this conversation: the others may do better
            return Failure(without_credentials(f"it could not be sent: {type(error).__name__}: {first_line(error)}"))

    def _failure(self, refused: Refusal) -> Failure:
        """One conversation's failure. Raises PluginError where every conversation would be refused."""
        if refused.kind is Kind.FATAL:
            help_ = _HELP.get(refused.help, refused.help)
            raise PluginError(str(refused) + (f" ({help_})" if help_ else ""))
        self._forbidden = 0 if self._answered or refused.status != 403 else self._forbidden + 1
        if self._forbidden >= _REFUSED_FROM_THE_START:
            raise PluginError(
                f"{refused}; so it did {self._forbidden} times, and has answered nothing ({_HELP['check the key']})"
            )
        return Failure(str(refused))


@dataclass(frozen=True)
class _Form:
    """The form of a request: the options that are sent by their names there, and whether system turns are merged."""

    options: Mapping[str, Any]
    merged: bool


@dataclass(frozen=True)
class _Response:
    """A server's response."""

    status: int
    body: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class _Again:
    """What may go better next time, and how many seconds the server asks us to wait."""

    reason: str
    wait: float = 0.0
    no_server: bool = False


def _refusal(response: _Response, form: _Form, system: bool) -> Refusal | _Again:
    """What the response of an error's status means. Raises PluginError where the server asks for too long a wait."""
    refused = refusal(response.status, response.body, options=form.options, system=system)
    if refused.kind is not Kind.AGAIN:
        return refused
    wait = _retry_after(response.headers) or 0.0
    if wait > _LONGEST_WAIT:
        raise PluginError(f"the server asks to wait {wait:.0f} s ({refused.text}): run again then to go on")
    return _Again(f"{response.status}: {refused.text}", wait)


def _where(client: Any) -> str:
    return without_credentials(str(client.base_url))


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


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
