"""Tables of options as TOML. Passwords and keys are left out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..redaction import without_credentials
from ..storage import written_whole

_HEAD = """# What the commands were run with that this folder was made by. To repeat one of them in a new folder:
#   and-nnsight dissect --config {folder} --out NEW
"""


def written(path: Path, tables: Mapping[str, Mapping[str, Any]]) -> None:
    """Write tables, whole or not at all."""
    parts = [_HEAD.format(folder="FOLDER"), *(_table(name, values) for name, values in tables.items())]
    with written_whole(path) as temporary:
        temporary.write_bytes("\n".join(parts).encode("utf-8"))


def _table(name: str, values: Mapping[str, Any]) -> str:
    return "\n".join([f"[{_key(name)}]", *(_line(key, value) for key, value in values.items())]) + "\n"


def _line(key: str, value: Any) -> str:
    if _may_be_written(value):
        return f"{_key(key)} = {_value(value)}"
    return f"# {_key(key)}: not written, since it holds a password or a key, or is no text"


def _may_be_written(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_may_be_written, value))
    if not isinstance(value, str):
        return True
    return value == without_credentials(value) and value == value.encode("utf-8", "replace").decode("utf-8")


def _key(name: str) -> str:
    return name if all(letter.isascii() and (letter.isalnum() or letter in "-_") for letter in name) else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # TOML's own escapes are JSON's
    return str(value).lower() if isinstance(value, bool) else repr(value)
