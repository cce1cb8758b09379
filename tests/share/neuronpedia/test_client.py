"""Neuronpedia's own client sends what was written, unchanged; nothing goes over a network."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from and_nnsight import Dissection
from and_nnsight.share.neuronpedia import export_neuronpedia
from tests.share.conftest import SITES, dissected_sounds

client: Any = pytest.importorskip(
    "neuronpedia", reason="Neuronpedia's client is not here: pip install 'neuronpedia>=1.2.1'"
)


@pytest.mark.slow
def test_its_client_sends_the_batch_as_it_is(
    explained: Dissection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from neuronpedia.np_activation import Activation
    from neuronpedia.np_explanation import Explanation
    from neuronpedia.np_feature import Feature
    from neuronpedia.requests.base_request import NPRequest
    from neuronpedia.requests.feature_request import FeatureRequest

    dissection = Dissection.load(shutil.copytree(explained.folder, tmp_path / "run"))
    units = [(SITES[0], unit) for unit in range(4)]
    written = export_neuronpedia(
        dissection, tmp_path / "out", units, data=dissected_sounds(), device="cpu", progress=False
    )
    (batch,) = [json.loads(path.read_text()) for path in written.batches]
    sent: list[tuple[str, str, Any]] = []

    def capture(self: Any, uri: str = "", method: str = "POST", **values: Any) -> None:
        sent.append((f"{self.endpoint}/{uri}", method, values["json"]))

    monkeypatch.setattr(NPRequest, "send_request", capture)
    at = {"modelId": batch["modelId"], "source": batch["source"]}
    features = [
        Feature(
            **at,
            index=each["index"],
            density=each["density"],
            explanations=[Explanation(**at, index=each["index"], text=one["text"]) for one in each["explanations"]],
            activations=[Activation(**at, index=each["index"], **one) for one in each["activations"]],
        )
        for each in batch["features"]
    ]
    FeatureRequest(api_key="none").upload_batch(batch["modelId"], batch["source"], features)
    assert sent == [("feature/upload-batch", "POST", batch)]
    assert any(each["explanations"] for each in batch["features"])
    assert "NEURONPEDIA_API_KEY" not in os.environ
