"""What Neuronpedia takes, field by field: of an upload, and of the files that its importer reads.

Bounds of uploads are those of its server (`api/feature/upload-batch`); columns are those of its database, as far as
they are filled here. Its client's own types bound almost nothing.
"""

from __future__ import annotations

from typing import Any

from .schema import (
    are_finite_floats,
    are_plain_texts,
    nothing,
    nullable,
    number,
    record,
    several,
    text,
    truth,
    whole_number,
)

MOST_FEATURES = 128
MOST_TOKENS = 1024
LONGEST_EXPLANATION = 512
_LARGEST = 99_999_999

_MODEL_ID = text(1, 128, "[a-z0-9_-]+")
_SET_NAME = text(1, 128, "[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?")
_SOURCE_ID = text(3, 160, r"\d+-[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?")
_INDEX = whole_number(0, 10_000_000)
_ID = text(25, 25, "c[a-z0-9]+")
_TOKENS = several(text(1), 1, MOST_TOKENS, all_fit=are_plain_texts)
_VALUES = several(number(), 1, MOST_TOKENS, all_fit=are_finite_floats)
_EXPLANATION = text(1, LONGEST_EXPLANATION)
_NUMBERS = several(number())

_UPLOAD = record(
    {
        "modelId": _MODEL_ID,
        "source": _SOURCE_ID,
        "features": several(
            record(
                {
                    "index": _INDEX,
                    "density": number(0, 1),
                    "activations": several(
                        record(
                            {
                                "tokens": _TOKENS,
                                "values": _VALUES,
                                "quantileMax": nullable(number(-_LARGEST, _LARGEST)),
                                "quantileMin": nullable(number(-_LARGEST, _LARGEST)),
                                "quantileFraction": nullable(number(0, 1)),
                            }
                        ),
                        1,
                    ),
                    "explanations": several(
                        record({"text": _EXPLANATION, "methodName": nothing, "modelName": nothing})
                    ),
                    "topLogits": nothing,
                    "bottomLogits": nothing,
                }
            ),
            1,
            MOST_FEATURES,
        ),
    }
)

ROWS = {
    "release": record(
        {
            "name": text(1, 160, "[a-z0-9_-]+"),
            "description": text(1),
            "descriptionShort": text(1),
            "creatorName": text(1),
            "creatorId": _ID,
            "visibility": text(1, pattern="PUBLIC|UNLISTED|PRIVATE"),
            "urls": several(text(1)),
        }
    ),
    "model": record(
        {
            "id": _MODEL_ID,
            "displayName": text(1),
            "displayNameShort": text(1),
            "creatorId": _ID,
            "owner": text(1),
            "layers": whole_number(),
            "neuronsPerLayer": whole_number(),
            "instruct": truth,
            "inferenceEnabled": truth,
            "visibility": text(1, pattern="PUBLIC|UNLISTED|PRIVATE"),
        }
    ),
    "sourceset": record(
        {
            "modelId": _MODEL_ID,
            "name": _SET_NAME,
            "description": text(1),
            "type": text(),
            "creatorName": text(1),
            "creatorId": _ID,
            "urls": several(text(1)),
            "releaseName": text(1, 160, "[a-z0-9_-]+"),
            "visibility": text(1, pattern="PUBLIC|UNLISTED|PRIVATE"),
            "hasDashboards": truth,
            "allowInferenceSearch": truth,
            "defaultRange": whole_number(),
            "defaultShowBreaks": truth,
        }
    ),
    "source": record(
        {
            "id": _SOURCE_ID,
            "modelId": _MODEL_ID,
            "setName": _SET_NAME,
            "creatorId": _ID,
            "visibility": text(1, pattern="PUBLIC|UNLISTED|PRIVATE"),
            "hasDashboards": truth,
            "inferenceEnabled": truth,
            "num_prompts": whole_number(1),
            "dataset": nullable(text(1)),
            "notes": text(1),
        }
    ),
    "features": record(
        {
            "modelId": _MODEL_ID,
            "layer": _SOURCE_ID,
            "index": text(1, pattern=r"\d+"),
            "sourceSetName": _SET_NAME,
            "creatorId": _ID,
            "maxActApprox": number(),
            "hasVector": truth,
            "frac_nonzero": number(0, 1),
            "freq_hist_data_bar_heights": _NUMBERS,
            "freq_hist_data_bar_values": _NUMBERS,
        }
    ),
    "activations": record(
        {
            "id": _ID,
            "modelId": _MODEL_ID,
            "layer": _SOURCE_ID,
            "index": text(1, pattern=r"\d+"),
            "creatorId": _ID,
            "tokens": _TOKENS,
            "values": _VALUES,
            "maxValue": number(),
            "maxValueTokenIndex": whole_number(0, MOST_TOKENS - 1),
            "minValue": number(),
            "dataSource": nullable(text(1)),
            "dataIndex": text(1),
        }
    ),
    "explanations": record(
        {
            "id": _ID,
            "modelId": _MODEL_ID,
            "layer": _SOURCE_ID,
            "index": text(1, pattern=r"\d+"),
            "authorId": _ID,
            "description": _EXPLANATION,
            "notes": nullable(text(1)),
        }
    ),
}
"""What a line of each file holds."""


def check_upload(batch: Any) -> None:
    """Raise ValueError, which names the place, unless Neuronpedia's server takes a batch of features."""
    _UPLOAD(batch, "")
    for place, feature in enumerate(batch["features"]):
        for index, activation in enumerate(feature["activations"]):
            _check_lengths(activation, f"features[{place}].activations[{index}]")
    indices = [feature["index"] for feature in batch["features"]]
    if len(set(indices)) < len(indices):
        raise ValueError("features must have an index each, and two have the same")


def check_row(table: str, row: Any) -> None:
    """Raise ValueError, which names the place, unless a line of one of the files is what the importer reads."""
    ROWS[table](row, table)
    if table == "activations":
        _check_lengths(row, table)
        highest = max(row["values"])
        if row["maxValue"] != highest or row["values"][row["maxValueTokenIndex"]] != highest:
            raise ValueError(f"{table}: maxValue and maxValueTokenIndex must be those of its values")
    if table == "features" and len(row["freq_hist_data_bar_heights"]) != len(row["freq_hist_data_bar_values"]):
        raise ValueError(f"{table}: the histogram must have a height for each value")


def _check_lengths(activation: Any, place: str) -> None:
    if len(activation["tokens"]) != len(activation["values"]):
        raise ValueError(f"{place} must have a value for each token")
