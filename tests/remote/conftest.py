"""The loopback NDIF for every test here: one per process, started when a test first asks for it."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.remote import loopback as loopback_module
from tests.remote.loopback import Loopback
from tests.warm_python import WarmPython


@pytest.fixture(scope="session")
def loopback_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    """The server as earlier tests left it; ask for `loopback` instead."""
    server = Loopback(tmp_path_factory.mktemp("loopback"))
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def loopback(loopback_server: Loopback) -> Loopback:
    """A running server without faults, jobs or counts."""
    loopback_server.start().reset()
    return loopback_server


@pytest.fixture
def run_client(tmp_path: Path) -> Callable[..., object]:
    """`loopback.run_client` in the test's own folder."""
    return functools.partial(loopback_module.run_client, folder=tmp_path / "client")


@pytest.fixture
def run_script(warm_python: WarmPython, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a script as `run_client` does, in a process that is forked, with the same variables for every test."""
    return functools.partial(warm_python.run, cwd=tmp_path / "client", before=loopback_module.AS_INSTALLED)
