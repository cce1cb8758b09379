"""A step's table survives a crash, belongs to its settings, and throws nothing away."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from and_nnsight.dissection.errors import DissectionError
from and_nnsight.dissection.table_row import TableRow
from and_nnsight.explain.records.reading import has_table, read_table, table_settings
from and_nnsight.explain.records.tables import Table
from tests.bare_dissection import bare_dissection


@dataclass(frozen=True)
class Text(TableRow):
    table: ClassVar[str] = "texts"
    key: ClassVar[tuple[str, ...]] = ("site", "unit")

    site: str
    unit: int
    text: str | None


def table(folder: Path, **settings: Any) -> Table[Text]:
    return Table(bare_dissection(folder), Text, settings)


def row(unit: int, text: str | None = "x", site: str = "a") -> Text:
    return Text(site, unit, text)


def test_rows_are_there_again_in_the_order_of_their_keys(tmp_path: Path) -> None:
    with table(tmp_path, k=5) as open_table:
        open_table.add([row(2), row(1)])
        open_table.add([row(3, None)])
        assert ("a", 3) in open_table
        assert len(open_table) == 3
    dissection = bare_dissection(tmp_path)
    assert [r.unit for r in read_table(dissection, Text)] == [1, 2, 3]
    assert table_settings(dissection, "texts") == {"k": 5}
    assert has_table(dissection, "texts")
    assert not list((tmp_path / "explanations").glob(".*"))


def test_a_row_that_comes_again_replaces_the_earlier(tmp_path: Path) -> None:
    for text in ("old", "new"):
        with table(tmp_path) as open_table:
            open_table.add([row(1, text)])
    assert read_table(bare_dissection(tmp_path), Text) == [row(1, "new")]


def die(open_table: Table, cut: str = "") -> None:
    """What a process leaves that is killed with a table open, in the middle of writing a line."""
    assert open_table._journal is not None and open_table._lock is not None
    open_table._journal.write(cut)
    open_table._journal.close()
    open_table._lock.close()  # which the system does when a process dies


@pytest.mark.parametrize("cut", ['{"site": "a", "unit": 9, "te', "{", '{"site": "a", "unit": 9, "text": "x"}'])
def test_rows_survive_two_crashes_in_a_row(tmp_path: Path, cut: str) -> None:
    """The first row after a crash must not be glued to the line that the crash cut."""
    for unit in (1, 2, 3):
        open_table = table(tmp_path)
        open_table.__enter__()
        open_table.add([row(unit)])
        die(open_table, cut)
    with table(tmp_path) as again:
        whole = {9} if cut.endswith("}") else set()
        assert {r.unit for r in again.rows()} == {1, 2, 3} | whole
    assert {r.unit for r in read_table(bare_dissection(tmp_path), Text)} == {1, 2, 3} | whole


def test_rows_survive_a_process_that_is_killed(tmp_path: Path) -> None:
    killed = table(tmp_path)
    killed.__enter__()
    killed.add([row(1), row(2)])
    assert killed._journal is not None
    killed._journal.close()
    assert killed._lock is not None
    killed._lock.close()  # which the system does when a process dies
    journal = next((tmp_path / "explanations").glob(".*.jsonl"))
    with journal.open("a", encoding="utf-8") as file:
        file.write('{"site": "a", "unit": 3, "te')  # cut in the middle of a line
    with table(tmp_path) as again:
        assert ("a", 1) in again
        assert ("a", 2) in again
        assert ("a", 3) not in again
        again.add([row(3)])
    assert [r.unit for r in read_table(bare_dissection(tmp_path), Text)] == [1, 2, 3]


def test_an_exception_keeps_what_was_added(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), table(tmp_path) as open_table:
        open_table.add([row(1)])
        raise KeyboardInterrupt
    assert read_table(bare_dissection(tmp_path), Text) == [row(1)]


def test_other_settings_put_the_earlier_table_aside_and_its_own_bring_it_back(tmp_path: Path) -> None:
    with table(tmp_path, model="one") as first:
        first.add([row(1, "by one")])
    with table(tmp_path, model="two") as second:
        assert len(second) == 0
        second.add([row(1, "by two")])
    assert read_table(bare_dissection(tmp_path), Text) == [row(1, "by two")]
    with table(tmp_path, model="one") as again:
        assert again[("a", 1)].text == "by one"
    with table(tmp_path, model="two") as again:
        assert again[("a", 1)].text == "by two"


def test_a_step_that_was_not_run_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DissectionError, match="no texts yet: run `and-nnsight explain"):
        read_table(bare_dissection(tmp_path), Text)


def test_a_damaged_file_is_an_error_that_says_which(tmp_path: Path) -> None:
    with table(tmp_path) as open_table:
        open_table.add([row(1)])
    (tmp_path / "explanations" / "texts.parquet").write_bytes(b"not parquet")
    with pytest.raises(DissectionError, match=r"texts\.parquet is damaged"):
        read_table(bare_dissection(tmp_path), Text)
    with pytest.raises(DissectionError, match=r"texts\.parquet is damaged"), table(tmp_path):
        pass


def test_damage_within_a_file_is_the_same_error(tmp_path: Path) -> None:
    with table(tmp_path) as open_table:
        open_table.add([row(unit) for unit in range(100)])
    path = tmp_path / "explanations" / "texts.parquet"
    damaged = bytearray(path.read_bytes())
    damaged[4:64] = b"\xff" * 60  # the first page, after the magic bytes
    path.write_bytes(damaged)
    with pytest.raises(DissectionError, match=r"texts\.parquet is damaged .*remove it"):
        read_table(bare_dissection(tmp_path), Text)


def test_any_text_can_be_kept(tmp_path: Path) -> None:
    odd = ["\ud800 lone", "line\nbreak\u2028", '{"json": [1]}', "'; DROP TABLE", "\x00"]
    with table(tmp_path) as open_table:
        open_table.add([row(unit, text) for unit, text in enumerate(odd)])
    texts = [r.text for r in read_table(bare_dissection(tmp_path), Text)]
    assert texts == ["? lone", *odd[1:]]


def test_two_writers_do_not_share_a_table(tmp_path: Path) -> None:
    with table(tmp_path) as first:
        first.add([row(1)])
        with pytest.raises(DissectionError, match="another process is writing texts"), table(tmp_path):
            pass
        first.add([row(2)])
    assert len(read_table(bare_dissection(tmp_path), Text)) == 2


def test_a_step_that_fails_before_its_first_row_leaves_the_table_of_other_settings(tmp_path: Path) -> None:
    with table(tmp_path, model="one") as first:
        first.add([row(1, "by one")])
    with pytest.raises(ValueError, match="no such model"), table(tmp_path, model="typo"):
        raise ValueError("no such model")
    assert read_table(bare_dissection(tmp_path), Text) == [row(1, "by one")]
    assert not list((tmp_path / "explanations").glob(".*"))


@pytest.mark.slow
def test_a_process_that_ends_right_after_reading_ends_well(tmp_path: Path) -> None:
    """Arrow's threads, holding a Python file while the interpreter went down, aborted every other such process."""
    with table(tmp_path) as open_table:
        open_table.add([row(unit) for unit in range(1000)])
    program = f"""
from pathlib import Path
import torch
from tests.bare_dissection import bare_dissection
from tests.explain.records.test_tables import Text
from and_nnsight.explain.records.reading import read_table
assert len(read_table(bare_dissection(Path({str(tmp_path)!r})), Text)) == 1000
"""
    for _ in range(4):
        ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
