"""How many tokens a model knows, as its config says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def vocabulary_sizes(config: Any) -> Iterator[int]:
    """The sizes of the vocabularies of a config, and of the configs in it."""
    if config is None:
        return
    if isinstance(size := getattr(config, "vocab_size", None), int):
        yield size
    for name in getattr(type(config), "sub_configs", {}):
        yield from vocabulary_sizes(getattr(config, name, None))
