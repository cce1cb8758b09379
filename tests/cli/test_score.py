"""`and-nnsight score`: a table by site, marks wherever a claim is printed, and errors in one sentence."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from and_nnsight import Dissection
from tests.cli.commands import run_command
from tests.explain.scored_dissection import KINDS, OTHER, SITE, UNITS, written
from tests.explain.small_dissection import with_summaries

run = functools.partial(run_command, columns=80)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("two")
    dissection, held_out = written(folder / "found", seed=1), written(folder / "held", seed=2)
    said = {(SITE, unit): (f"{KINDS[unit % 5].capitalize()} (5 of 5).", None) for unit in range(len(UNITS))}
    with_summaries(dissection, said | {(OTHER, 0): ("Church bell (5 of 5).", None), (OTHER, 1): ("Siren.", None)})
    return dissection.folder, held_out.folder


@pytest.mark.slow
def test_it_prints_how_many_claims_hold_by_site_in_eighty_columns(folders: tuple[Path, Path]) -> None:
    dissection, held_out = folders
    code, out, _ = run("score", dissection, "--held-out", held_out, "--quiet")
    assert code == 0
    assert "By explanation, held out (medians)" in out
    assert SITE in out
    assert OTHER in out
    assert all(len(line) <= 80 for line in out.splitlines() if str(dissection) not in line)
    assert "of 14 predict their clips (false-discovery rate 0.05)" in out
    assert "of them more than loudness, duration, silence and brightness do: these hold" in out
    assert "not judged: the unit is the same on all held-out clips" in out
    assert f"and-nnsight show {dissection} {SITE}" in out


@pytest.mark.slow
def test_labels_search_and_cards_are_marked(folders: tuple[Path, Path]) -> None:
    dissection, held_out = folders
    run("label", dissection, "--concepts", ",".join(KINDS), "--similarity", "pearson", "--quiet")
    assert run("score", dissection, "--held-out", held_out, "--quiet", "--share", 0.1)[0] == 0
    _, out, _ = run("search", dissection, "dog barking", "--sites", SITE, columns=120)
    assert "does not predict its clips (q " in out
    _, out, _ = run("show", dissection, SITE, UNITS.index("loud"))
    assert "Held out: Does not predict its clips (q " in out
    assert "loudness alone 1.00" in " ".join(out.split())
    _, out, _ = run("show", dissection, SITE, 0)
    assert "Held out: Predicts its clips (q 0.0" in out
    _, out, _ = run(
        "label", dissection, "--concepts", ",".join(KINDS), "--similarity", "pearson", "--quiet", columns=120
    )
    assert "labels that were scored hold on held-out clips" in out
    assert "* does not hold on held-out clips" in out
    starred = {line.split()[1] for line in out.splitlines() if "*" in line and SITE in line}
    assert str(UNITS.index("loud")) in starred
    assert "0" not in starred


def test_errors_are_one_sentence(folders: tuple[Path, Path], tmp_path: Path) -> None:
    dissection, held_out = folders
    for arguments, said in (
        (["--held-out", dissection], "cannot judge itself"),
        (["--held-out", tmp_path], "holds no dissection"),
        (["--held-out", held_out, "--share", 2], "share must lie between 0 and 1"),
        (["--held-out", held_out, "--source", "gossip"], "unknown source 'gossip'"),
    ):
        code, _, error = run("score", dissection, *arguments, "--quiet")
        assert code == 2
        assert said in error
        assert error.count("\n") == 1
    assert Dissection.load(dissection).sites == (SITE, OTHER)
