"""The test whether an adjective describes sound, once a distinct word over the whole dissection: the table `words`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from ...dissection.dissection import Dissection
from ...progress import step_progress
from ..providers.requests import CachedChat, cached_chat
from ..records.description_rows import WordRow
from ..records.tables import Table
from ..roles import ChatModel, ChatOptions, Conversation, Failure, Message
from ..text.acoustic_adjectives import is_acoustic

VERSION = 1
"""Goes up when the same word may be judged otherwise: the question, the reading of answers, or the list."""

QUESTION = (
    'Can the adjective "{}" describe the tone, emotion or acoustic features of audio, music or any other sound? '
    "Answer yes or no."
)
AGAIN = "Answer with one word: yes or no."
"""What a model that talked round the question is asked, once."""

_VERDICT = re.compile(r"\b(yes|no)\b", re.IGNORECASE)
_BOTH = re.compile(r"\b(?:yes|no)\b\s*(?:,?\s*(?:and|or|nor)\b|/)\s*\b(?:yes|no)\b", re.IGNORECASE)
_MARK = re.compile(r"\s*(?:[^\w\s]|\n|$)")
_IDIOM = re.compile(r"\s+(?:clear|concern|doubt|idea|information|one|problem|question|way)\b", re.IGNORECASE)


def judge_words(
    dissection: Dissection,
    words: Sequence[str],
    model: ChatModel | None,
    options: ChatOptions,
    progress: bool = True,
) -> dict[str, bool]:
    """Whether each adjective is acoustic; words without a verdict (a failure, on record) are left out.

    What is on record is not asked again, failures are. Without a model, the list of `acoustic_adjectives` decides.
    """
    with Table(dissection, WordRow, _settings(model, options)) as table:
        due = [word for word in words if _is_due(table, word)]
        if model is None:
            table.add(WordRow(word, is_acoustic(word), "list") for word in due)
        elif due:
            with (
                step_progress("testing adjectives", len(due), progress) as done,
                cached_chat(dissection, model) as chat,
            ):
                for row in _ask(chat, due, options):
                    table.add([row])
                    done(1)
        rows = [table[(word,)] for word in words]
    return {row.word: bool(row.acoustic) for row in rows if row.failure is None}


def _settings(model: ChatModel | None, options: ChatOptions) -> dict[str, Any]:
    if model is None:
        return {"source": "list", "version": VERSION}
    name = str(getattr(model, "name", None) or type(model).__qualname__)
    return {"source": "chat", "version": VERSION, "chat": name, "options": vars(options)}


def _is_due(table: Table[WordRow], word: str) -> bool:
    row = table.get((word,))
    return row is None or row.failure is not None


def verdict(answer: str) -> bool | None:
    """What an answer to a yes-or-no question says, by its first such word; None if it says neither.

    "Yes or no", repeated from the question, says neither; nor does a "no" that denies something else ("there is no
    doubt"): further on than the first word, it counts only where a mark or the end follows.
    """
    answer = _BOTH.sub(lambda both: "-" * len(both.group()), answer)
    for match in _VERDICT.finditer(answer):
        rest = answer[match.end() :]
        leads = not any(char.isalnum() for char in answer[: match.start()])
        if _MARK.match(rest) or (leads and not _IDIOM.match(rest)):
            return match.group().lower() == "yes"
    return None


def _ask(chat: CachedChat, words: Sequence[str], options: ChatOptions) -> Iterator[WordRow]:
    """A row a word, as the answers come; last those of the words that were asked about twice."""
    unclear: dict[str, Conversation] = {}
    questions: list[Conversation] = [(Message("user", QUESTION.format(word)),) for word in words]
    for word, question, answer in zip(words, questions, chat.chat(questions, options), strict=True):
        if isinstance(answer, str) and verdict(answer) is None:
            unclear[word] = (*question, Message("assistant", answer), Message("user", AGAIN))
        else:
            yield _row(word, answer, chat.request_id(question, options))
    again = list(unclear.values())
    for word, question, answer in zip(unclear, again, chat.chat(again, options), strict=True):
        yield _row(word, answer, chat.request_id(question, options))


def _row(word: str, answer: str | Failure, request: str) -> WordRow:
    if isinstance(answer, Failure):
        return WordRow(word, None, "chat", request=request, failure=answer.reason)
    acoustic = verdict(answer)
    failure = "the answer is neither yes nor no" if acoustic is None else None
    return WordRow(word, acoustic, "chat", answer, request, failure)
