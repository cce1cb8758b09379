"""The answer in a response's body, of whatever shape servers give it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from and_nnsight.explain.providers.refusals import message
from and_nnsight.explain.roles import Failure

_FILTERED = frozenset(
    {"content_filter", "safety", "prohibited_content", "blocklist", "recitation", "spii", "refusal", "sensitive"}
)
_TEXTS = frozenset({"text", "output_text", "input_text"})
_REASON = 300
_CHARACTERS_A_TOKEN, _LONGEST_TOKEN = 16, 4_000  # on the average at most, and of a few tokens that are long
_TOOL = re.compile(
    r"\s*(?:<\|?tool_calls?\|?>|<function(?:_calls?)?[=>]|\[TOOL_CALLS?\]|<\|python_tag\|>)", re.IGNORECASE
)
_CALLED_TOOL = Failure("the model called a tool, and none was offered, instead of answering")


@dataclass(frozen=True)
class ErrorInAnswer:
    """An error that came with the status of a success: the status that it names, and 502 where it names none."""

    status: int


@dataclass(frozen=True)
class Junk:
    """What is no chat completion, and why. It is worth another try."""

    reason: str


def read_answer(body: str, max_tokens: int | None) -> str | Failure | ErrorInAnswer | Junk:
    """The text of the first choice. Reasoning beside it is left where it is.

    A refusal, an empty answer, the call of a tool, and an answer of far more than `max_tokens` are the model's word,
    and Failures.
    """
    answer = _read(_joined(body) if body.lstrip().startswith("data:") else body)
    if isinstance(answer, str) and max_tokens and len(answer) > _CHARACTERS_A_TOKEN * max_tokens + _LONGEST_TOKEN:
        return Failure(f"the answer has {len(answer):,} characters, and {max_tokens:,} tokens were asked for")
    return _CALLED_TOOL if isinstance(answer, str) and _TOOL.match(answer) else answer


def _joined(body: str) -> str:
    """The completion that a server sent in events, which it was not asked to; the body itself if that is none."""
    events = [line.removeprefix("data:").strip() for line in body.splitlines() if line.startswith("data:")]
    try:
        return json.dumps(_completion([json.loads(event) for event in events if event not in ("", "[DONE]")]))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return body


def _completion(chunks: list[Any]) -> Any:
    """What chunks come to: the first, unless their choices are pieces of a message."""
    choices = [chunk["choices"][0] for chunk in chunks if chunk.get("choices")]
    if not choices or "delta" not in choices[0]:
        return chunks[0]
    message: dict[str, Any] = {}
    for choice in choices:
        _add_piece(message, choice.get("delta") or {})
    return {"choices": [{"message": message, "finish_reason": choices[-1].get("finish_reason")}]}


def _add_piece(whole: dict[str, Any], piece: Any) -> None:
    """Text is added to what there is under its name; of anything else the last that says something counts."""
    for name, part in piece.items():
        if isinstance(part, str) and name != "role":
            whole[name] = f"{whole.get(name) or ''}{part}"
        else:
            whole[name] = part or whole.get(name)


def _read(body: str) -> str | Failure | ErrorInAnswer | Junk:
    try:
        response = json.loads(body.removeprefix("\ufeff"))
        if isinstance(response, Mapping) and response.get("error") and not response.get("choices"):
            return ErrorInAnswer(_status(response["error"]))
        choice = response["choices"][0]
        if choice.get("error") and not choice.get("message"):
            return ErrorInAnswer(_status(choice["error"]))
        reason = str(choice.get("finish_reason") or "").lower()
        if reason in _FILTERED:
            return Failure("the server's content filter stopped the answer")
        return _read_message(choice["message"], reason)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Junk(f"the response is no chat completion: {body[:_REASON]!r}")


def _read_message(answer: Mapping[str, Any], reason: str) -> str | Failure:
    """The text of a message; why there is none, by the reason for which the model stopped."""
    content = answer.get("content")
    refusal = answer.get("refusal") or _refusal_in(content)
    if refusal:
        return Failure(f"the model refused: {message(str(refusal))}")
    text = "".join(_texts(content))
    return text if text.strip() else Failure(_why_empty(answer, reason))


def _refusal_in(content: Any) -> Any:
    if not isinstance(content, list):
        return None
    return next((part["refusal"] for part in content if isinstance(part, Mapping) and part.get("refusal")), None)


def _why_empty(answer: Mapping[str, Any], reason: str) -> str:
    if reason == "length":
        return "the answer is empty: max_tokens were used up before it began (by reasoning?)"
    if any(answer.get(name) for name in ("tool_calls", "function_call")):
        return _CALLED_TOOL.reason
    if any(answer.get(name) for name in ("reasoning_content", "reasoning", "reasoning_details", "thinking")):
        return "the answer is empty but for the model's reasoning"
    content = answer.get("content")
    return "the answer is empty" if content is None or isinstance(content, str | list) else "the answer is no text"


def _texts(content: Any) -> Iterator[str]:
    """The texts of an answer's content: itself, or its parts of text, those of reasoning left out."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            yield from _texts(part)
    elif isinstance(content, Mapping) and content.get("type", "text") in _TEXTS:
        text = content.get("text")
        yield from _texts(text.get("value") if isinstance(text, Mapping) else text)


def _status(error: Any) -> int:
    if not isinstance(error, Mapping):
        return 502
    try:
        status = int(error.get("code", error.get("status", "")))
    except (TypeError, ValueError):
        return 502
    return status if 400 <= status < 600 else 502
