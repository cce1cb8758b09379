"""AudioModel takes anything that is audio, and everything of nnsight still works on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor

from and_nnsight import AudioError, AudioModel, SiteError
from tests.families import FAMILIES, LABELS, whisper_config, whisper_extractor
from tests.model.small_ast import logits
from tests.sounds_for_tests import RATE, noise, wav_bytes

pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning")


def plain(checkpoint: Path, waves: list[np.ndarray]) -> Tensor:
    extractor = transformers.ASTFeatureExtractor.from_pretrained(checkpoint)
    module = transformers.ASTForAudioClassification.from_pretrained(checkpoint)
    with torch.no_grad():
        return module(**extractor(waves, sampling_rate=RATE, return_tensors="pt")).logits


def forms(wave: np.ndarray, folder: Path) -> dict[str, Any]:
    path = folder / "a.wav"
    path.write_bytes(wav_bytes(wave))
    return {
        "path": path,
        "path as text": str(path),
        "bytes": path.read_bytes(),
        "numpy": wave,
        "float64": wave.astype(np.float64),
        "torch": torch.from_numpy(wave),
        "torch, one channel": torch.from_numpy(wave)[None],
        "stereo": np.stack([wave, wave]),
        "audio dict": {"array": wave, "sampling_rate": RATE},
        "undecoded dict": {"bytes": path.read_bytes(), "path": None},
        "list": [wave],
    }


@pytest.mark.parametrize("form", ["path", "path as text", "bytes", "numpy", "float64", "torch", "torch, one channel",
                                  "stereo", "audio dict", "undecoded dict", "list"])  # fmt: skip
def test_any_audio_gives_what_the_plain_model_gives(
    form: str, model: AudioModel, checkpoint: Path, tmp_path: Path
) -> None:
    wave = noise(1.3)
    assert torch.equal(logits(model, forms(wave, tmp_path)[form]), plain(checkpoint, [wave]))


def test_integer_pcm_is_scaled(model: AudioModel, checkpoint: Path) -> None:
    pcm = (noise(1.0) * 32767).astype(np.int16)
    expected = plain(checkpoint, [pcm.astype(np.float32) / 32768])
    assert torch.equal(logits(model, pcm), expected)
    assert torch.equal(logits(model, torch.from_numpy(pcm)), expected)


def test_a_ragged_list_of_several_forms(model: AudioModel, checkpoint: Path, tmp_path: Path) -> None:
    waves = [noise(0.5), noise(1.7, seed=1), noise(1.0, seed=2)]
    mixed = [forms(waves[0], tmp_path)["bytes"], torch.from_numpy(waves[1]), {"array": waves[2], "sampling_rate": RATE}]
    assert torch.equal(logits(model, mixed), plain(checkpoint, waves))


def test_a_decoded_datasets_value(model: AudioModel, checkpoint: Path) -> None:
    class Decoded:  # what datasets>=4 hands out, without its codec library
        def get_all_samples(self) -> Any:
            class Samples:
                data, sample_rate = torch.from_numpy(noise(1.0))[None], RATE

            return Samples()

    assert torch.equal(logits(model, Decoded()), plain(checkpoint, [noise(1.0)]))


def test_another_rate_is_resampled(model: AudioModel) -> None:
    time = np.arange(44_100) / 44_100
    tone = np.sin(2 * np.pi * 440 * time).astype(np.float32)
    at_16 = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE).astype(np.float32)
    from_dict = logits(model, {"array": tone, "sampling_rate": 44_100})
    assert torch.equal(from_dict, logits(model, tone, sampling_rate=44_100))
    torch.testing.assert_close(from_dict, logits(model, at_16), atol=0.05, rtol=0.05)
    assert not torch.allclose(from_dict, logits(model, tone), atol=1e-3)


def test_ready_features(model: AudioModel) -> None:
    wave = noise(1.0)
    features = model.features(wave)
    expected = logits(model, wave)
    assert torch.equal(logits(model, features), expected)
    assert torch.equal(logits(model, features["input_values"]), expected)
    with torch.no_grad(), model.trace(input_values=features["input_values"]):
        out = model.output.logits.save()
    assert torch.equal(out, expected)


@pytest.mark.parametrize(
    ("audio", "reason"),
    [
        (np.zeros(0, np.float32), "no samples|empty|0 samples"),
        (np.array([0.0, np.nan] * 500, np.float32), "finite"),
        (b"not a sound at all", "clip|bytes|audio"),
        ("nowhere.wav", "nowhere.wav"),
        ([noise(1.0), np.zeros(0, np.float32)], "clip 1"),
        ([], "empty list"),
    ],
)
def test_what_is_no_audio_is_an_audio_error(model: AudioModel, audio: Any, reason: str) -> None:
    with pytest.raises(AudioError, match=reason):
        model.trace(audio)


def test_a_clip_too_short_for_the_model_says_so(model: AudioModel) -> None:
    with pytest.raises(AudioError, match="399 samples at 16000 Hz.*at least 400"):
        model.features(noise(399 / RATE))


@pytest.mark.parametrize("name", FAMILIES)
def test_outputs_equal_the_plain_forward_on_every_family(name: str) -> None:
    family = FAMILIES[name]
    module, model = family.build(), AudioModel(family.build(), feature_extractor=family.extractor())
    waves = [noise(1.0), noise(0.6, seed=1)]
    with torch.no_grad():
        features = model.model_inputs(model.features(waves, RATE))
        if name == "clap":  # its own forward wants text beside the sound
            expected = module.get_audio_features(**features)
            with model.trace(waves, sampling_rate=RATE) as tracer:
                got = tracer.result.save()
        else:
            expected = module(**features)
            with model.trace(waves, sampling_rate=RATE):
                got = model.output.save()
    first = next(value for value in expected.to_tuple() if isinstance(value, Tensor))
    assert torch.equal(next(value for value in got.to_tuple() if isinstance(value, Tensor)), first)


def test_site_inside_a_trace(model: AudioModel) -> None:
    with torch.no_grad(), model.trace(noise(1.0)):
        post = model.site("blocks.1.mlp.hook_post").save()
        out = model.output.logits.save()
    assert post.shape == (1, 102, 64)
    assert out.shape == (1, LABELS)
    with pytest.raises(SiteError, match="names 2 sites"):
        model.site("blocks.*.mlp.hook_post")


def test_editing_a_site_changes_the_output(model: AudioModel) -> None:
    wave = noise(1.0)
    before = logits(model, wave)
    with torch.no_grad(), model.trace(wave):
        model.site("blocks.0.mlp.hook_post")[:] = 0
        traced = model.output.logits.save()
    assert not torch.equal(before, traced)
    with model.edit() as (_, edited):
        edited.site("blocks.0.mlp.hook_post")[:] = 0
    assert torch.equal(logits(edited, wave), traced)
    assert torch.equal(logits(model, wave), before)


def test_cache_keeps_the_modules_asked_for(model: AudioModel) -> None:
    site = model.sites("blocks.1.mlp.hook_pre")[0]
    with torch.no_grad(), model.trace(noise(1.0)) as tracer:
        cache = tracer.cache(modules=[model.envoy(site.path)])
    (path,) = cache.keys()
    entry = cache[path]
    with torch.no_grad(), model.trace(noise(1.0)):
        pre = model.site(site.name).save()
    assert torch.equal(entry.output, pre)


def test_several_invokes_see_their_own_rows(model: AudioModel) -> None:
    one, two = noise(1.0), [noise(0.7, seed=1), noise(1.5, seed=2)]
    with torch.no_grad(), model.trace() as tracer:
        with tracer.invoke(one):
            first = model.site("blocks.0.mlp.hook_post").save()
        with tracer.invoke(two):
            second = model.site("blocks.0.mlp.hook_post").save()
    assert (len(first), len(second)) == (1, 2)
    with torch.no_grad(), model.trace([one, *two]):
        whole = model.site("blocks.0.mlp.hook_post").save()
    assert torch.equal(torch.cat([first, second]), whole)
    with torch.no_grad(), model.trace() as tracer:
        with tracer.invoke(model.features(one)):
            again = model.site("blocks.0.mlp.hook_post").save()
        with tracer.invoke(model.features(two)):
            pass
    assert torch.equal(again, first)


def test_invokes_whose_features_do_not_fit_together_say_so() -> None:
    family = FAMILIES["wav2vec2-pre"]
    model = AudioModel(family.build(), feature_extractor=family.extractor())
    with pytest.raises(ValueError, match="features differ in their names or shapes"):  # noqa: SIM117
        with model.trace() as tracer:
            with tracer.invoke(noise(1.0)):
                model.site("blocks.0.mlp.hook_pre").save()
            with tracer.invoke({"input_values": torch.zeros(1, 16_000)}):
                model.site("blocks.0.mlp.hook_pre").save()


def test_stop_ends_the_forward(model: AudioModel) -> None:
    model.dispatch()
    ran: list[int] = []
    handle = model.blocks[1]._module.register_forward_hook(lambda *_: ran.append(1))
    with torch.no_grad(), model.trace(noise(1.0)) as tracer:
        post = model.site("blocks.0.mlp.hook_post").save()
        tracer.stop()
    handle.remove()
    assert post.shape[0] == 1
    assert not ran


@pytest.mark.parametrize("name", FAMILIES)
def test_blocks_are_numbered_on_every_family(name: str) -> None:
    family = FAMILIES[name]
    model = AudioModel(family.build(), feature_extractor=family.extractor())
    for layer in range(len(model.blocks)):
        (site,) = model.sites(f"blocks.{layer}.hook_resid_post")
        assert model.blocks[layer]._module is model.wrapped.get_submodule(site.path)


def test_whispers_decoder_is_fed_its_first_token() -> None:
    model = AudioModel(FAMILIES["whisper-generate"].build(), feature_extractor=whisper_extractor())
    with torch.no_grad(), model.trace([noise(1.0), noise(0.5)]):
        first = model.output.logits.save()
    assert first.shape == (2, 1, whisper_config().vocab_size)
    with torch.no_grad(), model.trace(noise(1.0), decoder_input_ids=torch.tensor([[3, 4]])):
        own = model.output.logits.save()
    assert own.shape[1] == 2
    with torch.no_grad(), model.generate(noise(1.0), max_new_tokens=2) as tracer:
        tokens = tracer.result.save()
    assert tokens.shape[0] == 1


def test_it_travels_as_nnsights_own_class(model: AudioModel) -> None:
    from nnsight.modeling.transformers import TransformersModel

    assert model._remoteable_class() is TransformersModel
    assert model.task == "audio-classification"


def test_a_clip_of_a_list_is_named_with_its_path(model: AudioModel, tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"clip 1 \(.*nowhere.wav\)"):
        model.trace([noise(1.0), tmp_path / "nowhere.wav"])
