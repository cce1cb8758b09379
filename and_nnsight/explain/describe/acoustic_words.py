"""The test whether an adjective describes sound, once a distinct word over the whole dissection: the table `words`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import pyarrow as arrow

from ...dissection.dissection import Dissection
from ...progress import step_progress
from ..providers.requests import Remembered, remembered
from ..records.tables import Row, Table
from ..roles import ChatModel, ChatOptions, Conversation, Failure, Message
from ..text.acoustic_adjectives import is_acoustic

VERSION = 1
"""Goes up when the same word may be judged otherwise: the question, the reading of answers, or the list."""

SCHEMA = arrow.schema(
    [
        ("word", arrow.string()),
        ("acoustic", arrow.bool_()),
        ("source", arrow.string()),
        ("answer", arrow.string()),
        ("request", arrow.string()),
        ("failure", arrow.string()),
    ]
)
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
    found: Dissection, words: Sequence[str], model: ChatModel | None, options: ChatOptions, progress: bool = True
) -> dict[str, bool]:
    """Whether each adjective is acoustic; words without a verdict (a failure, on record) are left out.

    What is on record is not asked again, failures are. Without a model, the list of `acoustic_adjectives` decides.
    """
    source = "list" if model is None else "chat"
    settings = {"source": source, "version": VERSION}
    if model is not None:
        name = str(getattr(model, "name", None) or type(model).__qualname__)
        settings |= {"chat": name, "options": vars(options)}
    with Table(found, "words", SCHEMA, ("word",), settings) as table:
        due = [word for word in words if (row := table.get((word,))) is None or row["failure"] is not None]
        if model is None:
            table.add(_row(word, is_acoustic(word), source) for word in due)
        elif due:
            with step_progress("testing adjectives", len(due), progress) as done, remembered(found, model) as chat:
                for row in _asked(chat, due, options):
                    table.add([row])
                    done(1)
        return {word: row["acoustic"] for word in words if (row := table[(word,)])["failure"] is None}


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


def _asked(chat: Remembered, words: Sequence[str], options: ChatOptions) -> Iterable[Row]:
    """A row a word, as the answers come; last those of the words that were asked about twice."""
    unclear: list[tuple[str, Conversation]] = []
    questions: list[Conversation] = [(Message("user", QUESTION.format(word)),) for word in words]
    for word, question, answer in zip(words, questions, chat.chat(questions, options), strict=True):
        if isinstance(answer, str) and verdict(answer) is None:
            unclear.append((word, (*question, Message("assistant", answer), Message("user", AGAIN))))
        else:
            yield _judged(word, answer, chat.request_id(question, options))
    seconds = [question for _, question in unclear]
    for (word, question), answer in zip(unclear, chat.chat(seconds, options), strict=True):
        yield _judged(word, answer, chat.request_id(question, options))


def _judged(word: str, answer: str | Failure, request: str) -> Row:
    if isinstance(answer, Failure):
        return _row(word, None, "chat", request=request, failure=answer.reason)
    said = verdict(answer)
    return _row(word, said, "chat", answer, request, None if said is not None else "the answer is neither yes nor no")


def _row(
    word: str,
    acoustic: bool | None,
    source: str,
    answer: str | None = None,
    request: str | None = None,
    failure: str | None = None,
) -> Row:
    return {
        "word": word,
        "acoustic": acoustic,
        "source": source,
        "answer": answer,
        "request": request,
        "failure": failure,
    }
