"""Tables of options as TOML: read, written, and one of them kept beside others. Passwords and keys are left out."""

from __future__ import annotations

import json
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..redaction import holds_secret, without_credentials

if TYPE_CHECKING:
    from ..storage import Lock  # which imports numpy and pyarrow: every command would wait for them

NAME = "config.toml"
_LOCK = ".config.lock"
_LONGEST_WAIT = 5.0
"""Seconds that another command may take to write its table."""
_HEAD = """# What the commands were run with that this folder was made by. To repeat one of them in a new folder:
#   and-nnsight dissect --config FOLDER --out NEW
"""


def read_config(path: Path) -> dict[str, dict[str, Any]]:
    """The tables of a file. Raises ValueError for one that is none, and for what stands outside of tables."""
    from ..storage import undamaged

    if not path.exists():
        raise ValueError(f"{path} is not there: give a TOML file, or the folder of a run that was made with options")
    with undamaged(path, "mend it; it is a TOML file with a table a command"):
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise ValueError(f"{path}: {name} stands in no table: put it below the name of its command, as [dissect]")
    return tables


def keep(path: Path, name: str, values: Mapping[str, Any]) -> None:
    """Put a command's table into a file, in place of its earlier one. A file that has it already is left alone.

    Raises OSError where it cannot be written or another process holds on to it, ValueError where it is damaged.
    """
    shown = {key: value for key, value in values.items() if _may_be_written(value)}
    if path.exists() and read_config(path).get(name) == shown:
        return
    with _lock(path.with_name(_LOCK)):
        tables = read_config(path) if path.exists() else {}
        written(path, {**tables, name: values})


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """A lock on a file, waited for."""
    lock = _lock_by(path, time.monotonic() + _LONGEST_WAIT)
    try:
        yield
    finally:
        lock.close(remove=True)


def _lock_by(path: Path, end: float) -> Lock:
    from ..storage import locked

    while True:
        try:
            return locked(path)
        except BlockingIOError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


def written(path: Path, tables: Mapping[str, Mapping[str, Any]]) -> None:
    """Write tables, whole or not at all."""
    from ..storage import written_whole

    parts = [_HEAD, *(_table(name, values) for name, values in tables.items())]
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
    if holds_secret(value) or value != without_credentials(value):
        return False
    return value == value.encode("utf-8", "replace").decode("utf-8")


def _key(name: str) -> str:
    return name if all(letter.isascii() and (letter.isalnum() or letter in "-_") for letter in name) else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # TOML's own escapes are JSON's
    return str(value).lower() if isinstance(value, bool) else repr(value)
