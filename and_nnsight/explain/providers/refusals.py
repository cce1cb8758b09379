"""What servers of chat models say when they do not answer, and what can be done about it.

Servers agree on status codes for little, and on the words for less. The same refusal comes as JSON of five shapes, as
text or as a page of HTML, and with 400, 403, 404, 422 or 500. Here is the one place where it is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from html import unescape
from typing import Any

from ...redaction import without_credentials

LONGEST = 300
_READ = 2**14  # characters of a body; what is looked for in it takes time that grows faster than its length
NOTHING_SAID = "it says nothing more"
OPTIONS = ("top_p", "seed", "temperature")  # in the order in which they are given up: top_p = 1 says nothing
_TELLING_NAMES = (
    *("message", "msg", "error", "errors", "detail", "details", "error_description", "description", "title", "reason"),
    *("reasons", "param", "code", "type", "loc", "metadata", "innererror", "content_filter_result"),
)
_SPELLINGS = {
    "top_p": r"\btop[_\s-]?p\b",
    "seed": r"\b(?:random[_\s-]?)?seed\b",
    "temperature": r"\btemperature\b",
    "max_tokens": r"\bmax_tokens\b|\bmaxTokens\b",
    "max_completion_tokens": r"\bmax_completion_tokens\b",
}
_TOO_LONG = re.compile(
    r"context[ _-]?(?:length|window|size)|too (?:long|large|many tokens)|maximum (?:context|length|number of tokens)|"
    r"exceeds? the|string_above_max|prompt is too|input length",
    re.IGNORECASE,
)
_NOT_TAKEN = re.compile(
    r"unsupported|not supported|does(?:n't| not) support|unrecogni[sz]ed|unknown|unexpected|not permitted|not allowed|"
    r"extra|cannot find|no such|invalid|must|should be|only|instead|both|positive|greedy|default|range|deprecated|"
    r"between|not accept|reject|cannot|can't|greater|less than|required|ignored|disabled",
    re.IGNORECASE,
)
_SYSTEM = re.compile(
    r"\bsystem\b.{0,60}(?:support|allow|accept|permit|role|enabled|available|recogni[sz]ed|unexpected|invalid|must)|"
    r"(?:support|allow|accept|permit|role|unexpected|invalid)\w*.{0,60}\bsystem\b|"
    r"developer (?:instruction|message)|roles must alternate|must alternate between|"
    r"(?:first|role).{0,40}(?:should|must) be.{0,20}\buser\b|only (?:supports? )?(?:the )?user and (?:assistant|model)",
    re.IGNORECASE | re.DOTALL,
)
_KEY = re.compile(
    r"api[ _-]?key|unauthori[sz]ed|authenticat|access token|credentials? |permission[ _]denied|"
    r"not have (?:access|permission)|insufficient permissions|billing",
    re.IGNORECASE,
)
_MODEL = re.compile(
    r"model[_ ]not[_ ]found|invalid[_ ]model|not a valid model|unknown model|no such model|no endpoints found|"
    r"\bmodel\b.{0,120}(?:does not exist|doesn't exist|not found|is not available|not loaded|"
    r"has been (?:deprecated|decommissioned))",
    re.IGNORECASE | re.DOTALL,
)
_QUOTA = re.compile(
    r"insufficient[_ ]quota|exceeded your (?:current )?quota|insufficient[_ ](?:balance|credits?|funds)", re.IGNORECASE
)
_MODERATED = re.compile(
    r"flagged|moderat|content[ _-]?(?:filter|management|policy)|usage polic|safety|harmful|inappropriate|prohibited|"
    r"violat|blocked by",
    re.IGNORECASE,
)
_OF_KEY = frozenset({401, 402, 407})
_OF_FORM = frozenset({400, 404, 422})
_FATAL = frozenset({401, 402, 404, 405, 407, 410})
_SERVERS_OWN = 500  # from here on
_RETRIED = frozenset({408, 409, 423, 425, 429})


class Kind(Enum):
    """What a refusal means.

    FATAL         every conversation would meet it: a wrong key, a missing model, a quota
    AGAIN         it may go better another time
    OPTION        an option is not taken; `Refusal.option`
    SYSTEM        there is no system role
    CONVERSATION  this conversation is not answered: too long, moderated, or for no reason that we know
    """

    FATAL = "fatal"
    AGAIN = "again"
    OPTION = "option"
    SYSTEM = "system"
    CONVERSATION = "conversation"


@dataclass(frozen=True)
class Refusal:
    """A server's error: its status, what it says, what that means, and which option it concerns."""

    status: int
    text: str
    kind: Kind
    option: str | None = None

    def __str__(self) -> str:
        return f"the server answered {self.status}: {self.text}"

    @property
    def help(self) -> str:
        """What to look at, for errors that end a run."""
        if _MODEL.search(self.text):
            return "check the model's name"
        if self.status in (401, 403) or _KEY.search(self.text):
            return "check the key"
        return "check the server's address and the model's name" if self.status in (404, 405) else ""


def refusal(status: int, body: str, *, options: Collection[str], system: bool) -> Refusal:
    """What a response of an error's status means.

    status   of the response
    body     its text, of any shape
    options  the options that were sent, by the names that they were sent under
    system   whether a system turn was sent
    """
    text = message(body)
    if status in _OF_KEY or _QUOTA.search(text):
        return Refusal(status, text, Kind.FATAL)
    if (status in _OF_FORM or status >= _SERVERS_OWN) and not _is_of_conversation(text):
        option = _option_in(text, options)
        if option is not None:
            return Refusal(status, text, Kind.OPTION, option)
        if system and _SYSTEM.search(text):
            return Refusal(status, text, Kind.SYSTEM)
    return Refusal(status, text, _kind_whatever_is_sent(status, text))


def _kind_whatever_is_sent(status: int, text: str) -> Kind:
    """What a refusal means that another form of the request would meet as well."""
    if status in _RETRIED or status >= _SERVERS_OWN:
        return Kind.AGAIN
    return Kind.FATAL if _is_fatal(status, text) else Kind.CONVERSATION


def _is_of_conversation(text: str) -> bool:
    return bool(_TOO_LONG.search(text) or _MODERATED.search(text))


def _option_in(text: str, options: Collection[str]) -> str | None:
    """The first of the options that a text says are not taken."""
    if not _NOT_TAKEN.search(text):
        return None
    names = (name for name in (*OPTIONS, *_SPELLINGS) if name in options)
    return next((name for name in names if re.search(_SPELLINGS[name], text)), None)


def _is_fatal(status: int, text: str) -> bool:
    if status in _FATAL:
        return True
    may_be_wrong = status in (400, 403, 422) and not _is_of_conversation(text)
    return may_be_wrong and bool(_KEY.search(text) or _MODEL.search(text))


def message(body: str) -> str:
    """What an error's body says, in a line: JSON of any shape, text, a page of HTML, or nothing."""
    try:
        text = " · ".join(dict.fromkeys(_texts(json.loads(body))))
    except (ValueError, RecursionError):
        text = body
    if len(text) > _READ:
        text = text[:_READ].rpartition(" ")[0] or text[:_READ]  # no half of a URL, whose password would not be seen
    if re.search(r"<(?:!doctype|html|head|body|title|h1|p)\b", text, re.IGNORECASE):
        text = unescape(re.sub(r"<(script|style)\b.*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL | re.IGNORECASE))
    text = without_credentials(" ".join(text.split()))
    return (text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…") or NOTHING_SAID


def _texts(body: Any) -> Iterator[str]:
    """The texts of a decoded body that tell something; what was sent is left out."""
    if isinstance(body, Mapping):
        for value in _telling_values(body):
            yield from _texts(value)
    elif isinstance(body, str):
        error = _decoded(body)
        yield from [body] if error is None else _texts(error)
    elif isinstance(body, Sequence):
        yield from _texts_of_list(body)
    elif body is not None and not isinstance(body, bool):
        yield str(body)


def _telling_values(body: Mapping[str, Any]) -> list[Any]:
    """The values under names that tell something; if there are none, all texts."""
    named = (body.get(name) for name in _TELLING_NAMES)
    values = [value for value in named if value not in (None, "", [], {})]
    return values or [value for value in body.values() if isinstance(value, str)]


def _decoded(text: str) -> Any:
    """The error of another server that is passed on as text; None if it is none."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _texts_of_list(body: Sequence[Any]) -> Iterator[str]:
    if all(isinstance(part, str | int) for part in body):
        yield ".".join(map(str, body))  # a place in what was sent
        return
    for part in body:
        yield from _texts(part)
