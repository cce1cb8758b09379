"""What chat models of every kind need: answers put in order, system turns merged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .roles import Conversation, Failure, Message


def in_order(answers: Iterable[tuple[int, str | Failure]], count: int) -> Iterator[str | Failure]:
    """Answers that come with the index of their conversation, in the order of the conversations.

    Every index from 0 to `count` is expected once; one that never comes is a Failure.
    """
    early: dict[int, str | Failure] = {}
    due = 0
    for index, answer in answers:
        early[index] = answer
        while due in early:
            yield early.pop(due)
            due += 1
    yield from (early.get(index, Failure("no answer came")) for index in range(due, count))


def without_system(conversation: Conversation) -> Conversation:
    """The same for a model that knows no system role: what it says stands at the head of the first user turn."""
    system = "\n\n".join(turn.content for turn in conversation if turn.role == "system")
    turns = [turn for turn in conversation if turn.role != "system"]
    if not system:
        return conversation
    first = next((place for place, turn in enumerate(turns) if turn.role == "user"), None)
    if first is None:
        return (Message("user", system), *turns)
    turns[first] = Message("user", f"{system}\n\n{turns[first].content}")
    return tuple(turns)
