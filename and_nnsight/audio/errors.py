"""The one error of audio that cannot be used."""

from __future__ import annotations


class AudioError(ValueError):
    """Audio that cannot be used: empty, not finite, unreadable, cut short, too long or of a wrong shape.

    `name` is the clip, `reason` what is wrong with it; the message holds both.
    """

    def __init__(self, reason: str, name: str | None = None) -> None:
        super().__init__(f"{name}: {reason}" if name else reason)
        self.reason = reason
        self.name = name

    def __reduce__(self) -> tuple[type[AudioError], tuple[str, str | None]]:
        return type(self), (self.reason, self.name)  # else a worker process would send the message back as the reason


class Truncated(AudioError):
    """A file that ends before its container says it does."""

    def __init__(self, reason: str, name: str | None = None) -> None:
        super().__init__(reason if reason.startswith("is truncated") else f"is truncated: {reason}", name)
