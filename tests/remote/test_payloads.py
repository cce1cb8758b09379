"""What goes up: the smallest form that loses nothing, each row with its own frames."""

from __future__ import annotations

import functools
import pickle
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from and_nnsight import AudioModel
from and_nnsight.audio.loading import AudioError
from and_nnsight.audio.pcm import PCM_STEPS
from and_nnsight.data import ClipLengths, batches, open_source
from and_nnsight.model.features import Featuriser, make_featuriser
from and_nnsight.remote.on_server import _features, _mask
from and_nnsight.remote.payloads import Packer, make_payloads
from and_nnsight.remote.shapes import FrameCounts
from and_nnsight.sites.site import frame_mask
from tests.families import FAMILIES

RATE = 16_000


@cache
def featuriser(family: str) -> Featuriser:
    return make_featuriser(FAMILIES[family].build(), FAMILIES[family].extractor())


def pcm(samples: int, seed: int = 0) -> np.ndarray:
    """What a 16-bit file gives."""
    values = np.random.default_rng(seed).integers(-PCM_STEPS, PCM_STEPS, samples)
    return (values / PCM_STEPS).astype(np.float32)


def received(packer: Packer, waveforms: list[np.ndarray]) -> list[dict[str, torch.Tensor]]:
    """The model inputs that a server makes of each group that goes up."""
    heard = packer.featuriser
    module = torch.nn.Linear(1, 1)
    job: dict[str, Any] = {
        "extractor": heard.extractor,
        "rate": heard.sampling_rate,
        "options": heard.options,
        "extras": {},
        "names": {},
    }
    job["sites"] = [SimpleNamespace(envoy=SimpleNamespace(root=SimpleNamespace(_module=module)))]
    return [_features(job, group.content) for group in packer(waveforms)]


@pytest.mark.parametrize("family", ["ast", "whisper", "wav2vec2-post", "wav2vec2-pre", "wav2vec2-bert"])
@pytest.mark.parametrize("kind", ["pcm", "float"])
def test_a_server_makes_the_features_that_would_be_made_here(family: str, kind: str) -> None:
    heard = featuriser(family)
    clips = [pcm(8_000 + 800 * (seed % 3), seed) for seed in range(5)]
    if kind == "float":
        clips = [clip * np.float32(0.3) for clip in clips]
    groups = received(Packer(heard), clips)
    for group, here in zip(groups, heard.groups(clips), strict=True):
        assert group.keys() == heard.ready(here).keys()
        for name, tensor in heard.ready(here).items():
            assert torch.equal(group[name], tensor), name


@pytest.mark.parametrize(
    ("family", "clips", "form"),
    [
        ("wav2vec2-post", [pcm(16_000)], "int16"),
        ("wav2vec2-post", [pcm(16_000) * np.float32(0.3)], "float32"),
        ("ast", [pcm(8_000)], "int16"),
        ("ast", [pcm(n) * np.float32(0.3) for n in (8_000, 32_000)], "features"),
        ("whisper", [pcm(16_000)], "features"),
        ("whisper", [pcm(4_000)], "int16"),
    ],
)
def test_of_the_exact_forms_the_smallest_goes_up(family: str, clips: list[np.ndarray], form: str) -> None:
    (packed,) = Packer(featuriser(family))(clips)
    assert packed.content.get("samples", ["features"])[0] == form
    alternatives = [sum(clip.nbytes for clip in clips)]
    alternatives.append(sum(tensor.nbytes for tensor in featuriser(family)(clips).values()))
    assert packed.size <= min(alternatives)


@given(st.lists(st.integers(-40_000, 40_000), min_size=1, max_size=50), st.booleans())
def test_samples_are_rounded_only_if_that_loses_nothing_or_is_wanted(steps: list[int], fraction: bool) -> None:
    clip = np.zeros(2_000, np.float32)
    clip[: len(steps)] = np.array(steps, np.float32) / PCM_STEPS
    if fraction:
        clip[1_000] = 0.3 / PCM_STEPS
    exact = not fraction and all(-PCM_STEPS <= step < PCM_STEPS for step in steps)
    (packed,) = Packer(featuriser("wav2vec2-post"))([clip])
    assert packed.content["samples"][0] == ("int16" if exact else "float32")
    (packed,) = Packer(featuriser("wav2vec2-post"), "int16")([clip])
    dtype, shape, content = packed.content["samples"]
    assert (dtype, shape) == ("int16", [2_000])
    rounded = np.frombuffer(content, np.int16) / PCM_STEPS
    inside = clip.clip(-1, 1 - 1 / PCM_STEPS)
    assert np.abs(rounded - inside).max() <= 0.5 / PCM_STEPS


def test_a_clip_longer_than_the_window_goes_up_to_its_end_only() -> None:
    heard = featuriser("whisper")
    (packed,) = Packer(heard, "int16")([pcm(100_000)])
    assert packed.lengths == (heard.window_samples,)


def test_features_may_be_asked_for_and_errors_are_those_of_the_featuriser() -> None:
    (packed,) = Packer(featuriser("ast"), "features")([pcm(8_000)])
    assert set(packed.content) == {"features"}
    with pytest.raises(AudioError, match="too short|needs at least"):
        Packer(featuriser("ast"), "features")([pcm(10)])


def test_it_can_be_sent_to_a_worker() -> None:
    packer = pickle.loads(pickle.dumps(Packer(featuriser("ast"))))
    assert packer([pcm(8_000)])[0].content == Packer(featuriser("ast"))([pcm(8_000)])[0].content


@cache
@functools.cache
def listener() -> tuple[AudioModel, FrameCounts]:
    """A model, and its count of frames, which runs the model once for each length of sound."""
    model = AudioModel(FAMILIES["wav2vec2-ctc"].build(), feature_extractor=FAMILIES["wav2vec2-ctc"].extractor())
    return model, FrameCounts(model, model.sites())


@pytest.mark.slow
@settings(max_examples=15)
@given(
    st.lists(st.sampled_from([0, 8_000, 8_000, 9_000, 12_345]), min_size=1, max_size=14),
    st.integers(1, 4),
    st.integers(1, 6),
)
def test_every_clip_goes_up_once_in_its_row_with_its_own_frames(lengths: list[int], batch: int, most: int) -> None:
    """A length of 0: a clip that is set aside."""
    model, frame_counts = listener()
    heard, sites = model.featuriser, model.sites()
    data = [{"audio": {"array": pcm(length, index), "sampling_rate": RATE}} for index, length in enumerate(lengths)]
    stream = batches(
        open_source(data),
        sampling_rate=RATE,
        featurise=Packer(heard),
        batch_size=batch,
        lengths=ClipLengths(heard.minimum_samples),
    )
    made = list(make_payloads(stream, sites, frame_counts, most_clips=most, most_bytes=10**9))
    assert sum(payload.positions for payload in made) == len(lengths)
    assert [payload.end for payload in made][-1] == len(lengths)
    assert [clip.id for payload in made for clip in payload.clips] == [i for i, length in enumerate(lengths) if length]
    assert [clip.clip for payload in made for clip in payload.quarantined] == [
        i for i, n in enumerate(lengths) if not n
    ]
    for payload in made:
        assert payload.positions <= max(batch, most)
        rows = [row for group in payload.groups for row in group["rows"]]
        assert sorted(rows) == list(range(len(payload.clips)))
        for group in payload.groups:
            ids = [payload.clips[row].id for row in group["rows"]]
            assert group["lengths"] == [lengths[index] for index in ids]
            assert group["samples"][2] == b"".join(np.int16(pcm(lengths[i], i) * PCM_STEPS).tobytes() for i in ids)
            for site, index in zip(sites, group["mask_of_site"], strict=True):
                mask = _mask(group["masks"][index])
                seconds = [payload.clips[row].seconds for row in group["rows"]]
                assert torch.equal(mask, frame_mask(site, seconds, mask.shape[1]))
                assert mask.shape[1] <= payload.frames[sites.index(site)]


def test_a_job_is_full_at_so_many_bytes_too(tmp_path: Path) -> None:
    model, frame_counts = listener()
    data = [{"audio": {"array": pcm(8_000, index), "sampling_rate": RATE}} for index in range(6)]
    stream = batches(open_source(data), sampling_rate=RATE, featurise=Packer(model.featuriser), batch_size=1)
    made = list(make_payloads(stream, model.sites(), frame_counts, most_clips=100, most_bytes=40_000))
    assert [len(payload.clips) for payload in made] == [2, 2, 2]
