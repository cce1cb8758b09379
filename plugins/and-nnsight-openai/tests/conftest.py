"""Settings that every test shares."""

from __future__ import annotations

import beartype  # noqa: F401  nnsight hangs a `save` on every object; beartype trips over it unless it comes first
import pytest


@pytest.fixture(autouse=True)
def no_settings_of_whoever_runs_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "AND_NNSIGHT_OPENAI_CONCURRENCY", "AND_NNSIGHT_OPENAI_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
