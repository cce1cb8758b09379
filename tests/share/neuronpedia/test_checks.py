"""The schema refuses what Neuronpedia's server and database would, and names the place."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from and_nnsight.share.neuronpedia.checks import check_row, check_upload

ACTIVATION = {
    "tokens": ["0.00s", "0.02s"], "values": [0.5, -1], "quantileMax": None, "quantileMin": None,
    "quantileFraction": None,
}  # fmt: skip
FEATURE = {
    "index": 3,
    "density": 0.25,
    "activations": [ACTIVATION],
    "explanations": [{"text": "a bell", "methodName": None, "modelName": None}],
    "topLogits": None,
    "bottomLogits": None,
}
BATCH = {"modelId": "whisper-tiny-en", "source": "2-and-mlp-hook-post", "features": [FEATURE]}
Place = tuple[str | int, ...]


def changed(place: Place, value: Any) -> dict[str, Any]:
    batch = copy.deepcopy(BATCH)
    inner: Any = batch
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    return batch


OF_ACTIVATION: Place = ("features", 0, "activations", 0)


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (("modelId",), "Whisper.tiny", "modelId must be a text like"),
        (("modelId",), "", "modelId must be a text of 1 to 128"),
        (("source",), "and-mlp", "source must be a text like"),
        (("features",), [], "features must be a list of 1 to 128"),
        (("features",), [{**FEATURE, "index": n} for n in range(129)], "features must be a list of 1 to 128"),
        (("features",), [FEATURE, FEATURE], "two have the same"),
        (("features", 0, "index"), -1, r"features\[0\].index must be from 0"),
        (("features", 0, "index"), 1.0, "must be a whole number"),
        (("features", 0, "index"), True, "must be a whole number"),
        (("features", 0, "density"), 1.01, r"features\[0\].density must be from 0 to 1"),
        (("features", 0, "density"), math.nan, "must be a finite number"),
        (("features", 0, "activations"), [], r"features\[0\].activations must be a list of 1"),
        ((*OF_ACTIVATION, "values"), [0.5], r"activations\[0\] must have a value for each token"),
        ((*OF_ACTIVATION, "values"), [0.5, math.inf], r"values\[1\] must be a finite number"),
        ((*OF_ACTIVATION, "tokens"), ["0.00s", ""], r"tokens\[1\] must be a text of 1"),
        ((*OF_ACTIVATION, "tokens"), ["0.00s", "\0"], "that a database takes"),
        ((*OF_ACTIVATION, "tokens"), ["0.00s"] * 1025, r"tokens must be a list of 1 to 1024"),
        ((*OF_ACTIVATION, "quantileFraction"), 2, "quantileFraction must be from 0 to 1"),
        (("features", 0, "explanations", 0, "text"), "x" * 513, "text must be a text of 1 to 512"),
        (("features", 0, "explanations", 0, "text"), "🔔" * 257, "text must be a text of 1 to 512"),
        (("features", 0, "explanations", 0, "text"), "half a \ud83d bell", "that a database takes"),
        (("features", 0, "explanations", 0, "methodName"), "keywords", "methodName must be null"),
        (("features", 0, "name"), "x", "must be an object of index, density"),
    ],
)
def test_what_the_server_refuses_is_refused_here(place: Place, value: Any, reason: str) -> None:
    check_upload(copy.deepcopy(BATCH))
    with pytest.raises(ValueError, match=reason):
        check_upload(changed(place, value))


@pytest.mark.parametrize("lacking", [*BATCH, *FEATURE])
def test_every_field_must_be_there(lacking: str) -> None:
    batch = copy.deepcopy(BATCH)
    del (batch if lacking in batch else batch["features"][0])[lacking]
    with pytest.raises(ValueError, match="must be an object of"):
        check_upload(batch)


@pytest.mark.parametrize("other", [None, [], "x", 3, {"features": None}])
def test_what_is_no_batch_is_refused(other: Any) -> None:
    with pytest.raises(ValueError, match="it must be an object"):
        check_upload(json.loads(json.dumps(other)))


def activation_row() -> dict[str, Any]:
    of = {"id": "c" + "0" * 24, "modelId": "m", "layer": "0-s", "index": "3", "creatorId": "c" + "1" * 24}
    highest = {"maxValue": 0.5, "maxValueTokenIndex": 0, "minValue": -1}
    return of | highest | {"tokens": ["a", "b"], "values": [0.5, -1], "dataSource": None, "dataIndex": "7"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda row: row.update(maxValueTokenIndex=1), "must be those of its values"),
        (lambda row: row.update(maxValue=0.4), "must be those of its values"),
        (lambda row: row.update(id="17"), r"activations.id must be a text of 25"),
        (lambda row: row.update(index=3), r"activations.index must be a text"),
        (lambda row: row.pop("dataIndex"), "must be an object of"),
        (lambda row: row.update(values=[0.5]), "a value for each token"),
    ],
)
def test_a_line_that_the_importer_could_not_insert_is_refused(
    change: Callable[[dict[str, Any]], Any], reason: str
) -> None:
    row = activation_row()
    check_row("activations", row)
    change(row)
    with pytest.raises(ValueError, match=reason):
        check_row("activations", row)
