"""Chat models behind any OpenAI-compatible server, as a plugin of `and_nnsight`."""

from __future__ import annotations

from .chat import OpenAIChat

__all__ = ["OpenAIChat"]
