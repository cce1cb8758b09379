"""The error of the room."""

from __future__ import annotations

from ..plugins import PluginError


class DictionaryError(PluginError):
    """A dictionary that cannot be opened, or that does not fit where it is to go."""
