"""`hear` on the embedded AST and on tiny models: what comes out, that it comes again, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from transformers import Wav2Vec2FeatureExtractor

from and_nnsight import AudioModel, ListenableMap, MapError, dissect, hear, keep_exemplars
from and_nnsight.audio.frontends import front_end
from and_nnsight.demo import SAMPLING_RATE, make_sound, tiny_ast_path
from and_nnsight.dissection.exemplars import Exemplar
from and_nnsight.maps.response import Response, cut_short
from and_nnsight.sites.site import SiteError
from tests.families import FAMILIES
from tests.model.test_adapter import Hooked
from tests.sounds_for_tests import noise

pytestmark = pytest.mark.slow

SITE = "blocks.2.mlp.hook_post"


@pytest.fixture(scope="module")
def model() -> AudioModel:
    return AudioModel(str(tiny_ast_path()), dispatch=True)


@pytest.fixture(scope="module")
def bell(model: AudioModel) -> tuple[int, np.ndarray]:
    """The unit that a bell raises most above noise, and the bell over that noise."""
    sound, rest = make_sound("bell", 0).waveform, make_sound("low noise", 1).waveform
    mixture = sound + 0.3 * rest
    (site,) = model.sites(SITE)
    values: list[torch.Tensor] = []
    with torch.no_grad():
        model.run([site], model.features([mixture, rest, 0 * rest]), lambda _, value: values.append(value.amax(1)))
    heard = values[0]
    return int((heard[0] - heard[1:].amax(0)).argmax()), mixture


@pytest.fixture(scope="module")
def heard(model: AudioModel, bell: tuple[int, np.ndarray]) -> ListenableMap:
    return hear((SITE, bell[0]), bell[1], model=model)


def test_kept_and_removed_add_up_and_the_unit_needs_the_kept(
    heard: ListenableMap, bell: tuple[int, np.ndarray]
) -> None:
    np.testing.assert_allclose(heard.kept + heard.removed, bell[1], atol=1e-6)
    assert heard.mask.shape == heard.power.shape == (len(heard.hz), len(heard.seconds))
    assert 0 <= heard.mask.min() <= heard.mask.max() <= 1 + 1e-6
    shares = heard.activations.share
    assert shares(heard.activations.kept) > 0.8
    assert shares(heard.activations.removed) < 0.5 * shares(heard.activations.kept)
    assert 0 < heard.area < 0.95
    assert 0 < heard.energy < 1
    assert len(heard.activations.moved) == 20
    assert heard.p == (1 + sum(value >= heard.activations.kept for value in heard.activations.moved)) / 21
    assert heard.start is not None and heard.end is not None
    assert 0 <= heard.start < heard.end <= 2


def test_activations_are_those_of_the_sounds_that_come_out(heard: ListenableMap, model: AudioModel) -> None:
    (site,) = model.sites(SITE)
    values: list[torch.Tensor] = []
    sounds = [heard.original, heard.kept, heard.removed, 0 * heard.kept]
    with torch.no_grad():
        model.run([site], model.features(sounds), lambda _, value: values.append(value[:, heard.frame, heard.unit]))
    measured = heard.activations
    expected = [measured.original, measured.kept, measured.removed, measured.silence]
    assert values[0].tolist() == pytest.approx(expected, abs=1e-4)


def test_the_same_call_gives_the_same_map(
    heard: ListenableMap, bell: tuple[int, np.ndarray], model: AudioModel
) -> None:
    again = hear(f"{SITE}:{bell[0]}", bell[1], model=model)
    assert np.array_equal(again.kept, heard.kept)
    assert again.activations == heard.activations
    other = hear((SITE, bell[0]), bell[1], model=model, seed=1, masks=3)
    assert len(other.activations.moved) == 3
    assert not np.array_equal(other.kept, heard.kept)


def test_steps_are_bounded_and_more_area_keeps_less(
    heard: ListenableMap, bell: tuple[int, np.ndarray], model: AudioModel
) -> None:
    assert hear((SITE, bell[0]), bell[1], model=model, steps=2, masks=1).steps == 2
    assert hear((SITE, bell[0]), bell[1], model=model, area=3.0, masks=1).area < heard.area


def test_the_model_is_left_as_it_was(bell: tuple[int, np.ndarray]) -> None:
    model = AudioModel(str(tiny_ast_path()), dispatch=True)
    module = model.wrapped.train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    hear((SITE, bell[0]), bell[1], model=module, steps=2, masks=1)
    assert module.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in module.parameters())
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert not any(child._forward_hooks or child._forward_pre_hooks for child in module.modules())
    assert torch.is_grad_enabled()


def test_what_comes_out_is_heard_seen_and_written(heard: ListenableMap, tmp_path: Path) -> None:
    assert heard.audio() == (pytest.approx(heard.kept), SAMPLING_RATE)
    assert heard.audio("removed")[0] is heard.removed
    with pytest.raises(ValueError, match="kept, removed, original, not 'rest'"):
        heard.audio("rest")
    paths = heard.to_flac(tmp_path / "new" / "map")
    assert [path.name for path in paths] == ["kept.flac", "removed.flac", "original.flac"]
    samples, rate = soundfile.read(paths[0], dtype="float32")
    assert rate == SAMPLING_RATE
    np.testing.assert_allclose(samples, heard.kept, atol=2**-15)
    axes = heard.plot()
    axes.figure.savefig(tmp_path / "map.png")
    assert (tmp_path / "map.png").stat().st_size > 5_000
    assert len(repr(heard).splitlines()) <= 5
    assert f"{heard.area:.0%} of the spectrogram kept" in repr(heard)
    assert heard.summary()["p"] == heard.p


def test_an_exemplar_is_read_from_its_file_at_its_own_moment(model: AudioModel, tmp_path: Path) -> None:
    for index, label in enumerate(("bell", "low noise", "siren")):
        soundfile.write(tmp_path / f"{index}.wav", make_sound(label, 0).waveform, SAMPLING_RATE, subtype="PCM_16")
    dissection = dissect(model, tmp_path, sites=SITE, k=2, out=tmp_path / "run", progress=False)
    unit = next(unit for unit in (dissection.unit(SITE, index) for index in range(256)) if unit.top[0].activation > 0.5)
    exemplar = unit.top[0]
    result = hear(unit, exemplar, model=model, steps=3, masks=2)
    assert (result.frame, result.start, result.end) == (exemplar.frame, exemplar.start, exemplar.end)
    assert result.activations.original == pytest.approx(exemplar.activation, abs=1e-4)
    _refused(lambda: hear(unit, _with(exemplar, path=None), model=model), "came from no file")
    _refused(lambda: hear(unit, _with(exemplar, activation=9.0), model=model), "another model, or the file has changed")
    _refused(lambda: hear(unit, _with(exemplar, frame=-1), model=model), "of no one frame")
    keep_exemplars(dissection, [(SITE, unit.index)], model, progress=False)
    kept = hear(unit, _with(exemplar, path=None), model=model, steps=3, masks=2)
    assert kept.activations == result.activations, "the sound that was kept is what the model heard"
    pair = hear(unit, exemplar.audio(), model=model, steps=3, masks=2)
    assert pair.frame == exemplar.frame


def _with(exemplar: Exemplar, **values: Any) -> Exemplar:
    return Exemplar(**{**vars(exemplar), **values})


def _refused(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(MapError, match=words):
        call()


def test_what_cannot_be_mapped_is_refused_in_a_sentence(model: AudioModel) -> None:
    clip = noise(1.0)
    _refused(lambda: hear("hook_post", clip, model=model), "a unit is SITE:INDEX")
    _refused(lambda: hear((SITE, 256), clip, model=model), "units 0 to 255, not 256")
    _refused(lambda: hear(("blocks.*.mlp.hook_post", 1), clip, model=model), "names 4 sites")
    _refused(lambda: hear((SITE, 1), clip[:300], model=model), "needs at least 400")
    _refused(lambda: hear((SITE, 1), 0 * clip, model=model), "in silence: there is no part of the sound")
    with pytest.raises(SiteError):
        hear(("blocks.9.mlp.hook_post", 1), clip, model=model)
    deaf = AudioModel(FAMILIES["wav2vec2-pre"].build(), feature_extractor=Wav2Vec2FeatureExtractor())
    _refused(lambda: hear(("blocks.0.mlp.hook_post", 1), clip, model=deaf), "no differentiable front end")


def test_an_adapter_that_runs_without_gradients_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    _refused(lambda: _of_any_unit(Hooked()), "Hooked runs without gradients")


def test_whisper_hears_a_short_window_while_it_is_searched_and_its_own_in_the_end() -> None:
    family = FAMILIES["whisper"]
    model = AudioModel(family.build(), feature_extractor=family.extractor())
    encoder = next(child for child in model.wrapped.modules() if hasattr(child, "embed_positions"))
    positions, most = encoder.embed_positions, encoder.config.max_source_positions
    (site,) = model.sites("blocks.1.mlp.hook_post")
    response = Response(model, site, 3, front_end(model.featuriser.extractor))
    clip = torch.from_numpy(noise(0.5))[None]
    with cut_short(response, clip.shape[1]) as quick, torch.no_grad():
        short = quick(clip)
    assert short.shape[1] < response(clip).shape[1] == most
    assert encoder.embed_positions is positions
    assert encoder.config.max_source_positions == most
    assert _of_any_unit(model).mask.shape[0] == 257


def _of_any_unit(model: Any) -> ListenableMap:
    """Of the first unit that answers to noise more than to silence."""
    for unit in range(64):
        try:
            return hear(("blocks.1.mlp.hook_post", unit), noise(0.5), model=model, steps=2, masks=1)
        except MapError as error:
            if "in silence" not in str(error):
                raise
    raise AssertionError("no unit answers")
