"""What tests ask of a server, and faults of every request."""

from __future__ import annotations

from and_nnsight.explain.roles import ChatOptions, Conversation, Message

OPTIONS = ChatOptions(max_tokens=33, temperature=0.25, top_p=0.75, seed=7)
PATIENT = 300.0  # seconds: what is in time where the machine is held back, too


def asked(*texts: str) -> list[Conversation]:
    return [(Message("system", "Be brief."), Message("user", text)) for text in texts]


def numbers(count: int) -> list[str]:
    return [str(number) for number in range(count)]
