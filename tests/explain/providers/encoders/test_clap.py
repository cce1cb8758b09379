"""`clap:REPO` on a tiny random checkpoint with a real tokenizer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as tf

from and_nnsight import plugins
from and_nnsight.explain.providers.encoders.clap import Clap
from and_nnsight.plugins import PluginError
from tests.explain.providers.clap_checkpoint import save_clap
from tests.families import FAMILIES, clap_extractor

RATE = 48_000


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clap(tmp_path_factory.mktemp("clap"))


@pytest.fixture(scope="module")
def clap(checkpoint: Path) -> Clap:
    return Clap(str(checkpoint), device="cpu", batch_size=3)


def tone(seconds: float, pitch: float) -> np.ndarray:
    times = np.arange(round(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * pitch * times)).astype(np.float32)


def test_it_is_a_plugin_that_is_chosen_by_name(checkpoint: Path) -> None:
    made, name = plugins.resolve("audio-text encoder", f"clap:{checkpoint}", device="cpu", batch_size=2)
    assert isinstance(made, Clap)
    assert made.name == name == f"clap:{checkpoint}"
    assert made.sampling_rate == RATE


def test_sounds_and_texts_are_vectors_of_length_1_in_one_space(clap: Clap) -> None:
    sounds = clap.encode_audio([tone(1, 200), tone(0.5, 3000), tone(2, 900), tone(1, 50)])
    texts = clap.encode_text(["a dog barks", "rain", "bird sings in the street"])
    assert sounds.shape == (4, 8) and texts.shape == (3, 8)
    np.testing.assert_allclose(np.linalg.norm(np.concatenate([sounds, texts]), axis=1), 1, rtol=1e-5)
    assert len(np.unique(np.round(np.concatenate([sounds, texts]), 4), axis=0)) == 7


def test_it_gives_what_the_model_itself_gives(clap: Clap, checkpoint: Path) -> None:
    model = tf.ClapModel.from_pretrained(checkpoint).eval()
    features = clap_extractor()([tone(1, 440)], sampling_rate=RATE, return_tensors="pt")
    tokens = tf.AutoTokenizer.from_pretrained(checkpoint)("a dog barks", return_tensors="pt")
    with torch.inference_mode():
        sound = model.get_audio_features(**features).pooler_output
        text = model.get_text_features(tokens["input_ids"], tokens["attention_mask"]).pooler_output
    np.testing.assert_allclose(clap.encode_audio([tone(1, 440)]), sound.numpy(), atol=1e-5)
    np.testing.assert_allclose(clap.encode_text(["a dog barks"]), text.numpy(), atol=1e-5)


def test_a_vector_does_not_depend_on_what_else_is_in_the_batch(clap: Clap) -> None:
    clips = [tone(0.3, 300), tone(2, 1000), tone(5.1, 80), tone(1.2, 5000)]
    texts = ["rain", "bird sings in the street on the roof", "a dog"]
    together = clap.encode_audio(clips), clap.encode_text(texts)
    np.testing.assert_allclose(together[0], np.concatenate([clap.encode_audio([clip]) for clip in clips]), atol=1e-5)
    np.testing.assert_allclose(together[1], np.concatenate([clap.encode_text([text]) for text in texts]), atol=1e-5)


def test_a_long_clip_is_heard_whole_and_alike_every_time(clap: Clap) -> None:
    # Two windows of two seconds, of different content: their mean is neither, and nothing is drawn.
    low, high = tone(2, 150), tone(2, 6000)
    both = clap.encode_audio([np.concatenate([low, high])])
    np.testing.assert_array_equal(both, clap.encode_audio([np.concatenate([low, high])]))
    mean = clap.encode_audio([low]) + clap.encode_audio([high])
    np.testing.assert_allclose(both, mean / np.linalg.norm(mean), atol=1e-5)


def test_fusion_draws_nothing_either(tmp_path: Path) -> None:
    fusing = Clap(str(save_clap(tmp_path, fusion=True)), device="cpu")
    clips = [tone(1, 300), tone(1.5, 700), tone(4.5, 2000)]
    once = fusing.encode_audio(clips)
    for _ in range(4):
        np.testing.assert_array_equal(fusing.encode_audio(clips), once)


def test_texts_beyond_the_window_are_cut(clap: Clap) -> None:
    long = "dog " * 2_000
    np.testing.assert_allclose(clap.encode_text([long]), clap.encode_text([long + "rain"]), atol=1e-6)


def test_no_texts_are_no_vectors(clap: Clap) -> None:
    assert clap.encode_text([]).shape == (0, 8)
    assert clap.encode_audio([]).shape == (0, 8)


def test_a_clip_without_samples_is_refused(clap: Clap) -> None:
    with pytest.raises(ValueError, match="without samples"):
        clap.encode_audio([np.zeros(0, np.float32)])


def test_what_is_no_clap_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="cannot be loaded"):
        Clap(str(tmp_path / "nothing"))
    FAMILIES["ast-bare"].build().save_pretrained(tmp_path / "ast")
    with pytest.raises(PluginError, match="audio-spectrogram-transformer checkpoint: .* needs a CLAP"):
        Clap(str(tmp_path / "ast"))
