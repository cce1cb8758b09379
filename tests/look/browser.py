"""A real browser for tests: the system's Chromium by playwright's Python client, or the reason why there is none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def playwright_driver() -> Iterator[Any]:
    """What starts browsers. A process has room for one at a time. Skips where playwright is not installed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        yield driver


@contextmanager
def chromium(driver: Any, *arguments: str) -> Iterator[Any]:
    """The browser, with further arguments of its command line. Skips where it is not installed."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    # --no-sandbox: in a container there is no user namespace to make one of.
    browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox", *arguments])
    yield browser
    browser.close()


class Visit:
    """A page opened from a file, and what it asked for and said meanwhile."""

    def __init__(self, browser: Any, file: Path, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(f"dialog {dialog.message}"))
        self.address = file.as_uri()
        self.page.goto(self.address)

    @property
    def outside(self) -> list[str]:
        """What was asked for beside the file itself and what it holds."""
        return [url for url in self.requests if not url.startswith((self.address, "data:"))]

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *error: object) -> None:
        self.context.close()
