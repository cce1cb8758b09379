"""The objects that are written for Neuronpedia, each as its server or its importer takes it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ...dissection.dissection import Dissection
from .features import Feature
from .names import SourceName, dataset_name, display_name, identifier

CREATOR = "clkht01d40000jv08hvalcvly"
"""The user that an instance of one's own has from the start; a public instance has its importer's in its place."""
CREATOR_NAME = "Audio Network Dissection"
_URL = "https://github.com/and-nnsight/and_nnsight"
Row = dict[str, Any]


def upload_batch(model: str, source: SourceName, features: Iterable[Feature]) -> Row:
    """A batch as Neuronpedia's client sends it."""
    return {"modelId": model, "source": source.id, "features": [_uploaded(feature) for feature in features]}


def _uploaded(feature: Feature) -> Row:
    over = [
        {"tokens": each.tokens, "values": each.values, "quantileMax": None, "quantileMin": None,
         "quantileFraction": None}
        for each in feature.activations
    ]  # fmt: skip
    said = [{"text": feature.explanation, "methodName": None, "modelName": None}] if feature.explanation else []
    return {
        "index": feature.unit,
        "density": feature.density,
        "activations": over,
        "explanations": said,
        "topLogits": None,
        "bottomLogits": None,
    }


@dataclass(frozen=True)
class ExportRows:
    """Makes the lines of an export of one site, `source`, of a model whose id is `model`."""

    dissection: Dissection
    model: str
    site: str
    source: SourceName

    @property
    def _release(self) -> str:
        return f"and-nnsight-{self.model}"

    def about(self) -> dict[str, Row]:
        """The one line of each file that says what this is: release, model, source set and source."""
        manifest, width = self.dissection.manifest, self.dissection.widths()[self.site]
        layers = [each.layer for each in manifest.sites if each.layer is not None]
        name = display_name(self.dissection) or self.model
        description = f"What units of {name} respond to, over {manifest.clips:,} clips"
        made = {"creatorId": CREATOR, "visibility": "PUBLIC"}
        release = {
            "name": self._release,
            "description": description,
            "descriptionShort": name,
            "creatorName": CREATOR_NAME,
            "urls": [_URL],
        }
        model = {
            "id": self.model,
            "displayName": name,
            "displayNameShort": name,
            "owner": CREATOR_NAME,
            "layers": max(layers) + 1,
            "neuronsPerLayer": width,
            "instruct": False,
            "inferenceEnabled": False,
        }
        source_set = {
            "modelId": self.model,
            "name": self.source.set_name,
            "description": f"{self.source.set_name.removeprefix('and-')}: {width:,} units a layer, frames of sound",
            "type": "latents" if "|" in self.site else "neurons",
            "creatorName": CREATOR_NAME,
            "urls": [_URL],
            "releaseName": self._release,
            "hasDashboards": True,
            "allowInferenceSearch": False,
            "defaultRange": 10,
            "defaultShowBreaks": False,
        }
        source = {
            "id": self.source.id,
            "modelId": self.model,
            "setName": self.source.set_name,
            "hasDashboards": True,
            "inferenceEnabled": False,
            "num_prompts": manifest.clips,
            "dataset": dataset_name(self.dissection),
            "notes": self._notes(),
        }
        return {
            "release": release | made,
            "model": model | made,
            "sourceset": source_set | made,
            "source": source | made,
        }

    def _notes(self) -> str:
        pool, kept = self.dissection.manifest.pool, self.dissection.manifest.keep_activations
        histogram = "the histogram counts clips by their pooled activation" if kept else "there is no histogram"
        return (
            f"{self.site} of an audio model. Tokens are frames of sound, named by the second of the clip at which they "
            f"begin; dataIndex is the clip. Density is the share of clips whose activation, pooled by {pool} over "
            f"frames, lies above zero; {histogram}."
        )

    def feature(self, feature: Feature) -> Row:
        """A line of `features`."""
        return self._of(feature) | {
            "sourceSetName": self.source.set_name,
            "creatorId": CREATOR,
            "maxActApprox": feature.highest,
            "hasVector": False,
            "frac_nonzero": feature.density,
            "freq_hist_data_bar_heights": list(feature.histogram.heights),
            "freq_hist_data_bar_values": list(feature.histogram.values),
        }

    def activations(self, feature: Feature) -> Sequence[Row]:
        """Lines of `activations`."""
        dataset = dataset_name(self.dissection)
        return [
            self._of(feature)
            | {
                "id": self._id(feature, "clip", each.clip),
                "creatorId": CREATOR,
                "tokens": each.tokens,
                "values": each.values,
                "maxValue": each.values[each.highest],
                "maxValueTokenIndex": each.highest,
                "minValue": min(each.values),
                "dataSource": dataset,
                "dataIndex": str(each.clip),
            }
            for each in feature.activations
        ]

    def explanations(self, feature: Feature) -> Sequence[Row]:
        """Lines of `explanations`: one, or none."""
        if feature.explanation is None:
            return []
        about = {"id": self._id(feature, "explanation", feature.explanation), "authorId": CREATOR}
        return [self._of(feature) | about | {"description": feature.explanation, "notes": feature.verdict}]

    def _of(self, feature: Feature) -> Row:
        return {"modelId": self.model, "layer": self.source.id, "index": str(feature.unit)}

    def _id(self, feature: Feature, *of: object) -> str:
        return identifier(self.model, self.source.id, feature.unit, *of)
