"""No number that a program or a spreadsheet is given has a tail: of 32 bits made 64, or of seconds that were added up."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from and_nnsight import Dissection
from and_nnsight.findings import adjectives_per_layer
from and_nnsight.share.exporting import export
from tests.cli.commands import run_command
from tests.share.conftest import SITES


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    for each in value if isinstance(value, list) else ():
        yield from numbers(each)
    if isinstance(value, float):
        yield value


def has_tail(number: float) -> bool:
    with np.errstate(over="ignore"):
        single = np.float32(number)
    widened = float(single) == number and len(repr(number)) > len(repr(float(str(single))))
    return widened or len(repr(number)) - len(f"{number:.15g}") > 4


def test_what_a_tail_is() -> None:
    assert has_tail(0.30000000000000004) and has_tail(float(np.float32(0.1)))
    assert not any(map(has_tail, (0.3, 0.1, 1 / 3, 2 / 3e9, 0.0029985007496251873, 1e300, 0.015625, 3.0)))


@pytest.mark.parametrize(
    "words",
    [("best",), ("show", SITES[1], 40), ("show", SITES[0], 3), ("search", "bell")],
    ids=lambda words: words[0],
)
def test_json_of_the_commands(explained: Dissection, words: tuple[str | int, ...]) -> None:
    code, out, _ = run_command(words[0], explained.folder, *words[1:], "--json")
    given = list(numbers(json.loads(out)))
    assert code == 0 and len(given) > 10
    assert not [number for number in given if has_tail(number)]


def test_tables_of_spreadsheets(explained: Dissection, tmp_path: Path) -> None:
    for path in export(explained, "csv", tmp_path):
        with path.open(newline="", encoding="utf-8") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        tails = [cell for cell in cells if _is_decimal(cell) and has_tail(float(cell))]
        assert not tails, (path.name, tails[:5])


def _is_decimal(cell: str) -> bool:
    try:
        return "." in cell and np.isfinite(float(cell))
    except ValueError:
        return False


def test_rows_in_python(explained: Dissection) -> None:
    for rows in (explained.units(), explained.best(5)):
        assert not [number for row in rows for number in numbers(list(vars(row).values())) if has_tail(number)]
    finding = json.loads(adjectives_per_layer(explained).to_json())
    assert not [number for number in numbers(finding) if has_tail(number)]
