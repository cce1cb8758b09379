"""What servers of chat models say when they do not answer, and what can be done about it.

Servers agree on status codes for little, and on the words for less. The same refusal comes as JSON of five shapes, as
text or as a page of HTML, and with 400, 403, 404, 422 or 500. Here is the one place where it is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import Enum
from html import unescape
from typing import Any

from ...redaction import without_credentials

LONGEST = 300
NOTHING_SAID = "it says nothing more"
OPTIONS = ("top_p", "seed", "temperature")  # in the order in which they are given up: top_p = 1 says nothing
_TOLD_IN = (
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
_FATAL = frozenset({401, 402, 404, 405, 407, 410})
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


class Refusal:
    """A server's error: its status, what it says, what that means, and which option it concerns."""

    def __init__(self, status: int, said: str, kind: Kind, option: str | None = None) -> None:
        self.status, self.said, self.kind, self.option = status, said, kind, option

    def __str__(self) -> str:
        return f"the server answered {self.status}: {self.said}"

    @property
    def help(self) -> str:
        """What to look at, for errors that end a run."""
        if _MODEL.search(self.said):
            return "check the model's name"
        if self.status in (401, 403) or _KEY.search(self.said):
            return "check the key"
        return "check the server's address and the model's name" if self.status in (404, 405) else ""


def refusal(status: int, body: str, *, options: Collection[str], system: bool) -> Refusal:
    """What a response of an error's status means.

    Args:
        status: of the response.
        body: its text, of any shape.
        options: the options that were sent, by the names that they were sent under.
        system: whether a system turn was sent.
    """
    said = message(body)
    named = [name for name in (*OPTIONS, *_SPELLINGS) if name in options and re.search(_SPELLINGS[name], said)]
    if status in (401, 402, 407) or _QUOTA.search(said):
        return Refusal(status, said, Kind.FATAL)
    its_own = _TOO_LONG.search(said) or _MODERATED.search(said)
    if (status in (400, 404, 422) or status >= 500) and not its_own:
        if named and _NOT_TAKEN.search(said):
            return Refusal(status, said, Kind.OPTION, named[0])
        if system and _SYSTEM.search(said):
            return Refusal(status, said, Kind.SYSTEM)
    if status in _RETRIED or status >= 500:
        return Refusal(status, said, Kind.AGAIN)
    wrong = status in (400, 403, 422) and not its_own and (_KEY.search(said) or _MODEL.search(said))
    return Refusal(status, said, Kind.FATAL if wrong or status in _FATAL else Kind.CONVERSATION)


def message(body: str) -> str:
    """What an error's body says, in a line: JSON of any shape, text, a page of HTML, or nothing."""
    try:
        told = " · ".join(dict.fromkeys(_told(json.loads(body))))
    except (ValueError, RecursionError):
        told = body
    if re.search(r"<(?:!doctype|html|head|body|title|h1|p)\b", told, re.IGNORECASE):
        told = unescape(re.sub(r"<(script|style)\b.*?</\1>|<[^>]*>", " ", told, flags=re.DOTALL | re.IGNORECASE))
    told = without_credentials(" ".join(told.split()))
    return (told if len(told) <= LONGEST else f"{told[: LONGEST - 1]}…") or NOTHING_SAID


def _told(body: Any) -> Iterator[str]:
    """The texts of a decoded body that tell something, what was sent left out."""
    if isinstance(body, Mapping):
        inner = [body[name] for name in _TOLD_IN if body.get(name) not in (None, "", [], {})]
        for value in inner or [value for value in body.values() if isinstance(value, str)]:
            yield from _told(value)
    elif isinstance(body, str):
        try:
            decoded = json.loads(body) if body.lstrip().startswith(("{", "[")) else None
        except (ValueError, RecursionError):
            decoded = None
        if decoded is None:
            yield body
        else:  # an error of another server, passed on as text
            yield from _told(decoded)
    elif isinstance(body, Sequence):
        if all(isinstance(part, str | int) for part in body):
            yield ".".join(map(str, body))  # a place in what was sent
        else:
            for part in body:
                yield from _told(part)
    elif body is not None and not isinstance(body, bool):
        yield str(body)
