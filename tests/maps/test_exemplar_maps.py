"""Maps of exemplars: kept one by one, read back as they were made, and never a reason to end."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from transformers import Wav2Vec2FeatureExtractor

from and_nnsight import AudioModel, Dissection, MapError, dissect, keep_exemplars
from and_nnsight.demo import SAMPLING_RATE, make_sound, tiny_ast_path
from and_nnsight.dissection.exemplars import Exemplar
from and_nnsight.dissection.files import map_file
from and_nnsight.maps import exemplar_maps as module
from and_nnsight.maps.exemplar_maps import exemplar_maps
from and_nnsight.maps.hearing import hear
from and_nnsight.maps.listenable_map import ListenableMap
from and_nnsight.maps.map_store import MapStore
from and_nnsight.run.options import RunOptions
from and_nnsight.storage import locked
from tests.families import FAMILIES
from tests.sounds_for_tests import noise

pytestmark = pytest.mark.slow

SITE = "blocks.2.mlp.hook_post"
UNITS = (227, 150, 198)
QUIET = RunOptions(progress=False)


@pytest.fixture(scope="module")
def model() -> AudioModel:
    return AudioModel(str(tiny_ast_path()), dispatch=True)


@pytest.fixture(scope="module")
def dissected(model: AudioModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dissected")
    (folder / "sounds").mkdir()
    for label in ("bell", "low noise", "siren"):
        path = folder / "sounds" / f"{label}.wav"
        soundfile.write(path, make_sound(label, 0).waveform, SAMPLING_RATE, subtype="PCM_16")
    made = dissect(model, folder / "sounds", sites=SITE, k=2, out=folder / "run", progress=False)
    keep_exemplars(made, [(SITE, unit) for unit in UNITS], model, progress=False)
    return made.folder


@pytest.fixture
def dissection(dissected: Path, tmp_path: Path) -> Dissection:
    """A copy, without maps."""
    return Dissection.load(shutil.copytree(dissected, tmp_path / "run"))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Maps of two steps. Gives the units that were heard."""
    heard: list[str] = []

    def quickly(unit: Any, clip: Any, **options: Any) -> ListenableMap:
        heard.append(unit)
        return hear(unit, clip, steps=2, masks=2, **options)

    monkeypatch.setattr(module, "hear", quickly)
    return heard


def firsts(dissection: Dissection) -> list[Exemplar]:
    return [dissection.unit(SITE, unit).top[0] for unit in UNITS]


def test_a_map_is_read_as_it_was_made(dissection: Dissection, model: AudioModel) -> None:
    exemplar, store = firsts(dissection)[0], MapStore(dissection.folder)
    assert store.of(exemplar) is None
    made = hear((SITE, UNITS[0]), exemplar, model=model, steps=3, masks=2)
    store.put(exemplar.clip, made)
    read = store.of(exemplar)
    assert read is not None
    for part in ("original", "kept", "removed"):
        np.testing.assert_allclose(read.audio(part)[0], made.audio(part)[0], atol=1e-6)
    assert np.array_equal(read.kept, made.kept)
    np.testing.assert_allclose(read.mask, made.mask, atol=5e-4)
    np.testing.assert_allclose(read.power, made.power, rtol=1e-4, atol=1e-6)
    assert read.activations == made.activations
    for name in ("site", "unit", "sampling_rate", "frame", "start", "end", "steps"):
        assert getattr(read, name) == getattr(made, name)
    assert np.array_equal(read.hz, made.hz) and np.array_equal(read.seconds, made.seconds)


def test_what_is_kept_is_not_made_again_and_wants_no_model(
    dissection: Dissection, model: AudioModel, quick: list
) -> None:
    made = exemplar_maps(dissection, firsts(dissection), model, QUIET)
    assert list(made.maps) == firsts(dissection) and made.problem is None and not made.reasons
    again = exemplar_maps(dissection, firsts(dissection), "/nowhere", QUIET)
    assert len(quick) == len(UNITS)
    for exemplar, kept in again.maps.items():
        assert np.array_equal(kept.kept, made.maps[exemplar].kept)
    assert len(repr(again).splitlines()) == 1


def test_an_interruption_loses_none_that_was_made(
    dissection: Dissection, model: AudioModel, quick: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    quickly = module.hear

    def interrupted(*arguments: Any, **options: Any) -> ListenableMap:
        if len(quick) == 2:
            raise KeyboardInterrupt
        return quickly(*arguments, **options)

    monkeypatch.setattr(module, "hear", interrupted)
    with pytest.raises(KeyboardInterrupt):
        exemplar_maps(dissection, firsts(dissection), model, QUIET)
    monkeypatch.setattr(module, "hear", quickly)
    assert len(exemplar_maps(dissection, firsts(dissection), model, QUIET).maps) == 3
    assert quick == [(SITE, unit) for unit in UNITS], "each was made once"


def test_a_damaged_or_older_file_is_made_again(dissection: Dissection, model: AudioModel, quick: list) -> None:
    exemplars = firsts(dissection)[:2]
    exemplar_maps(dissection, exemplars, model, QUIET)
    damaged, older = (
        map_file(dissection.folder, SITE, unit, each.clip) for unit, each in zip(UNITS, exemplars, strict=False)
    )
    damaged.write_bytes(damaged.read_bytes()[:-4] + b"abcd")
    older.write_bytes(older.read_bytes().replace(b'format_version\\": \\"1', b'format_version\\": \\"0'))
    assert len(exemplar_maps(dissection, exemplars, model, QUIET).maps) == 2
    assert len(quick) == 4


def test_one_that_cannot_be_made_has_a_reason_and_the_others_are_made(
    dissection: Dissection, model: AudioModel, quick: list
) -> None:
    first, second, third = firsts(dissection)
    wrong = replace(second, activation=second.activation + 9)
    made = exemplar_maps(dissection, [first, wrong, third], model, QUIET)
    assert list(made.maps) == [first, third]
    assert "the unit's activation is" in made.reasons[wrong]
    with pytest.raises(MapError):
        hear((SITE, UNITS[1]), wrong, model=model)


def test_without_a_sound_there_is_nothing_to_hear(dissection: Dissection, model: AudioModel, quick: list) -> None:
    for path in (dissection.folder / "exemplars" / "sounds").iterdir():
        path.unlink()
    made = exemplar_maps(dissection, firsts(dissection), model, QUIET)
    assert not made.maps and not made.reasons and not quick


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("/nowhere/at/all", "/nowhere/at/all"),
        (None, None),
        ("other", "is not what was dissected"),
        ("locked", "another process"),
    ],
)
def test_what_stands_in_the_way_of_all_is_said_once(
    dissection: Dissection, model: AudioModel, quick: list, given: str | None, words: str | None
) -> None:
    other = FAMILIES["ast"]
    given_models = {"other": AudioModel(other.build(), feature_extractor=other.extractor()), "locked": model}
    lock = locked(dissection.folder / "exemplars" / ".lock") if given == "locked" else None
    made = exemplar_maps(dissection, firsts(dissection), given_models.get(given or "", given), QUIET)
    if lock is not None:
        lock.close(remove=True)
    if words is None:
        assert made.problem is None and len(made.maps) == 3, "opened by its name"
    else:
        assert not made.maps and not quick
        assert made.problem is not None and words in made.problem


def test_a_model_whose_features_have_no_gradients_is_said_once(tmp_path: Path) -> None:
    deaf = AudioModel(FAMILIES["wav2vec2-pre"].build(), feature_extractor=Wav2Vec2FeatureExtractor())
    clips = [{"audio": noise(0.5, seed=seed), "sampling_rate": SAMPLING_RATE} for seed in range(3)]
    made = dissect(deaf, clips, sites="blocks.0.mlp.hook_post", k=1, out=tmp_path / "run", progress=False)
    units = [("blocks.0.mlp.hook_post", unit) for unit in range(2)]
    keep_exemplars(made, units, deaf, clips, progress=False)
    maps = exemplar_maps(made, [made.unit(*unit).top[0] for unit in units], deaf, QUIET)
    assert not maps.maps and not maps.reasons
    assert maps.problem is not None and "no differentiable front end" in maps.problem


def test_a_full_disk_is_said_and_loses_none(
    dissection: Dissection, model: AudioModel, quick: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = MapStore.put

    def full(store: MapStore, clip: int, made: ListenableMap) -> None:
        if len(quick) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "there")
        put(store, clip, made)

    monkeypatch.setattr(MapStore, "put", full)
    made = exemplar_maps(dissection, firsts(dissection), model, QUIET)
    assert list(made.maps) == firsts(dissection)[:1]
    assert made.problem is not None and "room on its disk" in made.problem


def test_the_cost_is_said_before(
    dissection: Dissection, model: AudioModel, quick: list, capsys: pytest.CaptureFixture[str]
) -> None:
    exemplar_maps(dissection, firsts(dissection), model)
    said = capsys.readouterr().err
    assert "will make 3 listenable maps, up to " in said and "what units hear" in said
    kept = sum(path.stat().st_size for path in (dissection.folder / "exemplars" / "maps").rglob("*.safetensors"))
    assert kept < 3 * 2 * SAMPLING_RATE * 9 + 3000
