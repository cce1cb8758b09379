"""The numbers of ours in docs/paper.md are those that the benchmarks left behind."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")


def results(name: str, device: str = "cpu-2-cores") -> Any:
    return json.loads((ROOT / "benchmarks" / "results" / device / f"{name}.json").read_text(encoding="utf-8"))


def percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"


def last_layer() -> Iterator[str]:
    (_, subject) = results("last_layer")["subjects"]
    assert subject["classes"] == 51
    assert f"{round(subject['training']['parameters'], -3) // 1000} thousand parameters" in PAGE.replace("\n", " ")
    encoders = {"words": "`words`", "sentence-transformers": "all-MiniLM-L6-v2"}
    for similarity, encoder in (("cos_cubed", "words"), ("cos_cubed", "sentence-transformers"), ("soft_wpmi", "words")):
        cells = []
        for clips in ("all", "held out"):
            wanted = {"method": "DB", "encoder": encoder, "similarity": similarity, "clips": clips, "softmax": None}
            (row,) = (row for row in subject["rows"] if wanted.items() <= row.items())
            cells.append(f"{round(100 * row['top1'], 1):g}, {round(100 * row['top5'], 1):g}")
        yield line(f"| DB, `{similarity}`, encoder {encoders[encoder]}", cells)


def unlearning() -> Iterator[str]:
    shown = {"ocp": "OCP (the summary carries the class's name) | 3.90", "db": "DB | -0.23", "random": "random | 0.04"}
    selectivities, twice = [], []
    lost: dict[str, list[Any]] = {"ocp": [], "random": []}
    for device in ("nvidia-h200", "cpu-2-cores"):
        (subject,) = (
            each for each in results("unlearning", device)["subjects"] if each["subject"].startswith("trained")
        )
        assert subject["units"] == 1536
        selectivities.append(merged(subject["tables"], "5% of the units at zero"))
        for row in subject["tables"][0]["methods"]:
            if row["method"] in lost:
                lost[row["method"]].append(row["accuracy"])
        twice.append(f"{merged(subject['tables'], '5% of the units times 2')['ocp']:.2f}")
        yield f"{subject['aim']['told_from_chance']} of 12"
    yield " and ".join(twice)
    yield f"falls by {points(lost['ocp'], 'own')} points (the two networks), and on all others by"
    yield f"{points(lost['ocp'], 'others')}; with random units it falls by {points(lost['random'], 'own')}."
    for method, begins in shown.items():
        yield line(f"| {begins}", (f"{one[method]:.2f}" for one in selectivities))


def points(rows: list[Any], of: str) -> str:
    return " and ".join(f"{-100 * row[of]['value']:.0f}" for row in rows)


def merged(tables: list[Any], what: str) -> dict[str, float]:
    rows = (row for table in tables if table["what"] == what for row in table["methods"])
    return {row["method"]: row["logit"]["selectivity"]["value"] for row in rows}


def words() -> Iterator[str]:
    rows = [row for row in results("verdicts")["later_code"]["rows"] if row["source"] == "explanation"]
    own = [row for row in rows if row["claims"] == "own"]
    noise = [row for row in rows if row["claims"] == "noise"]
    yield line("beyond chance", (f"{percent(row['predict'])} of {row['of']:,}" for row in own))
    yield line("(**hold**)", (percent(row["hold"]) for row in own))
    yield line("shuffled activations", (percent(row["hold"]) for row in noise))
    yield f"{100 * (own[0]['predict'] - own[0]['hold']):.0f} % of our explanations"
    later = {name: runs for name, runs in results("retrieval")["runs_of_later_code"].items() if "another seed" in name}
    seeds = [runs["after"]["rows"][-1] for runs in later.values()]
    yield line("(chance: 5 %)", (f"{percent(row['traced'])} of {row['explained']:,}" for row in seeds))


def line(end_of_first: str, cells: Iterable[str]) -> str:
    return f"{end_of_first} | {' | '.join(cells)} |"


@pytest.mark.parametrize("made", [last_layer, unlearning, words], ids=lambda made: made.__name__)
def test_our_numbers_are_the_benchmarks(made: Any) -> None:
    text = " ".join(PAGE.split())
    for line in made():
        assert line in text, line


def test_the_commands_are_those_that_were_given() -> None:
    for name, device in (("last_layer", "cpu-2-cores"), ("unlearning", "nvidia-h200"), ("planted", "cpu-2-cores")):
        assert results(name, device)["command"] in PAGE
