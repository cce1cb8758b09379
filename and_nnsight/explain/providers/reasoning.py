"""Answers of chat models without the reasoning that stands around them, in whatever dress it comes.

Reasoning is told by marks: `<think> … </think>`, bracketed, with a vendor's signs, or named otherwise; channels of
which only the last is the answer; headings in words. Templates that open the reasoning in the prompt leave only the
closing mark in the answer. What cannot be told apart is a Failure: reasoning must never pass for an answer.
"""

from __future__ import annotations

import re
from html import unescape
from typing import Literal

from ..roles import Failure

_WORDS = (
    r"(?:think(?:ing)?|thoughts?|thought_process|reason(?:ing|s)?|reasoning_content|rationale|reflection|reflect|"
    r"scratch_?pad|cot|chain[_ -]of[_ -]thoughts?|inner_?(?:monologue|thoughts?|voice)?|analysis|deliberation|planning)"
)
_ANSWERS = r"(?:answer|final_?(?:answer|response)?|response|solution|output|conclusion|box|summary)"
_BEFORE = r"(?:[\w.-]{1,20}:)?(?:(?:begin|start|end)_(?:of_)?)?"
_AFTER = r"(?:_(?:start|begin|end|open|close|prefix|suffix))?(?:_[0-9a-z_]*\d[0-9a-z_]*)?"
_ATTRIBUTES = r"(?:\s+[\w-]+\s*=\s*[^<>]{0,80})?"
_ENDS = re.compile(r"^end_|_(?:end|close|suffix)$")
# Brackets that stand in plain prose too: there a mark is a single word.
_BRACKETS = (r"\[\[?", r"\]?\]"), ("◁", "▷"), ("【", "】"), ("⟨", "⟩"), ("«", "»"), (r"\{\{?", r"\}?\}"), ("＜", "＞")


def _marks(words: str) -> re.Pattern[str]:
    inside = rf"\s{{0,3}}/?\s{{0,3}}{_BEFORE}{words}{_AFTER}"
    angle = rf"<[|｜]?{inside}{_ATTRIBUTES}\s{{0,3}}/?\s{{0,3}}[|｜]?>"
    others = (rf"{first}{inside}\s{{0,3}}{last}" for first, last in _BRACKETS)
    return re.compile("|".join((angle, *others)), re.IGNORECASE)


_THOUGHT = _marks(_WORDS)
_ANSWER = _marks(_ANSWERS)
_DETAILS = re.compile(
    r"<details[^>]{0,200}(?:reasoning|thinking)[^>]{0,200}>.*?(?:</details>|\Z)", re.DOTALL | re.IGNORECASE
)
_FENCE = re.compile(rf"```\s*{_WORDS}\s*\n.*?(?:\n```|\Z)", re.DOTALL | re.IGNORECASE)

_CHANNEL = re.compile(
    r"(?:<\|start\|>\s*\w+\s*)?<\|channel\|>\s*(?P<name>\w+)(?:[^<]|<\|constrain\|>)*<\|message\|>", re.IGNORECASE
)
_HALF_CHANNEL = re.compile(r"<\|channel>\s*\w+.*?<channel\|>", re.DOTALL)  # Gemma's: what follows is the answer
_ANY_CHANNEL = re.compile(r"<\|?channel\|?>", re.IGNORECASE)
_FINAL = frozenset({"final", "response", "answer"})
# The same channels after a decoder that leaves special tokens out.
_BARE_CHANNEL = re.compile(r"\A\s*(?:assistant)?(?:analysis|commentary)(?=[A-Z\"'(\[*\d]|\s*\Z)")
_BARE_FINAL = re.compile(r"assistant\s?final(?=\S)")

_HEADING = re.compile(
    r"\A[\s*#_>]*(?:here(?:'s| is) my (?:thought process|thinking|reasoning)|(?:my |the )?(?:thinking|thoughts?|"
    r"thought process|thinking process|reasoning|reasoning process|chain[ -]of[ -]thought|internal monologue|"
    r"scratchpad))[*_]*\s*(?::|\.\.\.|…|\n)",
    re.IGNORECASE,
)
_CONCLUDES = re.compile(
    r"^[\s*#_>]{0,40}(?:(?:here(?:'s| is) my )?(?:final )?(?:answer|response|summary|output|conclusion)|"
    r"\.\.\.\s*done thinking)[*_]*\s*(?:[:.]|\n)[*_]*",
    re.IGNORECASE | re.MULTILINE,
)
_TURN_ENDS = re.compile(
    r"<[|｜](?:im_end|eot_id|eot|end|endoftext|end_of_text|return|call|eom_id|end▁of▁sentence|user|start|im_start)[|｜]>"
    r"|<end_of_turn>|<start_of_turn>|</s>|<eos>|\[/INST\]|<\|END_(?:OF_TURN_TOKEN|RESPONSE)\|>"
)

_UNFINISHED = Failure("the answer ends before the model had done thinking: allow it more tokens")
_EMPTY = Failure("the answer is empty but for the model's thinking")


def without_thinking(answer: str) -> str | Failure:
    """An answer without the model's reasoning; a Failure if it ends within that, or nothing is left."""
    text = unescape(answer) if "&lt;" in answer else answer
    rest = _final_channel(text)
    rest = rest if isinstance(rest, Failure) else _outside(rest)
    rest = rest if isinstance(rest, Failure) else _inside_answer(rest)
    rest = rest if isinstance(rest, Failure) else _after_headings(rest)
    if isinstance(rest, Failure):
        return rest
    if not rest.strip():
        return _EMPTY
    return answer if rest == answer else rest.strip()


def is_mark(token: str) -> bool:
    """Whether a token is one by which reasoning is told from the answer, which a decoder must not leave out."""
    return bool(
        _kind(_THOUGHT.fullmatch(token.strip()))
        or _kind(_ANSWER.fullmatch(token.strip()))
        or _ANY_CHANNEL.fullmatch(token.strip())
        or token.strip() in ("<|message|>", "<|start|>", "<|end|>", "<|return|>", "<|constrain|>")
    )


def opens(prompt: str) -> str:
    """The mark with which a prompt opens the model's reasoning, if it ends with one; else nothing."""
    *_, last = None, *_THOUGHT.finditer(prompt)
    return last[0] if last and _kind(last) == "open" and not prompt[last.end() :].strip() else ""


def _final_channel(text: str) -> str | Failure:
    """Of several channels the last one that is meant for the reader."""
    text = _HALF_CHANNEL.sub("", text)
    if bare := _BARE_CHANNEL.match(text):
        ends = list(_BARE_FINAL.finditer(text, bare.end()))
        return text[ends[-1].end() :] if ends else _UNFINISHED
    channels = list(_CHANNEL.finditer(text))
    final = next((channel for channel in reversed(channels) if channel["name"].lower() in _FINAL), None)
    if final is not None:
        text = text[final.end() :]
    elif channels or _ANY_CHANNEL.search(text):
        return _UNFINISHED
    text = text.removeprefix("<|message|>")
    end = _TURN_ENDS.search(text)
    return text[: end.start()] if end and text[: end.start()].strip() else _TURN_ENDS.sub("", text)


def _outside(text: str) -> str | Failure:
    """What stands outside all reasoning. Whatever comes before a mark that closes and was never opened is reasoning."""
    text = _FENCE.sub("", _DETAILS.sub("", text))
    outside, depth, place = "", 0, 0
    for mark in _THOUGHT.finditer(text):
        if depth == 0:
            outside += text[place : mark.start()]
        place = mark.end()
        if _kind(mark) == "open":
            depth += 1
        elif _kind(mark) == "close":
            outside, depth = ("", 0) if depth == 0 else (outside, depth - 1)
    if depth:
        return _UNFINISHED
    return outside + text[place:]


def _inside_answer(text: str) -> str:
    """What the model marked as its answer, if it did so."""
    opened = [mark for mark in _ANSWER.finditer(text) if _kind(mark) == "open"]
    if not opened:
        return _ANSWER.sub("", text)
    rest = text[opened[-1].end() :]
    closing = _ANSWER.search(rest)
    return rest[: closing.start()] if closing else rest


def _after_headings(text: str) -> str | Failure:
    """What follows "Answer:" in an answer that begins with "Reasoning:"."""
    heading = _HEADING.match(text)
    if heading is None:
        return text
    ends = list(_CONCLUDES.finditer(text, heading.end()))
    return text[ends[-1].end() :] if ends else _UNFINISHED


def _kind(mark: re.Match[str] | None) -> Literal["open", "close", "empty"] | None:
    if mark is None:
        return None
    inside = re.sub(r"[^\w/:-]+", "", mark[0]).lower()
    name = inside.strip("/").rpartition(":")[2]
    if inside.startswith("/") or _ENDS.search(name):
        return "close"
    return "empty" if inside.endswith("/") else "open"
