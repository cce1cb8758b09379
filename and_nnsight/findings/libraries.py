"""What the findings need beyond the package: scipy, scikit-learn and matplotlib, of the extra `findings`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..plugins import PluginError

_PACKAGES = {"scipy": "scipy", "sklearn": "scikit-learn", "matplotlib": "matplotlib"}
_USERS = {"scipy": "lines and intervals need", "sklearn": "clusters need", "matplotlib": "figures need"}


def needed_library(name: str) -> Any:
    """A module of one of them. Raises PluginError, which says what to install, where it is not there."""
    top = name.partition(".")[0]
    try:
        return import_module(name)
    except ImportError as error:
        raise PluginError(
            f"{_USERS[top]} {_PACKAGES[top]}, which is not installed: pip install 'and-nnsight[findings]'"
        ) from error
