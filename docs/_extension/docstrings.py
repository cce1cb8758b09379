"""Our docstrings as reStructuredText: prose, and rows of a name and what it means.

A row is `name  meaning`, its meaning in a column that the lines below go on in. A longer name is set apart by two
spaces.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import groupby
from typing import Any

_NAMES = r"[\w*\"`…][\w.*:/\"`…-]*(?:, [\w.*:/\"`…-]+)*"
_ROW = re.compile(rf"(?P<name>{_NAMES})\s{{2,}}(?P<meaning>\S.*)")
_CODE = re.compile(r"(``.+?``|`[^`]+`)", re.DOTALL)


@dataclass
class Row:
    """A name, or several, and the lines of what it means."""

    name: str
    meaning: list[str]


def rows(block: list[str]) -> tuple[list[Row], list[str]]:
    """A paragraph's rows, and its lines below them; no row if it does not begin with one, or has more columns."""
    found: list[Row] = []
    column = _column(block) if _ROW.fullmatch(block[0]) else 0
    for place, line in enumerate(block):
        row = _row(line, column) if column else None
        if row is not None:
            found.append(row)
        elif found and line.startswith(" "):
            found[-1].meaning.append(line.strip())
        else:
            return (found, block[place:]) if _two_columns(found) else ([], block)
    return (found, []) if _two_columns(found) else ([], block)


def _two_columns(found: list[Row]) -> bool:
    return not any("   " in line for row in found for line in row.meaning)


def _column(block: list[str]) -> int:
    """Where most lines' meanings begin."""
    begins = Counter(len(line) - len(line.lstrip()) for line in block if line.startswith(" "))
    begins.update(met.start("meaning") for met in map(_ROW.fullmatch, block) if met is not None)
    return begins.most_common(1)[0][0]


def _row(line: str, column: int) -> Row | None:
    if line.startswith(" "):
        return None
    at_column = len(line) > column and line[column - 1] == " " and line[column] != " "
    if at_column and re.fullmatch(_NAMES, line[:column].strip()):
        return Row(line[:column].strip(), [line[column:]])
    met = _ROW.fullmatch(line)
    return None if met is None else Row(met["name"], [met["meaning"]])


def literal(text: str) -> str:
    """Prose whose only markup is code between backticks, as reStructuredText that reads the same."""
    pieces = _CODE.split(text)
    prose = [re.sub(r"([\\*|_])", r"\\\1", piece) for piece in pieces[::2]]
    code = [f"``{piece.strip('`')}``\\ " for piece in pieces[1::2]]
    return "".join(piece for pair in zip(prose, [*code, ""], strict=True) for piece in pair)


def converted(lines: list[str]) -> list[str]:
    """A docstring's lines."""
    made: list[str] = []
    for blank, group in groupby(lines, key=lambda line: not line.strip()):
        block = [line.rstrip() for line in group]
        if not blank:
            made += [*_block(block), ""]
    return made


def _block(block: list[str]) -> list[str]:
    told, rest = rows(block)
    if told:
        listed = [line for row in told for line in (_name(row), f"   {literal(' '.join(row.meaning))}")]
        return [*listed, "", *_block(rest)] if rest else listed
    if any("   " in line.strip() or line.startswith("    ") for line in block):  # columns of their own, or code
        return ["::", "", *(f"   {line}" for line in block)]
    if block[0].startswith(("- ", "* ")):
        items = re.split(r"\n(?=[-*] )", "\n".join(block))
        return [f"- {literal(' '.join(item[2:].split()))}" for item in items]
    return [literal(" ".join(block))]


def _name(row: Row) -> str:
    return f"``{row.name.replace('`', '')}``"


def as_rst(_app: Any, what: str, _name: str, of: Any, _options: Any, lines: list[str]) -> None:
    """Sphinx's `autodoc-process-docstring`. A value has the docstring of its class, which says nothing of it."""
    lines[:] = [] if what == "data" and lines[:1] == (type(of).__doc__ or "").splitlines()[:1] else converted(lines)
