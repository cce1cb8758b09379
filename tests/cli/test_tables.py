"""`best`, `export`, and `--json`: what programs read is JSON, whatever the data hold."""

from __future__ import annotations

import json
from pathlib import Path

from and_nnsight.demo import tiny_ast_path
from tests.cli.commands import run_command
from tests.explain.small_dissection import small_dissection, with_summaries

HOSTILE = "[bold]Telephone[/bold] ring \x1b[2J(3 of 5)."


def explained(folder: Path) -> Path:
    with_summaries(small_dissection(folder), {("first", 2): (HOSTILE, None)})
    return folder


def test_best_lists_units_with_what_is_known_of_them(tmp_path: Path) -> None:
    folder = explained(tmp_path / "run")
    code, out, _ = run_command("best", folder, "--most", 3)
    assert code == 0
    assert "[bold]Telephone[/bold] ring" in out and "\x1b" not in out
    assert f"and-nnsight show {folder} first" in out
    code, out, _ = run_command("best", folder, "--label", "label_0", "--json")
    assert {row["common_label"] for row in json.loads(out)} == {"label_0"}
    code, _, error = run_command("best", folder, "--label", "label")
    assert code == 2 and error.startswith("error: no unit has the label 'label': there are")


def test_json_is_whole_and_plain(tmp_path: Path) -> None:
    folder = explained(tmp_path / "run")
    shown = json.loads(run_command("show", folder, "first", 2, "--json")[1])
    assert shown["summary"] == HOSTILE
    assert [exemplar["clip"] for exemplar in shown["top"]] == [0, 1]
    (found,) = json.loads(run_command("search", folder, "telephone", "--json")[1])
    assert (found["site"], found["unit"], found["explanation"]) == ("first", 2, HOSTILE)
    assert found["exemplars"][0]["label"] == "label_0"
    assert json.loads(run_command("search", folder, "giraffe", "--json")[1]) == []
    rows = json.loads(run_command("label", folder, "--concepts", "cat,dog", "--method", "db", "--json", "--quiet")[1])
    assert {row["site"] for row in rows} == {"first", "second"}


def test_sites_are_listed_for_programs() -> None:
    listed = json.loads(run_command("sites", tiny_ast_path(), "--sites", "blocks.1.*", "--json")[1])
    assert [part["name"] for part in listed["parts"]] == ["whole"]
    post = next(site for site in listed["sites"] if site["site"] == "blocks.1.mlp.hook_post")
    assert post["units"] > 0 and post["side"] in ("input", "output") and "1" in post["path"]


def test_export_says_what_it_wrote(tmp_path: Path) -> None:
    folder = explained(tmp_path / "run")
    code, out, _ = run_command("export", folder, "--to", "csv", "--out", tmp_path / "tables")
    assert code == 0
    assert "units.csv, exemplars.csv, clips.csv, summaries.csv" in out
    assert (tmp_path / "tables" / "summaries.csv").read_text().count(HOSTILE) == 1
    code, _, error = run_command("export", folder, "--to", "xlsx", "--out", tmp_path / "no")
    assert code == 2 and error == "error: unknown format 'xlsx': one of parquet, csv, delphi, neuronpedia, dataset\n"
