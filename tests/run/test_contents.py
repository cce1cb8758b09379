"""Copies and silence: found by content while a dataset streams by, said, and no evidence twice."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from and_nnsight import AudioModel, Dissection, dissect
from tests.families import FAMILIES
from tests.sounds_for_tests import RATE, noise

SOUNDS = [noise(1.0, seed=seed) for seed in range(5)]


def model() -> AudioModel:
    family = FAMILIES["ast"]
    return AudioModel(family.build(), feature_extractor=family.extractor())


def run(sounds: list[np.ndarray], out: Path, **options) -> Dissection:
    data = [{"audio": sound, "sampling_rate": RATE} for sound in sounds]
    return dissect(model(), data, out=out, **{"k": 8, "progress": False, **options})


def test_copies_and_silent_clips_are_counted_and_said(tmp_path: Path):
    """A clip that is heard three times is there twice too often; silent clips are copies too."""
    silence = np.zeros(RATE, np.float32)
    sounds = [SOUNDS[0], silence, SOUNDS[1], SOUNDS[0], SOUNDS[0], silence, 1e-5 * SOUNDS[2]]
    said = "of 7 clips, 3 silent and 3 byte-identical copies of earlier ones: as evidence .* copies count once"
    with pytest.warns(UserWarning, match=said):
        dissection = run(sounds, tmp_path / "run", batch_size=2)
    assert dissection.copies == {3: 0, 4: 0, 5: 1}
    assert dissection.silent == {1, 5, 6}
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert (manifest["clips"], manifest["silent"], manifest["copies"]) == (7, 3, 3)


@pytest.mark.parametrize(
    ("sounds", "said"),
    [
        ([SOUNDS[0], SOUNDS[0]], "of 2 clips, 1 byte-identical copy of an earlier one: "),
        ([SOUNDS[0], np.zeros(RATE, np.float32)], "of 2 clips, 1 silent: "),
    ],
)
def test_only_what_is_there_is_said(sounds: list[np.ndarray], said: str, tmp_path: Path):
    with pytest.warns(UserWarning, match=said):
        run(sounds, tmp_path / "run")


def test_of_clips_that_differ_nothing_is_said(tmp_path: Path):
    """Warnings are errors here."""
    dissection = run(SOUNDS, tmp_path / "run")
    assert dissection.copies == {}
    assert dissection.silent == frozenset()
    assert (dissection.manifest.silent, dissection.manifest.copies) == (0, 0)
    assert not dissection.evidence(dissection.sites[0], "top").copy.any()


@pytest.mark.filterwarnings("ignore:of .* clips, .* cop(y|ies) of:UserWarning")
@pytest.mark.parametrize("side", ["top", "bottom"])
def test_copies_are_evidence_once_and_the_rest_moves_up(side: str, tmp_path: Path):
    """As if the copies had never been there, but for the mean, which all clips have. Clips set aside leave gaps."""
    once = run(SOUNDS, tmp_path / "once", pool="mean")
    broken = np.full(RATE, np.nan, np.float32)
    sounds = [broken, *SOUNDS[:2], SOUNDS[1], SOUNDS[2], broken, SOUNDS[0], SOUNDS[3], SOUNDS[4], SOUNDS[1]]
    original = {1: 0, 2: 1, 4: 2, 7: 3, 8: 4}
    several = run(sounds, tmp_path / "several", pool="mean", batch_size=1, k=10)
    assert several.copies == {3: 2, 6: 1, 9: 2}
    site = several.sites[0]
    evidence, expected = several.evidence(site, side, 3), once.evidence(site, side, 3)
    assert torch.equal(evidence.copy.sum(0), torch.full((64,), 3))
    for unit in range(64):
        clips = evidence.ranked.clips[evidence.decided[:, unit], unit].tolist()
        assert [original[clip] for clip in clips] == expected.ranked.clips[expected.decided[:, unit], unit].tolist()
    assert several.evidence(site, side, 99) is several.evidence(site, side)
    for exemplar in several.unit(site, 7).top:
        assert exemplar.copy == (exemplar.clip in several.copies)


@pytest.mark.filterwarnings("ignore:of .* clips, .* silent.*:UserWarning")
def test_the_exemplars_of_a_unit_say_which_are_silent(tmp_path: Path):
    dissection = run([*SOUNDS, np.zeros(RATE, np.float32)], tmp_path / "run")
    unit = dissection.unit(dissection.sites[0], 3)
    assert {exemplar.clip for exemplar in unit.top if exemplar.silent} == {5}
    assert {exemplar.clip for exemplar in unit.bottom if exemplar.silent} == {5}


def test_the_same_sound_in_another_container_is_a_copy(tmp_path: Path):
    import soundfile

    folder = tmp_path / "sounds"
    folder.mkdir()
    pcm = (SOUNDS[0] * 32767).astype(np.int16)
    soundfile.write(folder / "a.wav", pcm, RATE)
    soundfile.write(folder / "b.flac", pcm, RATE)
    soundfile.write(folder / "c.wav", pcm[:-1], RATE)
    with pytest.warns(UserWarning, match="of 3 clips, 1 byte-identical copy"):
        dissection = dissect(model(), folder, out=tmp_path / "run", k=2, progress=False)
    assert dissection.copies == {1: 0}
