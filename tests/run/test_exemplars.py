"""keep_exemplars: the sounds are the clips', the curves peak where and as high as the dissection says."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from and_nnsight import AudioModel, Dissection, DissectionError, dissect, keep_exemplars
from and_nnsight.audio.loading import to_waveform
from tests.families import FAMILIES
from tests.sounds_for_tests import RATE, noise, ragged

pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning")
SITE = "blocks.1.mlp.hook_post"


def made(name: str = "ast") -> AudioModel:
    family = FAMILIES[name]
    return AudioModel(family.build(), feature_extractor=family.extractor())


def dissected(data: Any, out: Path, model: AudioModel | None = None, **options: Any) -> Dissection:
    return dissect(model or made(), data, out=out, **{"k": 3, "progress": False, "sites": "all", **options})


def kept(dissection: Dissection, units: Any, model: AudioModel | None = None, data: Any = None, **options: Any) -> Any:
    return keep_exemplars(dissection, units, model or made(), data, **{"progress": False, **options})


def wav_folder(folder: Path, clips: int = 9) -> Path:
    folder.mkdir()
    for index in range(clips):
        soundfile.write(folder / f"{index:03}.wav", noise(0.2 + 0.07 * (index % 4), seed=index), RATE, subtype="PCM_16")
    return folder


def assert_curves_are_of(dissection: Dissection, site: str, index: int) -> None:
    store, unit = dissection.exemplars(), dissection.unit(site, index)
    for exemplar in (*unit.top, *unit.bottom):
        assert (site, index, exemplar.clip) in store.curves
        curve = store.curve(site, index, exemplar.clip)
        assert np.isclose(curve.activation.max(), exemplar.activation, rtol=1e-4, atol=1e-5)
        if exemplar.start is not None:
            there = np.flatnonzero(np.isclose(curve.start, exemplar.start) & np.isclose(curve.stop, exemplar.end))
            assert len(there) == 1
            assert np.isclose(curve.activation[there[0]], exemplar.activation, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_the_peak_of_every_curve_is_the_exemplars_value_and_place(name: str, tmp_path: Path) -> None:
    data = [item for item in ragged(7) if len(item["audio"]) >= 1600]
    model = made(name)
    dissection = dissected(data, tmp_path / "run", model)
    pairs = [(site, unit) for site in dissection.sites for unit in (0, dissection.widths()[site] - 1)]
    summary = kept(dissection, pairs, model, data, batch_size=3)
    assert not summary.failures and summary.units == len(pairs)
    assert summary.curves == len(list(dissection.exemplars().curves))
    for site, unit in pairs:
        assert_curves_are_of(dissection, site, unit)


def test_sounds_are_what_the_model_hears(tmp_path: Path) -> None:
    model, folder = made(), wav_folder(tmp_path / "audio")
    long = noise(3.0, seed=50)
    soundfile.write(folder / "999.wav", long, RATE, subtype="PCM_16")
    with pytest.warns(UserWarning, match="longer than"):
        dissection = dissected(folder, tmp_path / "run", model)
    kept(dissection, [(SITE, unit) for unit in range(64)], model)
    store = dissection.exemplars()
    assert 9 in store.clips and len(store.clips) > 5
    window = model.featuriser.window_samples
    for clip in store.clips:
        samples, rate = store.audio(clip)
        path = dissection.clips[clip].path
        assert path is not None and rate == model.sampling_rate
        assert np.array_equal(samples, to_waveform(path, rate)[:window])
        assert store.flac(clip)[:4] == b"fLaC"


def test_a_second_call_adds_and_makes_nothing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, folder = made(), wav_folder(tmp_path / "audio")
    dissection = dissected(folder, tmp_path / "run", model)
    kept(dissection, [(SITE, 1)], model, most=1)
    first = {key: dissection.exemplars().curve(*key).activation for key in dissection.exemplars().curves}
    assert len(first) == 2
    kept(dissection, [f"{SITE}:1", dissection.unit(SITE, 5)], model)
    store = dissection.exemplars()
    assert set(first) < set(store.curves)
    assert all(np.array_equal(store.curve(*key).activation, value) for key, value in first.items())
    assert_curves_are_of(dissection, SITE, 5)
    shutil.rmtree(folder)  # what is there needs neither the data nor the model
    kept(dissection, [(SITE, 1), (SITE, 5)], object())
    kept(dissection, [("blocks.0.mlp.hook_pre", 3)], model) if set(store.clips) >= {
        exemplar.clip for exemplar in dissection.unit("blocks.0.mlp.hook_pre", 3).top
    } else None


def test_a_stream_is_given_again(tmp_path: Path) -> None:
    clips = ragged(8)

    def stream() -> Iterator[Any]:
        yield from clips

    model = made()
    dissection = dissected(stream(), tmp_path / "run", model)
    with pytest.raises(DissectionError, match="pass data="):
        kept(dissection, [(SITE, 0)], model)
    kept(dissection, [(SITE, 0)], model, stream())
    assert_curves_are_of(dissection, SITE, 0)
    with pytest.raises(DissectionError, match="ends before"):
        kept(dissection, [(SITE, unit) for unit in range(64)], model, iter(clips[:1]))


def test_clips_that_have_changed_are_not_kept(tmp_path: Path) -> None:
    model, folder = made(), wav_folder(tmp_path / "audio")
    dissection = dissected(folder, tmp_path / "run", model)
    clip = dissection.unit(SITE, 0).top[0].clip
    length = soundfile.info(folder / f"{clip:03}.wav").frames / RATE
    soundfile.write(folder / f"{clip:03}.wav", noise(length, seed=77), RATE, subtype="PCM_16")
    with pytest.warns(UserWarning, match="is not the clip that was dissected"):
        summary = kept(dissection, [(SITE, 0)], model)
    store = dissection.exemplars()
    assert [failure.clip for failure in summary.failures] == [clip]
    assert clip not in store.clips and (SITE, 0, clip) not in store.curves and len(store.clips) > 1


def test_what_is_not_there_says_how_to_have_it(tmp_path: Path) -> None:
    dissection = dissected(wav_folder(tmp_path / "audio"), tmp_path / "run")
    store = dissection.exemplars()
    assert store.clips == () and list(store.curves) == []
    with pytest.raises(DissectionError, match=r"keep_exemplars.*and-nnsight exemplars"):
        store.audio(0)
    with pytest.raises(DissectionError, match=rf"keep_exemplars.*'{SITE}', 3"):
        store.curve(SITE, 3, 0)


def test_units_models_and_damage_are_refused_in_words(tmp_path: Path) -> None:
    model = made()
    dissection = dissected(wav_folder(tmp_path / "audio"), tmp_path / "run", model)
    for wrong, words in (
        ([("nowhere", 1)], "was not dissected"),
        ([(SITE, 64)], "units 0 to 63"),
        (["7"], "SITE:INDEX"),
    ):
        with pytest.raises(DissectionError, match=words):
            kept(dissection, wrong, model)
    with pytest.raises(DissectionError, match="pass model="):
        keep_exemplars(dissection, [(SITE, 0)], progress=False)
    with pytest.raises(DissectionError, match="not what was dissected"):
        other = FAMILIES["ast"].build()
        next(other.parameters()).data += 1
        kept(dissection, [(SITE, 0)], AudioModel(other, feature_extractor=FAMILIES["ast"].extractor()))
    kept(dissection, [(SITE, 0)], model)
    store = dissection.exemplars()
    clip = store.clips[0]
    for path, read in (
        (dissection.folder / "exemplars/sounds" / f"{clip}.flac", lambda: store.audio(clip)),
        (dissection.folder / "exemplars/curves" / f"{clip}.safetensors", lambda: store.curve(SITE, 0, clip)),
    ):
        content = bytearray(path.read_bytes())
        content[-5] ^= 1
        path.write_bytes(content)
        with pytest.raises(DissectionError, match=r"is damaged .*: remove it and keep the exemplars again"):
            read()


def test_the_room_on_the_disk_is_said_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = made()
    dissection = dissected(wav_folder(tmp_path / "audio"), tmp_path / "run", model)
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 1))
    with pytest.raises(ValueError, match=r"takes up to .* kB, and .* has 1 byte"):
        kept(dissection, [(SITE, 0)], model)
    monkeypatch.undo()
    assert dissection.exemplars().clips == ()
    kept(dissection, [(SITE, 0)], model, progress=True)
    said = capsys.readouterr().err
    assert "will write up to" in said and "curves of activation" in said


def test_clips_run_no_further_than_their_units_and_their_curves_are_the_same(tmp_path: Path) -> None:
    model, folder = made(), wav_folder(tmp_path / "audio")
    early, late = "blocks.0.mlp.hook_post", "blocks.1.mlp.hook_post"
    dissection = dissected(folder, tmp_path / "run", model, sites=[early, late])
    pairs = [(early, 5), (early, 9), (late, 7)]
    runs: list[tuple[list[str], int]] = []
    run = model.run

    def counted(sites: Any, features: Any, on_activation: Any) -> None:
        runs.append(([site.name for site in sites], len(next(iter(features.values())))))
        run(sites, features, on_activation)

    model.run = counted
    kept(dissection, pairs, model, batch_size=20)
    of_late = {each.clip for each in (*dissection.unit(late, 7).top, *dissection.unit(late, 7).bottom)}
    clips = dissection.exemplars().clips
    shallow = len(clips) - len(of_late)
    assert shallow > 0
    assert sorted(runs) == sorted([([early], shallow), ([early, late], len(of_late))])
    for site, unit in pairs:
        assert_curves_are_of(dissection, site, unit)
