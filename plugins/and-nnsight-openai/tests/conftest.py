"""Settings that every test shares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import beartype  # noqa: F401  nnsight hangs a `save` on every object; beartype trips over it unless it comes first
import pytest

from and_nnsight_openai import OpenAIChat, requesting

from .faulty_server import (
    Server,
)


@pytest.fixture(autouse=True)
def no_settings_of_whoever_runs_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "AND_NNSIGHT_OPENAI_CONCURRENCY", "AND_NNSIGHT_OPENAI_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requesting, "_FIRST_DELAY", 0.01)
    monkeypatch.setattr(requesting, "_LONGEST_DELAY", 0.1)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., OpenAIChat]:
    def chat(server: Server, **settings: Any) -> OpenAIChat:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        return OpenAIChat("a-model", **settings)

    return chat
