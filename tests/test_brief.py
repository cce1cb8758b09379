"""Every public object is printed within five lines, whatever it holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from and_nnsight import ConceptScores
from and_nnsight.explain import card, explain, label, read_table, search
from and_nnsight.maps.listenable_map import MapActivations
from and_nnsight.unlearn import UnitChoice
from tests.look.hostile_clips import SITE, hostile_clips
from tests.run.runs import made

LINES, WIDTH = 5, 100


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("brief") / "run"
    model = made()
    dissection = hostile_clips(folder)
    unit = dissection.unit(SITE, 0)
    tables = explain(dissection, units=range(6), progress=False)
    labels = label(dissection, "labels", method="db", progress=False)
    said = next(row.concept for row in labels if row.concept and row.rank == 0 and "combining" not in row.concept)
    store, scores = dissection.exemplars(), ConceptScores.from_labels({clip: f"{clip}" * 90 for clip in range(40)})
    found = {
        "dissection": dissection, "unit": unit, "exemplar": unit.top[0], "card": card(dissection, SITE, 0),
        "manifest": dissection.manifest, "statistics": dissection[SITE], "top": dissection[SITE].top,
        "evidence": dissection.evidence(SITE, "top"), "clip": dissection.clips[0], "clips": dissection.clips, "store": store,
        "curves": store.curves, "curve": unit.curve(unit.top[0].clip), "tables": tables, "labels": labels,
        "label": labels[0], "captions": read_table(dissection, "captions"), "matches": search(dissection, said),
        "model": model, "site": model.sites()[0], "scores": scores,
        "choice": UnitChoice({SITE: range(64), "blocks.0.mlp.hook_post": range(64)}, settings={"a": "b" * 5000}),
    }  # fmt: skip
    found["activations of a map"] = MapActivations(1.0, 0.9, 0.1, 0.0, (1 / 3,) * 20)
    found |= {f"row of {name}": rows[0] for name, rows in tables.items() if rows}
    return found | {"match": found["matches"][0]}


@pytest.mark.slow
def test_each_is_printed_within_five_lines(objects: dict[str, Any]) -> None:
    for name, each in objects.items():
        text = repr(each)
        lines = sum(1 + len(line) // WIDTH for line in text.split("\n"))
        assert lines <= LINES, f"{name}: {len(text)} characters: {text[:200]}"
        assert type(each).__name__ in text or name in ("tables", "labels", "captions"), text


def test_rows_and_units_become_frames(objects: dict[str, Any]) -> None:
    labels, tables, unit = objects["labels"], objects["tables"], objects["unit"]
    assert list(labels.to_pandas()["concept"]) == [row.concept for row in labels]
    frame = tables.to_pandas()
    assert list(frame.columns) == ["site", "unit", "summaries", "calibrated", "concepts"] and len(frame) == 6
    assert list(unit.to_pandas()["clip"]) == [one.clip for one in (*unit.top, *unit.bottom)]
    assert len(objects["card"].to_pandas()) == len(unit.top) + len(unit.bottom)
    assert list(objects["matches"].to_pandas()["unit"]) == [match.unit for match in objects["matches"]]
    curve = objects["curve"]
    assert np.array_equal(curve.to_pandas()["activation"], curve.activation)


def test_a_plot_has_the_curve_and_its_mark(objects: dict[str, Any]) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    axes = objects["exemplar"].plot()
    assert pyplot.get_fignums() == [axes.figure.number], "a notebook shows what pyplot knows of"
    pyplot.close(axes.figure)
    assert axes.get_xlabel() == "seconds" and len(axes.patches) == 2
    (stairs,) = [patch for patch in axes.patches if hasattr(patch, "get_data")]
    assert np.array_equal(stairs.get_data().values, objects["exemplar"].curve().activation)


def test_an_audio_model_still_prints_its_tree(objects: dict[str, Any]) -> None:
    assert str(objects["model"]).count("\n") > 20


def test_an_exemplar_made_by_hand_says_that_it_is_nobodys() -> None:
    from and_nnsight import DissectionError
    from and_nnsight.dissection.exemplars import Exemplar

    exemplar = Exemplar(1, None, None, None, 0.5, 3, None, None)
    assert exemplar._repr_html_() is None
    with pytest.raises(DissectionError, match="made by hand"):
        exemplar.audio()
