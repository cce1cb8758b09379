"""The packages of `javascript/package.json`, for tests: installed once, or the test is skipped with the reason."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "javascript"


def node_package(name: str) -> Path:
    """The folder of a package. Skips where there is neither the package nor a way to get it."""
    folder = FOLDER / "node_modules" / name
    if not folder.exists():
        _install()
    return folder


def run_tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a package's command."""
    node_package(name.partition("/")[0] if name != "tsc" else "typescript")
    command = [str(FOLDER / "node_modules" / ".bin" / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _install() -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("there is no npm, which gets what the pages' scripts are checked with")
    command = [npm, "ci", "--no-audit", "--no-fund", "--fetch-retries=0", "--fetch-timeout=20000"]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"npm gets nothing here: {done.stderr.strip()[:200]}")
